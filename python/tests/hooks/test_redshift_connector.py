"""Amazon's driver in its place, and awswrangler, which takes its connections."""

from __future__ import annotations

import inspect
from typing import Any

import awswrangler
import pytest
import redshift_connector as driver
from conftest import Sandbox
from contract import TARGET, Contract

import shiftkey
from shiftkey import redshift_connector
from shiftkey.awswrangler import connect_temp

LOGIN: dict[str, Any] = {
    "iam": True,
    "cluster_identifier": "analytics",
    "region": "us-east-1",
    "db_user": "alice",
    "database": "dev",
}


def user(connection: Any) -> str:
    try:
        return str(connection.cursor().execute("select current_user").fetchone()[0])
    finally:
        connection.close()


class OfTheCluster(Contract):
    refusal = driver.InterfaceError

    def credential(self) -> shiftkey.Credential:
        return shiftkey.credential("cluster:analytics@us-east-1", db_user="alice", database="dev", region="us-east-1")


class TestDriver(OfTheCluster):
    def who(self) -> str:
        return user(redshift_connector.connect(**LOGIN))


class TestAwswrangler(OfTheCluster):
    def who(self) -> str:
        return user(connect_temp("analytics", "alice", "dev", region="us-east-1"))


def test_the_connection_and_the_module_are_the_drivers_own(sandbox: Sandbox) -> None:
    connection = redshift_connector.connect(**LOGIN, application_name="mine", timeout=60)
    assert isinstance(connection, driver.Connection)
    assert connection.cursor().execute("show application_name").fetchone() == ["mine"]
    connection.close()
    assert redshift_connector.paramstyle == driver.paramstyle and redshift_connector.Error is driver.Error


def test_a_host_is_dialled_as_it_is_and_positional_arguments_are_told_by_name(sandbox: Sandbox) -> None:
    credential = shiftkey.credential(TARGET)
    looked_up = sandbox.calls("DescribeClusters")
    settings = {"iam": True, "cluster_identifier": "analytics", "region": "us-east-1", "db_user": "alice"}
    # user, database, password, port, host
    assert user(redshift_connector.connect(None, "dev", None, credential.port, credential.host, **settings)) == "alice"
    assert sandbox.calls("DescribeClusters") == looked_up


def test_a_workgroup_is_reached_by_its_name(sandbox: Sandbox) -> None:
    connection = redshift_connector.connect(
        iam=True, is_serverless=True, serverless_work_group="adhoc", region="us-east-1", database="dev"
    )
    assert user(connection) == "IAM:alice"


@pytest.mark.parametrize(
    "extra, said",
    [
        ({"iam": False}, "iam=True is missing"),
        ({"ssl": False}, "ssl=False"),
        ({"user": "me"}, "user would"),
        ({"password": "secret"}, "password would"),
        ({"access_key_id": "AKIA", "secret_access_key": "secret"}, "access_key_id would"),
        ({"session_token": "secret"}, "session_token would"),
        ({"credentials_provider": "OktaCredentialsProvider"}, "credentials_provider would"),
        ({"iam_disable_cache": True}, "iam_disable_cache would"),
        ({"allow_db_user_override": True}, "allow_db_user_override would"),
        ({"unix_sock": "/tmp/x"}, "unix_sock would"),
        ({"endpoint_url": "http://x"}, "endpoint_url would"),
        ({"cluster_identifier": None}, "no warehouse is named"),
    ],
)
def test_what_would_be_passed_over_is_refused(sandbox: Sandbox, extra: dict[str, Any], said: str) -> None:
    with pytest.raises(shiftkey.ConfigError, match=said) as caught:
        redshift_connector.connect(**{**LOGIN, **extra})
    assert "secret" not in str(caught.value).replace("secret_access_key", "")


def test_each_argument_of_the_driver_is_used_or_refused(sandbox: Sandbox) -> None:
    """Also those that a later version has: none is lost without a word."""
    known = {*redshift_connector._PASSED, *redshift_connector._RENAMED, *redshift_connector._UNDERSTOOD}
    for name in inspect.signature(driver.connect).parameters:
        if name not in known:
            with pytest.raises(shiftkey.ConfigError, match=f"{name} would be passed over"):
                redshift_connector.connect(**{**LOGIN, name: "something"})
    with pytest.raises(TypeError, match="invented"):
        redshift_connector.connect(**LOGIN, invented="something")


def test_what_is_the_drivers_default_may_be_said(sandbox: Sandbox) -> None:
    said = {
        "ssl": True,
        "sslmode": "verify-ca",
        "iam_disable_cache": False,
        "db_groups": [],
        "auto_create": False,
        "is_serverless": False,
    }
    assert user(redshift_connector.connect(**LOGIN, **said)) == "alice"


def test_groups_are_joined_and_lowered(sandbox: Sandbox) -> None:
    connection = redshift_connector.connect(**LOGIN, db_groups=["ANALYSTS"], force_lowercase=True)
    assert user(connection) == "alice"
    with pytest.raises(shiftkey.Error):
        redshift_connector.connect(**LOGIN, db_groups=["admins"])


def test_group_federation_asks_for_the_user_that_iam_names(sandbox: Sandbox) -> None:
    connection = redshift_connector.connect(
        iam=True, cluster_identifier="analytics", database="dev", region="us-east-1", group_federation=True
    )
    assert user(connection) == "IAM:alice"
    assert sandbox.calls("GetClusterCredentialsWithIAM") == 1


def test_the_certificate_is_verified(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHIFTKEY_CA_FILE")
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    with pytest.raises(driver.InterfaceError, match="communication error"):
        redshift_connector.connect(**LOGIN, sslmode="verify-ca")


def test_awswrangler_reads_through_a_connection(sandbox: Sandbox) -> None:
    connection = shiftkey.connect(TARGET, "redshift_connector")
    try:
        frame = awswrangler.redshift.read_sql_query("select n from generate_series(1, 3) n", con=connection)
        assert frame["n"].sum() == 6
    finally:
        connection.close()


def test_connect_temp_refuses_what_would_be_passed_over(sandbox: Sandbox) -> None:
    for said in ({"boto3_session": object()}, {"ssl": False}):
        with pytest.raises(shiftkey.ConfigError, match="passed over"):
            connect_temp("analytics", "alice", "dev", **said)
