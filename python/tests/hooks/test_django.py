"""Django's database backend: `shiftkey.django` here, and `shiftkey.django.redshift` where BACKEND names it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django
import pytest
from conftest import Sandbox
from contract import TARGET, Contract, issued
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models
from django.db.utils import OperationalError

import shiftkey

BACKEND = os.environ.get("BACKEND", "shiftkey.django")
DEFAULT: dict[str, Any] = {"ENGINE": BACKEND, "NAME": TARGET}

settings.configure(DATABASES={"default": DEFAULT}, USE_TZ=True)
django.setup()


def database(**changes: Any) -> Any:
    """A connection as Django makes it, with other settings."""
    connection = connections.create_connection("default")
    connection.settings_dict = {**connection.settings_dict, **changes}
    return connection


def ask(connection: Any, query: str = "select current_user") -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


class TestDjango(Contract):
    refusal = OperationalError

    def who(self) -> str:
        connection = database()
        try:
            return str(ask(connection))
        finally:
            connection.close()

    def objects(self) -> Iterable[object]:
        connection = database()
        connection.ensure_connection()
        yield from (connection, connection.settings_dict, connection.get_connection_params(), connection.connection)
        connection.close()


class Sale(models.Model):
    amount = models.IntegerField()

    class Meta:
        app_label = "shop"
        managed = False
        db_table = "sales"


@pytest.fixture
def sales() -> Iterator[None]:
    with connections["default"].cursor() as cursor:
        cursor.execute("create temporary table sales (id int, amount int)")
        cursor.execute("insert into sales values (1, 10), (2, 20)")
    yield
    connections["default"].close()


@pytest.mark.filterwarnings("ignore:The usage of DatabaseOperations.field_cast_sql")  # of django-redshift-backend
def test_models_are_read(sandbox: Sandbox, sales: None) -> None:
    assert Sale.objects.filter(amount__gt=5).aggregate(models.Sum("amount"))["amount__sum"] == 30
    assert [sale.amount for sale in Sale.objects.order_by("-amount")] == [20, 10]


def test_a_connection_that_is_kept_outlives_its_credential_and_its_successor_is_signed_in(sandbox: Sandbox) -> None:
    connection = database(CONN_MAX_AGE=600)
    first = ask(connection, "select pg_backend_pid()")
    before = issued(sandbox)
    sandbox.advance("1h")
    connection.close_if_unusable_or_obsolete()
    assert ask(connection, "select pg_backend_pid()") == first
    # Its time is over, as it is for Django when the age has passed.
    connection.close_at = 0
    connection.close_if_unusable_or_obsolete()
    assert ask(connection, "select pg_backend_pid()") != first
    assert issued(sandbox) == before + 1
    connection.close()


def test_the_target_may_stand_in_the_options_and_the_name_is_then_the_database(sandbox: Sandbox) -> None:
    connection = database(NAME="dev", OPTIONS={"target": TARGET, "application_name": "mine"})
    assert ask(connection, "select current_database() || current_setting('application_name')") == "devmine"
    connection.close()
    with pytest.raises(OperationalError, match="nowhere"):
        ask(database(NAME="nowhere", OPTIONS={"target": TARGET}))
    with pytest.raises(shiftkey.DeniedError):
        ask(database(OPTIONS={"db_user": "nobody"}))


@pytest.mark.parametrize("name", ["USER", "PASSWORD", "HOST", "PORT"])
def test_a_setting_that_would_be_passed_over_is_refused(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=name) as caught:
        ask(database(**{name: "secret"}))
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(BACKEND != "shiftkey.django", reason="django-redshift-backend has no pools")
@pytest.mark.parametrize("pool", [True, {"min_size": 2, "max_size": 2}])
def test_a_pool_of_django_signs_its_connections_in(sandbox: Sandbox, pool: Any) -> None:
    before = issued(sandbox)
    options = {"pool": pool}

    def one(_: int) -> str:
        connection = database(OPTIONS=options)
        try:
            return str(ask(connection))
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as threads:
        assert set(threads.map(one, range(200))) == {"alice"}
        assert issued(sandbox) == before + 1
        # What is on its way when the pool is drained would stay: so all are there.
        database(OPTIONS=options).pool.wait()
        sandbox.advance("1h")
        database(OPTIONS=options).pool.drain()
        assert set(threads.map(one, range(200))) == {"alice"}
    assert issued(sandbox) == before + 2
    database(OPTIONS=options).close_pool()
