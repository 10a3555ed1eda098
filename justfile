# Everything that CI runs
ci:
    bash .ci/run

# Types only
check:
    cargo check --workspace --all-targets

# All tests that need nothing installed
test:
    cargo test

# The long storm: 50 processes for four hours of the sandbox's time, about five minutes of yours; STORM_SEED repeats one
storm:
    STORM=long cargo test -p shiftkey --test storm -- storm::

# The storm that `cargo test` runs, alone: 12 processes for half an hour of the sandbox's time, under a minute of yours
storm-short:
    cargo test -p shiftkey --test storm -- storm::

# The cache on NFS, in a virtual machine (Debian, as root; five minutes)
nfs:
    cargo build -q -p shiftkey-cli
    tests/cache/nfs.sh

# Format and lint as CI does
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings

# Licences, banned crates, sources (needs cargo-deny)
deny:
    cargo deny --offline check bans licenses sources

# The Python wheel; prints its path
wheel:
    python/wheel.sh

# The wheel and its hooks against the sandbox
test-python:
    WHEEL=$(python/wheel.sh) bash -c 'python/tests/run.sh && python/tests/hooks/run.sh'

# The release binary that the benches measure
bench-build:
    cargo build --release -q -p shiftkey-cli

# Cold credentials against the AWS CLI
bench-creds *ARGS: bench-build
    benches/creds.sh {{ARGS}}

# Warm credentials against `true` and the AWS CLI
bench-warm *ARGS: bench-build
    benches/warm.sh {{ARGS}}

# A thousand processes at once on a cold cache
bench-herd *ARGS: bench-build
    benches/herd.sh {{ARGS}}

# The proxy against direct TLS, pgbouncer, stunnel and haproxy; `--short` for a rough minute
bench-proxy *ARGS: bench-build
    benches/proxy.sh {{ARGS}}

# An audit of 10,000 users, a lockdown of 1,000
bench-audit *ARGS: bench-build
    benches/audit.sh {{ARGS}}

# What the Python package costs, and what it saves against boto3 and the drivers by hand
bench-python *ARGS:
    benches/python.sh {{ARGS}}

# dbt's own way to sign in against dbt under `shiftkey exec`, in calls to AWS
bench-dbt *ARGS: bench-build
    benches/dbt.sh {{ARGS}}
