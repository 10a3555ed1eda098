"""Amazon's Python driver, in its place: the same ``connect``, through shiftkey's cache::

    import shiftkey.redshift_connector as redshift_connector
    connection = redshift_connector.connect(iam=True, cluster_identifier="analytics", region="us-east-1",
                                            db_user="etl", database="dev")

Everything else of the driver is here under its name: errors, ``paramstyle``, ``Connection``. What ``connect`` cannot honour it
refuses. TLS is verified in full whatever ``sslmode`` says, by the driver's bundle of Redshift's authorities and the system's.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import shiftkey

_driver: Any = importlib.import_module("redshift_connector")

# What reaches the driver as it is.
_PASSED = (
    "application_name",
    "client_protocol_version",
    "database_metadata_current_db_only",
    "enable_table_types",
    "max_prepared_statements",
    "numeric_to_float",
    "source_address",
    "tcp_keepalive",
    "tcp_keepalive_count",
    "tcp_keepalive_idle",
    "tcp_keepalive_interval",
    "timeout",
)
# What says which credential, under the name that shiftkey has for it.
_RENAMED = {
    "auto_create": "auto_create",
    "database": "database",
    "db_groups": "groups",
    "db_user": "db_user",
    "host": "host",
    "port": "port",
    "profile": "profile",
    "region": "region",
}
_UNDERSTOOD = {
    "cluster_identifier",
    "force_lowercase",
    "group_federation",
    "iam",
    "is_serverless",
    "serverless_work_group",
    "ssl",
    "sslmode",
}
_INSTEAD = {
    "access_key_id": "put the keys into a profile and name that",
    "auth_profile": "say here what the authentication profile says",
    "credentials_provider": "sign in with `aws sso login`, or name a profile",
    "endpoint_url": "set AWS_ENDPOINT_URL_REDSHIFT",
    "iam_disable_cache": "the cache is what this module is for",
    "password": "there is none: AWS issues it",
    "secret_access_key": "put the keys into a profile and name that",
    "serverless_acct_id": "the workgroup's name is enough",
    "session_token": "put the keys into a profile and name that",
    "user": "say db_user",
}


def connect(*args: Any, **settings: Any) -> Any:
    """A ``redshift_connector.Connection``, for the arguments of ``redshift_connector.connect`` with ``iam=True``.

    Which warehouse is told by ``cluster_identifier``, ``serverless_work_group`` or ``host``. Raises :class:`shiftkey.ConfigError`
    for what would be passed over: keys, passwords, the driver's own identity providers.
    """
    # Binding tells positional arguments by name, and names that the driver does not have.
    signature = inspect.signature(_driver.connect)
    given = dict(signature.bind(*args, **settings).arguments)
    said = {name: value for name, value in given.items() if value is not None and value != signature.parameters[name].default}
    if said.get("iam") is not True:
        raise shiftkey.ConfigError("iam=True is missing", None, "for a password of your own, import redshift_connector itself")
    if said.get("ssl") is False:
        raise shiftkey.ConfigError("ssl=False is refused", None, "TLS is verified in full, always")
    for name, value in said.items():
        # False and an empty list are the driver's own defaults for what it has no default in its signature.
        if value and name not in _UNDERSTOOD and name not in _RENAMED and name not in _PASSED:
            raise shiftkey.ConfigError(f"{name} would be passed over", None, _INSTEAD.get(name, "leave it out"))
    overrides = {ours: said[name] for name, ours in _RENAMED.items() if name in said}
    if said.get("group_federation"):
        overrides["mapping"] = "iam"
    if said.get("force_lowercase") and "groups" in overrides:
        overrides["groups"] = [group.lower() for group in overrides["groups"]]
    options = {name: said[name] for name in _PASSED if name in said}
    return shiftkey.connect(_target(said, overrides), "redshift_connector", **options, **overrides)


def _target(said: dict[str, Any], overrides: dict[str, Any]) -> str:
    region = f"@{said['region']}" if "region" in said else ""
    if said.get("is_serverless") or "serverless_work_group" in said:
        if "serverless_work_group" in said:
            return f"workgroup:{said['serverless_work_group']}{region}"
    elif "cluster_identifier" in said:
        return f"cluster:{said['cluster_identifier']}{region}"
    if "host" in said:
        return str(overrides.pop("host"))
    raise shiftkey.ConfigError("no warehouse is named", None, "say cluster_identifier, serverless_work_group or host")


def __getattr__(name: str) -> Any:
    return getattr(_driver, name)
