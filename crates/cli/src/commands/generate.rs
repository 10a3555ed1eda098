//! `completions` and `man`: made from the code that parses.

use std::{
    io::{self, Write},
    path::Path,
};

use clap::CommandFactory;
use clap_mangen::Man;
use shiftkey::Error;

use crate::{args::Cli, exit::Failure};

pub(crate) fn completions(shell: clap_complete::Shell) -> io::Result<()> {
    // Into memory first: the generator panics where a pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "shiftkey", &mut script);
    print(&script)
}

/// The page of one command, or of all together.
pub(crate) fn page(name: Option<&str>) -> Result<(), Failure> {
    let whole = command();
    let command = match name {
        None => &whole,
        Some(name) => whole.find_subcommand(name).ok_or_else(|| {
            let known: Vec<&str> = whole.get_subcommands().map(clap::Command::get_name).collect();
            Error::config(format!("there is no command '{name}'")).with_hint(format!("commands: {}", known.join(", ")))
        })?,
    };
    Ok(print(&rendered(command)?)?)
}

/// Every page, as `shiftkey.1`, `shiftkey-connect.1` and so on.
pub(crate) fn pages(dir: &Path) -> Result<(), Failure> {
    let whole = command();
    let write = || {
        std::fs::create_dir_all(dir)?;
        for command in std::iter::once(&whole).chain(whole.get_subcommands()) {
            std::fs::write(dir.join(Man::new(command.clone()).get_filename()), rendered(command)?)?;
        }
        Ok(())
    };
    write().map_err(|error: io::Error| Error::config(format!("the pages cannot be written to {}: {error}", dir.display())).into())
}

fn command() -> clap::Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// A page whose exit codes and examples keep their lines, which the generator would fill into a paragraph.
fn rendered(command: &clap::Command) -> io::Result<Vec<u8>> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (codes, examples) = after.split_once("Examples:\n").unwrap_or(("", &after));
    let mut roff = Vec::new();
    Man::new(command.clone().after_help(None::<&str>)).render(&mut roff)?;
    for (heading, text) in [("EXIT STATUS", codes.trim_start_matches("Exit codes:\n")), ("EXAMPLES", examples)] {
        if !text.is_empty() {
            let text = text.trim_end().replace("\n  ", "\n").replace('\\', "\\e").replace('-', "\\-");
            writeln!(roff, ".SH \"{heading}\"\n.nf\n{}\n.fi", text.trim_start())?;
        }
    }
    Ok(roff)
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
