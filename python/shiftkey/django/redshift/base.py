"""The backend ``shiftkey.django.redshift``."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

from django_redshift_backend import base

from shiftkey.django.signed_in import SignedIn


class DatabaseWrapper(SignedIn, base.DatabaseWrapper):
    pass
