#!/usr/bin/env bash
# The cache on file systems that fail: full, read-only, somebody else's. Mounts in a namespace of its own; needs root.
# SHIFTKEY names the binary.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "needs root" >&2; exit 2; }
shiftkey=$(realpath "${SHIFTKEY:-target/debug/shiftkey}")
if [ "${1:-}" != inside ]; then
    exec unshare -m --propagation private -- "$shiftkey" sandbox -q --engine embedded -- env SHIFTKEY="$shiftkey" bash "$0" inside
fi

place=$(mktemp -d)
trap 'umount -l "$place/disk" 2>/dev/null || true; rm -rf "$place"' EXIT
mkdir "$place/disk"
mount -t tmpfs -o size=256k,mode=700 tmpfs "$place/disk"
export SHIFTKEY_CACHE_DIR=$place/disk/cache
creds() { "$shiftkey" creds prod/analytics --json 2>"$place/err"; }
cached() { python3 -c 'import json,sys; print(json.load(sys.stdin)["cached"])'; }
expect() { [ "$2" = "$3" ] || { echo "FAILED: $1: expected '$3', got '$2'"; cat "$place/err"; exit 1; }; echo "ok: $1"; }
warnings() { grep -c 'cannot be used' "$place/err" || true; }
fill() { dd if=/dev/zero of="$place/disk/ballast" bs=1k 2>/dev/null || true; }

expect "the first run asks AWS" "$(creds | cached)" False
fill
expect "a full disk: the credential that is there is handed out" "$(creds | cached)" True
expect "and nobody is bothered" "$(warnings)" 0
"$shiftkey" cache clear --all -q
fill
expect "a full disk, nothing there: AWS is asked" "$(creds | cached)" False
expect "with one warning" "$(warnings)" 1
expect "nothing half written is left" "$(find "$SHIFTKEY_CACHE_DIR" -name '*.tmp' | wc -l)" 0
rm "$place/disk/ballast"
expect "room again: it is kept again" "$(creds | cached) $(creds | cached)" "False True"
mount -o remount,ro "$place/disk"
expect "read-only: the credential that is there is handed out" "$(creds | cached)" True
mount -o remount,rw "$place/disk"
"$shiftkey" cache clear --all -q
mount -o remount,ro "$place/disk"
expect "read-only, nothing there: AWS is asked" "$(creds | cached)" False
expect "with one warning" "$(warnings)" 1
mount -o remount,rw "$place/disk"

# Somebody else's directory, and one in a shared place that another user made first.
chown nobody "$SHIFTKEY_CACHE_DIR"
expect "somebody else's directory: AWS is asked" "$(creds | cached)" False
expect "and it is said whose it is" "$(grep -c 'belongs to another user' "$place/err")" 1
chown root "$SHIFTKEY_CACHE_DIR"
ln -s "$SHIFTKEY_CACHE_DIR" "$place/link"
export SHIFTKEY_CACHE_DIR=$place/link
expect "a link to a directory of ours: not followed" "$(creds | cached) $(grep -c 'is a link' "$place/err")" "False 1"
