"""psycopg 3: pools whose new connections are signed in with a credential from the cache::

    from shiftkey.psycopg_pool import create_pool
    with create_pool("prod/analytics", max_size=20) as pool, pool.connection() as connection:
        connection.execute("select 1")

A pool of psycopg's can be given its keywords as a function, but does not try again with others when the warehouse refuses
them. So it is given a class of connections that sign themselves in, which goes wherever a ``connection_class`` does.
"""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

from typing import Any, TypeVar, cast

import psycopg
import psycopg_pool

from shiftkey._hooks import Login

__all__ = ["async_connection_class", "connection_class", "create_async_pool", "create_pool"]

Sync = TypeVar("Sync", bound="psycopg.Connection[Any]")
Async = TypeVar("Async", bound="psycopg.AsyncConnection[Any]")


def create_pool(target: str, **options: Any) -> psycopg_pool.ConnectionPool[psycopg.Connection[Any]]:
    """A pool for ``target``, open unless told otherwise. ``options`` are those of ``psycopg_pool.ConnectionPool`` and of
    :func:`shiftkey.credential`.
    """
    login = Login(target, options)
    settings: dict[str, Any] = {"open": True, **login.options}
    signs_in = signed_in_class(login, settings.pop("connection_class", psycopg.Connection))
    return psycopg_pool.ConnectionPool(connection_class=signs_in, **settings)


def create_async_pool(target: str, **options: Any) -> psycopg_pool.AsyncConnectionPool[psycopg.AsyncConnection[Any]]:
    """The same for asyncio; as psycopg asks for, it is opened by ``async with`` or ``await pool.open()``."""
    login = Login(target, options)
    settings: dict[str, Any] = {"open": False, **login.options}
    signs_in = async_signed_in_class(login, settings.pop("connection_class", psycopg.AsyncConnection))
    return psycopg_pool.AsyncConnectionPool(connection_class=signs_in, **settings)


def connection_class(target: str, base: type[Sync], **overrides: Any) -> type[Sync]:
    """A class of connections whose ``connect`` signs in to ``target``."""
    return signed_in_class(Login(target, overrides), base)


def async_connection_class(target: str, base: type[Async], **overrides: Any) -> type[Async]:
    """The same for connections of asyncio."""
    return async_signed_in_class(Login(target, overrides), base)


def signed_in_class(login: Login, base: type[Sync]) -> type[Sync]:
    """As :func:`connection_class`."""

    def connect(cls: Any, /, conninfo: str = "", **settings: Any) -> Any:
        def dial(**decided: Any) -> Any:
            return parent.connect.__func__(cls, conninfo, **{**settings, **decided})

        return login.connect("psycopg", dial)

    parent: Any = base
    signs_in: Any = type(base.__name__, (base,), {"connect": classmethod(connect)})
    return cast("type[Sync]", signs_in)


def async_signed_in_class(login: Login, base: type[Async]) -> type[Async]:
    """As :func:`async_connection_class`."""

    async def connect(cls: Any, /, conninfo: str = "", **settings: Any) -> Any:
        async def dial(**decided: Any) -> Any:
            return await parent.connect.__func__(cls, conninfo, **{**settings, **decided})

        return await login.aconnect("psycopg", dial)

    parent: Any = base
    signs_in: Any = type(base.__name__, (base,), {"connect": classmethod(connect)})
    return cast("type[Async]", signs_in)
