# Everything that CI runs
ci:
    bash .ci/run

# Types only
check:
    cargo check --workspace --all-targets

# All tests that need nothing installed
test:
    cargo test

# Format and lint as CI does
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings

# Licences, banned crates, sources (needs cargo-deny)
deny:
    cargo deny --offline check bans licenses sources
