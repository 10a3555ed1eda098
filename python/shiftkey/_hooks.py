"""What the hooks share: their options hold a session's too."""

from __future__ import annotations

from typing import Any

from shiftkey import _connect
from shiftkey._session import default

__all__ = ["Login"]


class Login(_connect.Login):
    """With the options of a hook, among which ``session`` may be."""

    def __init__(self, target: str, options: dict[str, Any], *decided: str) -> None:
        options = dict(options)
        super().__init__(options.pop("session", None) or default, target, options, *decided)
