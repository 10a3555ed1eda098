//! STS, the query API of 2011-06-15, as far as the product calls it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::caller::{Caller, Session};
use super::fault::{Fault, escape};
use super::grant::stamp;
use super::{Aws, Signed, hex, random, random_base64};
use crate::iam::trusts;
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

/// Both sides must agree: the caller's policies (in its own account) and the role's trust policy.
fn assume_role(aws: &Aws, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    let arn = required(form, "RoleArn")?;
    let name = required(form, "RoleSessionName")?;
    let legal = (2..=64).contains(&name.len()) && name.chars().all(|it| it.is_ascii_alphanumeric() || "_+=,.@-".contains(it));
    if !legal {
        return Err(invalid("roleSessionName must have 2 to 64 characters of [\\w+=,.@-]"));
    }
    let longest = if call.caller.role.is_some() { 3600 } else { 43_200 };
    let duration = duration(form, 3600, longest)?;
    let mfa = mfa(call, form)?;
    let mfa_text = (mfa || call.caller.mfa.is_some()).then(|| (mfa || call.caller.mfa == Some(true)).to_string());
    let mut context = call.caller.context(
        call.region,
        call.now,
        &[("sts:ExternalId", form.get("ExternalId").map(String::as_str)), ("sts:RoleSessionName", Some(name))],
    );
    if let Some(text) = mfa_text {
        context.insert("aws:multifactorauthpresent".to_owned(), vec![text]);
    }
    let denied = || {
        let message = format!("User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}", call.caller.arn);
        Fault::new(403, "AccessDenied", &message)
    };
    call.caller.authorize("sts:AssumeRole", arn, &context).map_err(|_| denied())?;
    let role = aws.roles.iter().find(|it| it.arn() == *arn).ok_or_else(denied)?;
    let root = format!("arn:aws:iam::{}:root", call.caller.account);
    if !trusts(&role.trust, &[call.caller.arn.clone(), root, call.caller.account.clone()], "sts:AssumeRole", &context) {
        return Err(denied());
    }
    let caller = Caller::assumed(role, name, mfa);
    let who = format!("<AssumedRoleUser><AssumedRoleId>{}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>", caller.user_id, caller.arn);
    Ok(start_session(aws, call, caller, duration) + &who)
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
