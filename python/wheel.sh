#!/usr/bin/env bash
# Builds the wheel from this checkout: the library for Python 3.9 and up, and the command line beside it, so that
# `pip install` puts `shiftkey` on PATH. Prints the wheel's path. Needs Rust, Python 3 with venv, and the registries.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
target=$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
wheels=$target/wheels
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/tools"
"$work/tools/bin/pip" install -q --disable-pip-version-check maturin==1.16.0 wheel==0.45.1

cargo build -q --release --locked -p shiftkey-cli >&2
"$work/tools/bin/maturin" build --quiet --locked --profile wheel --manifest-path python/Cargo.toml --out "$work/library" >&2

# maturin puts a library or a program into a wheel, not both.
"$work/tools/bin/wheel" unpack --dest "$work" "$work"/library/*.whl >/dev/null
unpacked=$(echo "$work"/shiftkey-*)
scripts="$unpacked/$(basename "$unpacked").data/scripts"
mkdir -p "$scripts"
install -m 755 "$target/release/shiftkey" "$scripts/shiftkey"
mkdir -p "$wheels"
rm -f "$wheels"/shiftkey-*.whl
"$work/tools/bin/wheel" pack --dest-dir "$wheels" "$unpacked" >/dev/null
echo "$wheels"/shiftkey-*.whl
