"""What the benches share: sandboxes, other people's clients, times of whole processes, tables, goals. Standard library only."""

import argparse
import contextlib
import gc
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHIFTKEY = str(pathlib.Path(os.environ.get("SHIFTKEY", ROOT / "target/release/shiftkey")).resolve())
VENV = ROOT / "target/bench-venv"


def arguments(description, name, default, least, limit, short=None):
    """The one number that a bench takes, --strict, and --short where there is such a thing. Ends the bench after `limit` seconds, whatever hangs."""
    parser = argparse.ArgumentParser(description=description, epilog="SHIFTKEY names the binary (default: target/release/shiftkey).")
    parser.add_argument("number", metavar=name, nargs="?", type=int, default=default, help=f"default {default}")
    parser.add_argument("--strict", action="store_true", help="a missed time is a failure too")
    if short:
        parser.add_argument("--short", action="store_true", help=short)
    parsed = parser.parse_intermixed_args()
    if parsed.number < least:
        parser.error(f"{name} must be at least {least}")
    if not os.access(SHIFTKEY, os.X_OK):
        parser.error(f"no program at {SHIFTKEY}: cargo build --release, or set SHIFTKEY")

    def late(_number, _frame):
        raise SystemExit(f"not done after {limit} s")

    def stop(number, _frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    signal.alarm(limit)
    return parsed


class Sandbox:
    """A running `shiftkey sandbox`: the environment that it exports, and the calls that it has seen."""

    def __init__(self, process, exports):
        self.process, self.exports = process, exports
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SHIFTKEY", "PG"))}
        self.environment = inherited | exports

    def ask(self, path):
        """What its control endpoint answers."""
        request = urllib.request.Request(self.exports["SHIFTKEY_SANDBOX_URL"] + path)
        request.add_header("Authorization", "Bearer " + self.exports["SHIFTKEY_SANDBOX_TOKEN"])
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return json.load(direct.open(request, timeout=10))

    def calls(self):
        """Calls by (action, outcome)."""
        counts = {}
        for call in self.ask("/calls")["calls"]:
            key = call["action"], call["outcome"]
            counts[key] = counts.get(key, 0) + call["count"]
        return counts

    def issuing_calls(self):
        return sum(count for (action, _), count in self.calls().items() if action == "GetClusterCredentials")


@contextlib.contextmanager
def sandbox(*options, engine="embedded"):
    """A sandbox that ends with the block."""
    command = [SHIFTKEY, "sandbox", "-q", "--json", "--engine", engine, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        text = ""
        for line in process.stdout:
            text += line
            if line.rstrip() == "}":
                break
        if not text:
            raise SystemExit("the sandbox did not start")
        yield Sandbox(process, json.loads(text))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def in_memory():
    """A directory on tmpfs, or None."""
    return next((path for path in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm") if path and os.access(path, os.W_OK)), None)


@contextlib.contextmanager
def scratch(parent=None):
    """A new directory in `parent`, or where temporary files go, that ends with the block."""
    path = tempfile.mkdtemp(prefix="shiftkey-bench-", dir=parent)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def venv(*packages):
    """Python of a virtual environment under target/ that has `packages`; what is missing is installed."""
    python = VENV / "bin/python"
    probe = "import sys, importlib.metadata as installed; [installed.version(name) for name in sys.argv[1:]]"
    if not python.exists() or subprocess.run([python, "-c", "import pip"], stderr=subprocess.DEVNULL).returncode:
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    if subprocess.run([python, "-c", probe, *packages], stderr=subprocess.DEVNULL).returncode:
        print(f"installing {', '.join(packages)} into {VENV.relative_to(ROOT)}", file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], check=True)
    return str(python)


def installed(python, package):
    """Version of a package."""
    probe = "import sys, importlib.metadata as installed; print(installed.version(sys.argv[1]))"
    return subprocess.run([python, "-c", probe, package], capture_output=True, text=True, check=True).stdout.strip()


def aws_cli():
    """The AWS CLI itself, and its version. Version managers put a slow shell script of that name on PATH, which would flatter us."""
    found = shutil.which("aws")
    if found and "/shims/" in found:
        manager = next((name for name in ("pyenv", "mise", "asdf") if name in found), "pyenv")
        answer = subprocess.run([manager, "which", "aws"], capture_output=True, text=True) if shutil.which(manager) else None
        found = answer.stdout.strip() if answer and answer.returncode == 0 else None
    if found:
        with open(found, "rb") as script:
            first = script.readline(200).strip()
        if first.startswith(b"#!") and first.endswith(b"sh"):
            found = None
    if not found or subprocess.run([found, "--version"], capture_output=True).returncode:
        found = str(pathlib.Path(venv("awscli")).parent / "aws")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return found, " ".join(word for word in version if word.startswith(("aws-cli", "Python")))


def seconds(command, environment):
    """Time of the whole process, from posix_spawn (as cheap as vfork) until it is reaped. A failure ends the bench."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    start = time.perf_counter()
    pid = os.posix_spawn(command[0], command, environment, file_actions=quiet)
    _, status = os.waitpid(pid, 0)
    taken = time.perf_counter() - start
    if status:
        raise SystemExit(f"status {os.waitstatus_to_exitcode(status)}: {' '.join(command)}")
    return taken


def interleaved(subjects, turns, every=None):
    """Times by name. Each turn runs every subject once, in an order that rotates; those named in `every` run in each n-th turn only."""
    times = {name: [] for name in subjects}
    names = list(subjects)
    gc.disable()
    for turn in range(-1, turns):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            if turn >= 0 and turn % (every or {}).get(name, 1):
                continue
            taken = seconds(*subjects[name]())
            if turn >= 0:  # the first of each warms the page cache
                times[name].append(taken)
    gc.enable()
    return times


def milliseconds(value):
    return f"{value * 1000:.2f} ms" if value < 0.1 else f"{value * 1000:.0f} ms"


TIMES = ["runs", "median", "least", "90 %"]


def spread(times):
    """The columns TIMES."""
    return [len(times), milliseconds(statistics.median(times)), milliseconds(min(times)), milliseconds(sorted(times)[len(times) * 9 // 10])]


def heading(title, *notes):
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"\n{title}\n  ({'; '.join([machine, *notes])})", flush=True)


def table(header, rows):
    """First column to the left, the others to the right."""
    rows = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        print("  " + row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:])), sep="  ", flush=True)


class Goals:
    """Counts are hard: a missed one fails the bench. Times are soft unless --strict, for they depend on the machine."""

    def __init__(self, strict):
        self.strict, self.failed = strict, False

    def hard(self, text, met):
        self._print("met" if met else "MISSED", text)
        self.failed |= not met

    def soft(self, text, met):
        self._print("met" if met else "MISSED", text + ("" if met or self.strict else " (not a failure without --strict)"))
        self.failed |= self.strict and not met

    def _print(self, verdict, text):
        print(f"  {verdict:6}  {text}", flush=True)

    def exit(self):
        sys.exit(1 if self.failed else 0)
