"""What makes a backend for PostgreSQL sign in to a target."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from shiftkey import ConfigError
from shiftkey._hooks import Login
from shiftkey._session import Session

_OURS = {*Session.options, "session", "target", "dbname"}
_INSTEAD = {
    "USER": "in OPTIONS say db_user",
    "PASSWORD": "AWS issues it",
    "HOST": "in OPTIONS say host",
    "PORT": "in OPTIONS say port",
}


class SignedIn:
    """Mixed into a backend's ``DatabaseWrapper``, before it."""

    if TYPE_CHECKING:
        settings_dict: dict[str, Any]
        Database: Any

    def get_connection_params(self) -> dict[str, Any]:
        """What the driver is given besides the credential. Holds no secret."""
        self._login()
        params: dict[str, Any] = super().get_connection_params()  # type: ignore[misc]
        return {name: value for name, value in params.items() if name not in _OURS}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """One connection; where Django has a pool, from there: the pool's connections sign themselves in."""
        parent: Any = super()
        if getattr(self, "pool", None):
            return parent.get_new_connection(conn_params)

        def dial(**decided: Any) -> Any:
            return parent.get_new_connection({**conn_params, **decided})

        return self._login().connect(self.Database.__name__, dial)

    @property
    def pool(self) -> Any:
        """Django's pool of this alias, if the settings ask for one."""
        options: dict[str, Any] = self.settings_dict["OPTIONS"]
        pool = options.get("pool")
        if pool is True or (pool and "connection_class" not in pool):
            import psycopg

            from shiftkey.psycopg_pool import signed_in_class

            signs_in = signed_in_class(self._login(), psycopg.Connection)
            options["pool"] = {"connection_class": signs_in, **({} if pool is True else pool)}
        return getattr(super(), "pool", None)

    def _login(self) -> Login:
        """The target and the overrides, as the settings tell them."""
        settings = self.settings_dict
        for name, instead in _INSTEAD.items():
            if settings.get(name):
                raise ImproperlyConfigured(f"{name} would be passed over: {instead}")
        options = dict(settings["OPTIONS"])
        target = options.pop("target", None)
        if target is None:
            target = settings["NAME"]
        elif settings["NAME"]:
            options.setdefault("database", settings["NAME"])
        try:
            return Login(target, options)
        except ConfigError as error:
            raise ImproperlyConfigured(f"OPTIONS: {error}") from None
