"""A password that is not shown by accident."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Password(str):
    """A text whose `repr` is a fixed mark and that cannot be pickled.

    Drivers take it as the string that it is. Tracebacks with local variables, debuggers and logs of argument lists show
    `repr`, and so the mark. Formatting (`f"{password}"`) gives the text: that is asking for it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a password is not pickled; ask for a credential where it is needed")
