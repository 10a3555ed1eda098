"""What the hooks share."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest
from conftest import Sandbox
from contract import TARGET

import shiftkey
from shiftkey._hooks import Login


def dial(**decided: Any) -> Any:
    """A driver that keeps the password in clear where it fails, twice."""
    dsn = f"password={decided['password']}"
    try:
        raise KeyError("first")
    except KeyError:
        raise LookupError(f"then, with a text of {len(dsn)}") from None


async def adial(**decided: Any) -> Any:
    return dial(**decided)


def test_a_drivers_failure_does_not_carry_the_password(sandbox: Sandbox) -> None:
    login = Login(TARGET, {})
    for fail in (lambda: login.connect("psycopg2", dial), lambda: asyncio.run(login.aconnect("asyncpg", adial))):
        with pytest.raises(LookupError, match="then") as caught:
            fail()
        told = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        assert shiftkey.credential(TARGET).db_password not in told
        assert caught.value.__context__ is None


def test_options_are_parted_and_a_session_is_used(sandbox: Sandbox) -> None:
    login = Login(TARGET, {"session": shiftkey.Session(db_user="nobody"), "database": "dev", "pool_size": 1})
    assert (login.overrides, login.options) == ({"database": "dev"}, {"pool_size": 1})
    for fail in (lambda: login.connect("psycopg2", dial), lambda: asyncio.run(login.aconnect("asyncpg", adial))):
        with pytest.raises(shiftkey.DeniedError):
            fail()


def test_what_the_target_decides_is_refused() -> None:
    for options in ({"password": "secret"}, {"sslmode": "disable"}, {"connect": None}):
        with pytest.raises(shiftkey.ConfigError, match="the target decides that") as caught:
            Login(TARGET, options, "connect")
        assert "secret" not in str(caught.value)
