//! `completions` and `man`: made from the code that parses.

use std::io;

use clap::CommandFactory;

use crate::args::Cli;

pub(crate) fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "shiftkey", &mut io::stdout());
}

pub(crate) fn man() -> io::Result<()> {
    clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())
}
