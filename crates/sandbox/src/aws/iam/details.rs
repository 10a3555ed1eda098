//! `GetAccountAuthorizationDetails`: all users, groups, roles and policies, in pages.

use super::super::Signed;
use super::super::fault::{Fault, escape};
use super::super::redshift::{Form, list};
use super::directory::{Directory, Entity, Kind, State};
use super::{boundary_xml, encoded, entity_xml, invalid, members, policy_xml, version_xml};

/// So many things on a page, unless another number is asked for; and the most that may be.
const PAGE: usize = 100;
const MOST: usize = 1_000;

/// The lists of an answer, in its order, and the word that `Filter` has for each.
const LISTS: [(&str, &str); 4] =
    [("UserDetailList", "User"), ("GroupDetailList", "Group"), ("RoleDetailList", "Role"), ("Policies", "LocalManagedPolicy")];

pub(super) fn details(directory: &Directory, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    let wanted = list(form, "Filter.member.");
    if let Some(unknown) = wanted.iter().find(|it| *it != "AWSManagedPolicy" && !LISTS.iter().any(|(_, word)| word == it)) {
        return Err(invalid(&format!("Value '{unknown}' at 'filter' failed to satisfy constraint")));
    }
    let number = |key: &str, default: usize| form.get(key).map_or(Some(default), |it| it.parse().ok());
    let size = number("MaxItems", PAGE)
        .filter(|it| (1..=MOST).contains(it))
        .ok_or_else(|| invalid("The specified value for MaxItems is invalid."))?;
    // Real markers are opaque; these are places.
    let start = number("Marker", 0).ok_or_else(|| invalid("Invalid Marker."))?;
    let state = directory.lock();
    let account = call.caller.account.as_str();
    let mut all: Vec<(&str, String)> = Vec::new();
    for (name, word) in LISTS.into_iter().filter(|(_, word)| wanted.is_empty() || wanted.iter().any(|it| it == word)) {
        match Kind::ALL.into_iter().find(|kind| kind.word() == word) {
            Some(kind) => all.extend(state.entities(kind, account).map(|it| (name, entity(&state, it, call)))),
            None => all.extend(state.policies(account).map(|it| {
                let versions = members(it.versions.keys().rev().map(|number| version_xml(it, *number, call, true)));
                (name, format!("{}<PolicyVersionList>{versions}</PolicyVersionList>", policy_xml(&state, it, call, false)))
            })),
        }
    }
    let end = all.len().min(start.saturating_add(size));
    let page = all.get(start..end).unwrap_or_default();
    let shown = LISTS.map(|(name, _)| {
        let items = page.iter().filter(|(of, _)| *of == name).map(|(_, item)| item.clone());
        format!("<{name}>{}</{name}>", members(items))
    });
    let more = if end < all.len() {
        format!("<IsTruncated>true</IsTruncated><Marker>{end}</Marker>")
    } else {
        "<IsTruncated>false</IsTruncated>".into()
    };
    Ok(format!("{more}{}", shown.concat()))
}

fn entity(state: &State, it: &Entity, call: &Signed<'_>) -> String {
    let word = it.kind.word();
    let inline = it
        .inline
        .iter()
        .map(|(name, document)| format!("<PolicyName>{}</PolicyName><PolicyDocument>{}</PolicyDocument>", escape(name), encoded(document)));
    let attached = it.attached.iter().filter_map(|arn| state.policy(arn).ok());
    let attached = attached.map(|it| format!("<PolicyName>{}</PolicyName><PolicyArn>{}</PolicyArn>", it.name, escape(&it.arn())));
    let groups = state.entities(Kind::Group, &it.account).filter(|group| it.kind == Kind::User && group.members.contains(&it.name));
    let groups = match it.kind {
        Kind::User => format!("<GroupList>{}</GroupList>", members(groups.map(|group| group.name.clone()))),
        Kind::Group | Kind::Role => String::new(),
    };
    format!(
        "{}{}<{word}PolicyList>{}</{word}PolicyList><AttachedManagedPolicies>{}</AttachedManagedPolicies>{groups}",
        entity_xml(it, call),
        boundary_xml(it),
        members(inline),
        members(attached)
    )
}
