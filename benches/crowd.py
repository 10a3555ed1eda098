"""Processes that are let go at once, and what they cost AWS."""

import collections
import contextlib
import json
import os
import random
import signal
import threading
import time

from bench import sandbox, scratch

PATIENCE = 90  # seconds for a herd; what is left then is killed and has failed
# Ready is told on descriptor 9; opening the FIFO waits until the herd is let go.
GATE = 'echo >&9; exec <"$0"; exec "$@" 9>&- </dev/null'
LIMITED = "1/s"  # with the burst of 5 that the sandbox has of itself


class Herd:
    """Processes that were let go at once, and have ended: times, what they printed, those that failed."""

    def __init__(self, commands, environment):
        self.ends, self.failed, self.resident = [], collections.Counter(), 0
        self.alive, self.group = {}, 0  # a process group of their own, to wait for them alone and to leave none behind
        with scratch() as directory:
            late = threading.Timer(PATIENCE, self._kill)
            try:
                late.start()
                self._run(commands, environment, directory)
            finally:
                late.cancel()
                self._kill()
                with contextlib.suppress(ChildProcessError):
                    while self.group:
                        os.waitpid(-self.group, 0)
            self.outputs = [read(f"{directory}/{number}.out") for number in range(len(commands))]

    def _run(self, commands, environment, directory):
        gate = f"{directory}/gate"
        os.mkfifo(gate)
        told, tell = os.pipe()
        create = os.O_WRONLY | os.O_CREAT
        for number, command in enumerate(commands):
            files = [
                (os.POSIX_SPAWN_OPEN, 1, f"{directory}/{number}.out", create, 0o600),
                (os.POSIX_SPAWN_OPEN, 2, f"{directory}/{number}.err", create, 0o600),
                (os.POSIX_SPAWN_DUP2, tell, 9),
            ]
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", GATE, gate, *command], environment, file_actions=files, setpgroup=self.group)
            self.alive[pid] = number
            self.group = self.group or pid
        ready = 0
        while ready < len(commands):
            ready += len(os.read(told, 65536))
        os.close(told)
        os.close(tell)
        time.sleep(0.2)
        threading.Thread(target=self._watch_memory, daemon=True).start()
        start = time.perf_counter()
        release = os.open(gate, os.O_WRONLY)
        while self.alive:
            pid, status = os.waitpid(-self.group, 0)
            self.ends.append(time.perf_counter() - start)
            number = self.alive.pop(pid)
            if status:
                said = read(f"{directory}/{number}.err").strip().splitlines()
                code = os.waitstatus_to_exitcode(status)
                self.failed[f"status {code}: {said[-1] if said else 'nothing said'}"[:150]] += 1
        os.close(release)

    def _kill(self):
        if self.group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.group, signal.SIGKILL)

    def _watch_memory(self):
        """Samples the peak of some living processes, now and then: all of them would cost the herd too much."""
        while alive := list(self.alive):
            for pid in random.sample(alive, min(10, len(alive))):
                status = dict(line.split(":", 1) for line in read(f"/proc/{pid}/status").splitlines())
                if status.get("Name", "\tsh") != "\tsh":  # else it stands at the gate
                    self.resident = max(self.resident, int(status.get("VmHWM", "0 kB").split()[0]))
            time.sleep(0.05)


def read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def limit_options(limit):
    return ["--rate-limit", limit] if limit else []


class Trial:
    """A herd in a new sandbox: its row of the table, and what goals are about."""

    def __init__(self, name, commands, limit=None):
        with sandbox("--caller", "security", *limit_options(limit)) as world:
            self.herd = Herd(commands(world), world.environment)
            counts = world.calls()
        self.failures = self.herd.failed.total()
        self.calls = sum(count for (action, _), count in counts.items() if action == "GetClusterCredentials")
        self.issued = counts.get(("GetClusterCredentials", "ok"), 0)
        self.others = sum(counts.values()) - self.calls
        self.throttled = sum(count for (_, outcome), count in counts.items() if "Throttl" in outcome)
        ends = self.herd.ends
        memory = f"{self.herd.resident / 1024:.0f} MB" if self.herd.resident else "?"
        times = [f"{seconds:.2f} s" for seconds in (ends[0], ends[len(ends) // 2], ends[-1])]
        self.row = [name, limit or "none", len(ends), self.calls, self.others, self.throttled, self.failures, *times, memory]

    columns = ["", "limit", "processes", "credential calls", "others", "throttled", "failed", "first done", "half", "last", "memory"]

    def passwords(self, key):
        """The different passwords that the processes printed, by what `key` tells of an answer's place."""
        answers = collections.defaultdict(set)
        for place, text in enumerate(self.herd.outputs):
            answers[key(place)].add(json.loads(text)["db_password"] if text.endswith("}\n") else None)
        return answers
