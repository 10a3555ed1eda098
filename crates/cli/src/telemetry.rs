//! Logs to stderr, more of them with each `-v`. No secret is ever an argument of a log line.

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

pub(crate) fn install(verbose: u8) {
    // The SDK logs requests and answers at its finest levels, passwords among them: those levels are never on.
    let levels = match verbose {
        // What concerns a user is told by the command; most runs have no use for a log.
        0 => return,
        1 => Targets::new().with_default(LevelFilter::WARN).with_target("shiftkey", LevelFilter::INFO),
        2 => Targets::new().with_default(LevelFilter::INFO).with_target("shiftkey", LevelFilter::DEBUG),
        _ => Targets::new().with_default(LevelFilter::DEBUG),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(crate::output::colour());
    // Only the first call counts, and there is one.
    let _ = tracing_subscriber::registry().with(levels).with(lines).try_init();
}
