//! One principal's requests, decided by its policies.

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use super::{Account, Place, Principal};
use crate::policy::evaluate::{self, Context, Decision, Judgement, evaluate, list, texts};

/// A session name that nobody would take. Whoever assumes a role chooses the name.
const SESSION: &str = "shiftkey.session.qz9";

/// Keys that whoever asks can have as they are wanted.
const CHOSEN: [&str; 5] =
    ["redshift:dbname", "redshift:durationseconds", "aws:multifactorauthpresent", "aws:multifactorauthage", "aws:tokenissuetime"];

const USER_ID: &str = "aws:userid";

const TAG: &str = "aws:principaltag/";

/// Whether what a policy allows depends on who has it.
pub(super) fn is_personal(document: &Value) -> bool {
    let text = document.to_string().to_ascii_lowercase();
    ["aws:username", USER_ID, "aws:principal"].iter().any(|key| text.contains(key))
}

/// A request that passes.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// The statements that let it pass, by policy of the account and place.
    pub(super) by: Vec<(usize, usize)>,
    /// The keys that it hangs on besides.
    pub(super) hangs_on: BTreeSet<String>,
}

/// A principal and what it has.
pub(super) struct Asker {
    held: Vec<usize>,
    documents: Vec<Value>,
    /// The same for the action that was asked for last, without the statements about others.
    about: (String, Vec<Value>),
    boundary: Option<Value>,
    context: Context,
    is_user: bool,
    id: String,
    /// Whether it is a role whose policies are about the session, which whoever assumes it names and tags.
    chosen: bool,
}

fn session_of(id: &str) -> String {
    format!("{id}:{SESSION}")
}

impl Asker {
    pub(super) fn new(
        account: &Account,
        held: Vec<usize>,
        boundary: Option<usize>,
        principal: &Principal,
        place: &Place,
        now: SystemTime,
    ) -> Self {
        let document = |it: usize| account.policies[it].document.clone();
        let mut context = Context::partial([]);
        let mut know = |key: &str, value: Option<&str>| context.know(key, value.map(str::to_owned).into_iter().collect());
        let Principal { is_user, arn, name, id, tags, .. } = principal;
        know("aws:username", is_user.then_some(name));
        know(USER_ID, Some(&if *is_user { id.clone() } else { session_of(id) }));
        know("aws:PrincipalArn", Some(arn));
        know("aws:PrincipalAccount", Some(&place.account));
        know("aws:PrincipalType", Some(if *is_user { "User" } else { "AssumedRole" }));
        know("aws:PrincipalIsAWSService", Some("false"));
        know("aws:RequestedRegion", Some(&place.region));
        know("aws:SecureTransport", Some("true"));
        know("aws:CurrentTime", Some(&humantime::format_rfc3339_seconds(now).to_string()));
        know("aws:EpochTime", Some(&now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string()));
        for (key, value) in tags {
            know(&format!("{TAG}{key}"), Some(value));
        }
        let documents: Vec<Value> = held.iter().map(|it| document(*it)).collect();
        let boundary = boundary.map(document);
        let chosen = !is_user && documents.iter().chain(&boundary).any(is_personal);
        Self { documents, about: Default::default(), held, boundary, context, is_user: *is_user, id: id.clone(), chosen }
    }

    /// Whether a statement allows the action at all.
    pub(super) fn speaks(&self, action: &str) -> bool {
        let mut statements = self.documents.iter().flat_map(|document| list(&document["Statement"]));
        statements.any(|it| it["Effect"] == "Allow" && evaluate::acts(it, action))
    }

    /// Names of the kind (`dbuser`, `dbgroup`) that statements write out.
    pub(super) fn literals(&self, kind: &str) -> BTreeSet<String> {
        let statements = self.documents.iter().flat_map(|document| list(&document["Statement"]));
        let arns = statements.flat_map(|it| texts(&it["Resource"]));
        let name = |arn: &str| {
            let (found, rest) = arn.splitn(6, ':').nth(5)?.split_once(':')?;
            let (_, name) = rest.split_once('/').filter(|_| found == kind)?;
            (!name.is_empty() && !name.contains(['*', '?', '$'])).then(|| name.to_owned())
        };
        arns.filter_map(name).collect()
    }

    /// Asks for `action` on `resource`, as the database user `name`.
    pub(super) fn ask(&mut self, action: &str, resource: &str, name: Option<&str>) -> Option<Answer> {
        self.turn_to(action, name);
        let held = decided(&self.about.1, action, resource, &mut self.context, self.is_user)?;
        let mut hangs_on = held.unknown;
        if let Some(boundary) = &self.boundary {
            hangs_on.extend(decided(std::slice::from_ref(boundary), action, resource, &mut self.context, self.is_user)?.unknown);
        }
        hangs_on.retain(|key| !CHOSEN.contains(&key.to_ascii_lowercase().as_str()));
        let by = held.by.into_iter().chain(held.perhaps).map(|(policy, place)| (self.held[policy], place)).collect();
        Some(Answer { by, hangs_on })
    }

    /// Whether some session of the role, whatever its name and tags, may pass where the one of [`Self::ask`] does not.
    pub(super) fn some_session(&mut self, action: &str, resource: &str, name: Option<&str>) -> bool {
        if !self.chosen {
            return false;
        }
        self.turn_to(action, name);
        self.context.forget(USER_ID);
        let mut layers = [self.about.1.as_slice()].into_iter().chain(self.boundary.as_ref().map(std::slice::from_ref));
        let passes = layers.all(|documents| {
            matches!(evaluate(documents, action, resource, &self.context).decision, Decision::Allowed | Decision::Unknown)
        });
        self.context.know(USER_ID, vec![session_of(&self.id)]);
        passes
    }

    fn turn_to(&mut self, action: &str, name: Option<&str>) {
        self.context.know("redshift:DbUser", name.map(str::to_owned).into_iter().collect());
        if self.about.0 != action {
            self.about = (action.to_owned(), self.documents.iter().map(|document| only(document, action)).collect());
        }
    }
}

/// The document with nothing in the place of statements about other actions: thousands of names are asked for after each other.
fn only(document: &Value, action: &str) -> Value {
    let statements = list(&document["Statement"]).iter();
    let kept: Vec<Value> = statements.map(|it| if evaluate::acts(it, action) { it.clone() } else { Value::Null }).collect();
    serde_json::json!({ "Version": document["Version"], "Statement": kept })
}

/// `None` when it is denied. A user has the tags that IAM tells and no others; what a session's tags decide is the session's own.
fn decided(documents: &[Value], action: &str, resource: &str, context: &mut Context, is_user: bool) -> Option<Judgement> {
    loop {
        let found = evaluate(documents, action, resource, context);
        match found.decision {
            Decision::Allowed => return Some(found),
            Decision::ExplicitlyDenied | Decision::ImplicitlyDenied => return None,
            Decision::Unknown => {}
        }
        let tags: Vec<&String> = found.unknown.iter().filter(|key| key.to_ascii_lowercase().starts_with(TAG)).collect();
        match (tags.is_empty(), is_user) {
            (true, _) => return Some(found),
            (false, false) => return None,
            (false, true) => tags.into_iter().for_each(|key| context.know(key, Vec::new())),
        }
    }
}
