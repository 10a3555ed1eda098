"""What the hooks share: where they sign in and as whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from shiftkey import _connect, aio
from shiftkey._session import default

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shiftkey import Credential

T = TypeVar("T")


class Login:
    """A target, and the options of the credential among those that a hook was given. The others are in ``options``.

    ``decided`` are names of the framework's that the target decides: with those that it decides for every driver, they raise
    :class:`shiftkey.ConfigError`.
    """

    def __init__(self, target: str, options: dict[str, Any], *decided: str) -> None:
        options = dict(options)
        self.target = target
        self.session = options.pop("session", None) or default
        self.overrides, self.options = _connect.split(self.session, options, *decided)

    def __repr__(self) -> str:
        return f"Login({self.target!r})"

    def connect(self, driver: str, dial: Callable[..., T]) -> T:
        """What ``dial`` gives for the arguments of ``driver``'s own ``connect``; tried once more where that can help."""

        def sign_in(credential: Credential) -> T:
            try:
                return dial(**_connect.connect_kwargs(credential, driver))
            except Exception as error:  # noqa: BLE001
                raise bare(error)

        return _connect.signed_in(lambda: self.session.credential(self.target, **self.overrides), sign_in)

    async def aconnect(self, driver: str, dial: Callable[..., Awaitable[T]]) -> T:
        """The same for an event loop, which is not blocked."""

        async def sign_in(credential: Credential) -> T:
            try:
                return await dial(**_connect.connect_kwargs(credential, driver))
            except Exception as error:  # noqa: BLE001
                raise bare(error)

        return await aio.signed_in(lambda: self.session.acredential(self.target, **self.overrides), sign_in)


def bare(error: Exception) -> Exception:
    """The driver's error without the driver's frames: those hold the password in clear, in psycopg2's ``dsn`` for one, and are
    shown with their variables by whoever collects errors."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
