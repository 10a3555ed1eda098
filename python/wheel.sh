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

build() { "$work/tools/bin/maturin" build --quiet --locked "$@" >&2; }
build --profile release --manifest-path crates/cli/Cargo.toml --bindings bin --out "$work/program"
build --profile wheel --manifest-path python/Cargo.toml --out "$work/library"

# maturin puts a library or a program into a wheel, not both. The wheel fits where both do: the later glibc of the two.
for part in program library; do
    "$work/tools/bin/wheel" unpack --dest "$work/$part" "$work/$part"/*.whl >/dev/null
done
unpacked=$(echo "$work"/library/shiftkey-*/)
scripts=$unpacked$(basename "$unpacked").data/scripts
mkdir -p "$scripts"
install -m 755 "$work"/program/*/*.data/scripts/shiftkey "$scripts/shiftkey"
mkdir -p "$wheels"
rm -f "$wheels"/shiftkey-*.whl
"$work/tools/bin/wheel" pack --dest-dir "$work" "$unpacked" >/dev/null
platform=$(for wheel in "$work"/{program,library}/*.whl; do basename "${wheel##*-}" .whl; done | sort -V | tail -1)
tagged=$("$work/tools/bin/wheel" tags --remove --platform-tag "$platform" "$work"/shiftkey-*.whl)
mv "$work/$tagged" "$wheels/"
echo "$wheels/$tagged"
