"""Django: database connections that are signed in with a credential from the cache::

    DATABASES = {"default": {"ENGINE": "shiftkey.django", "NAME": "prod/analytics", "CONN_MAX_AGE": 600}}

``shiftkey.django`` is Django's own PostgreSQL backend, told what Redshift cannot do: for raw SQL and for reading by models.
``shiftkey.django.redshift`` is django-redshift-backend, which also writes Redshift's DDL. Both take the options of
:func:`shiftkey.credential` in OPTIONS, and the target there as well (``"target"``), in which case NAME is the database.
"""
