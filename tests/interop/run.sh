#!/usr/bin/env bash
# Every format of `shiftkey url`, read back by the software it is for. The exit status is the verdict.
#
# Needs cargo, python3, openssl and PostgreSQL's server programs; as root it installs what else is missing with apt-get.
# node-postgres takes part where npm is installed.
# Leaves nothing running and nothing behind but installed packages.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
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

jar=/usr/share/java/postgresql.jar
if ! { [ -e "$jar" ] && command -v javac && odbcinst -q -d -n "PostgreSQL Unicode"; } >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || { echo "missing: unixodbc odbc-postgresql libpostgresql-jdbc-java default-jdk-headless" >&2; exit 2; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends unixodbc odbc-postgresql libpostgresql-jdbc-java default-jdk-headless >/dev/null
fi

venv() {
    python3 -m venv "$tmp/$1"
    "$tmp/$1/bin/pip" install -q --disable-pip-version-check "${@:2}"
}
# dbt-core 1.12 fetches a part of itself from outside the registry.
venv dbt 'dbt-core==1.11.16' 'dbt-redshift==1.11.2' &
dbt=$!
venv airflow apache-airflow==3.3.2 &
airflow=$!
venv clients psycopg2-binary==2.9.13 pyodbc==5.5.0 PyYAML==6.0.3 SQLAlchemy==2.1.9 sqlalchemy-redshift==1.0.0
if command -v npm >/dev/null; then
    npm install --silent --no-fund --no-audit --prefix "$tmp/node" pg@8.23.1 >/dev/null
    export NODE_PATH="$tmp/node/node_modules"
fi
mkdir "$tmp/classes"
javac -cp "$jar" -d "$tmp/classes" "$here/Pgjdbc.java"
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

export ADMIN_DSN="host=$tmp/server port=$port user=admin dbname=postgres" PGJDBC_CLASSPATH="$tmp/classes:$jar"
export AIRFLOW_PYTHON="$tmp/airflow/bin/python" AIRFLOW_HOME="$tmp/airflow-home"
built=$(cargo metadata --manifest-path "$root/Cargo.toml" --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug
"$tmp/clients/bin/python" "$here/strings.py" logins "$port" "$ca" >"$tmp/logins"
"$built/examples/render_cases" <"$tmp/logins" >"$tmp/cases"
wait "$airflow"
"$tmp/clients/bin/python" "$here/strings.py" check <"$tmp/cases"

wait "$dbt"
export shiftkey="$built/shiftkey" root dbt="$tmp/dbt/bin" tmp
"$shiftkey" sandbox -q --engine postgres -- bash "$here/sandbox.sh"
