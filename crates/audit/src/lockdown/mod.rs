//! Taking passwords away, so that nobody is locked out: for each batch of users, all are signed in as by IAM first; then the
//! passwords go; then all are signed in as again. The first surprise stops everything, and the journal says where.

pub mod journal;
pub mod plan;
mod run;
pub mod verify;

use std::sync::Arc;

use shiftkey::{
    Clock, Credential, Env, Error, Login, Mapping, Origin, Result, Secret, Shiftkey, Target,
    dial::{self, Options},
};

use self::journal::{Event, Journal};
use crate::{
    changes::{self, Hash},
    random,
    session::Session,
};

/// The shortest lifetime that AWS gives: a credential serves one batch.
const LIFETIME: std::time::Duration = std::time::Duration::from_secs(900);

/// How a lockdown dials. The warehouse's log tells its sign-ins from the users' own by the application's name.
pub fn options(env: &Env) -> Options {
    let parameters = [("application_name", "shiftkey lockdown"), ("client_encoding", "UTF8")];
    let parameters = parameters.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    Options { parameters, env: env.clone(), ..Options::default() }
}

/// What a lockdown works with.
#[derive(Debug)]
pub struct Lockdown<'a> {
    /// Issues credentials, at the library's pace.
    pub shiftkey: &'a Shiftkey,
    /// The warehouse, and the superuser that takes the passwords away.
    pub target: &'a Target,
    /// How to dial: see [`options`].
    pub options: &'a Options,
    /// The time for the journal.
    pub clock: &'a dyn Clock,
    /// Users at a time.
    pub batch: usize,
}

/// How far a lockdown is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The user that something was done for.
    pub user: &'a str,
    /// What was done.
    pub stage: Stage,
    /// How many users are done.
    pub done: usize,
    /// How many there are in this run.
    pub all: usize,
}

/// What is done for each user, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Signed in by IAM.
    Proven,
    /// It is in the journal that the password goes.
    Announced,
    /// The password is gone.
    Changed,
    /// Signed in by IAM again, and it is in the journal.
    Done,
}

impl Lockdown<'_> {
    /// Gives a user a fresh password and signs in with it once.
    ///
    /// # Errors
    /// When the warehouse refuses the change or the password.
    pub async fn reenable(&self, session: &mut Session, journal: &mut Journal, user: &str) -> Result<Secret> {
        let password = random::password()?;
        let change = changes::set_password(user, &Hash::of(&password, user))?;
        // First the journal: it must not say that a user is locked down who is not.
        journal.record(self.clock.now(), Event::Reenabled { user: user.to_owned() })?;
        session.change(&change).await?;
        self.by_password(session.login(), user, &password).await.map_err(|error| {
            let message = format!("the password is set, but a sign-in with it failed: {}", error.message());
            Error::new(error.kind(), message).with_hint("an end of the password (VALID UNTIL) may have passed; ALTER USER sets another")
        })?;
        Ok(password)
    }

    /// Signs in by password.
    async fn by_password(&self, way: &Login, user: &str, password: &Secret) -> Result<()> {
        let now = self.clock.moment();
        let credential = Credential {
            db_user: user.to_owned(),
            password: password.clone(),
            issued: now,
            expires_at: now.wall + LIFETIME,
            lifetime: LIFETIME,
        };
        let login = Login { credential: Arc::new(credential), origin: Origin::Memory, ..way.clone() };
        dial::connect(&login, self.options).await.map(drop)
    }

    /// The target of another user, as briefly as AWS gives it.
    fn target_of(&self, user: &str) -> Target {
        Target {
            db_user: Some(user.to_owned()),
            groups: Vec::new(),
            auto_create: false,
            mapping: Mapping::User,
            duration: LIFETIME,
            min_remaining: std::time::Duration::ZERO,
            ..self.target.clone()
        }
    }
}
