#!/usr/bin/env bash
# What nfs.sh runs in its machine: the same on each kind of mount. Prints "ok" or "FAILED" for each thing that must hold.
set -euo pipefail
if [ "${1:-}" != inside ]; then
    cp "$SHIFTKEY" /tmp/shiftkey
    rpcbind
    rpc.statd --no-notify
    mkdir /run/export /run/home
    mount -t tmpfs -o mode=700 export /run/export
    mount -t nfsd nfsd /proc/fs/nfsd
    # A server that has just started makes clients wait, for 90 s unless told otherwise.
    echo 10 >/proc/fs/nfsd/nfsv4leasetime
    echo 10 >/proc/fs/nfsd/nfsv4gracetime
    echo 10 >/proc/sys/fs/nfs/nlm_grace_period
    export SHIFTKEY=/tmp/shiftkey
    exec "$SHIFTKEY" sandbox -q --engine embedded -- bash "$0" inside
fi

export SHIFTKEY_CACHE_DIR=/run/home/cache
failed=0
expect() {
    if [ "$2" = "$3" ]; then echo "ok: $kind: $1"; return; fi
    echo "FAILED: $kind: $1: expected '$3', got '$2'"
    cat /tmp/err
    failed=1
}
serve() { exportfs -ua; exportfs -o "rw,fsid=0,insecure,async,$1" 127.0.0.1:/run/export; }
creds() { timeout 60 "$SHIFTKEY" creds prod/analytics --json 2>/tmp/err | sed -n 's/.*"cached": \([a-z]*\).*/\1/p'; }
calls() {
    curl -s --oauth2-bearer "$SHIFTKEY_SANDBOX_TOKEN" "$SHIFTKEY_SANDBOX_URL/calls" |
        python3 -c 'import json,sys; print(sum(it["count"] for it in json.load(sys.stdin)["calls"] if it["action"] == "GetClusterCredentials"))'
}
fault() { curl -s --oauth2-bearer "$SHIFTKEY_SANDBOX_TOKEN" "$SHIFTKEY_SANDBOX_URL/faults" -d "{\"rule\":\"$1\"}" >/dev/null; }
warnings() { grep -c 'cannot be used\|belongs to another user' /tmp/err || true; }

try() {
    kind=$1
    serve no_root_squash
    rpc.nfsd 4
    rpc.mountd
    mount -t nfs -o "$2,soft,timeo=30,retrans=1" "127.0.0.1:$3" /run/home
    grep ' /run/home ' /proc/mounts

    local before callers=() caller worked=0
    before=$(calls)
    for _ in $(seq 30); do [ -n "$(creds)" ] & callers+=($!); done
    for caller in "${callers[@]}"; do if wait "$caller"; then worked=$((worked + 1)); fi; done
    expect "30 processes at once all get a credential" "$worked" 30
    expect "by one call" "$(($(calls) - before))" 1
    expect "which the next one finds" "$(creds)" true

    "$SHIFTKEY" cache clear --all -q
    fault 'GetClusterCredentials:hang@1'
    "$SHIFTKEY" creds prod/analytics >/dev/null 2>&1 &
    caller=$!
    for _ in $(seq 100); do [ "$(calls)" -le $((before + 1)) ] || break; done
    kill -9 $caller
    wait $caller || true
    expect "a killed holder leaves nothing locked" "$(creds) $(creds)" "false true"

    mount -o remount,ro /run/home
    expect "read-only: what is there is handed out" "$(creds)" true
    mount -o remount,rw /run/home

    rm -r /run/export/cache
    expect "removed on the server: AWS is asked" "$(creds)" false
    expect "and it is kept again" "$(creds)" true

    rpc.nfsd 0
    expect "the server is gone: AWS is asked" "$(creds)" false
    expect "with one warning" "$(warnings)" 1
    rpc.nfsd 4
    expect "the server is back: what was kept is found" "$(creds)" true

    "$SHIFTKEY" cache clear --all -q
    serve root_squash
    expect "root has no rights there: AWS is asked" "$(creds)" false
    expect "with one warning" "$(warnings)" 1

    umount /run/home
    pkill rpc.mountd
    rpc.nfsd 0
    rm -rf /run/export/*
}
try "version 4.2" vers=4.2 /
try "version 3" vers=3 /run/export
try "version 3 without its locks" vers=3,nolock /run/export
exit $failed
