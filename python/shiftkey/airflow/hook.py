"""The hook of the connection type ``shiftkey``."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

from functools import partial
from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook

import shiftkey
from shiftkey._connect import driver_module
from shiftkey._hooks import Login

__all__ = ["ShiftkeyHook"]

# What the class above it reads from the extra.
_OF_AIRFLOW = {
    "dialect",
    "escape_column_names",
    "escape_word_format",
    "insert_statement_format",
    "placeholder",
    "replace_statement_format",
    "sqlalchemy_scheme",
}


class ShiftkeyHook(DbApiHook):
    """Connects to the target that a connection names as its host, with the AWS identity that the worker has::

        ShiftkeyHook("warehouse").get_df("select * from sales")

    The connection's schema is the database and its login the database user, when they differ from the target's. Its extra holds
    the options of :func:`shiftkey.credential`, ``driver`` (psycopg, psycopg2 or redshift_connector), and options of that driver.
    It has no password, and no URI with one.
    """

    conn_name_attr = "shiftkey_conn_id"
    default_conn_name = "shiftkey_default"
    conn_type = "shiftkey"
    hook_name = "Amazon Redshift (shiftkey)"
    supports_autocommit = True

    def get_conn(self) -> Any:
        """A connection of the driver, signed in with a credential from the cache."""
        login, driver = self._login()
        return login.connect(driver, partial(driver_module(driver).connect, **login.options))

    def get_uri(self) -> str:
        """The connection as a URI: which target, and never a password."""
        self._login()
        return super().get_uri()

    @property
    def sqlalchemy_url(self) -> Any:
        """The URL of the engine: which dialect, and nothing else."""
        return self.get_sqlalchemy_engine().url

    def get_sqlalchemy_engine(self, engine_kwargs: dict[str, Any] | None = None) -> Any:
        """An engine that signs each of its connections in, and so outlives any credential."""
        from shiftkey.sqlalchemy import create_engine

        login, driver = self._login()
        settings = dict(engine_kwargs or {})
        settings["connect_args"] = {**login.options, **settings.get("connect_args", {})}
        return create_engine(login.target, driver, **login.overrides, **settings)

    def _login(self) -> tuple[Login, str]:
        """What the connection says: as whom to sign in and where, and with which driver."""
        connection = self.connection
        for name, instead in (("password", "AWS issues it"), ("port", "say it in the extra, if it differs from the target's")):
            if getattr(connection, name):
                raise shiftkey.ConfigError(f"the connection's {name} would be passed over", connection.host, instead)
        if not connection.host:
            raise shiftkey.ConfigError("the connection names no target", hint="write it into the field of the host")
        said = {name: value for name, value in self.connection_extra.items() if name not in _OF_AIRFLOW}
        for name, value in (("database", connection.schema), ("db_user", connection.login)):
            if value:
                said.setdefault(name, value)
        driver = said.pop("driver", "psycopg")
        return Login(connection.host, said), driver
