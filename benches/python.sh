#!/usr/bin/env bash
# Builds the wheel, unless WHEEL names one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
WHEEL="${WHEEL:-$("$here/../python/wheel.sh")}"
export WHEEL
exec python3 -B "$here/python.py" "$@"
