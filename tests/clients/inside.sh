#!/usr/bin/env bash
# One proxy, every client. Run by run.sh inside a sandbox whose warehouses are PostgreSQL.
set -euo pipefail
fail() { printf 'FAIL %s\n' "$*"; exit 1; }
say() { printf '%s (%s s)\n' "$*" "$SECONDS"; }
export HOME="$tmp" PGCONNECT_TIMEOUT=60

# The proxy listens before it tells where, so what it tells is waited for.
export sock="$tmp/sock"
mkfifo "$tmp/told"
"$shiftkey" proxy prod/analytics=0 prod/analytics="$sock" --drain 0s >"$tmp/told" 2>"$tmp/proxy-log" &
proxy=$!
trap 'kill "$proxy" 2>/dev/null || true' EXIT
exec 3<"$tmp/told"
port=
while [ -z "$port" ] && read -r line <&3; do
    case $line in *"host=127.0.0.1 port="*) port=${line#*port=}; port=${port%% *} ;; esac
done
[ -n "$port" ] || fail "the proxy does not listen: $(cat "$tmp/proxy-log")"
export port
url() { "$shiftkey" url prod/analytics --format "$1" --via-proxy "127.0.0.1:$port"; }
uri=$(url uri)
# Every client that can use a unix socket reads this. node-postgres would ask for the TLS of PGSSLMODE there too.
export socket="postgresql:///dev?host=$sock&sslmode=disable"

# until_it_runs NAME: asks until the query with this comment is at work.
until_it_runs() {
    for _ in $(seq 500); do
        seen=$(psql -XwAtc "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%$1%'" "$uri")
        [ "$seen" = 0 ] || return 0
    done
    fail "the query to cancel does not start: $1"
}

psql_works() {
    local where=$1 said status=0
    [ "$(psql -XwAtc 'select current_user' "$where")" = alice ] || fail "psql: who signed in?"
    [ "$(psql -XwAtc 'select 1; select 2' "$where" | tail -1)" = 2 ] || fail "psql: several statements"
    [ "$(psql -XwAtc "select repeat('y', 20000000)" "$where" | wc -c)" = 20000001 ] || fail "psql: a large row"
    [ "$(psql -XwAt -v FETCH_COUNT=500 -c 'select generate_series(1, 20000)' "$where" | wc -l)" = 20000 ] || fail "psql: a cursor"
    said=$(psql -XwAt "$where" <<<$'listen news;\nnotify news, \'arrived\';\nselect 1;')
    case $said in *'"news" with payload "arrived"'*) ;; *) fail "psql: LISTEN: $said" ;; esac
    [ "$(psql -XwAt "$where" <<<$'\\c\nselect current_user;' | tail -1)" = alice ] || fail "psql: \\c"
    # 50 MB out, in, and out again.
    psql -XwAtq "$where" <<END || fail "psql: COPY"
create temp table copied (number int, text text);
\\copy (select n, repeat(md5(n::text), 16) from generate_series(1, 100000) n) to '$tmp/first'
\\copy copied from '$tmp/first'
\\copy copied to '$tmp/second'
END
    [ "$(wc -c <"$tmp/first")" -gt 50000000 ] && cmp "$tmp/first" "$tmp/second" || fail "psql: COPY changed the bytes"
    psql -Xw -v VERBOSITY=sqlstate -c 'select pg_sleep(60) /* psql */' "$where" >/dev/null 2>"$tmp/said" &
    until_it_runs '/* psql */'
    kill -INT $!
    wait $! || status=$?
    [ "$status" = 1 ] && grep -q 57014 "$tmp/said" || fail "psql: cancel: status $status, $(cat "$tmp/said")"
}

pgbench_works() {
    local where=$1 mode
    pgbench -iq "$where" >/dev/null 2>&1 || fail "pgbench -i"
    for mode in simple extended prepared; do
        pgbench -n -M "$mode" -c 4 -t 50 "$where" >"$tmp/said" 2>&1 || fail "pgbench -M $mode: $(cat "$tmp/said")"
    done
    pgbench -n -C -S -c 4 -t 10 "$where" >"$tmp/said" 2>&1 || fail "pgbench -C: $(cat "$tmp/said")"
    pgbench -n -M prepared -c 4 -t 50 -f "$tmp/pipeline.sql" "$where" >"$tmp/said" 2>&1 || fail "pgbench, pipelines: $(cat "$tmp/said")"
    # A run ends without cancelling; what fills the tables is cancelled.
    pgbench -i -I dtG -s 300 "$where" >"$tmp/said" 2>&1 &
    until_it_runs 'insert into pgbench_accounts'
    kill -INT $!
    ! wait $! || fail "pgbench: what was cancelled ended well"
    grep -q 'canceling statement due to user request' "$tmp/said" || fail "pgbench: cancel: $(cat "$tmp/said")"
    pgbench -iq -I d "$where" >/dev/null 2>&1
}
cat >"$tmp/pipeline.sql" <<'END'
\startpipeline
select abalance from pgbench_accounts where aid = 1;
select 2;
select 3;
\endpipeline
END

for where in "$uri" "$socket"; do psql_works "$where"; done
say "ok   psql: sockets, cursors, LISTEN, COPY of 50 MB both ways, \\c, cancel"
for where in "$uri" "$socket"; do pgbench_works "$where"; done
say "ok   pgbench: sockets, simple, extended, prepared, -C, pipelines, cancel"
works() {
    local said
    said=$("$@" 2>"$tmp/said") || fail "$1 ${*: -1}: $(cat "$tmp/said")"
    say "$said"
}
for client in psycopg asyncpg odbc; do works "$software/clients/bin/python" "$here/clients.py" "$client"; done
works "$software/dbt/bin/python" "$here/clients.py" redshift
works java -cp "$PGJDBC_CLASSPATH" Through "$(url jdbc-postgresql)"
if [ -n "${NODE_PATH-}" ]; then works node "$here/through.js" "$uri" "$socket"; else echo "skipped: node-postgres, which needs npm"; fi

# Every format, by the software it is for.
"$software/clients/bin/python" "$here/../interop/strings.py" proxied "$port" || fail "a string of url --via-proxy"
say "ok   url --via-proxy, every format"
mkdir "$tmp/project" "$tmp/profiles"
cp "$here/../../examples/dbt/dbt_project.yml" "$tmp/project/"
{
    printf 'warehouse:\n  target: prod\n  outputs:\n    prod:\n'
    url dbt | sed 's/^/      /'
} >"$tmp/profiles/profiles.yml"
said=$(DBT_SEND_ANONYMOUS_USAGE_STATS=False "$software/dbt/bin/dbt" debug --no-use-colors --project-dir "$tmp/project" --profiles-dir "$tmp/profiles" \
    --log-path "$tmp/dbt-log" 2>&1) || fail "dbt: $said"
case $said in *"All checks passed!"*) say "ok   dbt: signed in" ;; *) fail "dbt: $said" ;; esac

# Another user of the machine, for whom the directory is closed, and who is refused even where it is open.
if [ "$(id -u)" = 0 ]; then
    nobody() { (cd / && setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups psql -Xwc 'select 1' "$1" 2>&1) && fail "nobody got in"; true; }
    refused() { case $1 in *"$2"*) ;; *) fail "nobody was told: $1" ;; esac }
    number=$(id -u nobody)
    refused "$(nobody "$uri")" "shiftkey: user id $number may not use this proxy"
    refused "$(nobody "$socket")" "Permission denied"
    chmod 755 "$sock"
    chmod 666 "$sock"/.s.PGSQL.*
    refused "$(nobody "$socket")" "shiftkey: user id $number may not use this proxy"
    say "ok   nobody: refused on TCP and on the socket"
fi

calls=$(curl -sS --oauth2-bearer "$SHIFTKEY_SANDBOX_TOKEN" "$SHIFTKEY_SANDBOX_URL/calls" |
    python3 -c 'import json, sys; print(sum(call["count"] for call in json.load(sys.stdin)["calls"] if call["action"] == "GetClusterCredentials"))')
[ "$calls" = 1 ] || fail "$calls calls of GetClusterCredentials"
kill "$proxy"
wait "$proxy" || fail "the proxy ended with status $?: $(cat "$tmp/proxy-log")"
trap - EXIT
say "ok   one call of GetClusterCredentials for all of them"
