"""A program that mypy and pyright check, strictly, where the frameworks are installed. It is not run."""

from __future__ import annotations

from typing import Any

import psycopg
import psycopg_pool
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncEngine

from shiftkey import redshift_connector
from shiftkey.awswrangler import connect_temp
from shiftkey.psycopg_pool import connection_class, create_async_pool, create_pool
from shiftkey.sqlalchemy import create_async_engine, create_engine, install


def engines() -> tuple[sqlalchemy.Engine, AsyncEngine]:
    engine: sqlalchemy.Engine = create_engine("prod/analytics", "psycopg", db_user="etl", pool_size=20)
    same: sqlalchemy.Engine = install(sqlalchemy.create_engine("redshift+psycopg2:///dev"), "prod/analytics", groups=["analysts"])
    assert engine is not same
    return same, create_async_engine("prod/analytics", pool_pre_ping=True)


async def pools() -> object:
    with create_pool("prod/analytics", max_size=20) as pool, pool.connection() as connection:
        connection.execute("select 1")
    async with create_async_pool("prod/analytics", max_size=20) as other, other.connection() as another:
        await another.execute("select 1")
    mine: type[psycopg.Connection[Any]] = connection_class("prod/analytics", psycopg.Connection[Any])
    return psycopg_pool.ConnectionPool(connection_class=mine)


def drivers() -> object:
    redshift_connector.connect(iam=True, cluster_identifier="analytics", db_user="etl", database="dev")
    return connect_temp("analytics", user="etl", database="dev", profile="prod")
