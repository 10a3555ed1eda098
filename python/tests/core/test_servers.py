"""Servers that load the program and then fork: gunicorn and Celery, as they are."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.installed

WEB = """
import os, shiftkey

# In the master, before it forks: this starts the thread and opens the connections that no worker may touch.
shiftkey.credential("prod/analytics", duration=900)

def application(environ, start_response):
    credential = shiftkey.credential("prod/analytics")
    with shiftkey.connect("prod/analytics") as connection:
        user = connection.execute("select current_user").fetchone()[0]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {user} {credential.db_password!s}".encode()]
"""

TASKS = """
import celery, os, shiftkey

app = celery.Celery("tasks", broker="filesystem://", backend="file://" + os.environ["PLACE"])
app.conf.broker_transport_options = {"polling_interval": 0.05} | {name: os.environ["PLACE"] for name in ("data_folder_in", "data_folder_out", "control_folder")}
shiftkey.credential("prod/analytics", duration=900)

@app.task
def ask(number):
    return str(shiftkey.credential("prod/analytics").db_password)
"""


def ended(process):
    process.terminate()
    process.wait()


def test_gunicorn_with_preloading(sandbox, tmp_path):
    (tmp_path / "web.py").write_text(WEB)
    options = [
        "--preload",
        "--workers",
        "4",
        "--bind",
        "127.0.0.1:0",
        "--chdir",
        tmp_path,
        "--log-level",
        "info",
        "--worker-tmp-dir",
        tmp_path,
    ]
    command = [sys.executable, "-m", "gunicorn", *map(str, options), "web:application"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        told = next(line for line in process.stderr if "Listening at:" in line)
        address = told.split("Listening at:")[1].split()[0]
        answers = [urllib.request.urlopen(address).read().split() for _ in range(40)]
    finally:
        ended(process)
        process.stderr.close()
    assert {answer[1] for answer in answers} == {b"alice"}
    assert len({answer[2] for answer in answers}) == 1
    # One for the master's, one for all that the workers asked for.
    assert sandbox.calls() == 2


def test_celery_with_prefork(sandbox, tmp_path: Path):
    (tmp_path / "tasks.py").write_text(TASKS)
    environment = {**os.environ, "PLACE": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "tasks",
        "worker",
        "--pool",
        "prefork",
        "--concurrency",
        "4",
        "--loglevel",
        "warning",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    script = (
        "import tasks; asked = [tasks.ask.delay(number) for number in range(40)]; print(*{one.get(timeout=60) for one in asked})"
    )
    try:
        answers = subprocess.check_output([sys.executable, "-c", script], cwd=tmp_path, env=environment, text=True).split()
    finally:
        ended(process)
    assert len(answers) == 1
    assert sandbox.calls() == 2
