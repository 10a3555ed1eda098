//! Logs to stderr, more of them with each `-v`. No secret is ever an argument of a log line.

use tracing_subscriber::filter::LevelFilter;

pub(crate) fn install(verbose: u8) {
    // The SDK logs requests and answers at its finest levels, passwords among them: those levels are never on.
    let level = match verbose {
        // What concerns a user is told by the command; most runs have no use for a log.
        0 => return,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).with_ansi(crate::output::colour());
    // Only the first call counts, and there is one.
    let _ = lines.with_max_level(level).try_init();
}
