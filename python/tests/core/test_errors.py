"""Each kind of failure has its class, and the class says what to do next."""

from __future__ import annotations

import pickle
import socket

import pytest

import shiftkey
from shiftkey import _connect, _errors

TARGET = "prod/analytics"

#: Class, its base, its kind.
KINDS = [
    ("ClientMissingError", "Error", "client_missing"),
    ("ConfigError", "Error", "config"),
    ("DeniedError", "Error", "denied"),
    ("IdentityExpiredError", "IdentityError", "identity_expired"),
    ("LoginRefusedError", "Error", "login_refused"),
    ("NoIdentityError", "IdentityError", "no_identity"),
    ("NoSuchTargetError", "Error", "no_such_target"),
    ("ThrottledError", "TransientError", "throttled"),
    ("UnexpectedError", "Error", "unexpected"),
    ("UnreachableError", "TransientError", "unreachable"),
]


def test_the_classes_are_these():
    bases = {"Error", "IdentityError", "TransientError"}
    assert set(_errors.__all__) == bases | {name for name, _, _ in KINDS}
    for name, base, kind in KINDS:
        found = getattr(shiftkey, name)
        assert found.__bases__ == (getattr(shiftkey, base),) and found.kind == kind, name
        assert found.__doc__ and found.__module__ == "shiftkey"


def test_an_error_tells_all_and_is_pickled():
    error = shiftkey.DeniedError("AWS says no", "prod/analytics", "ask for\nmore", "28000")
    assert str(error) == "prod/analytics: AWS says no\nhint: ask for\nmore"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is shiftkey.DeniedError
    assert (again.message, again.target, again.hint, again.sqlstate, again.kind) == (
        "AWS says no",
        "prod/analytics",
        "ask for\nmore",
        "28000",
        "denied",
    )
    assert str(shiftkey.Error("so")) == "so"


def test_a_target_that_does_not_exist(sandbox):
    with pytest.raises(shiftkey.NoSuchTargetError) as caught:
        shiftkey.credential("prod/nowhere")
    assert caught.value.target == "prod/nowhere" and "shiftkey targets" in caught.value.hint


def test_a_denial_names_the_statement_to_add(sandbox):
    sandbox.fault("GetClusterCredentials:deny")
    with pytest.raises(shiftkey.DeniedError) as caught:
        shiftkey.credential(TARGET)
    assert caught.value.target == TARGET and "redshift:GetClusterCredentials" in str(caught.value)


def test_no_identity(sandbox, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    with pytest.raises(shiftkey.NoIdentityError) as caught:
        shiftkey.credential(TARGET)
    assert isinstance(caught.value, shiftkey.IdentityError) and caught.value.hint


def test_throttled_to_the_end(sandbox):
    # The first answer asks to wait for longer than anybody waits.
    sandbox.fault("GetClusterCredentials:throttle,retry-after=600s")
    with pytest.raises(shiftkey.ThrottledError) as caught:
        shiftkey.credential(TARGET)
    assert isinstance(caught.value, shiftkey.TransientError)


def test_aws_out_of_reach(sandbox, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(shiftkey.UnreachableError):
            shiftkey.credential("cluster:analytics", db_user="alice", region="us-east-1")


def test_a_driver_that_is_not_installed(sandbox, monkeypatch):
    monkeypatch.setitem(_connect.PACKAGES, "no_driver", "no-driver")
    with pytest.raises(shiftkey.ClientMissingError, match="no_driver is not installed") as caught:
        shiftkey.connect(TARGET, "no_driver")
    assert caught.value.hint == "pip install 'no-driver'"


def test_a_driver_that_is_not_known(sandbox):
    with pytest.raises(shiftkey.ConfigError, match="'mysql' is not a driver") as caught:
        shiftkey.connect(TARGET, "mysql")
    assert "psycopg2" in caught.value.hint
