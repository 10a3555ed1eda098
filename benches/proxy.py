"""The proxy against direct TLS and other people's proxies: one server, one run, the subjects taking turns."""

import gc
import os
import resource
import selectors
import socket
import ssl
import statistics
import struct
import subprocess
import time

from bench import Goals, arguments, heading, milliseconds, sandbox, scratch, table
from peers import DATABASE, DIRECT, OURS, PEERS, PGBOUNCER, STUNNEL, USER, Peer, certify, peers, postgres, pretended, program

GB = 1_000_000_000
ROW = 1000  # bytes of a row and its end; the server sends rows in pieces of 8 KiB
SIGN_IN = 100  # milliseconds that a sign-in takes where parallel ones are compared, so that waiting in line would show
PARALLEL = 100
STARTS = 11
STARTUP = struct.pack("!i", 196608) + f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
STARTUP = struct.pack("!i", len(STARTUP) + 4) + STARTUP
QUERY = b"Q" + struct.pack("!i", 5) + b"\0"  # empty; PgBouncer connects to the server only when there is one
READY = b"Z" + struct.pack("!i", 5) + b"I"


class Way:
    """How a client reaches the server: directly, or through a peer."""

    def __init__(self, name, port, peer, authority):
        self.name, self.port, self.peer = name, port, peer
        self.tls = peer is None or peer.tls
        mode = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": authority} if self.tls else {"PGSSLMODE": "disable"}
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": USER, "PGDATABASE": DATABASE, "PGGSSENCMODE": "disable"}
        self.environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | where | mode


def ways(port, running, authority):
    return [Way(DIRECT, port, None, authority)] + [Way(name, peer.port, peer, authority) for name, peer in running.items()]


def turns(number, subjects, measure):
    """What `measure` gives, by name; every subject once a turn, in an order that rotates."""
    taken = {way.name: [] for way in subjects}
    for turn in range(number):
        for place in range(len(subjects)):
            way = subjects[(turn + place) % len(subjects)]
            taken[way.name].append(measure(way))
    return taken


# === one connection ===


def copy_out(way, size):
    """Seconds for `size` bytes, and CPU seconds of the proxy."""
    query = f"copy (select repeat('0123456789', {ROW // 10 - 1}) || '012345678' from generate_series(1, {size // ROW})) to stdout"
    before = way.peer.cpu() if way.peer else 0
    start = time.perf_counter()
    subprocess.run([program("psql"), "-Xq", "-c", query], env=way.environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start, (way.peer.cpu() - before) if way.peer else 0


def small_queries(way, seconds, directory):
    """Microseconds of each query, prepared, one after the other."""
    script = f"{directory}/one.sql"
    with open(script, "w") as file:
        file.write("select 1;\n")
    log = f"{directory}/log"
    command = [program("pgbench"), "-n", "-M", "prepared", "-f", script, "-T", str(seconds), "-l", "--log-prefix", log]
    done = subprocess.run(command, env=way.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(f"{way.name}: {done.stderr.decode()}")
    latencies = []
    for name in os.listdir(directory):
        if name.startswith("log."):
            with open(f"{directory}/{name}") as file:
                latencies.extend(int(line.split()[2]) for line in file)
            os.unlink(f"{directory}/{name}")
    return sorted(latencies)


# === many connections ===


def connects(way, seconds, directory):
    """Connections a second, each with one query, two clients at a time; and CPU seconds of the proxy for each."""
    script = f"{directory}/one.sql"
    before = way.peer.cpu() if way.peer else 0
    command = [program("pgbench"), "-n", "-C", "-c", "2", "-f", script, "-T", str(seconds)]
    done = subprocess.run(command, env=way.environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{way.name}: {done.stderr}")
    rate = next(float(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("tps"))
    return rate, ((way.peer.cpu() - before) / (rate * seconds)) if way.peer else 0


class Client:
    """A sign-in and an empty query, as far as bytes have come; never waits. `seconds` is None until that is answered."""

    def __init__(self, way, context):
        self.way, self.context, self.seconds = way, context, None
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.begun = time.perf_counter()
        self.socket.connect_ex(("127.0.0.1", way.port))
        self.step, self.seen, self.asked = self._reached, b"", False
        self.events = selectors.EVENT_WRITE

    def on_ready(self):
        """Goes on; what it waits for next is in `events`."""
        try:
            self.step()
        except (ssl.SSLWantReadError, BlockingIOError):
            self.events = selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            self.events = selectors.EVENT_WRITE

    def _reached(self):
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.events = selectors.EVENT_READ
        if not self.way.tls:
            self.socket.send(STARTUP)
            self.step = self._welcomed
        else:
            self.socket.send(struct.pack("!ii", 8, 80877103))
            self.step = self._offered

    def _offered(self):
        if self.socket.recv(1) != b"S":
            raise OSError("no TLS")
        self.socket = self.context.wrap_socket(self.socket, server_hostname="127.0.0.1", do_handshake_on_connect=False)
        self.step = self._encrypted
        self.step()

    def _encrypted(self):
        self.socket.do_handshake()
        self.socket.send(STARTUP)
        self.events, self.step = selectors.EVENT_READ, self._welcomed

    def _welcomed(self):
        while True:
            got = self.socket.recv(65536)
            if not got or got[:1] == b"E":
                raise OSError(f"{self.way.name}: {got!r}")
            self.seen = (self.seen + got)[-len(READY) :]
            if self.seen == READY:
                if self.asked:
                    self.seconds = time.perf_counter() - self.begun
                    return
                self.asked, self.seen = True, b""
                self.socket.send(QUERY)


def sign_in(way, number, at_once, context):
    """Signs in `number` times, at most `at_once` at a time; gives the clients, signed in."""
    clients, waiting = [], 0
    gc.disable()
    with selectors.DefaultSelector() as selector:
        while len(clients) < number or waiting:
            while len(clients) < number and waiting < at_once:
                client = Client(way, context)
                clients.append(client)
                selector.register(client.socket.fileno(), client.events, client)
                waiting += 1
            ready = selector.select(30)
            if not ready:
                raise SystemExit(f"{way.name}: {waiting} sign-ins hang")
            for key, _ in ready:
                client = key.data
                client.on_ready()
                if client.seconds is not None:
                    selector.unregister(key.fd)
                    waiting -= 1
                elif client.events != key.events:
                    selector.modify(key.fd, client.events, client)
    gc.enable()
    return clients


def leave(clients):
    for client in clients:
        client.socket.close()


def parallel(way, context):
    """Seconds of a sign-in alone (the median of ten), and of each of many at once."""
    alone = sign_in(way, 10, 1, context)
    many = sign_in(way, PARALLEL, PARALLEL, context)
    leave(alone + many)
    return statistics.median(client.seconds for client in alone), sorted(client.seconds for client in many)


def idle(way, sessions, seconds, context):
    """KiB that the proxy takes for that many sessions beyond none, in all; and its CPU seconds while nothing happens."""
    empty = way.peer.resident()
    clients = sign_in(way, sessions, 32, context)
    time.sleep(2)
    before = way.peer.cpu()
    time.sleep(seconds)
    used, full = way.peer.cpu() - before, way.peer.resident()
    leave(clients)
    return full, (full - empty) / sessions, used


# === the table ===


def ratio(value, base):
    return f"{value / base:.2f}"


def percentile(values, share):
    return values[min(len(values) - 1, int(len(values) * share))]


def main():
    options = arguments(__doc__, "TURNS", default=7, least=1, limit=1500, short="under a minute: less of everything, and rougher")
    short = options.short
    number = 1 if short else options.number
    size, seconds = (GB // 4, 1) if short else (GB, 3)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    sessions = min(1000 if short else 10_000, (hard - 100) // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with scratch() as directory, sandbox("--caller", "alice") as world:
        os.chmod(directory, 0o755)
        certify(directory)
        authority = f"{directory}/ca.pem"
        context = ssl.create_default_context(cafile=authority)
        with postgres(directory) as port, peers(PEERS, directory, port, world, 300) as running:
            subjects = ways(port, running, authority)
            for way in subjects:
                small_queries(way, 1, directory)  # what is done once is done
            copies = turns(number, subjects, lambda way: copy_out(way, size))
            queries = turns(number, subjects, lambda way: small_queries(way, seconds, directory))
            opened = turns(number, subjects, lambda way: connects(way, seconds, directory))
        held, crowds, starts = {}, {}, {name: [] for name in PEERS}
        with pretended(directory, SIGN_IN) as port:
            with peers(PEERS, directory, port, world, 300) as running:
                subjects = ways(port, running, authority)
                for way in subjects:
                    leave(sign_in(way, 2, 1, context))
                crowds = turns(number, subjects, lambda way: parallel(way, context))
            for name in PEERS:
                for _ in range(3 if short else STARTS):
                    peer = Peer(name, directory, port, world, 300)
                    starts[name].append(peer.started)
                    peer.end()
        for name in PEERS:
            with pretended(directory, 0) as port, peers([name], directory, port, world, sessions) as running:
                way = Way(name, running[name].port, running[name], authority)
                try:
                    held[name] = idle(way, sessions, 2 if short else 10, context)
                except OSError as error:
                    print(f"  {name}: {sessions} sessions: {error}")
    report(options, size, sessions, copies, queries, opened, crowds, starts, held)


def report(options, size, sessions, copies, queries, opened, crowds, starts, held):
    median = statistics.median
    names = [DIRECT, *PEERS]
    pace = {name: median(size / taken for taken, _ in copies[name]) for name in names}
    burnt = {name: median(cpu for _, cpu in copies[name]) * GB / size for name in PEERS}
    half = {name: median(percentile(latencies, 0.5) for latencies in queries[name]) for name in names}
    worst = {name: median(percentile(latencies, 0.99) for latencies in queries[name]) for name in names}
    rate = {name: median(rate for rate, _ in opened[name]) for name in names}
    effort = {name: median(cpu for _, cpu in opened[name]) for name in PEERS}
    alone = {name: median(alone for alone, _ in crowds[name]) for name in names}
    crowd = {name: [median(percentile(many, share) for _, many in crowds[name]) for share in (0.5, 0.99)] for name in names}
    start = {name: median(starts[name]) for name in PEERS}

    heading("One connection", f"COPY of {size / GB:g} GB out, by psql; `select 1`, prepared, by pgbench", f"medians of {len(copies[OURS])} turns")
    table(
        ["", "MB/s", "of direct", "CPU s/GB", "query p50", "above direct", "p99"],
        [
            [
                name, f"{pace[name] / 1e6:.0f}", ratio(pace[name], pace[DIRECT]), f"{burnt[name]:.2f}" if name in burnt else "-",
                f"{half[name]:.0f} us", f"{half[name] - half[DIRECT]:+.0f} us" if name != DIRECT else "", f"{worst[name]:.0f} us",
            ]
            for name in names
        ],
    )  # fmt: skip
    heading("Many connections", f"{PARALLEL} at once to a warehouse whose sign-in takes {SIGN_IN} ms", f"{sessions} idle sessions")
    table(
        ["", "connects/s", "of direct", "CPU of each", "sign-in alone", "at once, p50", "p99", "idle RSS", "of each", "idle CPU", "listens in"],
        [
            [
                name, f"{rate[name]:.0f}", ratio(rate[name], rate[DIRECT]), milliseconds(effort[name]) if name in effort else "-",
                milliseconds(alone[name]), *(milliseconds(value) for value in crowd[name]),
                *((f"{held[name][0] / 1024:.0f} MB", f"{held[name][1]:.1f} KiB", f"{held[name][2]:.2f} s") if name in held else "---"),
                milliseconds(start[name]) if name in start else "-",
            ]
            for name in names
        ],
    )  # fmt: skip
    goals = Goals(options.strict)
    speed = pace[OURS] / pace[DIRECT]
    goals.soft(f"COPY out: {speed:.2f} of direct TLS (goal: at least 0.95)", speed >= 0.95)
    least = min(burnt[PGBOUNCER], burnt[STUNNEL])
    goals.soft(f"COPY out: {burnt[OURS]:.2f} CPU seconds per GB (goal: 0.6 at the most)", burnt[OURS] <= 0.6)
    goals.soft(f"COPY out: less CPU than each peer that does TLS itself, of which the best takes {least:.2f}", burnt[OURS] < least)
    above = half[OURS] - half[DIRECT]
    goals.soft(f"small query: {above:+.0f} us (goal: +50 at the most)", above <= 50)
    pair = rate[OURS] / rate[DIRECT]
    goals.soft(f"connects: {pair:.2f} of direct TLS (goal: at least 0.9)", pair >= 0.9)
    late = crowd[OURS][1] - alone[OURS]
    theirs = crowd[DIRECT][1] - alone[DIRECT]
    # One after the other, they would be late by all their sign-ins. The warehouse itself, on the same processors, is the rest.
    flat = late <= theirs + 2 * SIGN_IN / 1000
    goals.soft(f"{PARALLEL} connects at once: the last {late * 1000:.0f} ms later than one alone; direct {theirs * 1000:.0f} ms", flat)
    if OURS in held:
        whole = held[OURS][0] / 1024
        goals.soft(f"{sessions} idle sessions: {whole:.0f} MB (goal: 256 for 10,000)", whole <= 256 * sessions / 10_000)
    goals.hard(f"{sessions} idle sessions are held", OURS in held)
    goals.soft(f"listening in {milliseconds(start[OURS])} (goal: 20)", start[OURS] <= 0.02)
    goals.exit()


main()
