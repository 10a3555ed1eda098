"""The options of a call, for type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from os import PathLike
    from typing import Literal

__all__ = ["Overrides"]


class Overrides(TypedDict, total=False):
    """The keywords of :func:`shiftkey.credential`. None is as if it were not given."""

    db_user: str | None
    database: str | None
    groups: Iterable[str] | None
    auto_create: bool | None
    duration: str | float | timedelta | None
    min_remaining: str | float | timedelta | None
    mapping: Literal["user", "iam"] | None
    host: str | None
    port: int | None
    server_name: str | None
    ca_file: str | PathLike[str] | None
    profile: str | None
    region: str | None
