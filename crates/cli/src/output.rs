//! Data goes to stdout, everything else to stderr. Colour only on a terminal that wants it.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use shiftkey::Error;

/// Where and how to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    pub(crate) json: bool,
    quiet: bool,
    colour: bool,
}

/// Whether what goes to stderr may be coloured: on a terminal that can, unless `NO_COLOR` is set (no-color.org).
pub(crate) fn colour() -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    io::stderr().is_terminal() && !plain && !dumb
}

impl Printer {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, colour: colour() }
    }

    /// One line of data.
    #[allow(clippy::unused_self)]
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        stdout.flush()
    }

    /// One JSON document.
    pub(crate) fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.line(&text)
    }

    /// Rows under headings, in columns as wide as they need.
    pub(crate) fn table(&self, headings: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([headings[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..headings.len()).map(width).collect();
        let line = |cells: &[String]| {
            let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            padded.join("  ").trim_end().to_owned()
        };
        self.line(&line(&headings.iter().map(|heading| (*heading).to_owned()).collect::<Vec<_>>()))?;
        rows.iter().try_for_each(|row| self.line(&line(row)))
    }

    /// Talk, for a person.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.talk(text);
        }
    }

    /// How far something is: one line that is written over, for who looks on at a terminal.
    pub(crate) fn progress(&self, text: &str) {
        if !self.quiet && io::stderr().is_terminal() {
            let _ = write!(io::stderr().lock(), "\r\x1b[K{text}");
        }
    }

    /// A failure: `shiftkey: <target>: <what happened>`, then the hint; with `--json` an object on stdout as well.
    pub(crate) fn error(&self, error: &Error) {
        self.warning(error);
        if self.json {
            let report = serde_json::json!({
                "error": { "kind": error.kind().name(), "message": error.to_string(), "hint": error.hint() }
            });
            // The status tells it as well; a closed stdout changes nothing.
            let _ = self.json(&report);
        }
    }

    /// A failure of a part, while the whole goes on: on stderr alone, so that stdout stays one document.
    pub(crate) fn warning(&self, error: &Error) {
        let (red, cyan, reset) = if self.colour { ("\x1b[31m", "\x1b[36m", "\x1b[0m") } else { ("", "", "") };
        self.talk(&format!("{red}shiftkey:{reset} {error}"));
        if let Some(hint) = error.hint() {
            self.talk(&format!("{cyan}hint:{reset} {hint}"));
        }
    }

    /// Something that a person should know though nothing failed. Quiet keeps it back.
    pub(crate) fn caution(&self, error: &Error) {
        if !self.quiet {
            self.warning(error);
        }
    }

    /// A closed stderr is no reason to fail.
    #[allow(clippy::unused_self)]
    fn talk(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}
