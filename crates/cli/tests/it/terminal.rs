//! The binary on a pseudo-terminal of its own, as a person has it.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::{fs::OpenOptionsExt, process::ExitStatusExt},
    process::{Child, Command, ExitStatus},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Termios, tcgetattr},
};
use shiftkey_sandbox::{engine::Engine, seed::MFA_CODE};

use crate::{
    harness::{Own, Test, installed},
    passwords::{story, typed},
};

/// A program on a terminal.
struct Terminal {
    screen: File,
    seen: String,
    child: Child,
    before: Termios,
    _test: Test,
}

impl Terminal {
    /// Starts what the test would run. `setsid` of util-linux makes the terminal the controlling one, so that Ctrl-C
    /// becomes a signal; `env` of coreutils lets it work, which a shell's `&` would have taken from the whole test.
    fn start(mut test: Test) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let flags = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
        let open = || OpenOptions::new().read(true).write(true).custom_flags(flags).open(&name).unwrap();
        let plain = test.command();
        let mut command = Command::new("setsid");
        command.args(["-c", "env", "--default-signal=INT"]).arg(plain.get_program()).args(plain.get_args()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(plain.get_current_dir().unwrap());
        command.stdin(open()).stdout(open()).stderr(open());
        let before = tcgetattr(&master).unwrap();
        let child = command.spawn().unwrap();
        Self { screen: master.into(), seen: String::new(), child, before, _test: test }
    }

    /// Reads until the screen shows `needle`.
    #[track_caller]
    fn wait_for(&mut self, needle: &str) {
        self.wait_for_times(needle, 1);
    }

    #[track_caller]
    fn wait_for_times(&mut self, needle: &str, times: usize) {
        while self.seen.matches(needle).count() < times {
            assert!(self.read(), "the program ended without {needle:?}:\n{}", self.seen);
        }
    }

    fn type_in(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).unwrap();
    }

    /// One piece of output; false when the last program has closed the terminal.
    fn read(&mut self) -> bool {
        let mut piece = [0; 4096];
        match self.screen.read(&mut piece) {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.seen.push_str(&String::from_utf8_lossy(&piece[..length]));
                true
            }
        }
    }

    /// Waits for the end: what was shown, and the status. A question that nobody expects is answered by Ctrl-D. The terminal
    /// must be as it was.
    fn end(mut self) -> (String, ExitStatus) {
        self.type_in("\x04");
        while self.read() {}
        let status = self.child.wait().unwrap();
        let after = tcgetattr(&self.screen).unwrap();
        assert_eq!(after.local_modes, self.before.local_modes, "{}", self.seen);
        assert!(after.local_modes.contains(LocalModes::ECHO | LocalModes::ICANON));
        (self.seen, status)
    }
}

/// Asks as the profile that needs a code, with sessions kept below `dir`.
fn whoami(dir: &tempfile::TempDir) -> Test {
    Test::new().env("SHIFTKEY_CACHE_DIR", dir.path().join("cache").to_str().unwrap()).args(["whoami", "--profile", "mfa"])
}

const QUESTION: &str = "Code of the MFA device arn:aws:iam::111122223333:mfa/alice: ";

#[test]
fn an_mfa_code_is_asked_for_once_and_the_session_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(whoami(&dir));
    terminal.wait_for(QUESTION);
    terminal.type_in("12\r");
    terminal.wait_for("A code is six digits.");
    terminal.wait_for_times(QUESTION, 2);
    // As an app shows it.
    let (left, right) = MFA_CODE.split_at(3);
    terminal.type_in(&format!("{left} {right}\r"));
    let (seen, status) = terminal.end();
    assert!(status.success() && seen.contains("assumed-role/Guarded/"), "{seen}");
    assert_eq!(seen.matches(QUESTION).count(), 2, "{seen}");

    let (seen, status) = Terminal::start(whoami(&dir)).end();
    assert!(status.success() && seen.contains("assumed-role/Guarded/") && !seen.contains("MFA"), "not asked again: {seen}");
}

#[test]
fn a_session_that_cannot_be_kept_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cache"), "in the way").unwrap();
    let mut terminal = Terminal::start(whoami(&dir));
    terminal.wait_for(QUESTION);
    terminal.type_in(&format!("{MFA_CODE}\r"));
    let (seen, status) = terminal.end();
    assert!(status.success() && seen.contains("credentials are not shared, and no MFA session is kept"), "{seen}");
}

#[test]
fn a_wrong_code_is_denied_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(whoami(&dir));
    terminal.wait_for(QUESTION);
    terminal.type_in("000000\r");
    let (seen, status) = terminal.end();
    assert_eq!(status.code(), Some(4), "{seen}");
    assert!(seen.contains("hint:") && seen.contains("the code may be wrong or used already"), "{seen}");
}

#[test]
fn nothing_is_asked_under_no_input() {
    let dir = tempfile::tempdir().unwrap();
    let (seen, status) = Terminal::start(whoami(&dir).args(["--no-input"])).end();
    assert_eq!(status.code(), Some(3), "{seen}");
    assert!(!seen.contains(QUESTION) && seen.contains("needs a code of the MFA device"), "{seen}");
}

#[test]
fn the_question_can_be_left() {
    let leave = |key: &str| {
        let dir = tempfile::tempdir().unwrap();
        let mut terminal = Terminal::start(whoami(&dir));
        terminal.wait_for(QUESTION);
        terminal.type_in(key);
        terminal.end()
    };
    let (seen, status) = leave("\x03");
    assert_eq!(status.signal(), Some(2), "Ctrl-C: {seen}");
    let (seen, status) = leave("\x04");
    assert_eq!(status.code(), Some(3), "Ctrl-D: {seen}");
    assert!(seen.contains(&format!("{QUESTION}\r\n")) && seen.contains("no MFA code was entered"), "{seen}");
}

#[test]
fn errors_are_coloured_on_a_terminal_unless_told_otherwise() {
    let unknown = || Test::bare().args(["creds", "prod/nothing"]);
    let (seen, _) = Terminal::start(unknown()).end();
    assert!(seen.contains("\x1b[31mshiftkey:\x1b[0m") && seen.contains("\x1b[36mhint:\x1b[0m"), "{seen:?}");
    for plain in [unknown().env("NO_COLOR", "1"), unknown().env("TERM", "dumb")] {
        let (seen, _) = Terminal::start(plain).end();
        assert!(!seen.contains('\x1b'), "{seen:?}");
    }
}

/// A thousand users take 17 minutes: who looks on sees where it is, and nothing of it is left on the screen.
#[test]
fn what_takes_long_shows_how_far_it_is() {
    let (sandbox, dir) = story();
    let shown = |args: &[&str]| Terminal::start(typed(&sandbox, &dir, args)).end();
    let (seen, status) = shown(&["audit"]);
    assert!(status.success() && seen.contains("\r\x1b[Kreading IAM's policies\r\x1b[KUSER "), "{seen:?}");
    let lockdown = ["lockdown", "--users", "etl,one", "--apply"];
    let (seen, status) = shown(&lockdown);
    assert!(status.success() && seen.contains("\r\x1b[K0 of 2 done; etl: the password goes\r\x1b[K"), "{seen:?}");
    assert!(seen.contains("\r\x1b[K2 of 2 done; one: signed in by IAM again, done\r\x1b[K2 of 2 users are done"), "{seen:?}");
    let (seen, _) = shown(&["audit", "--host", "127.0.0.1", "--port", "1"]);
    assert!(seen.contains("\r\x1b[Kreading the warehouse\r\x1b[K\x1b[31mshiftkey:"), "{seen:?}");
    // Who wants none of it, and who logs it.
    let (seen, _) = shown(&[&["--quiet"], &lockdown[..]].concat());
    assert!(!seen.contains("\x1b[K"), "{seen:?}");
    assert!(!typed(&sandbox, &dir, &lockdown).run().success().stderr.contains(" done; "));
}

#[test]
fn ctrl_c_cancels_the_query_and_nothing_else() {
    if !installed("psql") || !Engine::postgres_is_installed() {
        return;
    }
    let own = Own::start(Engine::Postgres);
    let psql = Test::against(&own).env("TERM", "dumb").args(["connect", "prod/analytics", "--", "-X", "--no-readline", "-P", "pager=off"]);
    let mut terminal = Terminal::start(psql);
    // The notice says that the query runs; a cancel request that is lost must not leave the test waiting.
    terminal.type_in("set statement_timeout = '1min';\r");
    terminal.type_in("do $$ begin raise notice 'on its way'; perform pg_sleep(3600); end $$;\r");
    terminal.wait_for("NOTICE:  on its way");
    terminal.type_in("\x03");
    terminal.wait_for("canceling statement due to ");
    terminal.wait_for("inline_code_block");
    assert!(terminal.seen.contains("due to user request"), "{}", terminal.seen);
    terminal.type_in("select 'still ' || 'here';\r");
    terminal.wait_for("still here");
    terminal.type_in("\\q\r");
    let (seen, status) = terminal.end();
    assert!(status.success(), "{seen}");
}
