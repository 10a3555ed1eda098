"""Signing drivers in: what each is told, and what is tried again.

A driver is handed its arguments in one expression and the password is a :class:`~shiftkey.Password`, so that no traceback
with local variables shows it.
"""

from __future__ import annotations

import functools
import importlib
import os

from shiftkey._errors import ClientMissingError, ConfigError, Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from ssl import SSLContext
    from typing import Any, TypeVar

    from shiftkey._native import Credential
    from shiftkey._session import Session

    T = TypeVar("T")

#: What PostgreSQL and Redshift say of a credential that has expired or was revoked.
STALE = ("28000", "28P01")

#: The package to install for each driver.
PACKAGES = {
    "asyncpg": "asyncpg",
    "pg8000": "pg8000",
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "redshift_connector": "redshift_connector",
}

#: What the target decides, in any driver's words.
DECIDED = frozenset(
    [
        "conninfo",
        "dbname",
        "direct_tls",
        "dsn",
        "hostaddr",
        "passfile",
        "passwd",
        "password",
        "service",
        "ssl",
        "ssl_context",
        "sslmode",
        "sslrootcert",
        "user",
    ]
)


# === what a driver is told ===


def driver_module(name: str) -> Any:
    """The driver, imported. Raises ConfigError for one that is not known, ClientMissingError for one that is not installed."""
    if name not in PACKAGES:
        raise ConfigError(f"'{name}' is not a driver that is known", hint=f"drivers: {', '.join(PACKAGES)}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ClientMissingError(f"{name} is not installed", hint=f"pip install '{PACKAGES[name]}'") from None


def connect_kwargs(credential: Credential, driver: str) -> dict[str, Any]:
    """What ``driver``'s own ``connect`` takes: who signs in, where, and TLS with chain and name verified."""
    if driver in ("psycopg", "psycopg2"):
        host, hostaddr = credential.libpq_address()
        told: dict[str, Any] = {"host": host, "port": credential.port, "dbname": credential.database, "user": credential.db_user}
        told["sslmode"] = "verify-full"
        for name, value in (("hostaddr", hostaddr), ("sslrootcert", credential.ca_file)):
            if value is not None:
                told[name] = value
        return {**told, "password": credential.db_password}
    if credential.server_name not in (None, credential.host):
        raise ConfigError(
            f"{driver} cannot dial '{credential.host}' and verify the name '{credential.server_name}'",
            credential.target,
            f"use psycopg, or let {credential.server_name} lead there (a line in /etc/hosts) and pass it as host",
        )
    told = {"host": credential.host, "port": credential.port, "database": credential.database, "user": credential.db_user}
    if driver == "asyncpg":
        told["ssl"] = tls(credential.ca_file)
    elif driver == "pg8000":
        told["ssl_context"] = tls(credential.ca_file)
    elif driver == "redshift_connector":
        # It takes no CA file; OpenSSL beneath it reads this variable.
        named = credential.named_ca_file
        if named is not None and not _is_same_file(named, os.environ.get("SSL_CERT_FILE")):
            raise ConfigError("redshift_connector cannot be told a CA file", credential.target, f"set SSL_CERT_FILE={named}")
        told.update(ssl=True, sslmode="verify-full")
    else:
        driver_module(driver)
    return {**told, "password": credential.db_password}


def _is_same_file(one: str, other: str | None) -> bool:
    try:
        return other is not None and os.path.samefile(one, other)
    except OSError:
        return False


_contexts: dict[tuple[str | None, float], SSLContext] = {}


def tls(ca_file: str | None) -> SSLContext:
    """A TLS client that verifies chain and name. Made once for each state of the file, since parsing it takes milliseconds."""
    import ssl

    key = (ca_file, os.stat(ca_file).st_mtime if ca_file is not None else 0.0)
    if key not in _contexts:
        _contexts[key] = ssl.create_default_context(cafile=ca_file)
    return _contexts[key]


def split(session: Session, options: dict[str, Any], *decided: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the credential and those of the driver. ``decided`` are more names that the target decides."""
    refused = sorted(options.keys() & (DECIDED | set(decided)))
    if refused:
        raise ConfigError(f"{', '.join(refused)}: the target decides that", hint="leave it out")
    ours = {name: value for name, value in options.items() if name in session.options}
    return ours, {name: value for name, value in options.items() if name not in ours}


# === what is tried again ===


def sqlstate(error: BaseException) -> str | None:
    """The server's SQLSTATE, as psycopg, psycopg2, asyncpg, pg8000 and redshift_connector each keep it."""
    for name in ("sqlstate", "pgcode"):
        value = getattr(error, name, None)
        if isinstance(value, str):
            return value
    fields: Any = error.args[0] if error.args else None
    try:
        return str(fields["C"])
    except (TypeError, KeyError):
        return None


def is_stale(credential: Credential, error: BaseException) -> bool:
    """Whether a sign-in failed because its cached credential is no good any more. May sign in once to find out."""
    if not credential.cached or isinstance(error, Error):
        return False
    state = sqlstate(error)
    if state is None and "FATAL" in str(error):
        # libpq does not tell the SQLSTATE of a sign-in, so that is asked for.
        try:
            return credential.refused()
        except Error:
            return False
    return state in STALE


def is_unreachable(error: BaseException) -> bool:
    """Whether a sign-in failed on the way to the server, in any driver's words."""
    if isinstance(error, Error) or sqlstate(error) is not None or "FATAL" in str(error):
        return False
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, OSError) or bool(names & {"OperationalError", "InterfaceError"})


def relocated(credential: Credential, error: BaseException) -> Credential | None:
    """The credential at the warehouse's new place, where ``error`` is that it does not answer at the old one."""
    try:
        return credential.relocated() if is_unreachable(error) else None
    except Error:
        return None


def again(obtain: Callable[[], Credential], credential: Credential, error: BaseException) -> Credential | None:
    """What to try once more with after ``error``, if anything."""
    if is_stale(credential, error):
        credential.reject()
        return obtain()
    return relocated(credential, error)


def bare(error: Exception) -> Exception:
    """The driver's error without the driver's frames: those hold the password in clear, in psycopg2's ``dsn`` for one, and are
    shown with their variables by whoever collects errors. Errors of our own stay as they are."""
    if isinstance(error, Error):
        return error
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def signed_in(obtain: Callable[[], Credential], dial: Callable[[Credential], T]) -> T:
    """A connection: ``dial`` with what ``obtain`` gives, and at most once more if that was stale or the warehouse has moved."""
    credential = obtain()
    try:
        return dial(credential)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises
        other = again(obtain, credential, error)
        if other is None:
            raise bare(error)
    try:
        return dial(other)
    except Exception as error:  # noqa: BLE001
        raise bare(error)


class Login:
    """A target, and the options of the credential among those that were given. The others are in ``options``.

    ``decided`` are names of a framework's that the target decides: with those that it decides for every driver, they raise
    :class:`shiftkey.ConfigError`.
    """

    def __init__(self, session: Session, target: str, options: dict[str, Any], *decided: str) -> None:
        self.session, self.target = session, target
        self.overrides, self.options = split(session, options, *decided)

    def __repr__(self) -> str:
        return f"Login({self.target!r})"

    def connect(self, driver: str, dial: Callable[..., T]) -> T:
        """What ``dial`` gives for the arguments of ``driver``'s own ``connect``; tried once more where that can help."""
        return signed_in(
            lambda: self.session.credential(self.target, **self.overrides),
            lambda credential: dial(**connect_kwargs(credential, driver)),
        )

    async def aconnect(self, driver: str, dial: Callable[..., Awaitable[T]]) -> T:
        """The same for an event loop, which is not blocked."""
        from shiftkey import aio

        return await aio.signed_in(
            lambda: self.session.acredential(self.target, **self.overrides),
            lambda credential: dial(**connect_kwargs(credential, driver)),
        )


def connect(session: Session, target: str, driver: str, options: dict[str, Any]) -> Any:
    """A connection of ``driver``; an awaitable of asyncpg's."""
    if driver == "asyncpg":
        from shiftkey import aio

        return aio.connect(target, driver, session=session, **options)
    module = driver_module(driver)
    dial = importlib.import_module("pg8000.dbapi").connect if driver == "pg8000" else module.connect
    login = Login(session, target, options)
    return login.connect(driver, functools.partial(dial, **login.options))
