"""SQLAlchemy with each driver, and pandas on top."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import pandas
import psycopg
import pytest
import sqlalchemy
from conftest import Sandbox
from contract import TARGET, Contract, issued
from sqlalchemy import exc, pool, text
from sqlalchemy.ext.asyncio import AsyncEngine

import shiftkey
from shiftkey.sqlalchemy import create_async_engine, create_engine, install

USER = text("select current_user")


def who(engine: sqlalchemy.Engine) -> str:
    with engine.connect() as connection:
        return str(connection.scalar(USER))


class Sync(Contract):
    driver = ""
    refusal: Any = exc.OperationalError

    def who(self) -> str:
        return who(create_engine(TARGET, self.driver, poolclass=pool.NullPool))

    def objects(self) -> Iterable[object]:
        engine = create_engine(TARGET, self.driver)
        with engine.connect() as connection:
            return [
                engine,
                engine.url,
                engine.pool,
                engine.dialect,
                connection.connection,
                engine.url.render_as_string(hide_password=False),
            ]


class TestPsycopg2(Sync):
    driver = "psycopg2"


class TestPsycopg(Sync):
    driver = "psycopg"


class TestRedshiftConnector(Sync):
    driver = "redshift_connector"
    refusal = exc.InterfaceError


class TestPsycopg2WithPostgresqlsDialect(Sync):
    driver = "postgresql+psycopg2"


class Async(Contract):
    driver = ""

    def who(self) -> str:
        async def run(engine: AsyncEngine) -> str:
            async with engine.connect() as connection:
                return str(await connection.scalar(USER))

        return asyncio.run(run(create_async_engine(TARGET, self.driver, poolclass=pool.NullPool)))

    def objects(self) -> Iterable[object]:
        async def run(engine: AsyncEngine) -> list[object]:
            async with engine.connect() as connection:
                return [engine, engine.url, engine.pool, await connection.get_raw_connection()]

        return asyncio.run(run(create_async_engine(TARGET, self.driver)))


class TestAsyncpg(Async):
    driver = "asyncpg"
    refusal = exc.DBAPIError


class TestAsyncPsycopg(Async):
    driver = "psycopg"
    refusal = exc.OperationalError


def test_an_event_loop_goes_on_while_aws_is_asked(sandbox: Sandbox) -> None:
    async def run() -> None:
        # The first call hangs until it is given up after seconds, and the second one is answered.
        sandbox.fault("GetClusterCredentials:hang@1")
        connecting = asyncio.create_task(create_async_engine(TARGET).connect().start())
        await asyncio.to_thread(sandbox.until_struck)
        assert issued(sandbox) == 0
        connecting.cancel()
        await asyncio.wait([connecting])

    asyncio.run(run())


def test_a_pool_of_twenty_threads_works_through_three_expiries(sandbox: Sandbox) -> None:
    """Each checkout opens a connection, since that is where a credential counts. The clock moves when every thread has made
    one that began after the last move, so that no thread holds a credential that is two moves old."""
    engine = create_engine(TARGET, pool_size=20, max_overflow=0, pool_pre_ping=True)
    before = issued(sandbox)
    threads, moves = 20, 3
    began = [-1] * threads
    moved = 0
    failed: list[BaseException] = []
    everyone = threading.Condition()

    def work(number: int) -> None:
        try:
            while True:
                with everyone:
                    start = moved
                with engine.connect() as connection:
                    assert connection.scalar(USER) == "alice"
                    connection.invalidate()
                with everyone:
                    began[number] = start
                    everyone.notify_all()
                if start == moves:
                    return
        except BaseException as error:  # noqa: BLE001
            with everyone:
                failed.append(error)
                everyone.notify_all()

    def everyone_has_moved_on() -> bool:
        return bool(failed) or min(began) >= moved

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for move in range(moves):
        with everyone:
            everyone.wait_for(everyone_has_moved_on)
        if failed:
            break
        sandbox.advance("1h")
        with everyone:
            moved = move + 1
    for worker in workers:
        worker.join()
    assert failed == []
    assert issued(sandbox) == before + 1 + moves


def test_two_hundred_checkouts_of_a_pool_make_one_call(sandbox: Sandbox) -> None:
    engine = create_engine(TARGET, pool_size=5)
    before = issued(sandbox)
    assert {who(engine) for _ in range(200)} == {"alice"}
    assert issued(sandbox) == before + 1


def test_a_session_outlives_its_credential_and_a_dead_one_is_replaced_at_checkout(sandbox: Sandbox) -> None:
    engine = create_engine(TARGET, pool_size=2, max_overflow=0, pool_pre_ping=True)
    process = text("select pg_backend_pid()")
    with engine.connect() as other:
        with engine.connect() as connection:
            first = connection.scalar(process)
            sandbox.advance("1h")
            assert connection.scalar(USER) == "alice"
        other.execute(text("select pg_terminate_backend(:first)"), {"first": first})
        with engine.connect() as connection:
            assert connection.scalar(process) != first


def test_an_engine_of_ones_own_is_signed_in_and_its_database_asked_for(sandbox: Sandbox) -> None:
    engine = install(sqlalchemy.create_engine("postgresql+psycopg2:///dev", connect_args={"application_name": "mine"}), TARGET)
    with engine.connect() as connection:
        assert connection.scalar(text("select current_database() || current_setting('application_name')")) == "devmine"
    elsewhere = install(sqlalchemy.create_engine("postgresql+psycopg2:///nowhere"), TARGET)
    with pytest.raises(exc.OperationalError, match="nowhere"):
        elsewhere.connect()


@pytest.mark.parametrize(
    "url, name",
    [("//me:secret@/dev", "username"), ("//db:5439/dev", "host")],
)
def test_a_url_that_would_be_passed_over_is_refused(sandbox: Sandbox, url: str, name: str) -> None:
    with pytest.raises(shiftkey.ConfigError, match=name) as caught:
        install(sqlalchemy.create_engine("postgresql+psycopg2:" + url), TARGET)
    assert "secret" not in str(caught.value)


def test_redshift_is_not_asked_for_a_setting_that_it_does_not_know(sandbox: Sandbox) -> None:
    sent: list[str] = []

    class Cursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *args: Any, **settings: Any) -> Any:
            sent.append(str(query))
            return super().execute(query, *args, **settings)

    engine = create_engine(TARGET, "psycopg", connect_args={"cursor_factory": Cursor})
    engine.connect().close()
    assert "select pg_catalog.version()" in sent
    assert not [query for query in sent if "standard_conforming_strings" in query]


def test_overrides_reach_the_credential(sandbox: Sandbox) -> None:
    engine = create_engine(TARGET, db_user="nobody")
    with pytest.raises(shiftkey.DeniedError):
        engine.connect()


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg", "redshift_connector"])
def test_pandas_reads_through_an_engine(sandbox: Sandbox, driver: str) -> None:
    # read_sql looks first whether this is the name of a table, which sqlalchemy-redshift asks in a way that PostgreSQL refuses.
    read = pandas.read_sql if driver == "psycopg" else pandas.read_sql_query
    frame = read("select current_user as who, n from generate_series(1, 3) n", create_engine(TARGET, driver))
    assert frame["who"].tolist() == ["alice"] * 3 and frame["n"].sum() == 6


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "redshift_connector"])
@pytest.mark.filterwarnings("ignore:pandas only supports SQLAlchemy")
def test_pandas_reads_through_a_connection(sandbox: Sandbox, driver: str) -> None:
    connection = shiftkey.connect(TARGET, driver)
    try:
        assert pandas.read_sql("select current_user as who", connection)["who"].tolist() == ["alice"]
    finally:
        connection.close()
