"""What can go wrong, as exceptions named after what the caller should do next."""

from __future__ import annotations

__all__ = [
    "ClientMissingError",
    "ConfigError",
    "DeniedError",
    "Error",
    "IdentityError",
    "IdentityExpiredError",
    "LoginRefusedError",
    "NoIdentityError",
    "NoSuchTargetError",
    "ThrottledError",
    "TransientError",
    "UnexpectedError",
    "UnreachableError",
]


class Error(Exception):
    """Everything that shiftkey raises. Holds no secret, and can be pickled."""

    #: The stable name of the kind, as `shiftkey --json` prints it.
    kind: str = "unexpected"

    #: What happened, in one line, without the target.
    message: str
    #: The target, when the failure concerns one.
    target: str | None
    #: What to do next, when there is something to say. May have several lines.
    hint: str | None
    #: The warehouse's SQLSTATE, when the warehouse said no.
    sqlstate: str | None

    def __init__(
        self,
        message: str,
        target: str | None = None,
        hint: str | None = None,
        sqlstate: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.target = target
        self.hint = hint
        self.sqlstate = sqlstate

    def __str__(self) -> str:
        told = f"{self.target}: {self.message}" if self.target else self.message
        return f"{told}\nhint: {self.hint}" if self.hint else told


class ClientMissingError(Error):
    """The driver or program that was asked for is not installed."""

    kind = "client_missing"


class ConfigError(Error):
    """A name, option or file is wrong; trying again changes nothing."""

    kind = "config"


class DeniedError(Error):
    """AWS knows who asks and says no. The hint holds the policy statement to add."""

    kind = "denied"


class IdentityError(Error):
    """There is no AWS identity that can be used."""

    kind = "no_identity"


class NoIdentityError(IdentityError):
    """No AWS identity was found."""

    kind = "no_identity"


class IdentityExpiredError(IdentityError):
    """The AWS identity was there and has run out."""

    kind = "identity_expired"


class LoginRefusedError(Error):
    """The warehouse refused the login."""

    kind = "login_refused"


class NoSuchTargetError(Error):
    """The cluster, workgroup or configured target does not exist."""

    kind = "no_such_target"


class TransientError(Error):
    """The same call may succeed later with nothing changed."""

    kind = "unreachable"


class ThrottledError(TransientError):
    """AWS asks to slow down; try again later."""

    kind = "throttled"


class UnreachableError(TransientError):
    """AWS or the warehouse could not be reached; try again later."""

    kind = "unreachable"


class UnexpectedError(Error):
    """Something that should not happen."""

    kind = "unexpected"
