"""What a credential is, what a call may say, and that nothing shows the password."""

from __future__ import annotations

import copy
import datetime
import os
import pickle
import subprocess
import traceback
from pathlib import Path

import pytest

import shiftkey

TARGET = "prod/analytics"


def test_a_credential_has_what_the_command_line_prints(sandbox):
    before = datetime.datetime.now(datetime.timezone.utc)
    credential = shiftkey.credential(TARGET)
    assert (credential.db_user, credential.database, credential.target) == ("IAM:alice", "dev", TARGET)
    assert (credential.host, credential.cached) == ("localhost", False)
    assert credential.port > 0 and len(credential.db_password) > 20
    assert before + datetime.timedelta(minutes=59) < credential.expiration < before + datetime.timedelta(minutes=61)
    assert credential.ca_file == os.environ["SHIFTKEY_CA_FILE"] == credential.named_ca_file
    assert type(credential).__module__ == type(credential.db_password).__module__ == shiftkey.Session.__module__ == "shiftkey"
    with pytest.raises(AttributeError):
        credential.db_user = "admin"


def test_the_cache_is_shared_with_the_command_line(sandbox):
    ours = shiftkey.credential(TARGET)
    printed = subprocess.check_output(["shiftkey", "creds", TARGET], text=True)
    assert f"password  {ours.db_password}\n" in printed
    assert shiftkey.credential(TARGET).cached
    assert sandbox.calls() == 1


def test_the_command_line_comes_in_the_same_wheel(sandbox):
    assert subprocess.check_output(["shiftkey", "--version"], text=True) == f"shiftkey {shiftkey.__version__}\n"


def test_nothing_shows_the_password(sandbox):
    credential = shiftkey.credential(TARGET)
    plain = str(credential.db_password)
    told = credential.connect_kwargs("psycopg")
    for shown in (repr(credential), str(credential), repr(told), str(told), f"{credential}", repr([credential.db_password])):
        assert plain not in shown and "********" in shown
    for secret in (credential, credential.db_password, told, shiftkey.Session()):
        for attempt in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError):
                attempt(secret)


def dial_fails(**settings):
    """As drivers do, it keeps the password in clear."""
    dsn = f"password={settings['password']}"
    raise RuntimeError(f"the driver failed with {len(dsn)} characters")


@pytest.mark.installed
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000", "redshift_connector"])
def test_no_traceback_shows_the_password(sandbox, monkeypatch, driver):
    monkeypatch.setenv("SSL_CERT_FILE", os.environ["SHIFTKEY_CA_FILE"])
    monkeypatch.setattr("pg8000.dbapi.connect" if driver == "pg8000" else f"{driver}.connect", dial_fails)
    shown = told_with_locals(driver)
    assert "the driver failed with" in shown
    assert str(shiftkey.credential(TARGET).db_password) not in shown


def told_with_locals(driver):
    try:
        shiftkey.connect(TARGET, driver)
    except RuntimeError as error:
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"database": "sales"}, {"database": "sales"}),
        ({"host": "127.0.0.1", "port": 5439}, {"host": "127.0.0.1", "port": 5439}),
        ({"server_name": "example.test"}, {"server_name": "example.test"}),
        ({"ca_file": Path("/tmp/ca.pem")}, {"named_ca_file": "/tmp/ca.pem"}),
        ({"db_user": None, "groups": None, "port": None}, {"db_user": "IAM:alice"}),
        ({"groups": ("analysts",)}, {}),
        ({"mapping": "user", "auto_create": False}, {}),
    ],
)
def test_options(sandbox, said, expected):
    credential = shiftkey.credential(TARGET, **said)
    assert {name: getattr(credential, name) for name in expected} == expected
    assert sandbox.calls(outcome="ok") == 1


@pytest.mark.parametrize("span", ["15m", 900, 900.0, datetime.timedelta(minutes=15)])
def test_a_duration_is_a_text_a_number_or_a_timedelta(sandbox, span):
    left = shiftkey.credential(TARGET, duration=span).expiration - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(minutes=14) < left < datetime.timedelta(minutes=16)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"groups": "analysts"}, "groups is not a list of names"),
        ({"groups": [1]}, "groups is not a list of names"),
        ({"port": 70000}, "port is not a port number"),
        ({"port": "5439"}, "port is not a port number"),
        ({"duration": 1.5}, "duration is not a number of seconds"),
        ({"duration": -900}, "duration is not a number of seconds"),
        ({"duration": "soon"}, "soon"),
        ({"auto_create": "yes"}, "auto_create is not True or False"),
        ({"mapping": "role"}, "mapping is not 'user' or 'iam'"),
        ({"db_user": 7}, "db_user is not a string"),
        ({"user": "alice"}, "there is no option 'user'"),
    ],
)
def test_options_that_are_refused(sandbox, said, message):
    with pytest.raises(shiftkey.ConfigError, match=message):
        shiftkey.credential(TARGET, **said)
    with pytest.raises(shiftkey.ConfigError, match=message):
        shiftkey.Session(**said).credential(TARGET)
    assert sandbox.calls() == 0


def test_a_call_says_more_than_its_session(sandbox):
    session = shiftkey.Session(database="sales", port=1234)
    assert (session.credential(TARGET).database, session.credential(TARGET).port) == ("sales", 1234)
    assert session.credential(TARGET, database="dev").database == "dev"
    assert shiftkey.credential(TARGET, session=session).database == "sales"


def test_the_environment_counts_as_it_is_at_the_call(sandbox, monkeypatch):
    assert shiftkey.credential(TARGET).db_user == "IAM:alice"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "etl")
    assert shiftkey.credential(TARGET).db_user == "IAM:etl"


def test_a_session_can_do_without_files(sandbox, tmp_path):
    session = shiftkey.Session(cache=False)
    first, second = session.credential(TARGET), session.credential(TARGET)
    assert first.db_password == second.db_password
    assert list((tmp_path / "cache").iterdir()) == []
    assert sandbox.calls() == 1


def test_a_session_reads_the_file_that_it_is_told(sandbox, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(
        '[environments.one]\n[targets."one/only"]\ncluster = "analytics"\nregion = "us-east-1"\ndatabase = "dev"\ndb_user = "alice"\n'
    )
    assert shiftkey.Session(config=file).credential("one/only").target == "one/only"
    with pytest.raises(shiftkey.NoSuchTargetError):
        shiftkey.Session(config=str(file)).credential(TARGET)


def test_who_signs_in_by_mfa_is_asked_by_the_sessions_function(sandbox, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(shiftkey.IdentityError, match="MFA"):
        shiftkey.credential(TARGET, profile="mfa", db_user="alice")
    asked = []
    session = shiftkey.Session(profile="mfa", db_user="alice", mfa_code=lambda device: asked.append(device) or "123456")
    assert session.credential(TARGET).db_user
    assert len(asked) == 1 and "mfa/alice" in asked[0]

    def fails(device):
        raise LookupError("nobody is there")

    with pytest.raises(shiftkey.NoIdentityError, match="nobody is there"):
        shiftkey.Session(profile="mfa", db_user="alice", mfa_code=fails, cache=False).credential(TARGET)


@pytest.mark.parametrize(
    ("format", "start"),
    [("jdbc", "jdbc:redshift://localhost:"), ("uri", "postgresql://IAM%3Aalice:"), ("keyword", "host='localhost'")],
)
def test_a_url_is_the_command_lines(sandbox, format, start):
    url = shiftkey.url(TARGET, format)
    assert url.startswith(start)
    assert subprocess.check_output(["shiftkey", "url", TARGET, "--format", format], text=True) == f"{url}\n"
    assert sandbox.calls() == 1


def test_a_format_that_does_not_exist(sandbox):
    with pytest.raises(shiftkey.ConfigError, match="'xml' is not a format") as caught:
        shiftkey.url(TARGET, "xml")
    assert "jdbc" in caught.value.hint
