"""Python's clients through `shiftkey proxy`, without a password. Run by inside.sh: clients.py NAME.

Each signs in on loopback TCP with the string of `shiftkey url`, and on the unix socket where it can, and does what it knows of
queries, COPY, cursors, pipelines, notifications and cancelling. Nothing here sleeps: what has to be waited for is asked for.
"""

import asyncio
import hashlib
import io
import os
import re
import subprocess
import sys
import threading

TCP = f"127.0.0.1:{os.environ['port']}"
SOCKET = os.environ["socket"]
LARGE = 20_000_000
LINE = "x" * 500
LINES = 100_000


def url(name):
    command = [os.environ["shiftkey"], "url", "prod/analytics", "--format", name, "--via-proxy", TCP]
    return subprocess.check_output(command, text=True).rstrip("\n")


def sleeping(client):
    return f"select pg_sleep(60) /* {client} */"


def until_it_runs(client, ask):
    """Asks until the query of `sleeping` is seen at work, and gives its process."""
    query = f"select pid from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%/* {client} */%'"
    for _ in range(20_000):
        rows = ask(query)
        if rows:
            return rows[0][0]
    raise AssertionError("the query to cancel does not start")


def is_alice(user):
    assert user == "alice", f"signed in as {user!r}"


# === psycopg 3 ===


def psycopg():
    import psycopg

    # Its libpq is a newer one than psql's, and may ask for a newer protocol.
    assert psycopg.pq.version() >= 180000
    for where in (url("uri"), url("keyword") + " max_protocol_version=3.2", SOCKET):
        with psycopg.connect(where, autocommit=True) as connection:
            assert not connection.info.password
            is_alice(connection.execute("select current_user").fetchone()[0])
            is_alice(connection.execute("select current_user where %s = 1", [1], prepare=True).fetchone()[0])
            # Several statements in one message, each with its result.
            cursor = connection.execute("select 1; select 2")
            assert cursor.nextset() and cursor.fetchone() == (2,)
            assert len(connection.execute("select repeat('y', %s)", [LARGE]).fetchone()[0]) == LARGE
            with connection.pipeline():
                answers = [connection.execute("select %s::int", [number]) for number in range(1000)]
            assert [answer.fetchone()[0] for answer in answers] == list(range(1000))
            with connection.transaction(), connection.cursor(name="rows") as cursor:
                cursor.execute("select generate_series(1, 20000)")
                assert sum(row[0] for row in cursor) == 200_010_000
            connection.execute("listen news")
            connection.execute("notify news, 'arrived'")
            assert next(connection.notifies(timeout=60)).payload == "arrived"
            psycopg_copies(connection)
            psycopg_cancels(psycopg, connection, where)
    return "sockets, pipelines, cursors, LISTEN, COPY of 50 MB both ways, cancel"


def psycopg_copies(connection):
    connection.execute("create temp table copied (number int, text text)")
    sent, received = hashlib.sha256(), hashlib.sha256()
    with connection.cursor().copy("copy copied from stdin") as copy:
        for first in range(0, LINES, 1000):
            lines = "".join(f"{number}\t{LINE}\n" for number in range(first, first + 1000)).encode()
            sent.update(lines)
            copy.write(lines)
    with connection.cursor().copy("copy copied to stdout") as copy:
        for data in copy:
            received.update(data)
    assert sent.digest() == received.digest(), "COPY changed the bytes"


def psycopg_cancels(psycopg, connection, where):
    def cancel():
        with psycopg.connect(where, autocommit=True) as other:
            until_it_runs("psycopg", lambda query: other.execute(query).fetchall())
        connection.cancel_safe()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    try:
        connection.execute(sleeping("psycopg"))
        raise AssertionError("a query that was cancelled ended well")
    except psycopg.errors.QueryCanceled as error:
        assert error.sqlstate == "57014"
    canceller.join()
    is_alice(connection.execute("select current_user").fetchone()[0])


# === asyncpg ===


def asyncpg():
    return asyncio.run(asyncpg_runs())


async def asyncpg_runs():
    import asyncpg

    for where in (url("uri"), SOCKET):
        connection, other = await asyncpg.connect(where), await asyncpg.connect(where)
        is_alice(await connection.fetchval("select current_user"))
        assert await connection.fetchval("select $1::int + 1", 41) == 42
        await connection.execute("create temp table copied (number int, text text); select 1")
        assert len(await connection.fetchval("select repeat('y', $1::int)", LARGE)) == LARGE
        async with connection.transaction():
            numbers = [row[0] async for row in connection.cursor("select generate_series(1, 20000)", prefetch=500)]
        assert len(numbers) == 20_000
        heard = asyncio.get_running_loop().create_future()
        await connection.add_listener("news", lambda *news: heard.set_result(news[-1]))
        await other.execute("notify news, 'arrived'")
        assert await asyncio.wait_for(heard, 60) == "arrived"
        records = [(number, LINE) for number in range(10_000)]
        await connection.copy_records_to_table("copied", records=records)
        received = io.BytesIO()
        await connection.copy_from_query("select * from copied order by number", output=received)
        assert received.getvalue() == "".join(f"{number}\t{text}\n" for number, text in records).encode()
        await asyncpg_cancels(connection, other)
        await connection.close()
        await other.close()
    return "sockets, prepared, cursors, LISTEN, COPY both ways, cancel"


async def asyncpg_cancels(connection, other):
    """asyncpg cancels with the task and keeps the answer to itself, so the query writes it down."""
    await connection.execute("create temp table told (code text)")
    task = asyncio.create_task(
        connection.execute("""do $$ begin perform pg_sleep(60) /* asyncpg */; exception when query_canceled then insert into told values (sqlstate); end $$""")
    )
    for _ in range(20_000):
        seen = await other.fetchval("select count(*) from pg_stat_activity where state = 'active' and query like 'do %/* asyncpg */%'")
        if seen:
            break
    else:
        raise AssertionError("the query to cancel does not start")
    task.cancel()
    try:
        await task
        raise AssertionError("a task that was cancelled ended well")
    except asyncio.CancelledError:
        pass
    assert await connection.fetchval("select code from told") == "57014"


# === psqlODBC ===


def odbc():
    import pyodbc

    # The string names Amazon's driver; psqlODBC is another installation's.
    where = re.sub(r"^Driver=\{[^}]*\}", "Driver={PostgreSQL Unicode}", url("odbc"))
    for extra in ("", ";UseDeclareFetch=1;Fetch=500"):
        connection = pyodbc.connect(where + extra, autocommit=True)
        is_alice(connection.execute("select current_user").fetchone()[0])
        assert connection.execute("select ?::int + 1", 41).fetchone()[0] == 42
        assert len(connection.execute("select generate_series(1, 20000)").fetchall()) == 20_000
        assert len(connection.execute("select repeat('y', 1000000)::text").fetchone()[0]) == 1_000_000
        cursor = connection.execute("select 1; select 2")
        assert cursor.nextset() and cursor.fetchone()[0] == 2
        odbc_cancels(pyodbc, connection, pyodbc.connect(where, autocommit=True))
        connection.close()
    return "prepared, cursors, large rows, cancel; it has no COPY and no sockets"


def odbc_cancels(pyodbc, connection, other):
    cursor = connection.cursor()

    def cancel():
        until_it_runs("odbc", lambda query: other.execute(query).fetchall())
        cursor.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    try:
        cursor.execute(sleeping("odbc"))
        raise AssertionError("a query that was cancelled ended well")
    except pyodbc.Error as error:
        assert error.args[0] == "57014", error
    canceller.join()
    is_alice(connection.execute("select current_user").fetchone()[0])


# === redshift_connector ===


def redshift():
    import redshift_connector

    on_tcp = {"host": "127.0.0.1", "port": int(os.environ["port"])}
    for where in (on_tcp, {"unix_sock": os.environ["sock"] + "/.s.PGSQL.5432"}):
        # It insists on a user; any will do.
        connect = lambda: redshift_connector.connect(**where, database="dev", user="any", ssl=False)
        connection, other = connect(), connect()
        connection.autocommit = other.autocommit = True
        cursor = connection.cursor()
        ask = lambda query: other.cursor().execute(query).fetchall()
        is_alice(cursor.execute("select current_user").fetchone()[0])
        assert cursor.execute("select %s::int + 1", [41]).fetchone()[0] == 42
        assert len(cursor.execute("select generate_series(1, 20000)").fetchall()) == 20_000
        assert len(cursor.execute("select repeat('y', 1000000)").fetchone()[0]) == 1_000_000
        # It has no way to cancel, so another session does what Redshift has a function for.
        canceller = threading.Thread(target=lambda: ask(f"select pg_cancel_backend({until_it_runs('redshift', ask)})"))
        canceller.start()
        try:
            cursor.execute(sleeping("redshift"))
            raise AssertionError("a query that was cancelled ended well")
        except redshift_connector.ProgrammingError as error:
            assert error.args[0]["C"] == "57014", error
        canceller.join()
        is_alice(cursor.execute("select current_user").fetchone()[0])
    return "sockets, prepared, large rows; it has no COPY and no cancel, so pg_cancel_backend cancels"


CLIENTS = {"psycopg": ("psycopg 3", psycopg), "asyncpg": ("asyncpg", asyncpg), "odbc": ("psqlODBC", odbc), "redshift": ("redshift_connector", redshift)}
assert not [name for name in os.environ if name in ("PGPASSWORD", "PGPASSFILE", "PGUSER")], "there is to be no password"
title, run = CLIENTS[sys.argv[1]]
print(f"ok   {title}: {run()}")
