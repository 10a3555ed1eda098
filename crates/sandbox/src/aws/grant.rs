//! Making a credential, the same for the three issuing APIs.

use std::time::{Duration, SystemTime};

use super::fault::Fault;
use super::{Aws, Signed, random_base64};
use crate::world::{Grant, WarehouseId};

/// What a credential is to open.
pub(super) struct Wanted {
    pub(super) login_user: String,
    pub(super) db_user: String,
    pub(super) groups: Vec<String>,
    pub(super) database: Option<String>,
    pub(super) auto_create: bool,
    pub(super) duration: Duration,
}

/// Issues one and lets the gate know it. What is given back says what AWS says; the gate may have been told of an earlier end.
pub(super) fn issue(aws: &Aws, call: &Signed<'_>, id: &WarehouseId, wanted: Wanted) -> Grant {
    let grant = Grant {
        login_user: wanted.login_user,
        password: password(aws.nasty_passwords),
        db_user: wanted.db_user,
        groups: wanted.groups,
        database: wanted.database,
        auto_create: wanted.auto_create,
        issued_at: call.now,
        expires_at: call.now + wanted.duration,
        guid: call.guid.clone(),
        caller_arn: call.caller.arn.clone(),
    };
    // `expires_at` is the last instant that is good, so a life of nothing ends before it begins.
    let end = call.life.and_then(|life| call.now.checked_add(life)?.checked_sub(Duration::from_nanos(1)));
    let expires_at = end.map_or(grant.expires_at, |end| end.min(grant.expires_at));
    aws.world.add_grant(id, Grant { expires_at, ..grant.clone() });
    grant
}

/// 900 to 3600 seconds, 900 unless given.
pub(super) fn duration(text: Option<&str>) -> Result<Duration, Fault> {
    let seconds = text.map_or(Some(900), |it| it.parse::<u64>().ok()).filter(|it| (900..=3600).contains(it));
    seconds.map(Duration::from_secs).ok_or_else(|| Fault::invalid("Token duration must be between 900 and 3600 seconds"))
}

/// The API reference's rules for user, group and database names.
pub(super) fn check_name(what: &str, name: &str, lowercase: bool) -> Result<(), Fault> {
    let letter = |it: char| if lowercase { it.is_ascii_lowercase() } else { it.is_ascii_alphabetic() };
    let fits = name.starts_with(letter)
        && name.len() <= 64
        && name.chars().all(|it| letter(it) || it.is_ascii_digit() || "_+.@-".contains(it))
        && !name.eq_ignore_ascii_case("public");
    if fits { Ok(()) } else { Err(Fault::invalid(&format!("{what} is not valid: {name}"))) }
}

/// RFC 3339 with milliseconds, as the query services write it.
pub(super) fn stamp(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// Real ones look like base64 with `/`, `+` and `=` in it; a nasty one breaks every careless quoting.
fn password(nasty: bool) -> String {
    let tail = if nasty { r#":@\% '"é"# } else { "" };
    format!("/+{}{tail}", random_base64::<91>())
}
