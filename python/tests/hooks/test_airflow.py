"""Airflow's connection type and hook, found through the entry point of the wheel that is installed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import psycopg
import pytest
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers_manager import ProvidersManager
from airflow.sdk import Connection
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime
from conftest import Sandbox
from contract import TARGET, Contract, issued

import shiftkey
from shiftkey.airflow.hook import ShiftkeyHook


@pytest.fixture(autouse=True)
def warehouse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHIFTKEY_DEFAULT", json.dumps({"conn_type": "shiftkey", "host": TARGET}))


def hook(**said: Any) -> ShiftkeyHook:
    """The hook of a connection with these fields."""
    return ShiftkeyHook(connection=Connection(conn_id="warehouse", conn_type="shiftkey", **{"host": TARGET, **said}))


class TestAirflow(Contract):
    refusal = psycopg.OperationalError

    def who(self) -> str:
        return str(ShiftkeyHook().get_first("select current_user")[0])

    def objects(self) -> Iterable[object]:
        found = ShiftkeyHook()
        return [found, found.connection, found.get_uri(), found.sqlalchemy_url, found.get_sqlalchemy_engine(), found.get_conn()]


def test_airflow_finds_the_connection_type_and_its_form() -> None:
    found = ProvidersManagerTaskRuntime().hooks["shiftkey"]
    assert found is not None and found.hook_class_name == "shiftkey.airflow.hook.ShiftkeyHook"
    assert found.hook_name == "Amazon Redshift (shiftkey)" and found.package_name == "shiftkey"
    behaviour = ProvidersManager()._field_behaviours_from_metadata["shiftkey"]
    assert behaviour["relabeling"]["host"] == "Target" and "password" in behaviour["hidden_fields"]


def test_a_connection_may_be_a_uri(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "shiftkey://alice@prod%2Fanalytics/dev?driver=psycopg2&application_name=mine")
    found = ShiftkeyHook("warehouse")
    assert found.get_first("select current_database() || current_setting('application_name')") == ("devmine",)
    assert isinstance(found.connection.get_hook(), ShiftkeyHook)
    with found.get_sqlalchemy_engine().connect() as connection:
        assert connection.exec_driver_sql("show application_name").scalar() == "mine"


def test_operators_find_the_hook_by_the_type_of_the_connection(sandbox: Sandbox) -> None:
    operator = SQLExecuteQueryOperator(task_id="ask", conn_id="shiftkey_default", sql="select current_user")
    assert operator.execute({}) == [("alice",)]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "redshift_connector"])
@pytest.mark.filterwarnings("ignore:pandas only supports SQLAlchemy")
def test_a_hook_reads_and_writes(sandbox: Sandbox, driver: str) -> None:
    found = hook(extra=json.dumps({"driver": driver}))
    assert found.get_records("select n from generate_series(1, 3) n order by n")[2][0] == 3
    assert found.get_df("select n from generate_series(1, 3) n")["n"].sum() == 6
    found.run(["create table written (a int)", "insert into written values (1)"], autocommit=True)
    found.insert_rows("written", [(2,), (3,)], target_fields=["a"])
    assert found.get_first("select sum(a) from written")[0] == 6
    found.run("drop table written", autocommit=True)
    assert found.test_connection() == (True, "Connection successfully tested")


def test_an_engine_outlives_the_credential(sandbox: Sandbox) -> None:
    engine = ShiftkeyHook().get_sqlalchemy_engine({"pool_size": 1, "connect_args": {"application_name": "mine"}})
    for _ in range(3):
        with engine.connect() as connection:
            assert connection.exec_driver_sql("show application_name").scalar() == "mine"
            connection.invalidate()
        sandbox.advance("1h")
    assert issued(sandbox) == 3


def test_login_schema_and_extra_say_which_credential(sandbox: Sandbox) -> None:
    with pytest.raises(shiftkey.DeniedError):
        hook(login="nobody").get_conn()
    with pytest.raises(psycopg.OperationalError, match="nowhere"):
        hook(schema="nowhere").get_conn()
    with pytest.raises(shiftkey.DeniedError):
        hook(extra=json.dumps({"groups": ["admins"]})).get_conn()


@pytest.mark.parametrize(
    "said, wrong",
    [
        ({"password": "secret"}, "password would be passed over"),
        ({"port": 5439}, "port would be passed over"),
        ({"host": None}, "names no target"),
        ({"extra": '{"password": "secret"}'}, "the target decides that"),
    ],
)
def test_what_would_be_passed_over_is_refused(said: dict[str, Any], wrong: str) -> None:
    for use in (hook(**said).get_conn, hook(**said).get_uri, hook(**said).get_sqlalchemy_engine):
        with pytest.raises(shiftkey.ConfigError, match=wrong) as caught:
            use()
        assert "secret" not in str(caught.value)
