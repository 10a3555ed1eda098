//! The binary, run as a user runs it, against the sandbox.

#![allow(clippy::unwrap_used)] // a harness is test code too, which clippy does not see

mod caching; // what processes share, and how to see and stop it
mod clients; // connect and exec: what the child gets, and what it leaves
mod commands; // each command once, for a person and for a script
mod documents; // what docs and examples say
mod failures; // exit codes, messages, hints
mod harness; // the noise that the tests above do without
mod passwords; // audit and lockdown
mod policy; // IAM: what is written, checked, explained and put in force
mod proxy; // listeners, signals, what is printed
mod secrets; // canaries: where a secret must never be seen
mod terminal; // what a person sees and types
