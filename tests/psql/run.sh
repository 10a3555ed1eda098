#!/usr/bin/env bash
# The installed psql against the sandbox, on each engine: who signs in, and who does not.
# Needs psql, openssl, PostgreSQL's server programs, and python3 with its venv, into which it installs psycopg; SHIFTKEY names the binary.
set -euo pipefail
shiftkey=${SHIFTKEY:-target/debug/shiftkey}
shiftkey=$(realpath "$shiftkey")
cd "$(dirname "$0")/../.."
export shiftkey

inside() {
    fail() { printf 'psql: %s\n' "$*" >&2; exit 1; }
    user=$("$shiftkey" connect prod/analytics -- -XAtc 'select current_user')
    [ "$user" = alice ] || [ "$user" = IAM:alice ] || fail "current_user is '$user'"
    [ "$("$shiftkey" connect prod/analytics --direct -- -XAtc 'select current_user')" = "$user" ] || fail "--direct signs in as someone else"
    "$shiftkey" exec prod/analytics -- sh -c 'test -z "${PGPASSWORD-}" && test -n "$PGHOST"' || fail "exec leaves PGPASSWORD"
    status=0
    "$shiftkey" exec prod/analytics -- sh -c 'exit 42' || status=$?
    [ "$status" = 42 ] || fail "exec returned $status instead of 42"
    # An invented password for a user who holds an issued one.
    status=0
    said=$("$shiftkey" exec prod/analytics --direct -- env PGPASSWORD=invented psql -Xw -v VERBOSITY=sqlstate -c 'select 1' 2>&1) || status=$?
    [ "$status" = 2 ] || fail "an invented password gave status $status: $said"
    case $said in *"authentication failed"*|*28P01*|*28000*) ;; *) fail "an invented password: $said" ;; esac
    # TLS is not optional.
    ! "$shiftkey" exec prod/analytics --direct -- env PGSSLMODE=disable psql -Xwc 'select 1' >/dev/null 2>&1 || fail "signed in without TLS"
    echo "ok: $1 $2, $user"
}
# A custom domain, by its name. Only root can give one process a hosts file of its own.
domain() {
    hosts=$(mktemp)
    trap 'rm -f "$hosts"' EXIT
    { cat /etc/hosts; echo "127.0.0.1 analytics.example.test adhoc.example.test"; } >"$hosts"
    for name in analytics adhoc; do
        port=$("$shiftkey" creds "prod/$name" --json | sed -n 's/.*"port": \([0-9]*\).*/\1/p')
        user=$(unshare -m sh -euc 'mount --bind "$1" /etc/hosts; shift; exec "$@"' sh "$hosts" \
            "$shiftkey" connect "$name.example.test:$port/dev" -- -XAtc 'select current_user')
        case $name,$user in
            analytics,alice | adhoc,IAM:alice) echo "ok: $name.example.test, $user" ;;
            *) printf 'psql: %s.example.test: current_user is "%s"\n' "$name" "$user" >&2; exit 1 ;;
        esac
    done
}
# TLS and a secret between psql and the proxy, on loopback and on an address that other machines reach.
tls() {
    dir=$(mktemp -d)
    proxy=
    trap 'kill $proxy 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
    fail() { printf 'psql: %s\n' "$*" >&2; cat "$dir/told" >&2; exit 1; }
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$dir/key" -out "$dir/cert" 2>/dev/null
    openssl rand -base64 24 >"$dir/secret"
    chmod 600 "$dir/key" "$dir/secret"
    start() {
        : >"$dir/out"
        "$shiftkey" proxy "prod/analytics=$1" --json --tls-cert "$dir/cert" --tls-key "$dir/key" "${@:2}" >"$dir/out" 2>"$dir/told" &
        proxy=$!
        for _ in $(seq 200); do
            port=$(sed -n 's/.*"port": \([0-9]*\).*/\1/p' "$dir/out")
            [ -n "$port" ] && return
            kill -0 "$proxy" 2>/dev/null || fail "the proxy has ended"
            sleep 0.05
        done
        fail "the proxy does not listen"
    }
    query() { psql -XAtw -c "$1" "host=localhost port=$port dbname=dev user=me sslrootcert=$dir/cert ${*:2}" 2>&1; }
    start 127.0.0.1:0
    [ "$(query 'select 1' sslmode=verify-full)" = 1 ] || fail "verify-full: $(query 'select 1' sslmode=verify-full)"
    [ "$(query 'select 2' sslmode=disable)" = 2 ] || fail "without TLS on loopback"
    case $(query '\conninfo' sslmode=prefer) in *SSL*) ;; *) fail "prefer does not take TLS: $(query '\conninfo' sslmode=prefer)" ;; esac
    kill "$proxy"; wait "$proxy" || fail "the proxy ended with $?"
    start 0.0.0.0:0 --client-secret-file "$dir/secret"
    PGPASSWORD=$(cat "$dir/secret")
    export PGPASSWORD
    [ "$(query 'select 3' sslmode=verify-full)" = 3 ] || fail "with the secret: $(query 'select 3' sslmode=verify-full)"
    case $(query 'select 4' sslmode=disable) in *"TLS alone"*) ;; *) fail "without TLS: $(query 'select 4' sslmode=disable)" ;; esac
    case $(PGPASSWORD=a-guess-that-is-wrong query 'select 5' sslmode=require) in *"client secret is wrong"*) ;; *) fail "a wrong secret" ;; esac
    "$libpq" tests/psql/libpq.py "$port" "$dir/cert" "$dir/secret" || fail "libpq 18"
    kill "$proxy"; wait "$proxy" || fail "the proxy ended with $?"
    echo "ok: TLS and a secret"
}
export -f inside domain tls

for engine in embedded postgres; do
    for challenge in cleartext md5 scram; do
        "$shiftkey" sandbox -q --engine "$engine" --challenge "$challenge" -- bash -euo pipefail -c "inside $engine $challenge"
    done
done

# A PostgreSQL that somebody else runs and that trusts this machine.
bin=$(pg_config --bindir)
theirs=$(mktemp -d)
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
    chown postgres:postgres "$theirs"
fi
stop() { as "$bin/pg_ctl" -D "$theirs/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$theirs"; }
trap stop EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as "$bin/initdb" -D "$theirs/data" -U root --auth=trust --no-sync >/dev/null
as "$bin/pg_ctl" -D "$theirs/data" -w -l "$theirs/log" start -o "-p $port -k $theirs -c listen_addresses=127.0.0.1" >/dev/null || { cat "$theirs/log"; exit 1; }
for challenge in cleartext scram; do
    "$shiftkey" sandbox -q --engine "postgres://root@127.0.0.1:$port" --challenge "$challenge" -- bash -euo pipefail -c "inside given $challenge"
done
[ "$(psql -XAtc "select count(*) from pg_roles where rolname = 'alice'" "host=$theirs port=$port user=root dbname=postgres")" = 1 ] || { echo "psql: not that server" >&2; exit 1; }

# Redshift's own challenge, which psql does not know: the proxy answers it.
"$shiftkey" sandbox -q --engine embedded --challenge digest -- \
    "$shiftkey" connect prod/analytics -- -XAtc "select 'ok: embedded digest, ' || current_user"

venv=$theirs/venv
python3 -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check 'psycopg[binary]==3.3.9'
export libpq="$venv/bin/python"
"$shiftkey" sandbox -q --engine embedded -- bash -euo pipefail -c tls

if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
    "$shiftkey" sandbox -q --engine embedded -- bash -euo pipefail -c domain
else
    echo "skipped: a custom domain by its name, which needs root and mount namespaces"
fi
