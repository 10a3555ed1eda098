"""An Airflow connection without a stored password: made anew whenever a task asks, at the price of one warm call.

Put this class into the plugins folder or any importable module, and name it as the secrets backend:

    AIRFLOW__SECRETS__BACKEND=warehouse.Shiftkey

A connection id `shiftkey__prod__analytics` then stands for the target `prod/analytics`. Without Python, one variable does
for a single run:

#   AIRFLOW_CONN_WAREHOUSE="$(shiftkey url prod/analytics --format airflow)" airflow tasks test load extract
"""

import subprocess

PREFIX = "shiftkey__"


class Shiftkey:
    """A secrets backend: https://airflow.apache.org/docs/apache-airflow/stable/security/secrets/secrets-backend/"""

    def get_connection(self, conn_id):
        if not conn_id.startswith(PREFIX):
            return None
        from airflow.models.connection import Connection

        return Connection(conn_id=conn_id, uri=uri(conn_id))

    def get_variable(self, key, *_, **__):
        return None

    def get_config(self, key):
        return None


def uri(conn_id):
    """The connection as a URI; a failure's message is shiftkey's own, on stderr of the task."""
    target = conn_id.removeprefix(PREFIX).replace("__", "/")
    command = ["shiftkey", "url", target, "--format", "airflow", "--no-input"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
