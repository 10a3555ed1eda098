"""The backend ``shiftkey.django``: Django's own for PostgreSQL, told what Redshift cannot do."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base, features

from shiftkey.django.signed_in import SignedIn


class DatabaseFeatures(features.DatabaseFeatures):
    # Redshift says that it is PostgreSQL 8.0.2.
    minimum_database_version = (8,)
    can_return_columns_from_insert = False
    can_return_rows_from_bulk_insert = False
    can_distinct_on_fields = False
    has_select_for_update = False
    supports_aggregate_filter_clause = False
    supports_ignore_conflicts = False
    supports_update_conflicts = False


class DatabaseWrapper(SignedIn, base.DatabaseWrapper):
    features_class: Any = DatabaseFeatures
