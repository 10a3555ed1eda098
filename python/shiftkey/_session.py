"""Sessions, and the one that the module's functions use."""

from __future__ import annotations

from shiftkey import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Unpack

    from shiftkey._native import Credential
    from shiftkey._options import Overrides


class Session(_native.Session):
    """Settings for many calls.

    Every option of a call may be given here, for all of them::

        night = shiftkey.Session(profile="etl", duration="15m")
        night.credential("prod/analytics")

    ``config`` is a file instead of those that are searched for. ``cache=False`` shares with no other process.
    ``mfa_code`` is called with the device's name when AWS wants a code; without it such an identity is an
    :class:`~shiftkey.IdentityError`, unless somebody has signed in with the command line: that session is shared.

    Sessions can be used by many threads, and after a fork. They are not pickled.
    """

    def connect(self, target: str, driver: str = "psycopg", **options: Any) -> Any:
        """As :func:`shiftkey.connect`."""
        from shiftkey import _connect

        return _connect.connect(self, target, driver, options)

    async def acredential(self, target: str, **overrides: Unpack[Overrides]) -> Credential:
        """As :func:`shiftkey.aio.credential`."""
        from shiftkey import aio

        return await aio.credential(target, session=self, **overrides)

    async def aconnect(self, target: str, driver: str = "psycopg", **options: Any) -> Any:
        """As :func:`shiftkey.aio.connect`."""
        from shiftkey import aio

        return await aio.connect(target, driver, session=self, **options)


#: What the module's functions use.
default = Session()


def credential(target: str, *, session: Session | None = None, **overrides: Unpack[Overrides]) -> Credential:
    """A credential for ``target``, from the cache or from AWS.

    Options: ``db_user``, ``database``, ``groups`` (a list), ``auto_create``, ``duration`` and ``min_remaining`` (seconds,
    a timedelta, or a text such as ``"1h"``), ``mapping`` (``"user"`` or ``"iam"``), ``host``, ``port``, ``server_name``,
    ``ca_file``, ``profile``, ``region``.

    It is as good as new when it was cached: at least a minute is left. Asking again costs microseconds, so ask for each
    connection and keep none. Raises :class:`shiftkey.Error`.
    """
    return (session or default).credential(target, **overrides)


def connect(target: str, driver: str = "psycopg", *, session: Session | None = None, **options: Any) -> Any:
    """A connection of ``driver``, signed in to ``target``, its TLS certificate and host name verified.

    ``driver`` is ``psycopg``, ``psycopg2``, ``redshift_connector``, ``pg8000`` or ``asyncpg`` (which gives an awaitable).
    Options of :func:`credential` are for the credential; all others go to the driver's own ``connect``::

        shiftkey.connect("prod/analytics", db_user="etl", autocommit=True)

    A cached credential that the warehouse refuses is forgotten, and the sign-in tried once more with a new one. Raises
    :class:`shiftkey.Error` where there is no credential, and what the driver raises where there is no connection.
    """
    return (session or default).connect(target, driver, **options)


def url(target: str, format: str = "jdbc", *, session: Session | None = None, **overrides: Unpack[Overrides]) -> str:
    """A connection string, password and all, in one of the formats of ``shiftkey url``.

    It is good until the credential expires, and is as secret as a password. Prefer a hook, or the proxy.
    """
    return (session or default).url(target, format, **overrides)
