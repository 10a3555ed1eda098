"""Reads connection strings back with the clients they are for. Run by run.sh.

Where a client runs here, it signs in to a real PostgreSQL over verified TLS, or its own parser reads the string (Airflow);
where it does not (Amazon's JDBC driver, Npgsql), its documented grammar is applied. dbt signs in to the sandbox: sandbox.sh.
Prints one line for each format; the exit status is the verdict.
"""

import base64
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import urllib.parse

import psycopg2
import psycopg2.extensions
import pyodbc
import sqlalchemy
import yaml

WHO = "select current_user, current_database()"

# The name on the server's certificate; no resolver knows it.
CERTIFIED = "warehouse.interop.test"


def logins(port, ca_file):
    """Users as Amazon prefixes them; passwords with every character that some syntax treats as its own.

    Letters stay within Unicode 3.2: pgJDBC's SCRAM (RFC 4013) refuses later ones, whatever the URL.
    """
    every = "a/b+c=d:e@f\\g%h'i\"j k;l&m#n?o{p}q$r`s}}t%41!*(),[]^~|<>"
    for user, password, database in [
        ("IAM:alice", "k1+/Zx9=Qw==", "dev"),
        ("IAM:al\"ice+x@example.com", every, "dev"),
        ("IAMR:o'brien/team=a", "\u00fcn\u00ef \u6f22\u5b57 %20+ \u20ac", "de v+1"),
        ("IAMA:semi;brace{d}", "{braced};PWD=x", "dev"),
        ("IAM:space d#", "' or ''='", "a'b%20"),
        ("IAM:edge", " leading and trailing ", "dev"),
    ]:
        yield {"user": user, "password": password, "host": "localhost", "port": port, "database": database, "ca_file": ca_file}
    tunnel = {"host": "127.0.0.1", "server_name": CERTIFIED, "port": port, "ca_file": ca_file}
    yield {"user": "IAM:tunnel", "password": "x", "database": "dev", **tunnel}


def psql(arguments=(), **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    command = ["psql", "-XwAtF", "\n", "-c", WHO, *arguments]
    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stderr.strip())
    return done.stdout.rstrip("\n").split("\n")


def written(text):
    file = tempfile.NamedTemporaryFile("w", suffix=".conf", encoding="utf-8")
    file.write(text + "\n")
    file.flush()
    os.chmod(file.name, 0o600)
    return file


def same(case, user, password, host=None, port=None, database=None):
    want = case["expected"]
    assert user == want["user"], f"user {user!r}"
    assert password == want["password"], f"password {password!r}"
    assert host in (None, verified(case)) and str(port or want["port"]) == str(want["port"]), f"{host}:{port}"
    assert database in (None, want["database"]), f"database {database!r}"


def verified(case):
    return case["expected"].get("server_name") or case["expected"]["host"]


def signed_in(case, who):
    assert list(who) == [case["expected"]["user"], case["expected"]["database"]], f"signed in as {who!r}"


def libpq(case):
    info = psycopg2.extensions.parse_dsn(case["text"])
    same(case, info["user"], info["password"], info["host"], info["port"], info["dbname"])
    assert info["sslmode"] == "verify-full" and info["sslrootcert"] == case["expected"]["ca_file"]
    assert info.get("hostaddr") == (case["expected"]["host"] if verified(case) == CERTIFIED else None)
    signed_in(case, psql([case["text"]]))


def env(case):
    script = 'eval "$1"; exec psql -XwAtF "\n" -c "$2"'
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run(["sh", "-c", script, "sh", case["text"], WHO], env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    signed_in(case, done.stdout.rstrip("\n").split("\n"))


def pgpass(case):
    want = case["expected"]
    with written("#\n" + case["text"]) as file:
        signed_in(case, psql(PGPASSFILE=file.name, PGHOST=verified(case), PGHOSTADDR="127.0.0.1", PGPORT=str(want["port"]), PGUSER=want["user"],
                             PGDATABASE=want["database"], PGSSLMODE="verify-full", PGSSLROOTCERT=want["ca_file"]))


def pg_service(case):
    with written(case["text"]) as file:
        signed_in(case, psql(PGSERVICEFILE=file.name, PGSERVICE="interop"))


def sqlalchemy_url(case):
    url = sqlalchemy.make_url(case["text"])
    assert url.get_dialect().__module__.startswith("sqlalchemy_redshift"), url.get_dialect()
    same(case, url.username, url.password, url.host, url.port, url.database)
    with sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool).connect() as connection:
        signed_in(case, connection.exec_driver_sql(WHO).one())


def odbc(case):
    """psqlODBC under unixODBC, with its own driver's name; libpq inside it takes the CA file from the environment."""
    text = re.sub(r"^Driver=\{[^}]*\}", "Driver={PostgreSQL Unicode}", case["text"])
    os.environ["PGSSLROOTCERT"] = case["expected"]["ca_file"]
    try:
        connection = pyodbc.connect(text, autocommit=True)
        signed_in(case, connection.execute(WHO).fetchone())
        connection.close()
    finally:
        del os.environ["PGSSLROOTCERT"]


def pgjdbc(cases):
    """One virtual machine for all."""
    command = ["java", "-cp", os.environ["PGJDBC_CLASSPATH"], "Pgjdbc"]
    urls = "".join(case["text"] + "\n" for case in cases)
    done = subprocess.run(command, input=urls, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for case, line in zip(cases, done.stdout.splitlines(), strict=True):
        user, password, *who = [base64.b64decode(field).decode() for field in line.split("\t")]
        same(case, user, password)
        signed_in(case, who)


def redshift_jdbc(case):
    """Amazon's driver: parameters as HTML forms encode them."""
    where, _, query = case["text"].removeprefix("jdbc:redshift://").partition("?")
    pairs = dict(pair.split("=", 1) for pair in query.split("&"))
    value = {name: urllib.parse.unquote_plus(text, errors="strict") for name, text in pairs.items()}
    url = urllib.parse.urlsplit("x://" + where)
    same(case, value["user"], value["password"], url.hostname, url.port, urllib.parse.unquote_plus(url.path[1:]))
    assert value["ssl"] == "true" and value["sslmode"] == "verify-full" and value["sslrootcert"] == case["expected"]["ca_file"]


def dotnet(case):
    """The grammar of DbConnectionStringBuilder, quoted values only: key="value" with quotes doubled."""
    pair = re.compile(r'([^=;]+)="((?:[^"]|"")*)"(?:;|$)')
    found = pair.findall(case["text"])
    assert pair.sub("", case["text"]) == ""
    value = {name: text.replace('""', '"') for name, text in found}
    same(case, value["Username"], value["Password"], value["Host"], value["Port"], value["Database"])
    assert value["SSL Mode"] == "VerifyFull" and value["Root Certificate"] == case["expected"]["ca_file"]


def dbt(case):
    comment, _, _ = case["text"].partition("\n")
    assert shlex.split(comment)[-1] == "SSL_CERT_FILE=" + case["expected"]["ca_file"], comment
    output = yaml.safe_load(case["text"])
    same(case, output["user"], output["password"], output["host"], output["port"], output["dbname"])
    assert output["type"] == "redshift" and output["sslmode"] == "verify-full"


AIRFLOW = """
import json, sys
from airflow.models.connection import Connection
for line in sys.stdin:
    found = Connection(conn_id="x", uri=json.loads(line))
    fields = [found.conn_type, found.login, found.password, found.host, found.port, found.schema, found.extra_dejson]
    print(json.dumps(fields), file=sys.__stdout__)
"""


def airflow(cases):
    """Airflow's own class; its hook hands `extra` to psycopg2."""
    uris = "".join(json.dumps(case["text"]) + "\n" for case in cases)
    done = subprocess.run([os.environ["AIRFLOW_PYTHON"], "-c", AIRFLOW], input=uris, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for case, line in zip(cases, [line for line in done.stdout.splitlines() if line.startswith("[\"")], strict=True):
        kind, user, password, host, port, database, extra = json.loads(line)
        same(case, user, password, host, port, database)
        assert kind == "postgres" and extra["sslmode"] == "verify-full" and extra["sslrootcert"] == case["expected"]["ca_file"]
        signed_in(case, psql([psycopg2.extensions.make_dsn(host=host, port=port, user=user, password=password, dbname=database, **extra)]))


NODE = """
const {Client} = require('pg');
const urls = require('fs').readFileSync(0, 'utf8').trim().split('\\n').map(JSON.parse);
(async () => {
  for (const url of urls) {
    const client = new Client(url);
    await client.connect();
    const row = (await client.query('select current_user, current_database()')).rows[0];
    console.log(JSON.stringify([client.user, client.password, client.host, client.port, client.database, Object.values(row)]));
    await client.end();
  }
})();
"""


def node(cases):
    """node-postgres knows no hostaddr: it dials the name that it verifies."""
    mine = [case for case in cases if verified(case) != CERTIFIED]
    urls = "".join(json.dumps(case["text"]) + "\n" for case in mine)
    done = subprocess.run(["node", "-e", NODE], input=urls, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for case, line in zip(mine, done.stdout.splitlines(), strict=True):
        user, password, host, port, database, who = json.loads(line)
        same(case, user, password, host, port, database)
        signed_in(case, who)


def uri(cases):
    each(libpq)(cases)
    if os.environ.get("NODE_PATH"):
        node(cases)


def each(check):
    def run(cases):
        for case in cases:
            try:
                check(case)
            except Exception as error:
                raise AssertionError(f"{case['expected']['user']!r}: {type(error).__name__}: {error}") from error
    return run


READERS = {
    "jdbc": ("its grammar", each(redshift_jdbc)),
    "jdbc-postgresql": ("pgJDBC signed in", pgjdbc),
    "odbc": ("psqlODBC signed in", each(odbc)),
    "uri": ("libpq and node-postgres signed in" if os.environ.get("NODE_PATH") else "libpq signed in", uri),
    "keyword": ("libpq signed in", each(libpq)),
    "sqlalchemy": ("SQLAlchemy signed in", each(sqlalchemy_url)),
    "dotnet": ("its grammar", each(dotnet)),
    "env": ("sh and libpq signed in", each(env)),
    "pgpass": ("libpq signed in", each(pgpass)),
    "pg-service": ("libpq signed in", each(pg_service)),
    "dbt": ("PyYAML", each(dbt)),
    "airflow": ("Airflow read it, libpq signed in", airflow),
}

# What cannot say to dial one host and verify the name of another.
ONE_NAME = {"jdbc", "jdbc-postgresql", "odbc", "dotnet", "dbt"}


def provision(cases):
    """The users and databases, made by the superuser over the socket."""
    administrator = psycopg2.connect(os.environ["ADMIN_DSN"])
    administrator.autocommit = True
    cursor = administrator.cursor()
    quoted = psycopg2.extensions.quote_ident
    for login in {case["expected"]["user"]: case["expected"] for case in cases}.values():
        cursor.execute(f"create role {quoted(login['user'], cursor).replace('%', '%%')} login password %s", [login["password"]])
    for database in {case["expected"]["database"] for case in cases}:
        cursor.execute(f"create database {quoted(database, cursor)}")
    administrator.close()


def main():
    if sys.argv[1] == "logins":
        for login in logins(int(sys.argv[2]), sys.argv[3]):
            print(json.dumps(login))
        return 0
    cases = [json.loads(line) for line in sys.stdin]
    provision(cases)
    failed = {case["format"] for case in cases} != set(READERS)
    for name, (how, check) in READERS.items():
        mine = [case for case in cases if case["format"] == name]
        carried = [case for case in mine if case["text"] is not None]
        try:
            assert carried, "nothing was rendered"
            tunnelled = any(verified(case) == CERTIFIED for case in carried)
            assert tunnelled != (name in ONE_NAME), "a name to verify was dropped, or refused without need"
            check(carried)
            print(f"ok   {name}: {len(carried)} of {len(mine)} logins, {how}, {len(mine) - len(carried)} refused by shiftkey")
        except Exception as error:
            failed = True
            print(f"FAIL {name}: {error}")
    return int(failed)


sys.exit(main())
