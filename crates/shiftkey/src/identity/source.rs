//! What an identity is made of, read off the configuration without asking anybody: how two processes know that they are
//! the same principal, or that they are not.
//!
//! The table of docs/caching.md, "Who asks", says the same in words.

use super::{
    Scope,
    chain::Surroundings,
    profiles::Profiles,
    role::{self, Chain, Step},
};
use crate::{error::Result, shared::digest};

/// An identity by its ingredients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Source {
    /// A hash of the ingredients; those that are secret are in it, but cannot be got out of it.
    pub(super) digest: String,
    /// For people.
    pub(super) description: String,
    /// The account, where the ingredients name it.
    pub(super) account: Option<String>,
    /// Whether the ingredients decide the principal. Otherwise AWS has to say who it is.
    pub(super) pinned: bool,
    /// Whether getting the keys may ask a person, or run a program that does.
    pub(super) asks: bool,
    /// Whether the session's name is made up anew each time.
    pub(super) nameless: bool,
}

/// The source of `scope`'s identity, by the order of the AWS chain.
pub(super) fn of(surroundings: &Surroundings, scope: &Scope, profiles: &Profiles) -> Result<Source> {
    if scope.profile.is_none()
        && let Some(keys) = keys_of_environment(surroundings)
    {
        return Ok(keys);
    }
    if let Some(source) = of_profile(surroundings, profiles, profiles.selected())? {
        return Ok(source);
    }
    Ok(of_machine(surroundings))
}

/// What a profile says; `None` when it says nothing about an identity.
fn of_profile(surroundings: &Surroundings, profiles: &Profiles, name: &str) -> Result<Option<Source>> {
    let text = |key: &str| profiles.get(name).and_then(|profile| profile.get(key)).filter(|value| !value.is_empty());
    if name == profiles.selected()
        && let Some(chain) = role::walk(profiles)?
    {
        return of_chain(surroundings, profiles, &chain).map(Some);
    }
    if let (Some(role), Some(file)) = (text("role_arn"), text("web_identity_token_file")) {
        return Ok(Some(web_identity(role, file, text("role_session_name"))));
    }
    if let (Some(role), Some(account)) = (text("sso_role_name"), text("sso_account_id")) {
        let start = profiles.sso_session("sso_start_url").or_else(|| text("sso_start_url")).unwrap_or_default();
        let description = format!("single sign-on as {role} in account {account}");
        let source = Source::new(&["sso", start, account, role], description);
        return Ok(Some(Source { account: Some(account.to_owned()), pinned: false, asks: true, ..source }));
    }
    if let Some(arn) = text("login_session") {
        let source = Source::new(&["login", arn], arn.to_owned());
        return Ok(Some(Source { account: account(arn), asks: true, ..source }));
    }
    if let Some(command) = text("credential_process") {
        let source = Source::new(&["process", command], format!("credential_process of profile '{name}'"));
        return Ok(Some(Source { pinned: false, asks: true, ..source }));
    }
    if let (Some(id), Some(secret)) = (text("aws_access_key_id"), text("aws_secret_access_key")) {
        return Ok(Some(keys(id, secret, text("aws_session_token"))));
    }
    Ok(None)
}

/// Roles assumed one after the other: the last one is the principal, whatever it took to get there.
fn of_chain(surroundings: &Surroundings, profiles: &Profiles, chain: &Chain) -> Result<Source> {
    let base = match &chain.source {
        role::Source::Profile(name) if chain.steps.first().is_some_and(|step| step.is_of(name)) => static_keys(profiles, name),
        role::Source::Profile(name) => of_profile(surroundings, profiles, name)?,
        role::Source::Ambient(kind) if kind == "Environment" => keys_of_environment(surroundings),
        role::Source::Ambient(kind) => Some(Source::new(&["ambient", kind], kind.clone())),
    };
    let base = base.unwrap_or_else(|| Source::new(&["nothing"], String::new()));
    let mut parts = vec!["roles".to_owned(), base.digest.clone()];
    for step in &chain.steps {
        parts.extend([&step.external_id, &step.session_name, &step.mfa_serial].map(|part| part.clone().unwrap_or_default()));
        parts.push(step.role_arn.clone());
    }
    let last: &Step = chain.steps.last().expect("a chain has a step");
    let description = match &last.session_name {
        Some(session) => format!("{} as {session}", last.role_arn),
        None => last.role_arn.clone(),
    };
    Ok(Source {
        digest: digest(&parts.iter().map(String::as_str).collect::<Vec<_>>()),
        description,
        account: account(&last.role_arn),
        pinned: true,
        asks: base.asks || chain.steps.iter().any(|step| step.mfa_serial.is_some()),
        nameless: last.session_name.is_none(),
    })
}

/// What the SDK's chain tries after the environment's keys and the profile.
fn of_machine(surroundings: &Surroundings) -> Source {
    let var = |name: &str| surroundings.env.var(name);
    if let (Some(file), Some(role)) = (var("AWS_WEB_IDENTITY_TOKEN_FILE"), var("AWS_ROLE_ARN")) {
        return web_identity(role, file, var("AWS_ROLE_SESSION_NAME"));
    }
    let container = var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").or_else(|| var("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
    let source = match container {
        Some(uri) => Source::new(&["container", uri], "the container's role".to_owned()),
        None => Source::new(&["instance"], "the machine's role".to_owned()),
    };
    Source { pinned: false, ..source }
}

fn keys_of_environment(surroundings: &Surroundings) -> Option<Source> {
    let var = |name: &str| surroundings.env.var(name);
    Some(keys(var("AWS_ACCESS_KEY_ID")?, var("AWS_SECRET_ACCESS_KEY")?, var("AWS_SESSION_TOKEN")))
}

fn static_keys(profiles: &Profiles, name: &str) -> Option<Source> {
    let text = |key: &str| profiles.get(name).and_then(|profile| profile.get(key));
    Some(keys(text("aws_access_key_id")?, text("aws_secret_access_key")?, text("aws_session_token")))
}

/// Keys are one principal's. The secret is an ingredient, since whoever has not got it is nobody.
fn keys(id: &str, secret: &str, token: Option<&str>) -> Source {
    Source::new(&["keys", id, secret, token.unwrap_or_default()], format!("access key {id}"))
}

fn web_identity(role: &str, file: &str, session: Option<&str>) -> Source {
    let source = Source::new(&["web identity", role, file, session.unwrap_or_default()], role.to_owned());
    Source { account: account(role), nameless: session.is_none(), ..source }
}

fn account(arn: &str) -> Option<String> {
    arn.split(':').nth(4).filter(|account| !account.is_empty()).map(str::to_owned)
}

impl Source {
    fn new(parts: &[&str], description: String) -> Self {
        Self { digest: digest(parts), description, account: None, pinned: true, asks: false, nameless: false }
    }
}

#[cfg(test)]
pub(crate) mod tests;
