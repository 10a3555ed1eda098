"""The pools of psycopg 3 and asyncpg."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import psycopg
import psycopg_pool
import pytest
from conftest import Sandbox
from contract import TARGET, Contract, issued

import shiftkey
import shiftkey.asyncpg
import shiftkey.psycopg_pool


class TestPsycopg(Contract):
    refusal = psycopg.OperationalError

    def who(self) -> str:
        # What a pool's own thread is told it logs and tries again; here one connection is made as a pool makes it.
        pool = shiftkey.psycopg_pool.create_pool(TARGET, open=False)
        with pool.connection_class.connect(pool.conninfo, **(pool.kwargs or {})) as connection:
            return user(connection)

    def objects(self) -> Iterable[object]:
        with shiftkey.psycopg_pool.create_pool(TARGET, min_size=1) as pool, pool.connection() as connection:
            return [pool, connection, pool.connection_class]


class TestPsycopgAsync(Contract):
    refusal = psycopg.OperationalError

    def who(self) -> str:
        async def run() -> str:
            pool = shiftkey.psycopg_pool.create_async_pool(TARGET)
            async with await pool.connection_class.connect(pool.conninfo, **(pool.kwargs or {})) as connection:
                return str((await (await connection.execute("select current_user")).fetchone())[0])

        return asyncio.run(run())

    def objects(self) -> Iterable[object]:
        async def run() -> list[object]:
            async with shiftkey.psycopg_pool.create_async_pool(TARGET, min_size=1) as pool, pool.connection() as connection:
                return [pool, connection]

        return asyncio.run(run())


class TestAsyncpg(Contract):
    refusal = asyncpg.InvalidAuthorizationSpecificationError

    def who(self) -> str:
        async def run() -> str:
            async with shiftkey.asyncpg.create_pool(TARGET, min_size=1, max_size=1) as pool:
                return str(await pool.fetchval("select current_user"))

        return asyncio.run(run())

    def objects(self) -> Iterable[object]:
        async def run() -> list[object]:
            async with shiftkey.asyncpg.create_pool(TARGET, min_size=1) as pool:
                return [pool]

        return asyncio.run(run())


def user(connection: Any) -> str:
    return str(connection.execute("select current_user").fetchone()[0])


def test_a_pool_of_psycopg_is_refilled_after_an_expiry(sandbox: Sandbox) -> None:
    before = issued(sandbox)
    with shiftkey.psycopg_pool.create_pool(TARGET, min_size=5, max_size=5) as pool:
        # What is on its way when the pool is drained would stay: so all are there.
        pool.wait()

        def one(_: int) -> str:
            with pool.connection() as connection:
                return user(connection)

        with ThreadPoolExecutor(20) as threads:
            assert set(threads.map(one, range(200))) == {"alice"}
            assert issued(sandbox) == before + 1
            sandbox.advance("1h")
            pool.drain()
            assert set(threads.map(one, range(200))) == {"alice"}
        assert pool.get_stats().get("connections_errors", 0) == 0
    assert issued(sandbox) == before + 2


def test_a_pool_of_psycopg_for_asyncio_is_refilled_after_an_expiry(sandbox: Sandbox) -> None:
    async def run() -> None:
        before = issued(sandbox)
        async with shiftkey.psycopg_pool.create_async_pool(TARGET, min_size=5, max_size=5) as pool:
            await pool.wait()

            async def one() -> str:
                async with pool.connection() as connection:
                    return str((await (await connection.execute("select current_user")).fetchone())[0])

            assert set(await asyncio.gather(*(one() for _ in range(200)))) == {"alice"}
            assert issued(sandbox) == before + 1
            sandbox.advance("1h")
            await pool.drain()
            assert set(await asyncio.gather(*(one() for _ in range(200)))) == {"alice"}
        assert issued(sandbox) == before + 2

    asyncio.run(run())


def test_a_pool_of_asyncpg_is_refilled_after_an_expiry(sandbox: Sandbox) -> None:
    async def run() -> None:
        before = issued(sandbox)
        async with shiftkey.asyncpg.create_pool(TARGET, min_size=2, max_size=10) as pool:
            assert set(await asyncio.gather(*(pool.fetchval("select current_user") for _ in range(200)))) == {"alice"}
            assert issued(sandbox) == before + 1
            sandbox.advance("1h")
            await pool.expire_connections()
            assert set(await asyncio.gather(*(pool.fetchval("select current_user") for _ in range(200)))) == {"alice"}
        assert issued(sandbox) == before + 2

    asyncio.run(run())


def test_a_pool_of_psycopg_is_open_and_one_for_asyncio_is_not(sandbox: Sandbox) -> None:
    pool = shiftkey.psycopg_pool.create_pool(TARGET, min_size=1)
    with pool.connection() as connection:
        assert user(connection) == "alice"
    pool.close()

    async def run() -> None:
        pool = shiftkey.psycopg_pool.create_async_pool(TARGET)
        closed = pool.closed
        await pool.close()
        assert closed

    asyncio.run(run())


def test_a_pool_keeps_the_options_that_it_is_given(sandbox: Sandbox) -> None:
    class Mine(psycopg.Connection[Any]):
        pass

    options: dict[str, Any] = {"connection_class": Mine, "kwargs": lambda: {"application_name": "mine"}, "min_size": 1}
    with shiftkey.psycopg_pool.create_pool(TARGET, **options) as pool, pool.connection() as connection:
        assert isinstance(connection, Mine)
        assert connection.execute("show application_name").fetchone() == ("mine",)

    async def run() -> None:
        settings = {"application_name": "mine"}
        async with shiftkey.asyncpg.create_pool(TARGET, server_settings=settings, min_size=1) as pool:
            assert await pool.fetchval("show application_name") == "mine"

    asyncio.run(run())


def test_overrides_reach_the_credential(sandbox: Sandbox) -> None:
    async def run() -> None:
        with pytest.raises(shiftkey.DeniedError):
            await shiftkey.asyncpg.create_pool(TARGET, db_user="nobody", min_size=1)

    asyncio.run(run())
    pool = shiftkey.psycopg_pool.create_pool(TARGET, db_user="nobody", open=False)
    with pytest.raises(shiftkey.DeniedError):
        pool.connection_class.connect()
    assert isinstance(pool, psycopg_pool.ConnectionPool)
