"""What is written in Rust."""

from collections.abc import Callable
from datetime import datetime
from os import PathLike
from typing import Any, ClassVar, NoReturn, final

from typing_extensions import Self, Unpack, disjoint_base

from shiftkey._options import Overrides
from shiftkey._password import Password

__all__ = ["Credential", "Session", "Task", "__version__"]

__version__: str

@final
class Credential:
    """A temporary database credential, and where to sign in with it. Immutable; not pickled."""

    @property
    def db_user(self) -> str:
        """The database user as AWS returned it, prefix (``IAM:``, ``IAMA:``, ``IAMR:``) and all."""

    @property
    def db_password(self) -> Password:
        """The temporary password."""

    @property
    def expiration(self) -> datetime:
        """Until when it opens a connection, in UTC. Open connections outlive it."""

    @property
    def host(self) -> str:
        """Where to dial."""

    @property
    def port(self) -> int:
        """TCP port."""

    @property
    def database(self) -> str:
        """The database that it was issued for."""

    @property
    def target(self) -> str:
        """The target's name."""

    @property
    def cached(self) -> bool:
        """Whether no call to AWS was made for it."""

    @property
    def server_name(self) -> str | None:
        """The name to verify when it is not the host's."""

    @property
    def ca_file(self) -> str | None:
        """The file of certificate authorities to verify with: the target's, else ``SSL_CERT_FILE``, else the system's."""

    @property
    def named_ca_file(self) -> str | None:
        """The same, only where the target names it."""

    def libpq_address(self) -> tuple[str, str | None]:
        """libpq's ``host`` (the name to verify) and ``hostaddr`` (what is dialled, where that differs)."""

    def connect_kwargs(self, driver: str) -> dict[str, Any]:
        """What ``driver``'s own ``connect`` takes to sign in with it, TLS verified."""

    def refused(self) -> bool:
        """Signs in with it and hangs up: whether the warehouse refuses it as stale. Raises what stands in the way of knowing."""

    def reject(self) -> None:
        """Forgets it, if it is still the one that is handed out: the next call has a new one."""

    def relocated(self) -> Credential | None:
        """The same credential where the warehouse listens now, if AWS says that it has moved; else None."""

    def __reduce__(self) -> NoReturn: ...

@disjoint_base
class Session:
    """What :class:`shiftkey.Session` is made of."""

    options: ClassVar[list[str]]

    def __new__(
        cls,
        *,
        config: str | PathLike[str] | None = None,
        cache: bool = True,
        mfa_code: Callable[[str], str] | None = None,
        **overrides: Unpack[Overrides],
    ) -> Self: ...
    def credential(self, target: str, /, **overrides: Unpack[Overrides]) -> Credential:
        """As :func:`shiftkey.credential`."""

    def start_credential(
        self,
        settle: Callable[[Credential | None, BaseException | None], object],
        target: str,
        /,
        **overrides: Unpack[Overrides],
    ) -> tuple[Credential | None, Task | None]:
        """As `credential`, for an event loop: the task calls ``settle(result, exception)`` from another thread. What the cache has is returned at once instead."""

    def url(self, target: str, /, format: str = "jdbc", **overrides: Unpack[Overrides]) -> str:
        """As :func:`shiftkey.url`."""

    def __reduce__(self) -> NoReturn: ...

@final
class Task:
    """What was started for an event loop."""

    def cancel(self) -> None:
        """Ends it, if it has not ended."""
