"""Reads connection strings back with the clients they are for. Run by run.sh.

Where a client runs here, it signs in to a real PostgreSQL over verified TLS, or its own parser reads the string (Airflow);
where it does not (Npgsql), its documented grammar is applied. Amazon's JDBC driver is a fork of pgJDBC, which signs in for it.
dbt signs in to the sandbox: sandbox.sh. Strings for a proxy hold no password and ask for no TLS: tests/clients.
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
    assert (password or None) == want["password"], f"password {password!r}"
    assert host in (None, verified(case)) and str(port or want["port"]) == str(want["port"]), f"{host}:{port}"
    assert database in (None, want["database"]), f"database {database!r}"


def verified(case):
    return case["expected"].get("server_name") or case["expected"]["host"]


def verifies(case, sslmode, ca_file, names=("verify-full", "disable")):
    """Behind a proxy, which `ca_file` tells by its absence, there is no TLS to ask for."""
    want = case["expected"].get("ca_file")
    assert sslmode == names[want is None] and ca_file == want, f"{sslmode}, {ca_file}"


def signed_in(case, who):
    want = case["expected"]
    assert list(who) == [want.get("signs_in_as", want["user"]), want["database"]], f"signed in as {who!r}"


def libpq(case):
    info = psycopg2.extensions.parse_dsn(case["text"])
    same(case, info["user"], info.get("password"), info["host"], info["port"], info["dbname"])
    verifies(case, info["sslmode"], info.get("sslrootcert"))
    assert info.get("hostaddr") == (case["expected"]["host"] if verified(case) == CERTIFIED else None)
    signed_in(case, psql([case["text"]]))


def env(case):
    script = 'eval "$1"; exec psql -XwAtF "\n" -c "$2"'
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run(["sh", "-c", script, "sh", case["text"], WHO], env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    signed_in(case, done.stdout.rstrip("\n").split("\n"))


def pgpass(case):
    """libpq looks up what it is not given, needed or not."""
    want = case["expected"]
    rest = {"sslmode": "verify-full", "sslrootcert": want["ca_file"]} if want.get("ca_file") else {"sslmode": "disable"}
    with written("#\n" + case["text"]) as file:
        connection = psycopg2.connect(passfile=file.name, host=verified(case), hostaddr="127.0.0.1", port=want["port"], user=want["user"],
                                      dbname=want["database"], **rest)
        same(case, connection.info.user, connection.info.password)
        cursor = connection.cursor()
        cursor.execute(WHO)
        signed_in(case, cursor.fetchone())
        connection.close()


def pg_service(case):
    with written(case["text"]) as file:
        signed_in(case, psql(PGSERVICEFILE=file.name, PGSERVICE=re.match(r"\[(.*)]", case["text"])[1]))


def sqlalchemy_url(case):
    url = sqlalchemy.make_url(case["text"])
    assert url.get_dialect().__module__.startswith("sqlalchemy_redshift"), url.get_dialect()
    same(case, url.username, url.password, url.host, url.port, url.database)
    with sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool).connect() as connection:
        signed_in(case, connection.exec_driver_sql(WHO).one())


def odbc(case):
    """psqlODBC under unixODBC, with its own driver's name; libpq inside it takes the CA file from the environment."""
    text = re.sub(r"^Driver=\{[^}]*\}", "Driver={PostgreSQL Unicode}", case["text"])
    os.environ["PGSSLROOTCERT"] = case["expected"].get("ca_file") or ""
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


def redshift_jdbc(cases):
    """Amazon's driver: parameters as HTML forms encode them."""
    each(redshift_jdbc_grammar)(cases)
    pgjdbc([{**case, "text": case["text"].replace("jdbc:redshift:", "jdbc:postgresql:", 1)} for case in cases])


def redshift_jdbc_grammar(case):
    where, _, query = case["text"].removeprefix("jdbc:redshift://").partition("?")
    pairs = dict(pair.split("=", 1) for pair in query.split("&"))
    value = {name: urllib.parse.unquote_plus(text, errors="strict") for name, text in pairs.items()}
    url = urllib.parse.urlsplit("x://" + where)
    same(case, value["user"], value.get("password"), url.hostname, url.port, urllib.parse.unquote_plus(url.path[1:]))
    verifies(case, (value["ssl"], value.get("sslmode")), value.get("sslrootcert"), [("true", "verify-full"), ("false", None)])


def dotnet(case):
    """The grammar of DbConnectionStringBuilder, quoted values only: key="value" with quotes doubled."""
    pair = re.compile(r'([^=;]+)="((?:[^"]|"")*)"(?:;|$)')
    found = pair.findall(case["text"])
    assert pair.sub("", case["text"]) == ""
    value = {name: text.replace('""', '"') for name, text in found}
    same(case, value["Username"], value.get("Password"), value["Host"], value["Port"], value["Database"])
    verifies(case, value["SSL Mode"], value.get("Root Certificate"), ["VerifyFull", "Disable"])


def dbt(case):
    comment, _, _ = case["text"].partition("\n")
    named = shlex.split(comment)[-1].removeprefix("SSL_CERT_FILE=") if comment.startswith("#") else None
    output = yaml.safe_load(case["text"])
    same(case, output["user"], output["password"], output["host"], output["port"], output["dbname"])
    verifies(case, output["sslmode"], named)
    assert output["type"] == "redshift"


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
        assert kind == "postgres"
        verifies(case, extra["sslmode"], extra.get("sslrootcert"))
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
    "jdbc": ("its grammar, pgJDBC signed in", redshift_jdbc),
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


def through_proxy(name, port):
    """What `shiftkey url` prints for a proxy on this port, and what it has to mean. Two formats cannot do without a password."""
    command = [os.environ["shiftkey"], "url", "prod/analytics", "--format", name, "--via-proxy", f"127.0.0.1:{port}"]
    expected = {"user": "shiftkey", "password": "proxy" if name in ("pgpass", "dbt") else None, "host": "127.0.0.1", "port": port,
                "database": "dev", "signs_in_as": "alice"}
    return {"format": name, "text": subprocess.check_output(command, text=True).rstrip("\n"), "expected": expected}


def main():
    if sys.argv[1] == "logins":
        for login in logins(int(sys.argv[2]), sys.argv[3]):
            print(json.dumps(login))
        return 0
    proxied = sys.argv[1] == "proxied"
    if proxied:
        cases = [through_proxy(name, int(sys.argv[2])) for name in READERS]
    else:
        cases = [json.loads(line) for line in sys.stdin]
        provision(cases)
    failed = {case["format"] for case in cases} != set(READERS)
    for name, (how, check) in READERS.items():
        mine = [case for case in cases if case["format"] == name]
        carried = [case for case in mine if case["text"] is not None]
        try:
            assert carried, "nothing was rendered"
            tunnelled = any(verified(case) == CERTIFIED for case in carried)
            assert proxied or tunnelled != (name in ONE_NAME), "a name to verify was dropped, or refused without need"
            check(carried)
            print(f"ok   {name}: {len(carried)} of {len(mine)} logins, {how}, {len(mine) - len(carried)} refused by shiftkey")
        except Exception as error:
            failed = True
            print(f"FAIL {name}: {error}")
    return int(failed)


sys.exit(main())
