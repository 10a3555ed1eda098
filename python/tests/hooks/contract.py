"""What every hook must hold, whatever its framework: inherited by the class of each hook, which says how it connects."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import Any

import pytest
from conftest import Sandbox

import shiftkey

TARGET = "prod/analytics"


def issued(sandbox: Sandbox) -> int:
    """How many credentials AWS has issued. A call that it refuses for its date, since the clock was moved, is made again."""
    return sandbox.calls(outcome="ok")


class Contract:
    #: What the driver raises when the warehouse refuses it.
    refusal: Any

    def who(self) -> str:
        """Opens a new connection through the hook, and asks it who has signed in."""
        raise NotImplementedError

    def objects(self) -> Iterable[object]:
        """What the framework keeps, and may show."""
        return ()

    def credential(self) -> shiftkey.Credential:
        """What the hook signs in with."""
        return shiftkey.credential(TARGET)

    def test_signs_in_as_the_issued_user(self, sandbox: Sandbox) -> None:
        assert self.who() == "alice"

    def test_fifty_connections_make_one_call(self, sandbox: Sandbox) -> None:
        before = issued(sandbox)
        assert {self.who() for _ in range(50)} == {"alice"}
        assert issued(sandbox) == before + 1

    def test_what_has_expired_is_replaced_once(self, sandbox: Sandbox) -> None:
        self.who()
        before = issued(sandbox)
        sandbox.advance("1h")
        assert self.who() == "alice"
        assert self.who() == "alice"
        assert issued(sandbox) == before + 1

    def test_what_was_revoked_is_replaced_once(self, sandbox: Sandbox) -> None:
        self.who()
        before = issued(sandbox)
        sandbox.revoke()
        assert self.who() == "alice"
        assert self.who() == "alice"
        assert issued(sandbox) == before + 1

    def test_a_lasting_refusal_is_the_drivers_own_error_after_one_more_try(self, sandbox: Sandbox) -> None:
        self.who()
        handed_out = [self.credential()]
        sandbox.revoke()
        sandbox.fault("GetClusterCredentials:expire-early=0s")
        before = issued(sandbox)
        with pytest.raises(self.refusal) as caught:
            self.who()
        assert issued(sandbox) == before + 1
        assert "expired" in str(caught.value)
        handed_out.append(self.credential())
        told = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        assert [credential for credential in handed_out if credential.db_password in told] == []

    def test_what_is_kept_does_not_show_the_password(self, sandbox: Sandbox) -> None:
        self.who()
        password = self.credential().db_password
        for thing in self.objects():
            assert password not in f"{thing!r} {thing} {getattr(thing, '__dict__', '')}"
