//! CloudTrail's record of who was issued credentials, joined to the sign-ins that the warehouse saw.
//!
//! AWS publishes no sample of these events, so every member may be missing, null or elsewhere. Whether the warehouse's guid is the
//! event's or the request's id is unverified against AWS: both are tried, then the user's name and the time.

use std::{
    collections::{BTreeSet, HashMap},
    io::Read as _,
    time::{Duration, SystemTime},
};

use flate2::read::MultiGzDecoder;
use serde_json::{Deserializer, Value};
use shiftkey::{Error, Result};

use crate::inventory::{Inventory, Unseen};

/// A credential that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuance {
    ids: Vec<String>,
    at: SystemTime,
    until: SystemTime,
    principal: String,
    /// As the credential names it, else as it was asked for.
    db_user: Option<String>,
}

/// What a file may hold when it is unpacked.
const CEILING: u64 = 1 << 30;
/// The longest that a credential lives.
const LIFE: Duration = Duration::from_secs(3600);

/// Reads one file: records as CloudTrail delivers them to S3, one event, many in a row, or what `lookup-events` prints; packed by
/// gzip or not. Events of other kinds, and calls that failed, are passed over.
///
/// # Errors
/// When it is neither JSON nor packed JSON.
pub fn parse(bytes: &[u8]) -> Result<Vec<Issuance>> {
    let mut unpacked = Vec::new();
    let text = if bytes.starts_with(&[0x1f, 0x8b]) {
        let read = MultiGzDecoder::new(bytes).take(CEILING).read_to_end(&mut unpacked);
        read.map_err(|error| Error::config(format!("the file cannot be unpacked: {error}")))?;
        &unpacked
    } else {
        bytes
    };
    let mut found = Vec::new();
    for value in Deserializer::from_slice(text).into_iter::<Value>() {
        let value = value.map_err(|error| {
            Error::config(format!("the file is not JSON: {error}")).with_hint("export CloudTrail events as JSON, packed by gzip or not")
        })?;
        collect(&value, &mut found);
    }
    Ok(found)
}

fn collect(value: &Value, found: &mut Vec<Issuance>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Object(object) => {
            for list in ["Records", "Events"].iter().filter_map(|name| object.get(*name)) {
                collect(list, found);
            }
            if let Some(Ok(inner)) = object.get("CloudTrailEvent").and_then(Value::as_str).map(serde_json::from_str::<Value>) {
                collect(&inner, found);
            }
            found.extend(issuance(value));
        }
        _ => {}
    }
}

fn issuance(event: &Value) -> Option<Issuance> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let name = event.get("eventName")?.as_str()?;
    let issues = matches!(name, "GetClusterCredentials" | "GetClusterCredentialsWithIAM" | "GetCredentials");
    if !issues || event.get("errorCode").is_some_and(|code| !code.is_null()) {
        return None;
    }
    let at = humantime::parse_rfc3339_weak(event.get("eventTime")?.as_str()?).ok()?;
    let who = event.get("userIdentity").unwrap_or(&Value::Null);
    let session = &who["sessionContext"];
    let principal = text(&who["arn"]).or_else(|| text(&who["principalId"])).unwrap_or_else(|| "an unnamed identity".into());
    let principal = match text(&session["sourceIdentity"]) {
        Some(source) => format!("{principal} ({source})"),
        None => principal,
    };
    let (asked, told) = (&event["requestParameters"], &event["responseElements"]);
    let until = text(&told["expiration"]).and_then(|it| humantime::parse_rfc3339_weak(&it).ok()).unwrap_or(at + LIFE);
    let ids = ["requestID", "eventID"].iter().filter_map(|id| text(&event[*id])).map(|id| id.to_ascii_lowercase()).collect();
    Some(Issuance { ids, at, until, principal, db_user: text(&told["dbUser"]).or_else(|| text(&asked["dbUser"])) })
}

/// Notes who was issued the credentials that users signed in with.
pub fn join(it: &mut Inventory, events: &[Issuance]) {
    let by_id: HashMap<&str, &Issuance> = events.iter().flat_map(|event| event.ids.iter().map(move |id| (id.as_str(), event))).collect();
    let mut by_name: HashMap<&str, Vec<&Issuance>> = HashMap::new();
    for event in events {
        by_name.entry(event.db_user.as_deref().map_or("", bare)).or_default().push(event);
    }
    let mut principals: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    let mut lost = 0;
    for (login, guid, last) in &it.guids {
        let of_time = |event: &&&Issuance| event.at <= *last && *last <= event.until;
        let named = || by_name.get(bare(login)).into_iter().flatten().filter(of_time).copied();
        let found: Vec<_> = by_id.get(guid.to_ascii_lowercase().as_str()).copied().map_or_else(|| named().collect(), |event| vec![event]);
        lost += usize::from(found.is_empty());
        principals.entry(bare(login)).or_default().extend(found.iter().map(|event| event.principal.as_str()));
    }
    for user in &mut it.users {
        let found = principals.get(user.name.as_str()).or_else(|| principals.get(bare(&user.name))).into_iter().flatten();
        user.principals = found.map(|principal| (*principal).to_owned()).collect();
    }
    if lost > 0 {
        it.unseen.push(Unseen {
            what: format!("who stands behind {lost} credentials that were signed in with"),
            why: "the events given hold no call that fits".into(),
            hint: "export a longer time of CloudTrail, from the warehouse's own account and region".into(),
        });
    }
}

/// A login's name without AWS's prefix and without groups.
fn bare(login: &str) -> &str {
    match login.split_once(':') {
        Some(("IAM" | "IAMA", rest)) => rest.split(':').next().unwrap_or(rest),
        _ => login,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{User, moment};
    use std::io::Write as _;

    const EVENT: &str = r#"{"eventTime":"2026-01-01T10:00:00Z","eventName":"GetClusterCredentials","requestID":"AAAA","eventID":"bbbb",
        "userIdentity":{"arn":"arn:aws:sts::1:assumed-role/R/alice","sessionContext":{"sourceIdentity":"a.lice"}},
        "requestParameters":{"dbUser":"alice"},"responseElements":null}"#;

    #[test]
    fn every_shape_is_read_and_other_events_are_not() {
        let packed = |text: &str| {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap()
        };
        let printed = format!(r#"{{"Events":[{{"EventName":"x","CloudTrailEvent":{}}}]}}"#, serde_json::to_string(EVENT).unwrap());
        for (sentence, bytes, expected) in [
            ("delivered", format!(r#"{{"Records":[{EVENT},{EVENT}]}}"#).into_bytes(), 2),
            ("packed", packed(&format!(r#"{{"Records":[{EVENT}]}}"#)), 1),
            ("two packed files in one", [packed(EVENT), packed(EVENT)].concat(), 2),
            ("in a row", format!("{EVENT}\n{EVENT}\n").into_bytes(), 2),
            ("looked up", printed.into_bytes(), 1),
            ("failed", EVENT.replacen('{', r#"{"errorCode":"AccessDenied","#, 1).into_bytes(), 0),
            ("other", EVENT.replace("GetClusterCredentials", "DescribeClusters").into_bytes(), 0),
            ("no time", EVENT.replace("eventTime", "time").into_bytes(), 0),
            ("almost nothing", br#"{"eventName":"GetCredentials","eventTime":"2026-01-01T10:00:00Z","userIdentity":null}"#.to_vec(), 1),
            ("empty", Vec::new(), 0),
        ] {
            assert_eq!(parse(&bytes).unwrap().len(), expected, "{sentence}");
        }
        assert!(parse(b"no json").is_err() && parse(&[0x1f, 0x8b, 1]).is_err());
    }

    #[test]
    fn a_login_is_joined_by_either_id_and_else_by_name_and_time() {
        let events = parse(EVENT.as_bytes()).unwrap();
        for (login, guid, time, expected) in [
            ("IAM:alice", "aaaa", "2026-01-05 00:00:00", true),
            ("IAM:alice", "BBBB", "2026-01-05 00:00:00", true),
            ("IAMA:alice:group", "cccc", "2026-01-01 10:30:00", true),
            ("IAM:alice", "cccc", "2026-01-01 11:30:00", false),
            ("IAM:alice", "cccc", "2026-01-01 09:30:00", false),
            ("IAM:bob", "cccc", "2026-01-01 10:30:00", false),
        ] {
            let mut it = Inventory { users: vec![User { name: "alice".into(), ..User::default() }], ..Inventory::default() };
            it.guids = vec![(login.into(), guid.into(), moment(time).unwrap())];
            join(&mut it, &events);
            let found = it.users[0].principals == ["arn:aws:sts::1:assumed-role/R/alice (a.lice)"];
            assert_eq!((found, it.unseen.len()), (expected, usize::from(!expected)), "{login} {guid} {time}");
        }
    }
}
