//! Logs to stderr, more of them with each `-v`. No secret is ever an argument of a log line.

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

pub(crate) fn install(verbose: u8, quiet: bool) {
    // The SDK logs requests and answers at its finest levels, passwords among them: those levels are never on.
    let levels = match verbose {
        // Our own warnings are few, and each has a consequence for the user.
        0 if !quiet => Targets::new().with_default(LevelFilter::ERROR).with_target("shiftkey", LevelFilter::WARN),
        0 => Targets::new().with_default(LevelFilter::ERROR),
        1 => Targets::new().with_default(LevelFilter::INFO),
        _ => Targets::new().with_default(LevelFilter::DEBUG),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(crate::output::colour());
    // Only the first call counts, and there is one.
    let _ = tracing_subscriber::registry().with(levels).with(lines).try_init();
}
