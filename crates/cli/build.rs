//! Two link-time settings of the release binary, where compiler and linker are known to have them: both make it start faster.

use std::{env, path::Path, process::Command};

#[expect(clippy::disallowed_methods, reason = "cargo tells build scripts by variables")]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|actual| actual == value);
    let known = is("CARGO_CFG_TARGET_ARCH", "x86_64") && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if !known || !is("PROFILE", "release") || env::var("HOST") != env::var("TARGET") {
        return;
    }
    // LLD is the toolchain's default here: identical functions are folded into one.
    println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    // GCC's unwinder from its static library, as `-static-libgcc` does: one shared library less to load.
    let told = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    let path = told.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned()).unwrap_or_default();
    if Path::new(&path).is_absolute() && Path::new(&path).is_file() {
        println!("cargo:rustc-link-lib=dylib=gcc_eh");
    }
}
