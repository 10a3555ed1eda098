"""An Airflow connection without a stored password: made anew whenever a task asks, at the price of one warm call.

Put this class into the plugins folder or any importable module, and name it as the secrets backend:

    AIRFLOW__SECRETS__BACKEND=warehouse.Shiftkey

A connection id `shiftkey__prod__analytics` then stands for the target `prod/analytics`. Without Python, one variable does
for a single run:

#   AIRFLOW_CONN_WAREHOUSE="$(shiftkey url prod/analytics --format airflow)" airflow tasks test load extract
"""

import subprocess

from airflow.secrets import BaseSecretsBackend

PREFIX = "shiftkey__"


class Shiftkey(BaseSecretsBackend):
    """Knows connections only; Airflow asks its other places for everything else."""

    def get_conn_value(self, conn_id, *_, **__):
        """The connection as a URI; on failure shiftkey says on stderr, which is the task's log, what to do."""
        if not conn_id.startswith(PREFIX):
            return None
        target = conn_id.removeprefix(PREFIX).replace("__", "/")
        command = ["shiftkey", "url", target, "--format", "airflow", "--no-input"]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
