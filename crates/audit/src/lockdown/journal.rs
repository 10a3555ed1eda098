//! What a lockdown did, a line of JSON for each step, on the disk before the next step. It holds no secret.
//!
//! A line that a crash tore is dropped: what it would have said is done again, and every step can be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{DirBuilder, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use shiftkey::{Error, Result};

use super::plan::Step;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A lockdown begins.
    Planned {
        /// The target's label.
        target: String,
        /// What is to be done.
        steps: Vec<Step>,
    },
    /// A user of our own is about to be created, and must be dropped again.
    CanaryBegun {
        /// Its name.
        user: String,
    },
    /// It has shown that the warehouse refuses a password that was disabled, and is gone.
    CanaryDone {
        /// Its name.
        user: String,
        /// Whether the catalog told its password from none.
        told: bool,
    },
    /// A sign-in by IAM succeeded.
    Proven {
        /// The user.
        user: String,
    },
    /// The password is about to go.
    Begun {
        /// The user.
        user: String,
    },
    /// The password is gone; a sign-in by IAM has succeeded again where one can be tried.
    Done {
        /// The user.
        user: String,
    },
    /// Something was not as expected, and nothing was done any more.
    Stopped {
        /// What.
        why: String,
    },
    /// All steps are done.
    Finished,
    /// A user has a password again.
    Reenabled {
        /// The user.
        user: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    at: String,
    #[serde(flatten)]
    event: Event,
}

/// A journal that is held by this process.
#[derive(Debug)]
pub struct Journal {
    file: File,
    story: Story,
}

/// What the lines say so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The target's label; empty before the first plan.
    pub target: String,
    /// Steps of the last plan.
    pub steps: Vec<Step>,
    /// Which of these are done.
    pub done: BTreeSet<String>,
    /// Whose password was about to go when the lines end; it may be gone.
    pub begun: BTreeSet<String>,
    /// When each password went, of all plans.
    pub disabled: BTreeMap<String, String>,
    /// Our own user that may still exist.
    pub canary: Option<String>,
    /// Whether the catalog tells a password from none, by our own user.
    pub told: bool,
    /// Why the last run stopped.
    pub stopped: Option<String>,
    /// Whether all steps of the last plan are done.
    pub finished: bool,
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Closing would do, but for a program that is being started meanwhile and has the same file open until it runs.
        let _ = self.file.unlock();
    }
}

impl Journal {
    /// Opens or creates the journal at `path` for this process alone.
    ///
    /// # Errors
    /// `Config` when it is another process's, others may read it, or it is no journal.
    pub fn open(path: &Path) -> Result<Self> {
        let place = path.display();
        let wrong = |what: String| Error::config(format!("the journal {place} {what}"));
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty() && !dir.exists()) {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(|error| wrong(format!("cannot be created: {error}")))?;
        }
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = opened.map_err(|error| wrong(format!("cannot be opened: {error}")))?;
        file.try_lock().map_err(|_| wrong("is held by another lockdown".into()))?;
        let metadata = file.metadata().map_err(|error| wrong(format!("cannot be read: {error}")))?;
        if metadata.mode() & 0o077 != 0 {
            return Err(wrong("can be read by others".into()).with_hint(format!("chmod 600 {place}")));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let story = Story::read(&text[..whole]).map_err(|line| wrong(format!("is damaged in line {line}")))?;
        let trimmed = file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0)));
        trimmed.map_err(|error| wrong(format!("cannot be written: {error}")))?;
        Ok(Self { file, story })
    }

    /// What it says.
    pub fn story(&self) -> &Story {
        &self.story
    }

    /// Writes a line down, and waits until the disk has it.
    ///
    /// # Errors
    /// When it cannot be written; then nothing may be done that it would not tell.
    pub fn record(&mut self, at: SystemTime, event: Event) -> Result<()> {
        let at = humantime::format_rfc3339_millis(at).to_string();
        let failed = |error: std::io::Error| Error::config(format!("the journal cannot be written: {error}"));
        let line = Line { at, event };
        let mut text = serde_json::to_vec(&line).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        self.file.write_all(&text).and_then(|()| self.file.sync_data()).map_err(failed)?;
        self.story.take(line);
        Ok(())
    }
}

impl Story {
    /// Reads whole lines; an error is the number of the line that is none of ours.
    fn read(text: &[u8]) -> Result<Self, usize> {
        let mut story = Self::default();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            story.take(serde_json::from_slice(line).map_err(|_| number + 1)?);
        }
        Ok(story)
    }

    fn take(&mut self, Line { at, event }: Line) {
        match event {
            Event::Planned { target, steps } => {
                (self.target, self.steps, self.finished, self.stopped) = (target, steps, false, None);
                self.done.clear();
            }
            Event::CanaryBegun { user } => self.canary = Some(user),
            Event::CanaryDone { told, .. } => (self.canary, self.told) = (None, told),
            Event::Proven { .. } => self.stopped = None,
            Event::Begun { user } => drop(self.begun.insert(user)),
            Event::Done { user } => {
                self.begun.remove(&user);
                self.disabled.insert(user.clone(), at);
                self.done.insert(user);
            }
            Event::Stopped { why } => self.stopped = Some(why),
            Event::Finished => (self.finished, self.stopped) = (true, None),
            Event::Reenabled { user } => {
                self.disabled.remove(&user);
                self.done.remove(&user);
                self.begun.remove(&user);
            }
        }
    }

    /// Whether a plan was begun and not finished.
    pub fn is_open(&self) -> bool {
        !self.target.is_empty() && !self.finished
    }

    /// The steps that are left.
    pub fn left(&self) -> Vec<Step> {
        self.steps.iter().filter(|step| !self.done.contains(&step.user)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockdown::plan::Action;

    fn events() -> Vec<Event> {
        let step = |user: &str| Step { user: user.into(), action: Action::Disable };
        let user = |user: &str| user.to_owned();
        vec![
            Event::Planned { target: "prod/a".into(), steps: vec![step("a"), step("b\"\n")] },
            Event::CanaryBegun { user: user("canary") },
            Event::CanaryDone { user: user("canary"), told: true },
            Event::Proven { user: user("a") },
            Event::Begun { user: user("a") },
            Event::Done { user: user("a") },
            Event::Proven { user: user("b\"\n") },
            Event::Begun { user: user("b\"\n") },
            Event::Done { user: user("b\"\n") },
            Event::Finished,
        ]
    }

    #[test]
    fn a_journal_that_was_torn_anywhere_is_taken_up_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private/journal");
        let mut journal = Journal::open(&path).unwrap();
        events().into_iter().for_each(|event| journal.record(SystemTime::UNIX_EPOCH, event).unwrap());
        drop(journal);
        let (whole, mode) = (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().mode());
        assert_eq!(mode & 0o777, 0o600);
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Journal::open(&path).unwrap();
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            let mut expected = Story::default();
            let at = || humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH).to_string();
            events().into_iter().take(lines).for_each(|event| expected.take(Line { at: at(), event }));
            assert_eq!(journal.story(), &expected, "{cut}");
            journal.record(SystemTime::UNIX_EPOCH, Event::Finished).unwrap();
            drop(journal);
            assert!(Journal::open(&path).unwrap().story().finished, "{cut}");
        }
    }

    #[test]
    fn one_process_holds_it_and_nobody_else_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let held = Journal::open(&path).unwrap();
        assert!(Journal::open(&path).unwrap_err().to_string().contains("another lockdown"));
        // As a program has it that is being started.
        let _copy = held.file.try_clone().unwrap();
        drop(held);
        std::fs::write(&path, "no journal\n").unwrap();
        assert!(Journal::open(&path).unwrap_err().to_string().contains("line 1"));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert!(Journal::open(&path).unwrap_err().to_string().contains("by others"));
    }

    #[test]
    fn a_user_that_was_enabled_again_is_left_to_do() {
        let mut story = Story::default();
        let line = |event| Line { at: "now".into(), event };
        events().into_iter().for_each(|event| story.take(line(event)));
        assert!(story.left().is_empty() && story.told && !story.is_open());
        story.take(line(Event::Reenabled { user: "a".into() }));
        assert_eq!((story.left().len(), story.disabled.len()), (1, 1));
    }
}
