//! `Test::new().args(..).run()`: a private home and directory, no environment but what is given, and a failure report that
//! is enough to type it again.

use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, OnceLock},
};

use shiftkey_sandbox::{Sandbox, engine::Engine};

/// One sandbox for all tests of this binary.
pub(crate) fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Own::start(Engine::Embedded).keep())
}

/// A sandbox of one test's own, whose time and grants it may change, on a thread of its own.
pub(crate) struct Own {
    sandbox: Option<Sandbox>,
    end: Option<tokio::sync::oneshot::Sender<Sandbox>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Own {
    pub(crate) fn start(engine: Engine) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<Sandbox>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                sender.send(Sandbox::builder().engine(engine).start().await.unwrap()).unwrap();
                match ended.await {
                    Ok(sandbox) => sandbox.stop().await,
                    Err(_) => std::future::pending::<()>().await,
                }
            });
        });
        Self { sandbox: Some(receiver.recv().unwrap()), end: Some(end), thread: Some(thread) }
    }

    fn keep(mut self) -> Sandbox {
        (self.end, self.thread) = (None, None);
        self.sandbox.take().unwrap()
    }
}

impl std::ops::Deref for Own {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        self.sandbox.as_ref().unwrap()
    }
}

/// An engine's files and processes go with it.
impl Drop for Own {
    fn drop(&mut self) {
        if let (Some(end), Some(sandbox), Some(thread)) = (self.end.take(), self.sandbox.take(), self.thread.take()) {
            let _ = end.send(sandbox);
            let _ = thread.join();
        }
    }
}

/// A command to be run.
pub(crate) struct Test {
    dir: Arc<tempfile::TempDir>,
    command: Command,
}

/// What it did.
pub(crate) struct Ran {
    report: String,
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    dir: Arc<tempfile::TempDir>,
}

impl Test {
    /// A caller with nothing: no AWS keys, no configuration.
    pub(crate) fn bare() -> Self {
        Self::bare_in(Arc::new(tempfile::tempdir().unwrap()))
    }

    fn bare_in(dir: Arc<tempfile::TempDir>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shiftkey"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", dir.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        command.current_dir(dir.path()).stdin(Stdio::null());
        Self { dir, command }
    }

    /// Alice in the sandbox, with a cache of her own.
    pub(crate) fn new() -> Self {
        Self::of("alice")
    }

    /// A ready-made caller in the sandbox.
    pub(crate) fn of(caller: &str) -> Self {
        Self::of_in(caller, Arc::new(tempfile::tempdir().unwrap()))
    }

    fn of_in(caller: &str, dir: Arc<tempfile::TempDir>) -> Self {
        Self::against_in(sandbox(), caller, dir)
    }

    /// Alice in another sandbox.
    pub(crate) fn against(sandbox: &Sandbox) -> Self {
        Self::against_in(sandbox, "alice", Arc::new(tempfile::tempdir().unwrap()))
    }

    /// Another caller in another sandbox, in a place of its own or an earlier one's.
    pub(crate) fn against_as(sandbox: &Sandbox, caller: &str, dir: &Arc<tempfile::TempDir>) -> Self {
        Self::against_in(sandbox, caller, Arc::clone(dir))
    }

    fn against_in(sandbox: &Sandbox, caller: &str, dir: Arc<tempfile::TempDir>) -> Self {
        let mut test = Self::bare_in(dir);
        test.command.envs(sandbox.environment_for(caller).unwrap());
        // The sandbox's directory is shared by all tests, which would make one test's calls depend on another's.
        test.command.env("SHIFTKEY_CACHE_DIR", test.dir.path().join("cache"));
        test
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Puts a file into the working directory, which is the home as well.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Puts a program in front of all others.
    pub(crate) fn program(mut self, name: &str, script: &str) -> Self {
        let bin = self.dir.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let path = bin.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let rest = std::env::var_os("PATH").unwrap();
        let paths = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&rest))).unwrap();
        self.command.env("PATH", paths);
        self
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub(crate) fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    pub(crate) fn run(mut self) -> Ran {
        let output = self.command.output().unwrap();
        Ran::new(&self.command, &output, self.dir)
    }
}

impl Ran {
    /// The next command of alice, in the same place: home and cache are the same.
    pub(crate) fn again(&self) -> Test {
        Test::of_in("alice", Arc::clone(&self.dir))
    }

    /// Every file that was left.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        listing(self.dir.path())
    }

    fn new(command: &Command, output: &Output, dir: Arc<tempfile::TempDir>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let files = listing(dir.path());
        let report = format!("{command:?}\nstatus: {}\nstdout:\n{stdout}\nstderr:\n{stderr}\nfiles: {files:?}", output.status);
        Self { report, status: output.status.code().unwrap_or(-1), stdout, stderr, dir }
    }

    #[track_caller]
    pub(crate) fn status(self, expected: i32) -> Self {
        assert_eq!(self.status, expected, "{}", self.report);
        self
    }

    #[track_caller]
    pub(crate) fn success(self) -> Self {
        self.status(0)
    }

    #[track_caller]
    pub(crate) fn out(self, needle: &str) -> Self {
        assert!(self.stdout.contains(needle), "stdout lacks {needle:?}\n{}", self.report);
        self
    }

    #[track_caller]
    pub(crate) fn err(self, needle: &str) -> Self {
        assert!(self.stderr.contains(needle), "stderr lacks {needle:?}\n{}", self.report);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}", self.report))
    }
}

/// Every file below a directory.
pub(crate) fn listing(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.flat_map(|entry| if entry.path().is_dir() { listing(&entry.path()) } else { vec![entry.path()] }).collect()
}

/// Whether a program is here to be asked.
pub(crate) fn installed(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|dir| dir.join(program).is_file())
}
