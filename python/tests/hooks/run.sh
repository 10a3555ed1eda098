#!/usr/bin/env bash
# The hooks of the wheel with the frameworks themselves, against the sandbox, and their types. WHEEL names one that is built already.
# Arguments go to pytest.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../../../tests/software.sh"
WHEEL="${WHEEL:-$("$here/../../wheel.sh")}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export AIRFLOW_HOME="$tmp/airflow"

python_hooks
for name in hooks hooks-old airflow; do installs_wheel "$name"; done

cd "$here/../.."
"$software/hooks/bin/python" -m mypy shiftkey tests/hooks/typed_hooks.py
"$software/hooks/bin/python" -m pyright -p tests/hooks --pythonpath "$software/hooks/bin/python"

# Out of the checkout, where `shiftkey` would be the sources. redshift_connector takes its CA file from the variable alone.
cd "$here/.."
tests() {
    echo "${*:2}, ${BACKEND-}"
    "$software/$1/bin/shiftkey" sandbox -q --engine postgres -- bash -c 'SSL_CERT_FILE="$SHIFTKEY_CA_FILE" exec "$@"' tests \
        "$software/$1/bin/python" -m pytest "${@:2}"
}
tests hooks hooks/test_login.py hooks/test_sqlalchemy.py hooks/test_pools.py hooks/test_redshift_connector.py hooks/test_django.py "$@"
BACKEND=shiftkey.django.redshift tests hooks-old hooks/test_django.py "$@"
tests hooks-old hooks/test_sqlalchemy.py -k "not pandas and (Psycopg2 or Asyncpg and not lasting or ones_own or threads or checkouts)" "$@"
tests airflow hooks/test_airflow.py "$@"
