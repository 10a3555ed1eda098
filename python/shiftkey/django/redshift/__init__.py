"""Django with django-redshift-backend, signed in by shiftkey: ``"ENGINE": "shiftkey.django.redshift"``."""
