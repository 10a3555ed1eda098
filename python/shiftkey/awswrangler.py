"""awswrangler (AWS SDK for pandas): ``connect_temp`` in its place, through shiftkey's cache::

    import awswrangler as wr
    from shiftkey.awswrangler import connect_temp
    with connect_temp("analytics", user="etl", database="dev") as connection:
        frame = wr.redshift.read_sql_query("select * from sales", con=connection)

For a configured target, ``shiftkey.connect("prod/analytics", "redshift_connector")`` is such a connection too.
"""

from __future__ import annotations

from typing import Any

import shiftkey

__all__ = ["connect_temp"]


def connect_temp(
    cluster_identifier: str,
    user: str,
    database: str | None = None,
    duration: int = 3600,
    auto_create: bool = False,
    db_groups: list[str] | None = None,
    **options: Any,
) -> Any:
    """A ``redshift_connector.Connection``, for the arguments of ``awswrangler.redshift.connect_temp``, which calls AWS twice each time.

    It differs in its defaults: an hour and not 15 minutes, and no user is created. Instead of ``boto3_session`` it takes
    ``profile`` and ``region``. ``options`` are those of the driver and of :func:`shiftkey.credential`.
    """
    for name, instead in {"boto3_session": "say profile or region", "ssl": "TLS is verified in full, always"}.items():
        if options.pop(name, None) not in (None, True):
            raise shiftkey.ConfigError(f"{name} would be passed over", None, instead)
    return shiftkey.connect(
        f"cluster:{cluster_identifier}",
        "redshift_connector",
        db_user=user,
        database=database,
        duration=duration,
        auto_create=auto_create,
        groups=db_groups,
        **options,
    )
