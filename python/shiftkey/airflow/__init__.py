"""Airflow: the connection type ``shiftkey`` and its hook, found by Airflow once the wheel is installed::

    from shiftkey.airflow.hook import ShiftkeyHook

    ShiftkeyHook("warehouse").get_df("select * from sales")

for the connection ``AIRFLOW_CONN_WAREHOUSE='{"conn_type": "shiftkey", "host": "prod/analytics"}'``.
"""

from __future__ import annotations

__all__ = ["get_provider_info"]


def get_provider_info() -> dict[str, object]:
    """What the entry point ``apache_airflow_provider`` tells Airflow. The form is for Airflow 3.2 and up."""
    return {
        "package-name": "shiftkey",
        "name": "shiftkey",
        "description": "Amazon Redshift without a password",
        "connection-types": [
            {
                "connection-type": "shiftkey",
                "hook-class-name": "shiftkey.airflow.hook.ShiftkeyHook",
                "hook-name": "Amazon Redshift (shiftkey)",
                "ui-field-behaviour": {
                    "hidden-fields": ["password", "port"],
                    "relabeling": {"host": "Target", "schema": "Database", "login": "Database user"},
                    "placeholders": {
                        "host": "prod/analytics",
                        "extra": '{"driver": "redshift_connector", "groups": ["analysts"]}',
                    },
                },
            }
        ],
    }
