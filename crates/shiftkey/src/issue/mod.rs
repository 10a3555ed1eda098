//! Obtaining a credential by one API call, and the endpoint to use it at.
//!
//! A cluster uses `GetClusterCredentials`, or `GetClusterCredentialsWithIAM` when AWS is to choose the user; a
//! workgroup uses `redshift-serverless:GetCredentials`. The database and the lifetime are always sent, since a
//! policy may have a condition on them.

mod cluster;
mod denial;
mod serverless;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

pub(crate) use self::{
    cluster::{admin, client as cluster_client},
    denial::explain,
    serverless::{arn as workgroup_arn, client as serverless_client},
};
use crate::{
    clock::Clock,
    credential::{Credential, Endpoint},
    error::{Error, ErrorKind, Result},
    identity::{Caller, Identity, Purpose, Skew},
    secret::Secret,
    target::{Mapping, Target, Warehouse, names},
};

/// The issuing APIs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Api {
    /// `redshift:GetClusterCredentials`.
    Cluster,
    /// `redshift:GetClusterCredentialsWithIAM`.
    ClusterWithIam,
    /// `redshift-serverless:GetCredentials`.
    Serverless,
}

impl Api {
    /// The IAM action, which is also the API's name.
    pub fn action(self) -> &'static str {
        match self {
            Self::Cluster => "redshift:GetClusterCredentials",
            Self::ClusterWithIam => "redshift:GetClusterCredentialsWithIAM",
            Self::Serverless => "redshift-serverless:GetCredentials",
        }
    }
}

/// One request for a credential, with nothing left to decide: equal requests by one identity may share an answer.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Request {
    /// Which API to call.
    pub api: Api,
    /// Cluster identifier or workgroup name.
    pub name: String,
    /// The database user, for [`Api::Cluster`] alone.
    pub db_user: Option<String>,
    /// The database.
    pub database: String,
    /// Groups to join, sorted and unique.
    pub groups: Vec<String>,
    /// Create the user at login when missing.
    pub auto_create: bool,
    /// Lifetime to ask for.
    pub duration: Duration,
}

impl Request {
    /// The request of `target`, whose warehouse is resolved to `warehouse`; `caller` fills the user's template.
    pub(crate) fn new(target: &Target, warehouse: &Warehouse, caller: Option<&Caller>) -> Result<Self> {
        let (api, name) = match warehouse {
            Warehouse::Cluster(id) if target.mapping == Mapping::Iam => (Api::ClusterWithIam, id),
            Warehouse::Cluster(id) => (Api::Cluster, id),
            Warehouse::Workgroup(name) => (Api::Serverless, name),
            Warehouse::CustomDomain(host) => {
                return Err(Error::new(ErrorKind::NoSuchTarget, format!("'{host}' is not resolved to a cluster or workgroup")));
            }
        };
        let db_user = match api {
            Api::Cluster => Some(db_user(target.db_user.as_deref(), caller)?),
            Api::ClusterWithIam | Api::Serverless => None,
        };
        Ok(Self {
            api,
            name: name.clone(),
            db_user,
            database: target.database.clone(),
            groups: target.groups.clone(),
            auto_create: target.auto_create,
            duration: target.duration,
        })
    }

    /// Whether the caller must be known to build the request.
    pub(crate) fn needs_caller(target: &Target) -> bool {
        target.mapping == Mapping::User
            && !matches!(target.warehouse, Warehouse::Workgroup(_))
            && target.db_user.as_deref().is_none_or(|user| user.contains('{'))
    }

    /// Asks AWS; a denial comes back with the statement that is missing.
    pub(crate) async fn issue(&self, identity: &Identity, clock: &dyn Clock, purpose: Purpose) -> Result<Arc<Credential>> {
        let outcome = match self.api {
            Api::Cluster => cluster::issue(self, identity, clock, purpose).await,
            Api::ClusterWithIam => cluster::issue_with_iam(self, identity, clock, purpose).await,
            Api::Serverless => serverless::issue(self, identity, clock, purpose).await,
        };
        match outcome {
            Ok(credential) => Ok(credential),
            Err(error) => Err(explain(error, self, identity).await),
        }
    }
}

/// Reads from AWS where a warehouse listens.
pub(crate) async fn locate(identity: &Identity, warehouse: &Warehouse) -> Result<Endpoint> {
    match warehouse {
        Warehouse::Cluster(id) => cluster::locate(identity, id).await,
        Warehouse::Workgroup(name) => serverless::locate(identity, name).await,
        Warehouse::CustomDomain(host) => Ok(Endpoint { host: host.clone(), port: 5439 }),
    }
}

/// Finds the cluster or workgroup behind a custom domain.
pub(crate) async fn resolve_domain(identity: &Identity, host: &str) -> Result<Warehouse> {
    if let Some(id) = cluster::of_domain(identity, host).await? {
        return Ok(Warehouse::Cluster(id));
    }
    if let Some(name) = serverless::of_domain(identity, host).await? {
        return Ok(Warehouse::Workgroup(name));
    }
    Err(Error::new(ErrorKind::NoSuchTarget, format!("AWS knows no custom domain '{host}' in {}", identity.region))
        .with_hint("say which warehouse stands behind the host: `cluster:ID --host HOST`, or a target with `cluster` and `host`"))
}

/// The user to ask for: as given, or made from who is asking.
fn db_user(template: Option<&str>, caller: Option<&Caller>) -> Result<String> {
    let Some(template) = template else {
        let caller = caller.ok_or_else(|| unknown_user("no database user is given"))?;
        let name = caller.user_name().or_else(|| caller.session_name());
        let name = name.ok_or_else(|| unknown_user(&format!("{} has neither a user name nor a session name", caller.arn)))?;
        return checked(name);
    };
    let mut user = template.to_owned();
    for (mark, value) in [("{session_name}", caller.and_then(Caller::session_name)), ("{user_name}", caller.and_then(Caller::user_name))] {
        if user.contains(mark) {
            let arn = caller.map_or("the caller", |caller| caller.arn.as_str());
            let value = value.ok_or_else(|| unknown_user(&format!("{mark} is asked for, but {arn} has none")))?;
            user = user.replace(mark, value);
        }
    }
    checked(&user)
}

fn checked(user: &str) -> Result<String> {
    names::db_user(user).map(|()| user.to_owned())
}

fn unknown_user(why: &str) -> Error {
    Error::config(format!("the database user cannot be told: {why}")).with_hint("name one with --db-user")
}

/// Builds a credential out of an answer; one that is malformed or expired is no credential.
fn credential(
    request: &Request,
    db_user: Option<String>,
    password: Option<String>,
    expires_at: Option<SystemTime>,
    clock: &dyn Clock,
    skew: &Skew,
) -> Result<Arc<Credential>> {
    let action = request.api.action();
    let (Some(db_user), Some(password), Some(expires_at)) = (db_user, password, expires_at) else {
        return Err(Error::new(ErrorKind::Unexpected, format!("{action} answered without a complete credential")));
    };
    if db_user.is_empty() || password.is_empty() {
        return Err(Error::new(ErrorKind::Unexpected, format!("{action} answered with an empty credential")));
    }
    // Both ends by AWS's clock. No credential outlives what was asked for, whatever an answer says.
    let lifetime = expires_at.duration_since(skew.aws_now()).unwrap_or_default().min(request.duration);
    if lifetime.is_zero() {
        return Err(Error::new(ErrorKind::Unexpected, format!("{action} answered with an expired credential"))
            .with_hint("check this machine's clock"));
    }
    Ok(Arc::new(Credential { db_user, password: Secret::new(password), issued: clock.moment(), expires_at, lifetime }))
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(arn: &str) -> Caller {
        Caller { arn: arn.into(), account: "111122223333".into(), user_id: "AIDA".into() }
    }

    #[test]
    fn the_user_is_as_given_or_made_from_who_asks() {
        let alice = caller("arn:aws:iam::111122223333:user/team/alice");
        let carol = caller("arn:aws:sts::111122223333:assumed-role/Engineer/carol@example.com");
        let root = caller("arn:aws:iam::111122223333:root");
        for (template, caller, expected) in [
            (Some("reporting"), None, Some("reporting")),
            (None, Some(&alice), Some("alice")),
            (None, Some(&carol), Some("carol@example.com")),
            (None, Some(&root), None),
            (None, None, None),
            (Some("{user_name}"), Some(&alice), Some("alice")),
            (Some("{user_name}"), Some(&carol), None),
            (Some("{session_name}"), Some(&carol), Some("carol@example.com")),
            (Some("{session_name}"), Some(&alice), None),
            (Some("svc_{user_name}"), Some(&alice), Some("svc_alice")),
            (Some("1bad"), None, None),
        ] {
            let user = db_user(template, caller);
            assert_eq!(user.as_deref().ok(), expected, "{template:?} {caller:?}");
            assert!(user.map_err(|error| error.kind()).map_or_else(|kind| kind == ErrorKind::Config, |_| true));
        }
    }

    #[derive(Debug)]
    struct At(SystemTime);

    impl Clock for At {
        fn now(&self) -> SystemTime {
            self.0
        }
    }

    #[test]
    fn an_answer_that_opens_nothing_is_no_credential() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100_000);
        let clock = At(now);
        let skew = Skew::new(Arc::new(At(now)));
        let request = Request {
            api: Api::Cluster,
            name: "analytics".into(),
            db_user: None,
            database: "dev".into(),
            groups: Vec::new(),
            auto_create: false,
            duration: Duration::from_secs(900),
        };
        let later = |seconds| Some(now + Duration::from_secs(seconds));
        let text = |value: &str| Some(value.to_owned());
        let made = |user, password, expires| credential(&request, user, password, expires, &clock, &skew);
        assert_eq!(made(text("IAM:a"), text("p"), later(600)).unwrap().lifetime, Duration::from_secs(600));
        let long = made(text("IAM:a"), text("p"), later(90_000)).unwrap();
        assert_eq!(long.lifetime, Duration::from_secs(900), "no answer makes it live longer than was asked for");
        for (user, password, expires) in [
            (None, text("p"), later(900)),
            (text("IAM:a"), None, later(900)),
            (text("IAM:a"), text("p"), None),
            (text(""), text("p"), later(900)),
            (text("IAM:a"), text(""), later(900)),
            (text("IAM:a"), text("p"), Some(now)),
        ] {
            assert_eq!(made(user, password, expires).unwrap_err().kind(), ErrorKind::Unexpected);
        }
    }
}
