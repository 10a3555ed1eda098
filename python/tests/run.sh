#!/usr/bin/env bash
# The wheel, built from this checkout and installed as a user would, against the sandbox: the package itself with every driver, its
# types, and the oldest and newest Python here. WHEEL names one that is built already. The hooks have their own: hooks/run.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../../tests/software.sh"
WHEEL="${WHEEL:-$("$here/../wheel.sh")}"

python_core
bin=$software/python/bin
installs_wheel python

cd "$here/.."
"$bin/ruff" check -q .
"$bin/ruff" format -q --check .
"$bin/python" -m mypy
"$bin/python" -m pyright
# Out of the checkout, where `shiftkey` would be the sources.
cd "$here"
PATH="$bin:$PATH" "$bin/shiftkey" sandbox -q --engine postgres -- "$bin/python" -m pytest core "$@"

# The oldest and the newest Python that the wheel claims and pyenv has, without drivers.
claimed() {
    for version in $(pyenv versions --bare 2>/dev/null | sort -V); do
        "$(pyenv prefix "$version")/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' && echo "$version"
    done
}
for version in $(claimed | sed -n '1p;$p' | uniq); do
    [ -x "$software/python-$version/bin/python" ] || "$(pyenv prefix "$version")/bin/python" -m venv "$software/python-$version"
    bin=$software/python-$version/bin
    "$bin/pip" install -q --disable-pip-version-check pytest
    installs_wheel "python-$version"
    echo "Python $version"
    PATH="$bin:$PATH" "$bin/shiftkey" sandbox -q --engine embedded -- "$bin/python" -m pytest core -m "not installed"
done
