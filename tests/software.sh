# What tests/interop and tests/clients have in common: programs that are installed when they are missing, libraries that are fetched
# once and kept beside the build, and this checkout's binary. Sourced by both; the caller is root or finds the programs installed.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
built=$(cargo metadata --manifest-path "$root/Cargo.toml" --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
software=$built/software
built=$built/debug
jar=/usr/share/java/postgresql.jar
export software

programs() {
    { [ -e "$jar" ] && command -v javac && odbcinst -q -d -n "PostgreSQL Unicode"; } >/dev/null 2>&1 && return
    [ "$(id -u)" = 0 ] || { echo "missing: unixodbc odbc-postgresql libpostgresql-jdbc-java default-jdk-headless" >&2; exit 2; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends unixodbc odbc-postgresql libpostgresql-jdbc-java default-jdk-headless >/dev/null
}

# kept NAME WANT...: what was installed under this name is what is wanted now. Else the place is emptied.
kept() {
    [ "$(cat "$software/$1/wanted" 2>/dev/null)" = "${*:2}" ] && return
    rm -rf "${software:?}/$1"
    mkdir -p "$software/$1"
    return 1
}

# A Python environment of this name with these packages.
venv() {
    kept "$@" && return
    python3 -m venv "$software/$1"
    "$software/$1/bin/pip" install -q --disable-pip-version-check "${@:2}"
    echo "${*:2}" >"$software/$1/wanted"
}

# dbt-core 1.12 fetches a part of itself from outside the registry. Amazon's Python driver comes along.
dbt() { venv dbt 'dbt-core==1.11.16' 'dbt-redshift==1.11.2' 'redshift_connector==2.1.17'; }
airflow() {
    venv airflow apache-airflow==3.3.2 pandas==3.1.1 'psycopg[binary]==3.3.9' psycopg2-binary==2.9.13 pytest==9.2.0 redshift_connector==2.1.17 \
        sqlalchemy-redshift==1.0.0
}
clients() {
    venv clients psycopg2-binary==2.9.13 'psycopg[binary]==3.3.9' asyncpg==0.32.0 pyodbc==5.5.0 PyYAML==6.0.3 SQLAlchemy==2.1.9 sqlalchemy-redshift==1.0.0
}

python_core() {
    venv python abi3audit==0.0.26 asyncpg==0.32.0 celery==5.7.0 gunicorn==27.0.1 mypy==2.4.1 pg8000==1.31.5 'psycopg[binary]==3.3.9' psycopg2-binary==2.9.13 \
        pyright==1.1.414 pytest==9.2.0 redshift_connector==2.1.17 ruff==0.17.6 typing_extensions==4.16.0
}

# The second one is for what is behind: SQLAlchemy 1.4, and django-redshift-backend, which ends at Django 5.1.
python_hooks() {
    venv hooks asyncpg==0.32.0 awswrangler==3.17.1 Django==5.2.19 mypy==2.4.1 pandas==3.1.1 'psycopg[binary]==3.3.9' psycopg-pool==3.3.3 \
        psycopg2-binary==2.9.13 pyright==1.1.414 pytest==9.2.0 redshift_connector==2.1.17 'SQLAlchemy[asyncio]==2.1.9' sqlalchemy-redshift==1.0.0 \
        typing_extensions==4.16.0
    venv hooks-old asyncpg==0.32.0 Django==5.1.15 django-redshift-backend==5.0.0 pandas==3.1.1 'psycopg[binary]==3.3.9' psycopg2-binary==2.9.13 \
        pytest==9.2.0 'SQLAlchemy[asyncio]==1.4.54' sqlalchemy-redshift==0.8.14
    airflow
}

# The wheel into a Python environment, as it is now: its version may be the one that is there.
installs_wheel() { "$software/$1/bin/pip" install -q --disable-pip-version-check --force-reinstall --no-deps "$WHEEL"; }

# node-postgres, where npm is installed.
node_postgres() {
    command -v npm >/dev/null || return 0
    local packages=(pg@8.23.1 pg-copy-streams@7.0.0 pg-cursor@2.22.1)
    if ! kept node "${packages[@]}"; then
        npm install --silent --no-fund --no-audit --prefix "$software/node" "${packages[@]}" >/dev/null
        echo "${packages[*]}" >"$software/node/wanted"
    fi
    export NODE_PATH="$software/node/node_modules"
}

# Compiles a class into $tmp/classes.
java_class() {
    mkdir -p "$tmp/classes"
    javac -cp "$jar" -d "$tmp/classes" "$@"
    export PGJDBC_CLASSPATH="$tmp/classes:$jar"
}
