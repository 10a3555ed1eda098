#!/usr/bin/env bash
# Every format of `shiftkey url`, read back by the software it is for. The exit status is the verdict.
#
# Needs cargo, python3, openssl and PostgreSQL's server programs; as root it installs what else is missing with apt-get.
# node-postgres takes part where npm is installed.
# Leaves nothing running and nothing behind but installed packages.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../software.sh"
tmp=$(mktemp -d)
chmod 755 "$tmp"
bin=$(pg_config --bindir)
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }; fi

stop() {
    as "$bin/pg_ctl" -D "$tmp/server/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$tmp"
}
trap stop EXIT

programs
dbt &
dbt=$!
airflow &
airflow=$!
clients
node_postgres
java_class "$here/Pgjdbc.java"
cargo build -q --manifest-path "$root/Cargo.toml" -p shiftkey --example render_cases
cargo build -q --manifest-path "$root/Cargo.toml" -p shiftkey-cli

# A CA, in a directory whose name needs quoting, and a server whose certificate it signed.
mkdir "$tmp/a 'ca" "$tmp/server"
ca="$tmp/a 'ca/root+1.pem"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=interop" -keyout "$tmp/ca.key" -out "$ca" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout "$tmp/server/key.pem" -out "$tmp/csr.pem" 2>/dev/null
openssl x509 -req -in "$tmp/csr.pem" -CA "$ca" -CAkey "$tmp/ca.key" -CAcreateserial -days 2 \
    -extfile <(echo "subjectAltName=DNS:localhost,DNS:warehouse.interop.test") -out "$tmp/server/cert.pem" 2>/dev/null
chmod 600 "$tmp/server/key.pem"
if [ "$(id -u)" = 0 ]; then chown -R postgres:postgres "$tmp/server"; fi

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as "$bin/initdb" -D "$tmp/server/data" -U admin -E UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 >/dev/null
as "$bin/pg_ctl" -D "$tmp/server/data" -w -l "$tmp/server/log" start -o "-p $port -k $tmp/server -c listen_addresses=127.0.0.1 \
    -c ssl=on -c ssl_cert_file=$tmp/server/cert.pem -c ssl_key_file=$tmp/server/key.pem" >/dev/null || { cat "$tmp/server/log"; exit 1; }

export ADMIN_DSN="host=$tmp/server port=$port user=admin dbname=postgres"
export AIRFLOW_PYTHON="$software/airflow/bin/python" AIRFLOW_HOME="$tmp/airflow-home"
"$software/clients/bin/python" "$here/strings.py" logins "$port" "$ca" >"$tmp/logins"
"$built/examples/render_cases" <"$tmp/logins" >"$tmp/cases"
wait "$airflow"
"$software/clients/bin/python" "$here/strings.py" check <"$tmp/cases"

wait "$dbt"
export shiftkey="$built/shiftkey" root dbt="$software/dbt/bin" tmp
"$shiftkey" sandbox -q --engine postgres -- bash "$here/sandbox.sh"
