//! STS, the query API of 2011-06-15, as far as the product calls it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::caller::{Caller, Session};
use super::fault::{Fault, escape};
use super::grant::stamp;
use super::{Aws, Signed, hex, random, random_base64};
use crate::iam::{Context, trusts};
use crate::seed::MFA_CODE;

pub(super) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

type Form = BTreeMap<String, String>;

pub(super) fn call(aws: &Aws, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    match call.action {
        "AssumeRole" => assume_role(aws, call, form),
        "GetCallerIdentity" => {
            let caller = call.caller;
            Ok(format!(
                "<Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account>",
                escape(&caller.arn),
                escape(&caller.user_id),
                caller.account
            ))
        }
        "GetSessionToken" => session_token(aws, call, form),
        other => Err(Fault::new(400, "InvalidAction", &format!("Could not find operation {other} for version 2011-06-15"))),
    }
}

/// Both sides must agree: the caller's policies (in its own account) and the role's trust policy (in the role's).
fn assume_role(aws: &Aws, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    let arn = required(form, "RoleArn")?;
    let name = required(form, "RoleSessionName")?;
    let legal = (2..=64).contains(&name.len()) && name.chars().all(|it| it.is_ascii_alphanumeric() || "_+=,.@-".contains(it));
    if !legal {
        return Err(invalid("roleSessionName must have 2 to 64 characters of [\\w+=,.@-]"));
    }
    refuse_unplayed(form)?;
    let session_policy = session_policy(form)?;
    let tags = tags(form)?;
    let longest = if call.caller.role.is_some() { 3600 } else { 43_200 };
    let duration = duration(form, 3600, longest)?;
    let mfa = mfa(call, form)?;
    let context = assuming(call, form, name, mfa, &tags);
    let actions: &[&str] = if tags.is_empty() { &["sts:AssumeRole"] } else { &["sts:AssumeRole", "sts:TagSession"] };
    let root = format!("arn:aws:iam::{}:root", call.caller.account);
    let principals = [call.caller.arn.clone(), root, call.caller.account.clone()];
    let role = aws.roles.iter().find(|it| it.arn() == *arn);
    for action in actions {
        let trusted = role.is_some_and(|it| trusts(&it.trust, &principals, action, &context));
        if !trusted || call.caller.authorize(action, arn, &context).is_err() {
            let message = format!("User: {} is not authorized to perform: {action} on resource: {arn}", call.caller.arn);
            return Err(Fault::new(403, "AccessDenied", &message));
        }
    }
    let role = role.expect("a role that trusts is there");
    let caller = Caller { session_policy, tags, ..Caller::assumed(role, name, mfa) };
    let who = format!("<AssumedRoleUser><AssumedRoleId>{}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>", caller.user_id, caller.arn);
    Ok(start_session(aws, call, caller, duration) + &who)
}

/// The condition keys of the request.
fn assuming(call: &Signed<'_>, form: &Form, name: &str, mfa: bool, tags: &BTreeMap<String, String>) -> Context {
    let request = [("sts:ExternalId", form.get("ExternalId").map(String::as_str)), ("sts:RoleSessionName", Some(name))];
    let mut context = call.caller.context(call.region, call.now, &request);
    if mfa || call.caller.mfa.is_some() {
        let proven = mfa || call.caller.mfa == Some(true);
        context.insert("aws:multifactorauthpresent".to_owned(), vec![proven.to_string()]);
    }
    for (key, value) in tags {
        context.insert(format!("aws:requesttag/{}", key.to_ascii_lowercase()), vec![value.clone()]);
    }
    if !tags.is_empty() {
        context.insert("aws:tagkeys".to_owned(), tags.keys().cloned().collect());
    }
    context
}

/// What AWS knows and the sandbox does not is refused, so that no test passes because a wish went unheard.
fn refuse_unplayed(form: &Form) -> Result<(), Fault> {
    const UNPLAYED: [&str; 4] = ["PolicyArns.member.", "ProvidedContexts.member.", "SourceIdentity", "TransitiveTagKeys.member."];
    match UNPLAYED.iter().find(|name| form.keys().any(|key| key.starts_with(**name))) {
        Some(name) => {
            let name = name.split('.').next().unwrap_or_default();
            Err(Fault::new(501, "NotImplemented", &format!("The sandbox does not play {name} of AssumeRole.")))
        }
        None => Ok(()),
    }
}

/// At most 2,048 characters of JSON (API reference, `AssumeRole`).
fn session_policy(form: &Form) -> Result<Option<Value>, Fault> {
    let malformed = || Fault::new(400, "MalformedPolicyDocument", "The session policy is not a JSON policy of at most 2048 characters.");
    let Some(text) = form.get("Policy") else { return Ok(None) };
    let policy: Value = serde_json::from_str(text).map_err(|_| malformed())?;
    if text.chars().count() > 2048 || policy.get("Statement").is_none() {
        return Err(malformed());
    }
    Ok(Some(policy))
}

/// At most 50 tags, keys up to 128 characters and values up to 256 (API reference, `Tag`).
fn tags(form: &Form) -> Result<BTreeMap<String, String>, Fault> {
    let legal = |text: &str, most: usize| {
        text.chars().count() <= most && text.chars().all(|it| it.is_alphanumeric() || it.is_whitespace() || "_.:/=+-@".contains(it))
    };
    let mut tags = BTreeMap::new();
    for n in 1.. {
        let Some(key) = form.get(&format!("Tags.member.{n}.Key")) else { break };
        let value = form.get(&format!("Tags.member.{n}.Value")).cloned().unwrap_or_default();
        if key.is_empty() || !legal(key, 128) || !legal(&value, 256) || n > 50 {
            return Err(invalid(
                "tags are at most 50, with keys of 1 to 128 and values of up to 256 characters of [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]",
            ));
        }
        if tags.keys().any(|it: &String| it.eq_ignore_ascii_case(key)) {
            return Err(Fault::new(
                400,
                "InvalidParameterValue",
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        tags.insert(key.clone(), value);
    }
    Ok(tags)
}

fn session_token(aws: &Aws, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    if call.caller.mfa.is_some() {
        return Err(Fault::new(403, "AccessDenied", "Cannot call GetSessionToken with session credentials"));
    }
    let duration = duration(form, 43_200, 129_600)?;
    let mfa = mfa(call, form)?;
    let caller = Caller { mfa: Some(mfa), ..call.caller.clone() };
    Ok(start_session(aws, call, caller, duration))
}

/// Whether the request proves a second factor; a wrong code or another's device is refused.
fn mfa(call: &Signed<'_>, form: &Form) -> Result<bool, Fault> {
    let device = call.caller.user_name.as_ref().map(|it| format!("arn:aws:iam::{}:mfa/{it}", call.caller.account));
    match (form.get("SerialNumber"), form.get("TokenCode")) {
        (None, None) => Ok(false),
        (Some(serial), Some(code)) if Some(serial) == device.as_ref() && code == MFA_CODE => Ok(true),
        _ => Err(Fault::new(403, "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code.")),
    }
}

fn start_session(aws: &Aws, call: &Signed<'_>, caller: Caller, duration: Duration) -> String {
    let session = Session {
        access_key: format!("ASIA{}", hex(&random::<8>()).to_uppercase()),
        secret_key: random_base64::<30>(),
        token: random_base64::<150>(),
        expires_at: call.now + duration,
        caller,
    };
    let text = format!(
        "<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
         <Expiration>{}</Expiration></Credentials>",
        session.access_key,
        session.secret_key,
        session.token,
        stamp(session.expires_at)
    );
    aws.callers.remember(session);
    text
}

fn duration(form: &Form, default: u64, longest: u64) -> Result<Duration, Fault> {
    let seconds = form.get("DurationSeconds").map_or(Some(default), |it| it.parse::<u64>().ok());
    let seconds = seconds.filter(|it| (900..=longest).contains(it));
    seconds.map(Duration::from_secs).ok_or_else(|| invalid(&format!("durationSeconds must be between 900 and {longest}")))
}

fn required<'a>(form: &'a Form, name: &str) -> Result<&'a String, Fault> {
    form.get(name).ok_or_else(|| invalid(&format!("{name} must not be null")))
}

fn invalid(message: &str) -> Fault {
    Fault::new(400, "ValidationError", message)
}
