"""Drivers are signed in, and what fails because a credential or an address is out of date is tried once more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import pytest

import shiftkey
from shiftkey import _connect

psycopg = pytest.importorskip("psycopg")
pytestmark = pytest.mark.installed

TARGET = "prod/analytics"
DRIVERS = ["psycopg", "psycopg2", "pg8000", "redshift_connector", "asyncpg", "psycopg async"]


def who(driver, **options):
    """Signs in and asks who is in."""
    name, _, is_async = driver.partition(" ")
    if name == "asyncpg" or is_async:
        return asyncio.run(who_async(name, **options))
    with contextlib.closing(shiftkey.connect(TARGET, name, **options)) as connection:
        cursor = connection.cursor()
        cursor.execute("select current_user")
        return cursor.fetchone()[0]


async def who_async(name, **options):
    connection = await shiftkey.aio.connect(TARGET, name, **options)
    try:
        if name == "asyncpg":
            return await connection.fetchval("select current_user")
        return (await (await connection.execute("select current_user")).fetchone())[0]
    finally:
        await connection.close()


@pytest.fixture(autouse=True)
def trusted(monkeypatch):
    # redshift_connector takes its CA file from here only.
    monkeypatch.setenv("SSL_CERT_FILE", os.environ["SHIFTKEY_CA_FILE"])


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_driver_signs_in(sandbox, driver):
    assert [who(driver) for _ in range(3)] == ["alice"] * 3
    assert sandbox.calls() == 1


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_credential_that_was_revoked_is_replaced(sandbox, driver):
    assert who(driver) == "alice"
    sandbox.revoke()
    assert [who(driver) for _ in range(3)] == ["alice"] * 3
    assert sandbox.calls() == 2


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_credential_that_has_expired_there_is_replaced(sandbox, driver):
    assert who(driver) == "alice"
    sandbox.advance("2h")
    assert [who(driver) for _ in range(3)] == ["alice"] * 3
    assert sandbox.calls(outcome="ok") == 2


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_warehouse_that_moved_is_found(sandbox, driver):
    assert who(driver) == "alice"
    sandbox.move()
    assert [who(driver) for _ in range(3)] == ["alice"] * 3
    assert (sandbox.calls(), sandbox.calls("DescribeClusters")) == (1, 2)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_refusal_that_lasts_is_tried_once_more_and_told_in_the_drivers_words(sandbox, driver):
    assert who(driver) == "alice"
    sandbox.fault("GetClusterCredentials:expire-early=0s")
    sandbox.revoke()
    with pytest.raises(Exception) as caught:
        who(driver)
    assert type(caught.value).__module__.split(".")[0] == driver.partition(" ")[0]
    assert sandbox.calls() == 2


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_credential_that_was_issued_just_now_is_not_tried_again(sandbox, driver):
    sandbox.fault("GetClusterCredentials:expire-early=0s")
    with pytest.raises(Exception, match="(?i)expired|authentication"):
        who(driver)
    assert sandbox.calls() == 1


def test_what_is_no_fault_of_the_credential_is_not_tried_again(sandbox):
    assert who("psycopg") == "alice"
    dialled = []

    def dial(credential):
        dialled.append(credential)
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        _connect.signed_in(lambda: shiftkey.credential(TARGET), dial)
    with pytest.raises(psycopg.OperationalError, match="nodb"):
        # The warehouse refuses it for another reason.
        _connect.signed_in(
            lambda: shiftkey.credential(TARGET),
            lambda credential: psycopg.connect(**{**credential.connect_kwargs("psycopg"), "dbname": "nodb"}),
        )
    assert len(dialled) == 1 and sandbox.calls() == 1


def test_only_the_one_that_is_handed_out_is_rejected(sandbox):
    old = shiftkey.credential(TARGET)
    old.reject()
    new = shiftkey.credential(TARGET)
    assert not new.cached
    old.reject()
    assert shiftkey.credential(TARGET).db_password == new.db_password
    assert sandbox.calls() == 2


def test_whether_it_is_refused_can_be_asked(sandbox, monkeypatch):
    credential = shiftkey.credential(TARGET)
    assert credential.refused() is False
    sandbox.revoke()
    assert credential.refused() is True
    with pytest.raises(shiftkey.UnreachableError):
        shiftkey.credential(TARGET, host="127.0.0.1", port=1).refused()


@pytest.mark.parametrize(
    "name",
    ["user", "password", "sslmode", "sslrootcert", "ssl", "ssl_context", "dbname", "dsn", "conninfo", "hostaddr", "service"],
)
def test_what_the_target_decides_cannot_be_said(sandbox, name):
    with pytest.raises(shiftkey.ConfigError, match=f"{name}: the target decides that"):
        shiftkey.connect(TARGET, **{name: "x"})
    assert sandbox.calls() == 0


def test_other_options_are_the_drivers(sandbox):
    with shiftkey.connect(TARGET, db_user="alice", autocommit=True, application_name="nightly") as connection:
        assert connection.autocommit
        assert connection.execute("show application_name").fetchone() == ("nightly",)
    with pytest.raises(psycopg.ProgrammingError):
        shiftkey.connect(TARGET, no_such_option=1)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000", "asyncpg"])
def test_a_certificate_that_is_not_trusted_is_refused(sandbox, driver):
    with pytest.raises(Exception, match="(?i)certificate"):
        who(driver, ca_file="/etc/ssl/certs/ca-certificates.crt")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000", "redshift_connector", "asyncpg"])
def test_a_certificate_for_another_name_is_refused(sandbox, driver, monkeypatch):
    """The same place by a name that its certificate does not have: libpq can be told so, the others look it up."""
    port = shiftkey.credential(TARGET).port
    elsewhere = {"host": "127.0.0.1", "server_name": "example.test"}
    if not driver.startswith("psycopg"):
        elsewhere = {"host": "example.test"}
        look_up = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: look_up("127.0.0.1", *rest, **more))
    with pytest.raises(Exception, match="(?i)certificate"):
        who(driver, port=port, **elsewhere)


def test_a_certificate_that_is_not_trusted_is_refused_by_redshift_connector(sandbox, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    with pytest.raises(shiftkey.ConfigError, match="cannot be told a CA file"):
        who("redshift_connector")
    monkeypatch.setenv("SHIFTKEY_CA_FILE", "/etc/ssl/certs/ca-certificates.crt")
    with pytest.raises(Exception, match="(?i)certificate"):
        who("redshift_connector")


def test_another_name_can_be_verified_than_is_dialled_with_libpq_alone(sandbox):
    named = {"host": "127.0.0.1", "port": shiftkey.credential(TARGET).port, "server_name": "analytics.example.test"}
    assert who("psycopg", **named) == who("psycopg2", **named) == "alice"
    for driver in ("pg8000", "redshift_connector", "asyncpg"):
        with pytest.raises(shiftkey.ConfigError, match="verify the name"):
            who(driver, **named)


def test_sqlstates_are_found_in_every_drivers_errors():
    class Asyncpg(Exception):
        sqlstate = "28000"

    class Psycopg2(Exception):
        pgcode = "28P01"

    for error, expected in [
        (Asyncpg(), "28000"),
        (Psycopg2(), "28P01"),
        (Exception({"S": "FATAL", "C": "28000", "M": "no"}), "28000"),
        (Exception({"M": "no"}), None),
        (Exception(), None),
        (psycopg.OperationalError("FATAL:  no"), None),
    ]:
        assert _connect.sqlstate(error) == expected
