"""The sandbox that the tests run in (`shiftkey sandbox -- pytest`), as a fixture: what it counted, its clock, its faults."""

from __future__ import annotations

import hashlib
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if "SHIFTKEY_SANDBOX_URL" not in os.environ:
    pytest.exit("run the tests inside the sandbox: python/tests/run.sh", returncode=2)

ANALYTICS = {"kind": "cluster", "account": "111122223333", "region": "us-east-1", "name": "analytics"}


class Sandbox:
    """The control requests of docs/sandbox.md."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._before = self._counts()

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        request = urllib.request.Request(
            f"{os.environ['SHIFTKEY_SANDBOX_URL']}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {os.environ['SHIFTKEY_SANDBOX_TOKEN']}"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def _counts(self) -> dict[tuple[str, str], int]:
        counts: dict[tuple[str, str], int] = {}
        for row in self.ask("calls")["calls"]:
            key = (row["action"], row["outcome"])
            counts[key] = counts.get(key, 0) + row["count"]
        return counts

    def calls(self, action: str = "GetClusterCredentials", outcome: str | None = None) -> int:
        """How many calls of `action` there were since the test began."""
        now = self._counts()
        keys = [key for key in now if key[0] == action and outcome in (None, key[1])]
        return sum(now[key] - self._before.get(key, 0) for key in keys)

    def fault(self, rule: str) -> None:
        self.ask("faults", {"rule": rule})

    def until_struck(self) -> None:
        """Asks until the fault has struck once: the call that it was for has arrived."""
        for _ in range(100_000):
            if any(fault["struck"] for fault in self.ask("faults")["faults"]):
                return
        raise AssertionError("the call does not arrive")

    def advance(self, span: str) -> None:
        self.ask("clock", {"advance": span})

    def revoke(self) -> None:
        """The warehouse forgets every credential of `prod/analytics`."""
        self.ask("revoke", ANALYTICS)

    def move(self) -> None:
        """`prod/analytics` listens on another port from now on. Where it did was learned a minute ago: what was learned
        just now is not asked for again."""
        for file in self._cache.glob("fact-endpoint-*"):
            if file.suffix == ".lock":
                continue
            head, body = file.read_text().split("\n")
            kept = json.loads(body)
            aged = json.dumps({**kept, "learned": kept["learned"] - 60_000, "uptime": kept["uptime"] - 60_000})
            file.write_text(f"{head[:-64]}{hashlib.sha256(aged.encode()).hexdigest()}\n{aged}")
        self.ask("move", ANALYTICS)


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """With a cold cache of the test's own; what the test did to the sandbox is undone after it."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    monkeypatch.setenv("SHIFTKEY_CACHE_DIR", str(cache))
    monkeypatch.setenv("SHIFTKEY_RATE", "1000:1000")
    sandbox = Sandbox(cache)
    yield sandbox
    sandbox.ask("faults", method="DELETE")
    sandbox.ask("clock", {"offset": "0s"})
