//! The steps of a plan.

use std::collections::HashMap;

use shiftkey::{Error, ErrorKind, Login, Result, dial};

use super::{
    Lockdown, Progress, Stage,
    journal::{Event, Journal},
    plan::{Action, Step},
};
use crate::{
    changes::{self, Hash},
    queries, random,
    session::Session,
};

impl Lockdown<'_> {
    /// Does what is left of the journal's plan. `watch` is told of every step.
    ///
    /// # Errors
    /// The first surprise; the journal holds it, and the same call goes on where it stopped.
    pub async fn run(&self, session: &mut Session, journal: &mut Journal, watch: &mut (dyn FnMut(Progress<'_>) + Send)) -> Result<()> {
        let outcome = self.steps(session, journal, watch).await;
        match outcome {
            Ok(()) => journal.record(self.clock.now(), Event::Finished),
            Err(error) => {
                // What stopped it matters more than that this could not be written down.
                let _ = journal.record(self.clock.now(), Event::Stopped { why: error.message().to_owned() });
                Err(error)
            }
        }
    }

    async fn steps(&self, session: &mut Session, journal: &mut Journal, watch: &mut (dyn FnMut(Progress<'_>) + Send)) -> Result<()> {
        let left = journal.story().left();
        if left.is_empty() {
            return Ok(());
        }
        // The plan may be older than the configuration.
        if let Some(step) = left.iter().find(|step| self.target.break_glass.as_deref() == Some(&step.user)) {
            return Err(about(&step.user, &surprise("it is the break-glass user now")));
        }
        self.canary(session, journal).await?;
        let (mut done, all) = (0, left.len());
        for batch in left.chunks(self.batch.max(1)) {
            let mut tell = |step: &Step, stage, done| watch(Progress { user: &step.user, stage, done, all });
            let mut logins = HashMap::new();
            for step in batch.iter().filter(|step| step.action != Action::DisableUnproven) {
                let login = self.by_iam(&step.user).await.map_err(|error| about(&step.user, &error))?;
                logins.insert(step.user.as_str(), login);
                journal.record(self.clock.now(), Event::Proven { user: step.user.clone() })?;
                tell(step, Stage::Proven, done);
            }
            for step in batch {
                journal.record(self.clock.now(), Event::Begun { user: step.user.clone() })?;
                tell(step, Stage::Announced, done);
                let change = match step.action {
                    Action::Disable | Action::DisableUnproven => changes::disable(&step.user)?,
                    Action::Substitute => changes::set_password(&step.user, &Hash::of_nothing(&random::bytes()?))?,
                };
                session.change(&change).await.map_err(|error| about(&step.user, &error))?;
                tell(step, Stage::Changed, done);
            }
            let states = if journal.story().told { states(session).await? } else { HashMap::new() };
            for step in batch {
                if step.action != Action::Substitute && states.get(&step.user).is_some_and(|state| state != "none") {
                    return Err(about(&step.user, &surprise("the warehouse took the statement, and the catalog still shows a password")));
                }
                if let Some(login) = logins.remove(step.user.as_str()) {
                    let again = Session::sign_in(login.clone(), self.options).await;
                    // It opens nothing that the caller could not have opened anyway, but need not lie about.
                    self.shiftkey.invalidate(&self.target_of(&step.user), &login.credential).await;
                    again.map_err(|error| about(&step.user, &error))?;
                }
                journal.record(self.clock.now(), Event::Done { user: step.user.clone() })?;
                done += 1;
                tell(step, Stage::Done, done);
            }
        }
        Ok(())
    }

    /// Signs in by IAM, and makes sure that the session is this user's.
    async fn by_iam(&self, user: &str) -> Result<Login> {
        let mut session = Session::open(self.shiftkey, &self.target_of(user), self.options).await?;
        let rows = session.query(queries::WHOAMI).await?;
        let found = rows.first().and_then(|row| row.first()?.as_deref());
        if found != Some(user) {
            return Err(surprise(&format!("the session is another user's: {}", found.unwrap_or_default().escape_debug())));
        }
        Ok(session.login().clone())
    }

    /// What a disabled password means here is shown by a user of our own: its password opens a session, is disabled, and opens none.
    /// Along the way it shows whether the catalog tells the difference, which AWS does not document.
    async fn canary(&self, session: &mut Session, journal: &mut Journal) -> Result<()> {
        if let Some(left) = journal.story().canary.clone() {
            session.change(&changes::drop_user(&left)?).await?;
        }
        let user = format!("shiftkey_canary_{:016x}", u64::from_be_bytes(random::bytes()?));
        let password = random::password()?;
        journal.record(self.clock.now(), Event::CanaryBegun { user: user.clone() })?;
        session.change(&changes::create(&user, &Hash::of(&password, &user))?).await?;
        let shown = self.show(session, &user, &password).await;
        session.change(&changes::drop_user(&user)?).await?;
        let told = shown.map_err(|error| Error::new(error.kind(), format!("the trial with a user of our own: {}", error.message())))?;
        journal.record(self.clock.now(), Event::CanaryDone { user, told })
    }

    async fn show(&self, session: &mut Session, user: &str, password: &shiftkey::Secret) -> Result<bool> {
        // Where no password opens a session, a refusal would prove nothing.
        self.by_password(session.login(), user, password).await?;
        let before = states(session).await.unwrap_or_default().remove(user);
        session.change(&changes::disable(user)?).await?;
        match self.by_password(session.login(), user, password).await {
            Ok(()) => return Err(surprise("the warehouse still takes a password that was disabled")),
            Err(error) if dial::says_stale(&error) => {}
            Err(error) => return Err(error),
        }
        let after = states(session).await.unwrap_or_default().remove(user);
        Ok(before.is_some_and(|state| state != "none") && after.as_deref() == Some("none"))
    }
}

/// What the catalog says of each user's password.
async fn states(session: &mut Session) -> Result<HashMap<String, String>> {
    let rows = session.query(queries::PASSWORDS).await?;
    let pair = |row: Vec<Option<String>>| {
        let mut cells = row.into_iter();
        Some((cells.next()??, cells.next()??))
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

fn surprise(what: &str) -> Error {
    Error::new(ErrorKind::Unexpected, what)
}

fn about(user: &str, error: &Error) -> Error {
    let named = Error::new(error.kind(), format!("{}: {}", user.escape_debug(), error.message()));
    let hint = error.hint().map(|hint| format!("{hint}\n")).unwrap_or_default();
    named.with_hint(format!("{hint}mend it, then `--resume`; or `--reenable` the user if it is needed now"))
}
