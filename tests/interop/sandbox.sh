#!/usr/bin/env bash
# dbt and Amazon's Python driver, inside a sandbox whose warehouses are PostgreSQL. Run by run.sh.
set -euo pipefail
fail() { printf 'FAIL %s\n' "$*"; exit 1; }
export DBT_SEND_ANONYMOUS_USAGE_STATS=False DBT_PROFILES_DIR="$tmp/profiles"
mkdir "$tmp/project" "$DBT_PROFILES_DIR"
cp "$root/examples/dbt/dbt_project.yml" "$tmp/project/"
debug() { "$@" "$dbt/dbt" debug --no-use-colors --project-dir "$tmp/project" --log-path "$tmp/dbt-log" 2>&1; }

# The string of `shiftkey url`, as an output of a profile; its first line says how to name the CA file.
{
    printf 'warehouse:\n  target: prod\n  outputs:\n    prod:\n'
    "$shiftkey" url prod/analytics --format dbt | sed 's/^/      /'
} >"$DBT_PROFILES_DIR/profiles.yml"
said=$(debug env SSL_CERT_FILE="$SHIFTKEY_CA_FILE") || fail "dbt and the string of url: $said"
case $said in *"All checks passed!"*) ;; *) fail "dbt: $said" ;; esac
# The comment is needed: without it dbt does not trust the sandbox, so it does verify.
if said=$(debug env SSL_CERT_FILE=/dev/null); then fail "dbt signed in to a server that it has no reason to trust"; fi
echo "ok   dbt: signed in to the sandbox with the string of url"

# The example, as its first lines say to run it.
cp "$root/examples/dbt/profiles.yml" "$DBT_PROFILES_DIR/"
said=$(SSL_CERT_FILE="$SHIFTKEY_CA_FILE" debug "$shiftkey" exec prod/analytics --direct --) || fail "examples/dbt: $said"
case $said in *"All checks passed!"*) echo "ok   dbt: signed in to the sandbox with examples/dbt" ;; *) fail "examples/dbt: $said" ;; esac

# Airflow asks the example for a connection, as a task does, and libpq signs in with it.
mkdir -p "$tmp/bin" && ln -s "$shiftkey" "$tmp/bin/shiftkey"
PATH="$tmp/bin:$PATH" PYTHONPATH="$root/examples/airflow" AIRFLOW__SECRETS__BACKEND=warehouse.Shiftkey "$AIRFLOW_PYTHON" - <<'END' 2>"$tmp/airflow-log" ||
import os, subprocess
from airflow.models.connection import Connection

found = Connection.get_connection_from_secrets("shiftkey__prod__analytics")
settings = {"PGHOST": found.host, "PGPORT": str(found.port), "PGUSER": found.login, "PGPASSWORD": found.password,
            "PGDATABASE": found.schema, "PGSSLMODE": found.extra_dejson["sslmode"], "PGSSLROOTCERT": found.extra_dejson["sslrootcert"]}
done = subprocess.run(["psql", "-XwAtc", "select current_user"], env={**os.environ, **settings}, capture_output=True, text=True)
assert done.stdout.strip().endswith("alice"), done.stderr
END
    fail "examples/airflow: $(cat "$tmp/airflow-log")"
echo "ok   airflow: signed in to the sandbox with examples/airflow"

SSL_CERT_FILE="$SHIFTKEY_CA_FILE" "$dbt/python" - <<'END'
import json, os, subprocess
import redshift_connector

creds = json.loads(subprocess.check_output([os.environ["shiftkey"], "creds", "prod/analytics", "--json"]))
connection = redshift_connector.connect(
    host=creds["host"], port=creds["port"], database=creds["database"], user=creds["db_user"], password=creds["db_password"],
    sslmode="verify-full")
cursor = connection.cursor()
cursor.execute("select current_user")
assert cursor.fetchone()[0].endswith("alice")
print("ok   creds --json: redshift_connector signed in to the sandbox")
END
