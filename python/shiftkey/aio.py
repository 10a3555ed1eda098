"""The same for an event loop: nothing here blocks it.

::

    credential = await shiftkey.aio.credential("prod/analytics")
    connection = await shiftkey.aio.connect("prod/analytics", "asyncpg")
"""

from __future__ import annotations

import asyncio
import functools

from shiftkey import _connect
from shiftkey._errors import ConfigError
from shiftkey._session import Session, default

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, TypeVar

    from typing_extensions import Unpack

    from shiftkey._native import Credential
    from shiftkey._options import Overrides

    T = TypeVar("T")

__all__ = ["connect", "credential", "signed_in"]


async def credential(target: str, *, session: Session | None = None, **overrides: Unpack[Overrides]) -> Credential:
    """As :func:`shiftkey.credential`. Cancelling it gives the wait up; others who wait for the same go on."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Credential] = loop.create_future()

    def settle(result: Credential | None, error: BaseException | None) -> None:
        # Called in another thread, perhaps after the loop has ended: what that raises is passed over there.
        loop.call_soon_threadsafe(_settle, future, result, error)

    known, task = (session or default).start_credential(settle, target, **overrides)
    if known is not None:
        return known
    try:
        return await future
    finally:
        if task is not None:
            task.cancel()


def _settle(future: asyncio.Future[Credential], result: Credential | None, error: BaseException | None) -> None:
    if future.done():
        return
    if result is not None:
        future.set_result(result)
    elif error is not None:
        future.set_exception(error)


async def signed_in(obtain: Callable[[], Awaitable[Credential]], dial: Callable[[Credential], Awaitable[T]]) -> T:
    """As :func:`shiftkey._connect.signed_in`: a connection, tried once more where that can help."""
    first = await obtain()
    try:
        return await dial(first)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises
        other = await _again(obtain, first, error)
        if other is None:
            raise _connect.bare(error)
    try:
        return await dial(other)
    except Exception as error:  # noqa: BLE001
        raise _connect.bare(error)


async def _again(obtain: Callable[[], Awaitable[Credential]], first: Credential, error: BaseException) -> Credential | None:
    # What may wait for the network or the disk does so in a thread.
    if await asyncio.to_thread(_connect.is_stale, first, error):
        await asyncio.to_thread(first.reject)
        return await obtain()
    return await asyncio.to_thread(_connect.relocated, first, error)


async def connect(target: str, driver: str = "asyncpg", *, session: Session | None = None, **options: Any) -> Any:
    """A connection of ``asyncpg``, or of ``psycopg`` (its ``AsyncConnection``). Options as for :func:`shiftkey.connect`."""
    module = _connect.driver_module(driver)
    if driver == "psycopg":
        dial = module.AsyncConnection.connect
    elif driver == "asyncpg":
        dial = module.connect
    else:
        raise ConfigError(f"{driver} knows no event loop", target, "use asyncpg or psycopg")
    login = _connect.Login(session or default, target, options)
    return await login.aconnect(driver, functools.partial(dial, **login.options))
