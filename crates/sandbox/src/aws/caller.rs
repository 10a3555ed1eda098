//! Who a signed request comes from, and whether that principal's policies allow what it asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::Value;

use super::fault::Fault;
use super::iam::{Directory, Kind, Rights};
use crate::iam::{Context, Decision, decide};
use crate::seed::{Role, User};

/// A principal whose signature held.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) account: String,
    pub(super) arn: String,
    pub(super) user_id: String,
    pub(super) user_name: Option<String>,
    pub(super) role: Option<String>,
    pub(super) mfa: Option<bool>,
    pub(super) policies: Vec<Value>,
    /// Bounds what the policies of the user or role allow.
    pub(super) boundary: Option<Value>,
    /// The service control policy of the account; none allows all.
    pub(super) organization: Option<Value>,
    /// Bounds what the policies allow.
    pub(super) session_policy: Option<Value>,
    /// Session tags, as `aws:PrincipalTag/KEY`.
    pub(super) tags: BTreeMap<String, String>,
}

/// A temporary session.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) token: String,
    pub(super) expires_at: SystemTime,
    pub(super) caller: Caller,
}

/// Users' keys and live sessions.
#[derive(Clone)]
pub(super) struct Callers {
    users: Arc<Vec<User>>,
    sessions: Arc<Mutex<BTreeMap<String, Session>>>,
}

impl Callers {
    pub(super) fn new(users: Vec<User>) -> Self {
        Self { users: Arc::new(users), sessions: Arc::default() }
    }

    pub(super) fn remember(&self, session: Session) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(session.access_key.clone(), session);
    }

    /// The secret and the principal behind an access key. Only after the signature holds may the principal be used.
    pub(super) fn find(&self, access_key: &str, token: Option<&str>, now: SystemTime) -> Result<(String, Caller), Fault> {
        let invalid = || Fault::new(403, "InvalidClientTokenId", "The security token included in the request is invalid.");
        if let Some(user) = self.users.iter().find(|it| it.access_key() == access_key) {
            return if token.is_none() { Ok((user.secret_key(), Caller::user(user))) } else { Err(invalid()) };
        }
        let session = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(access_key).cloned().ok_or_else(invalid)?;
        if token != Some(&session.token) {
            return Err(invalid());
        }
        if now >= session.expires_at {
            return Err(Fault::new(403, "ExpiredToken", "The security token included in the request is expired"));
        }
        Ok((session.secret_key, session.caller))
    }
}

impl Caller {
    fn user(user: &User) -> Self {
        Self {
            account: user.account.to_owned(),
            arn: user.arn(),
            user_id: user.id(),
            user_name: Some(user.name.to_owned()),
            role: None,
            mfa: None,
            policies: user.policies.clone(),
            boundary: None,
            organization: None,
            session_policy: None,
            tags: BTreeMap::new(),
        }
    }

    pub(super) fn assumed(role: &Role, session_name: &str, mfa: bool) -> Self {
        Self {
            account: role.account.to_owned(),
            arn: format!("arn:aws:sts::{}:assumed-role/{}/{session_name}", role.account, role.name),
            user_id: format!("{}:{session_name}", role.id()),
            user_name: None,
            role: Some(role.name.to_owned()),
            mfa: Some(mfa),
            policies: role.policies.clone(),
            boundary: None,
            organization: None,
            session_policy: None,
            tags: BTreeMap::new(),
        }
    }

    /// The same with the policies and tags that the user or role has now. A session's own tags win.
    pub(super) fn standing_in(self, directory: &Directory) -> Self {
        let (kind, name) = match (&self.user_name, &self.role) {
            (Some(name), _) => (Kind::User, name),
            (None, Some(name)) => (Kind::Role, name),
            (None, None) => return self,
        };
        let Rights { policies, boundary, organization, mut tags } = directory.of(kind, &self.account, name);
        tags.retain(|key, _| !self.tags.keys().any(|own| own.eq_ignore_ascii_case(key)));
        tags.extend(self.tags);
        Self { policies, boundary, organization, tags, ..self }
    }

    /// The database user that AWS maps this identity to.
    pub(super) fn mapped_user(&self) -> String {
        match (&self.user_name, &self.role) {
            (Some(name), _) => format!("IAM:{name}"),
            (None, role) => format!("IAMR:{}", role.as_deref().unwrap_or_default()),
        }
    }

    /// The condition keys that come with the principal, and these of the request (absent ones are left out).
    pub(super) fn context(&self, region: &str, now: SystemTime, request: &[(&str, Option<&str>)]) -> Context {
        let time = humantime::format_rfc3339_seconds(now).to_string();
        let mfa = self.mfa.map(|it| it.to_string());
        let own = [
            ("aws:userid", Some(self.user_id.as_str())),
            ("aws:username", self.user_name.as_deref()),
            ("aws:principalarn", Some(self.arn.as_str())),
            ("aws:principalaccount", Some(self.account.as_str())),
            ("aws:multifactorauthpresent", mfa.as_deref()),
            ("aws:currenttime", Some(time.as_str())),
            ("aws:requestedregion", Some(region)),
        ];
        let all = own.iter().chain(request);
        let tags = self.tags.iter().map(|(key, value)| (format!("aws:principaltag/{}", key.to_ascii_lowercase()), vec![value.clone()]));
        all.filter_map(|(key, value)| Some((key.to_ascii_lowercase(), vec![(*value)?.to_owned()]))).chain(tags).collect()
    }

    /// Refuses with AWS's words unless all that applies allows the action on the resource and nothing denies it (IAM User Guide, "Policy
    /// evaluation logic"): denies come first, wherever they stand.
    pub(super) fn authorize(&self, action: &str, resource: &str, context: &Context) -> Result<(), Fault> {
        fn one(document: Option<&Value>) -> Option<&[Value]> {
            document.map(std::slice::from_ref)
        }
        let layers = [
            ("a service control policy", one(self.organization.as_ref())),
            ("an identity-based policy", Some(&*self.policies)),
            ("a permissions boundary", one(self.boundary.as_ref())),
            ("a session policy", one(self.session_policy.as_ref())),
        ];
        let verdicts = layers.map(|(kind, policies)| (kind, policies.map(|it| decide(it, action, resource, context))));
        let found = |decision| verdicts.iter().find(|it| it.1 == Some(decision)).map(|it| it.0);
        let (kind, tail) = match (found(Decision::ExplicitlyDenied), found(Decision::ImplicitlyDenied)) {
            (Some(kind), _) => (kind, format!("with an explicit deny in {kind}")),
            (None, Some(kind)) => (kind, format!("because no {} allows the {action} action", kind.split_once(' ').map_or(kind, |it| it.1))),
            (None, None) => return Ok(()),
        };
        // Of an organization's denials the resource is not told.
        let on = if kind == layers[0].0 { String::new() } else { format!(" on resource: {resource}") };
        let message = format!("User: {} is not authorized to perform: {action}{on} {tail}", self.arn);
        Err(Fault::new(403, "AccessDenied", &message))
    }
}
