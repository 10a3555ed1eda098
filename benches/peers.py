"""One PostgreSQL with TLS, and the ways to it that are compared: started, watched, ended."""

import contextlib
import glob
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time

from bench import SHIFTKEY

DIRECT, OURS, PGBOUNCER, STUNNEL, HAPROXY = "direct TLS", "shiftkey", "pgbouncer", "stunnel", "haproxy (client's TLS)"
PEERS = [OURS, PGBOUNCER, STUNNEL, HAPROXY]
USER, DATABASE = "IAM:alice", "dev"  # what the sandbox's AWS calls alice
HERE = os.path.dirname(os.path.abspath(__file__))


def program(name):
    """Debian keeps some out of PATH."""
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)
    if not found:
        raise SystemExit(f"{name} is missing")
    return found


def unprivileged(command):
    """PostgreSQL and PgBouncer do not run as root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command] if os.getuid() == 0 else command


def give(path):
    if os.getuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(path, account.pw_uid, account.pw_gid)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def answers(port, process, log):
    """Waits until the process listens."""
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.0002)
    with open(log, errors="replace") as file:
        said = file.read().strip()
    raise SystemExit(f"{process.args} does not listen: {said[-1000:] or 'nothing said'}")


def certify(directory):
    """A CA, and a certificate of it for 127.0.0.1, with an RSA key of the size that Redshift has."""
    quiet = {"check": True, "cwd": directory, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    key = ["-newkey", "rsa:2048", "-nodes"]
    subprocess.run(["openssl", "req", "-x509", *key, "-days", "2", "-subj", "/CN=bench", "-keyout", "ca.key", "-out", "ca.pem"], **quiet)
    subprocess.run(["openssl", "req", *key, "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "csr.pem"], **quiet)
    write(f"{directory}/names", "subjectAltName=IP:127.0.0.1")
    sign = ["openssl", "x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    subprocess.run([*sign, "-extfile", "names", "-out", "cert.pem"], **quiet)
    give(f"{directory}/key.pem")
    os.chmod(f"{directory}/key.pem", 0o600)


def ended(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def postgres(directory):
    """The server; gives its port. It asks for TLS and for no password, so that all do the same."""
    port = free_port()
    os.mkdir(f"{directory}/server")
    give(f"{directory}/server")
    data = f"{directory}/server/data"
    initdb = [program("initdb"), "-D", data, "-U", "admin", "-E", "UTF8", "--locale=C.UTF-8", "--auth=trust", "-N"]
    subprocess.run(unprivileged(initdb), check=True, stdout=subprocess.DEVNULL)
    write(f"{data}/pg_hba.conf", "local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
    settings = {
        "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": f"{directory}/server", "max_connections": 400,
        "ssl": "on", "ssl_cert_file": f"{directory}/cert.pem", "ssl_key_file": f"{directory}/key.pem", "fsync": "off",
        "log_min_messages": "fatal",
    }  # fmt: skip
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    log = open(f"{directory}/server.log", "w")
    server = subprocess.Popen(unprivileged([program("postgres"), "-D", data, *options]), stdout=log, stderr=log)
    try:
        answers(port, server, log.name)
        admin = [program("psql"), "-Xq", "-h", f"{directory}/server", "-p", str(port), "-U", "admin", "-d", "postgres"]
        for statement in (f'create role "{USER}" login', f"create database {DATABASE}"):
            subprocess.run([*admin, "-c", statement], check=True)
        yield port
    finally:
        server.send_signal(3)  # SIGQUIT: at once
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        ended(server)
        log.close()


@contextlib.contextmanager
def pretended(directory, milliseconds):
    """A warehouse of warehouse.py; gives its port."""
    command = [sys.executable, "-B", f"{HERE}/warehouse.py", f"{directory}/cert.pem", f"{directory}/key.pem", str(milliseconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())
    finally:
        ended(process)


class Peer:
    """A running proxy: its port, and what its process takes."""

    def __init__(self, name, directory, upstream, world, sessions):
        self.name, self.port = name, free_port()
        self.tls = name == HAPROXY  # whether the client does TLS
        command, environment = self._command(directory, upstream, world, sessions)
        with open(f"{directory}/{name.split()[0]}.log", "a") as log:
            start = time.perf_counter()
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        answers(self.port, self.process, log.name)
        self.started = time.perf_counter() - start

    def _command(self, directory, upstream, world, sessions):
        file = f"{directory}/{self.name.split()[0]}-{self.port}"
        if self.name == OURS:
            write(
                file,
                f'[environments.bench]\nregion = "us-east-1"\n[targets."bench/warehouse"]\ncluster = "analytics"\nhost = "127.0.0.1"\nport = {upstream}\n'
                f'database = "{DATABASE}"\ndb_user = "alice"\n',
            )
            target = f"bench/warehouse=127.0.0.1:{self.port}"
            command = [SHIFTKEY, "proxy", "-q", "--config", file, "--max-sessions", str(sessions), "--drain", "0s", target]
            return command, world.environment | {"SHIFTKEY_CA_FILE": f"{directory}/ca.pem"}
        if self.name == PGBOUNCER:
            # Each client has a connection of its own, opened for it: the same work as ours, and sessions keep their state.
            write(
                file,
                f"[databases]\n{DATABASE} = host=127.0.0.1 port={upstream} user={USER}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
                f"listen_port = {self.port}\nlisten_backlog = 4096\nunix_socket_dir =\nauth_type = any\npool_mode = session\n"
                f"server_lifetime = 0\nserver_reset_query =\nmax_client_conn = {sessions + 10}\ndefault_pool_size = {sessions}\n"
                f"server_tls_sslmode = verify-full\nserver_tls_ca_file = {directory}/ca.pem\nlog_connections = 0\n"
                "log_disconnections = 0\nignore_startup_parameters = extra_float_digits\n",
            )
            return unprivileged([program("pgbouncer"), "-q", file]), None
        if self.name == STUNNEL:
            write(
                file,
                f"foreground = yes\npid =\nsyslog = no\ndebug = 3\n[warehouse]\nclient = yes\naccept = 127.0.0.1:{self.port}\n"
                f"connect = 127.0.0.1:{upstream}\nprotocol = pgsql\nCAfile = {directory}/ca.pem\nverifyChain = yes\n"
                "checkIP = 127.0.0.1\nTIMEOUTidle = 3600\n",
            )
            return [program("stunnel4"), file], None
        write(
            file,
            f"global\n    maxconn {sessions}\ndefaults\n    mode tcp\n    timeout connect 10s\n    timeout client 1h\n    timeout server 1h\n"
            f"listen warehouse\n    bind 127.0.0.1:{self.port} backlog 4096\n    server warehouse 127.0.0.1:{upstream}\n",
        )
        return [program("haproxy"), "-q", "-db", "-f", file], None

    def cpu(self):
        """Seconds, of user and system together."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        """KiB."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

    def end(self):
        ended(self.process)


@contextlib.contextmanager
def peers(names, *arguments):
    """Running proxies by name."""
    running = {}
    try:
        for name in names:
            running[name] = Peer(name, *arguments)
        yield running
    finally:
        for peer in running.values():
            peer.end()
