"""SQLAlchemy: an engine whose pool signs each new connection in with a credential from the cache::

    from shiftkey.sqlalchemy import create_engine
    engine = create_engine("prod/analytics", pool_size=20)
    with engine.connect() as connection: ...

The engine holds no password. What is checked out goes on when its credential expires, since expiry is for signing in; what
the pool opens after that is signed in with a new one.
"""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, Union

import sqlalchemy
from sqlalchemy import event, util
from sqlalchemy.engine import URL

from shiftkey import ConfigError
from shiftkey._hooks import Login

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    AnyEngine = TypeVar("AnyEngine", bound=Union[sqlalchemy.Engine, AsyncEngine])

__all__ = ["create_async_engine", "create_engine", "install"]

# Redshift's own dialect (sqlalchemy-redshift) where it knows the driver, PostgreSQL's where it does not.
DIALECTS = {
    "asyncpg": "postgresql+asyncpg",
    "psycopg": "postgresql+psycopg",
    "psycopg2": "redshift+psycopg2",
    "redshift_connector": "redshift+redshift_connector",
}


def create_engine(target: str, driver: str = "psycopg2", **options: Any) -> sqlalchemy.Engine:
    """An engine for ``target``::

        engine = create_engine("prod/analytics", "redshift_connector", db_user="etl", pool_size=20)

    ``driver`` is ``psycopg2`` or ``redshift_connector`` (both need sqlalchemy-redshift), ``psycopg``, or a dialect and a driver,
    such as ``postgresql+psycopg2``. ``options`` are those of ``sqlalchemy.create_engine`` and of :func:`shiftkey.credential`.
    """
    login = Login(target, options)
    return _install(sqlalchemy.create_engine(_url(driver), **login.options), login)


def create_async_engine(target: str, driver: str = "asyncpg", **options: Any) -> AsyncEngine:
    """The same with ``asyncpg`` or ``psycopg``::

        engine = create_async_engine("prod/analytics", pool_size=20)
        async with engine.connect() as connection:
            await connection.execute(text("select 1"))

    The event loop is not blocked while AWS is asked.
    """
    from sqlalchemy.ext import asyncio

    login = Login(target, options)
    return _install(asyncio.create_async_engine(_url(driver), **login.options), login)


def install(engine: AnyEngine, target: str, **overrides: Any) -> AnyEngine:
    """Makes an existing engine, asynchronous ones too, sign its connections in to ``target``, and returns it::

        engine = install(sqlalchemy.create_engine("redshift+psycopg2:///sales"), "prod/analytics")

    The engine's URL says the dialect, and may say a database. Raises :class:`shiftkey.ConfigError` when it says a host, port, user or password, which would be passed over.
    """
    url = engine.url
    for name in ("host", "port", "username", "password"):
        if getattr(url, name) is not None:
            raise ConfigError(f"the engine's URL says a {name}", target, "leave it out: the target decides that")
    if url.database:
        overrides.setdefault("database", url.database)
    return _install(engine, Login(target, overrides))


def _install(engine: AnyEngine, login: Login) -> AnyEngine:
    given: Any = engine
    sync = getattr(given, "sync_engine", given)
    if sync.dialect.name == "postgresql":
        # Asks for standard_conforming_strings at the first connection, which Redshift does not know and refuses.
        sync.dialect._set_backslash_escapes = lambda connection: None

    def sign_in(dialect: Any, record: Any, args: list[Any], settings: dict[str, Any]) -> Any:
        def dial(**decided: Any) -> Any:
            # SQLAlchemy 1.4 and 2 call the database by different names.
            others = {name: value for name, value in settings.items() if name not in ("database", "dbname")}
            return dialect.connect(*args, **{**others, **decided})

        async def adial(**decided: Any) -> Any:
            return await util.greenlet_spawn(dial, **decided)

        if dialect.is_async:
            return util.await_only(login.aconnect(dialect.driver, adial))
        return login.connect(dialect.driver, dial)

    event.listen(sync, "do_connect", sign_in)
    return engine


def _url(driver: str) -> URL:
    return URL.create(driver if "+" in driver else DIALECTS.get(driver, f"redshift+{driver}"))
