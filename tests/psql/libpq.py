"""What only libpq 17 and later do: TLS from the first byte, and protocol 3.2. psycopg's wheel brings one along."""

import sys

import psycopg

port, certificate, secret = sys.argv[1:]
password = open(secret, encoding="ascii").read().strip()
assert psycopg.pq.version() >= 180000, psycopg.pq.version()
base = f"host=localhost port={port} dbname=dev user=me sslmode=verify-full sslrootcert={certificate}"
for more in ["sslnegotiation=direct", "sslnegotiation=postgres", "sslnegotiation=direct max_protocol_version=latest"]:
    with psycopg.connect(f"{base} {more}", password=password) as session:
        assert session.execute("select 1").fetchone() == (1,) and session.pgconn.ssl_in_use, more
print("ok: direct TLS and protocol 3.2, libpq", psycopg.pq.version())
