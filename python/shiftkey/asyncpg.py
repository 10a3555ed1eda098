"""asyncpg: a pool whose new connections are signed in with a credential from the cache::

    from shiftkey.asyncpg import create_pool
    async with create_pool("prod/analytics", max_size=20) as pool:
        await pool.fetch("select 1")

asyncpg can be given a password as a function, but not the user that belongs to it, and does not try again when the warehouse
refuses. So the pool is given a function that connects, for which it takes asyncpg 0.30.
"""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

from typing import Any

import asyncpg

from shiftkey._hooks import Login

__all__ = ["create_pool"]


def create_pool(target: str, **options: Any) -> asyncpg.Pool:
    """A pool for ``target``. ``options`` are those of ``asyncpg.create_pool`` and of :func:`shiftkey.credential`."""
    login = Login(target, options, "connect")

    async def connect(*args: Any, **settings: Any) -> Any:
        async def dial(**decided: Any) -> Any:
            return await asyncpg.connect(*args, **{**settings, **decided})

        return await login.aconnect("asyncpg", dial)

    return asyncpg.create_pool(connect=connect, **login.options)
