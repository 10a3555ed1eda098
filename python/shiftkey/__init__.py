"""Passwordless access to Amazon Redshift.

The AWS identity that the caller already has becomes a temporary database credential, which is cached and shared by every
process of the machine, whether it is Python or not::

    import shiftkey

    with shiftkey.connect("prod/analytics") as connection:  # psycopg, unless told otherwise
        print(connection.execute("select current_user").fetchone())

    credential = shiftkey.credential("prod/analytics")  # db_user, db_password, host, port, database, expiration

Targets are those of the command line: ``environment/name`` from the configuration, ``cluster:ID[@REGION]``,
``workgroup:NAME[@REGION]`` or a host name. The hooks for frameworks are modules of their own: ``shiftkey.sqlalchemy``,
``shiftkey.psycopg_pool``, ``shiftkey.asyncpg``, ``shiftkey.django``, ``shiftkey.airflow``, ``shiftkey.redshift_connector``.
"""

from __future__ import annotations

from shiftkey._errors import (
    ClientMissingError,
    ConfigError,
    DeniedError,
    Error,
    IdentityError,
    IdentityExpiredError,
    LoginRefusedError,
    NoIdentityError,
    NoSuchTargetError,
    ThrottledError,
    TransientError,
    UnexpectedError,
    UnreachableError,
)
from shiftkey._native import Credential, __version__
from shiftkey._password import Password
from shiftkey._session import Session, connect, credential, url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shiftkey import aio

__all__ = [
    "ClientMissingError",
    "ConfigError",
    "Credential",
    "DeniedError",
    "Error",
    "IdentityError",
    "IdentityExpiredError",
    "LoginRefusedError",
    "NoIdentityError",
    "NoSuchTargetError",
    "Password",
    "Session",
    "ThrottledError",
    "TransientError",
    "UnexpectedError",
    "UnreachableError",
    "__version__",
    "aio",
    "connect",
    "credential",
    "url",
]


# As programs name them, and as tracebacks show them.
for _public in [globals()[_name] for _name in __all__ if _name[0].isupper() and _name != "Credential"]:
    _public.__module__ = __name__

_MODULES = {"aio", "airflow", "asyncpg", "awswrangler", "django", "psycopg_pool", "redshift_connector", "sqlalchemy"}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        import importlib

        return importlib.import_module(f"shiftkey.{name}")
    raise AttributeError(f"module 'shiftkey' has no attribute {name!r}")
