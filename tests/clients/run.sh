#!/usr/bin/env bash
# Clients that we did not write, signed in by `shiftkey proxy` without a password: psql, pgbench, psycopg 3, asyncpg, node-postgres,
# pgJDBC, psqlODBC, Amazon's redshift_connector, dbt, Airflow, SQLAlchemy. Behind the sandbox's gate stands a PostgreSQL, and all of
# them together cost one call to AWS. The exit status is the verdict.
#
# Needs what tests/interop needs, and shares it. Other users of the machine take part when it runs as root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../software.sh"
tmp=$(mktemp -d)
chmod 755 "$tmp"
trap 'rm -rf "$tmp"' EXIT

programs
dbt &
dbt=$!
airflow &
airflow=$!
clients
node_postgres
java_class "$here/Through.java" "$here/../interop/Pgjdbc.java"
cargo build -q --manifest-path "$root/Cargo.toml" -p shiftkey-cli
wait "$dbt"
wait "$airflow"

export shiftkey="${SHIFTKEY:-$built/shiftkey}" here tmp
export AIRFLOW_PYTHON="$software/airflow/bin/python" AIRFLOW_HOME="$tmp/airflow-home"
unset PGPASSWORD PGPASSFILE PGUSER PGHOST PGPORT PGDATABASE PGSERVICE
"$shiftkey" sandbox -q --engine postgres -- bash "$here/inside.sh"
