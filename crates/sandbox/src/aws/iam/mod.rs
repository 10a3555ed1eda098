//! IAM, the query API of 2010-05-08: users, groups, roles, managed and inline policies, tags, and simulation.

mod details;
mod directory;
mod grammar;
mod simulate;

use std::collections::BTreeMap;

pub(crate) use directory::Directory;
pub(crate) use directory::Kind;
pub(super) use directory::Rights;
use directory::{Entity, Managed, State, arn, managed, missing};

use super::fault::{Fault, escape};
use super::grant::stamp;
use super::redshift::{Form, list};
use super::{Aws, Signed};

pub(super) const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// IAM is one service for all regions, and signs for this one.
const REGION: &str = "us-east-1";

pub(super) fn call(aws: &Aws, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    if call.region != REGION {
        let message = format!("Credential should be scoped to a valid region, not '{}'.", call.region);
        return Err(Fault::new(403, "SignatureDoesNotMatch", &message));
    }
    if let Some((kind, verb)) = of_entity(call.action) {
        return entity(&aws.directory, call, form, kind, &verb);
    }
    match call.action {
        "SimulatePrincipalPolicy" => {
            authorize(call, required(form, "PolicySourceArn")?)?;
            simulate::simulate(&aws.directory, call, form)
        }
        "GetAccountAuthorizationDetails" => {
            authorize(call, "*")?;
            details::details(&aws.directory, call, form)
        }
        "ListPolicies" => {
            authorize(call, "*")?;
            let prefix = form.get("PathPrefix").map_or("/", String::as_str);
            let scope = form.get("Scope").map_or("All", String::as_str);
            let state = aws.directory.lock();
            let found = state.policies(&call.caller.account).filter(|it| scope != "AWS" && it.path.starts_with(prefix));
            Ok(listing("Policies", found.map(|it| policy_xml(&state, it, call, false))))
        }
        "CreatePolicy" => {
            let (name, path) = (named(form, "PolicyName", 128)?, path(form)?);
            authorize(call, &arn(&call.caller.account, "policy", &path, name))?;
            let mut state = aws.directory.lock();
            let new = managed(&call.caller.account, name, &path, tags(form)?);
            let policy = state.create_policy(new, required(form, "PolicyDocument")?)?;
            Ok(format!("<Policy>{}</Policy>", policy_xml(&state, &policy, call, true)))
        }
        _ => policy(&aws.directory, call, form),
    }
}

/// Actions on one managed policy.
fn policy(directory: &Directory, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    const ACTIONS: [&str; 10] = [
        "CreatePolicyVersion",
        "DeletePolicy",
        "DeletePolicyVersion",
        "GetPolicy",
        "GetPolicyVersion",
        "ListEntitiesForPolicy",
        "ListPolicyVersions",
        "SetDefaultPolicyVersion",
        "TagPolicy",
        "UntagPolicy",
    ];
    if !ACTIONS.contains(&call.action) {
        return Err(Fault::new(400, "InvalidAction", &format!("Could not find operation {} for version 2010-05-08", call.action)));
    }
    let arn = required(form, "PolicyArn")?;
    authorize(call, arn)?;
    let mut state = directory.lock();
    match call.action {
        "CreatePolicyVersion" => {
            let default = form.get("SetAsDefault").is_some_and(|it| it == "true");
            let number = state.create_version(arn, required(form, "PolicyDocument")?, default)?;
            Ok(format!("<PolicyVersion>{}</PolicyVersion>", version_xml(state.policy(arn)?, number, call, false)))
        }
        "DeletePolicy" => state.delete_policy(arn).map(|()| String::new()),
        "DeletePolicyVersion" => {
            let policy = state.policy_mut(arn)?;
            let number = version(policy, form)?;
            if number == policy.default {
                return Err(Fault::new(409, "DeleteConflict", "Cannot delete the default version of a policy."));
            }
            policy.versions.remove(&number);
            Ok(String::new())
        }
        "GetPolicy" => Ok(format!("<Policy>{}</Policy>", policy_xml(&state, state.policy(arn)?, call, true))),
        "GetPolicyVersion" => {
            let policy = state.policy(arn)?;
            Ok(format!("<PolicyVersion>{}</PolicyVersion>", version_xml(policy, version(policy, form)?, call, true)))
        }
        "ListEntitiesForPolicy" => {
            state.policy(arn)?;
            let of = |kind: Kind| {
                let word = kind.word();
                let shown = state.holders(arn).chain(state.bounded(arn)).filter(|it| it.kind == kind);
                let shown = members(shown.map(|it| format!("<{word}Name>{}</{word}Name><{word}Id>{}</{word}Id>", it.name, it.id)));
                format!("<Policy{word}s>{shown}</Policy{word}s>")
            };
            Ok(format!("{}<IsTruncated>false</IsTruncated>", Kind::ALL.map(of).concat()))
        }
        "ListPolicyVersions" => {
            let policy = state.policy(arn)?;
            Ok(listing("Versions", policy.versions.keys().rev().map(|number| version_xml(policy, *number, call, false))))
        }
        "SetDefaultPolicyVersion" => {
            let policy = state.policy_mut(arn)?;
            policy.default = version(policy, form)?;
            Ok(String::new())
        }
        "TagPolicy" => tag(&mut state.policy_mut(arn)?.tags, tags(form)?),
        _ => {
            let keys = list(form, "TagKeys.member.");
            state.policy_mut(arn)?.tags.retain(|key, _| !keys.contains(key));
            Ok(String::new())
        }
    }
}

/// The kind of entity that an action is about, and the action's name without it: `AttachGroupPolicy` is `AttachPolicy` of a group.
fn of_entity(action: &str) -> Option<(Kind, String)> {
    const VERBS: [&str; 18] = [
        "AddUserTo",
        "AttachPolicy",
        "Create",
        "Delete",
        "DeletePermissionsBoundary",
        "DeletePolicy",
        "DetachPolicy",
        "Get",
        "GetPolicy",
        "List",
        "ListAttachedPolicies",
        "ListGroupsFor",
        "ListPolicies",
        "PutPermissionsBoundary",
        "PutPolicy",
        "RemoveUserFrom",
        "Tag",
        "Untag",
    ];
    Kind::ALL.into_iter().find_map(|kind| {
        // `AddUserToGroup` is about the group, which is looked for first, `ListGroupsForUser` about the user.
        let plural = format!("{}s", kind.word());
        let word = if action == format!("List{plural}") { plural } else { kind.word().to_owned() };
        let (before, after) = action.rsplit_once(&word)?;
        let verb = format!("{before}{after}");
        let unplayed = match kind {
            Kind::Group => verb.ends_with("PermissionsBoundary"),
            Kind::Role => matches!(verb.as_str(), "Create" | "Delete" | "List"),
            Kind::User => false,
        };
        (VERBS.contains(&verb.as_str()) && !unplayed).then_some((kind, verb))
    })
}

fn entity(directory: &Directory, call: &Signed<'_>, form: &Form, kind: Kind, verb: &str) -> Result<String, Fault> {
    let account = call.caller.account.as_str();
    let mut state = directory.lock();
    if verb == "List" {
        authorize(call, "*")?;
        let found = state.entities(kind, account).map(|it| entity_xml(it, call));
        return Ok(listing(&format!("{}s", kind.word()), found));
    }
    let own = call.caller.user_name.as_ref().filter(|_| call.action == "GetUser");
    let name = match own {
        Some(own) if !form.contains_key("UserName") => own.as_str(),
        _ => named(form, &format!("{}Name", kind.word()), if kind == Kind::Group { 128 } else { 64 })?,
    };
    let path = match state.entity(kind, account, name) {
        Ok(found) => found.path.clone(),
        Err(_) => path(form)?,
    };
    authorize(call, &arn(account, &kind.word().to_lowercase(), &path, name))?;
    let word = kind.word();
    match verb {
        "AddUserTo" => state.add_member(account, name, required(form, "UserName")?).map(|()| String::new()),
        "RemoveUserFrom" => {
            let user = state.entity(Kind::User, account, required(form, "UserName")?)?.name.clone();
            let removed = state.entity_mut(kind, account, name)?.members.remove(&user);
            if removed { Ok(String::new()) } else { Err(missing("user", &user)) }
        }
        "AttachPolicy" => state.attach(kind, account, name, required(form, "PolicyArn")?).map(|()| String::new()),
        "DetachPolicy" => {
            let policy = required(form, "PolicyArn")?;
            let detached = state.entity_mut(kind, account, name)?.attached.remove(policy);
            if detached { Ok(String::new()) } else { Err(missing("attached policy", policy)) }
        }
        "Create" => {
            let boundary = form.get("PermissionsBoundary").map(|arn| state.policy(arn).map(Managed::arn)).transpose()?;
            state.create(kind, account, name, &path)?;
            let made = state.entity_mut(kind, account, name)?;
            made.boundary = boundary;
            Ok(format!("<{word}>{}{}</{word}>", entity_xml(made, call), boundary_xml(made)))
        }
        "PutPermissionsBoundary" => {
            let arn = state.policy(required(form, "PermissionsBoundary")?)?.arn();
            state.entity_mut(kind, account, name)?.boundary = Some(arn);
            Ok(String::new())
        }
        "DeletePermissionsBoundary" => {
            let taken = state.entity_mut(kind, account, name)?.boundary.take();
            taken.map(|_| String::new()).ok_or_else(|| missing("permissions boundary of", name))
        }
        "Delete" => state.delete(kind, account, name).map(|()| String::new()),
        "Get" if kind == Kind::Group => {
            let group = state.entity(kind, account, name)?;
            let users = group.members.iter().filter_map(|it| state.entity(Kind::User, account, it).ok());
            Ok(format!("<Group>{}</Group>{}", entity_xml(group, call), listing("Users", users.map(|it| entity_xml(it, call)))))
        }
        "Get" => {
            let found = state.entity(kind, account, name)?;
            Ok(format!("<{word}>{}{}</{word}>", entity_xml(found, call), boundary_xml(found)))
        }
        "ListGroupsFor" => {
            let user = state.entity(kind, account, name)?;
            let groups = state.entities(Kind::Group, account).filter(|it| it.members.contains(&user.name));
            Ok(listing("Groups", groups.map(|it| entity_xml(it, call))))
        }
        "ListAttachedPolicies" => {
            let attached = state.entity(kind, account, name)?.attached.iter().filter_map(|arn| state.policy(arn).ok());
            Ok(listing(
                "AttachedPolicies",
                attached.map(|it| format!("<PolicyName>{}</PolicyName><PolicyArn>{}</PolicyArn>", it.name, it.arn())),
            ))
        }
        "Tag" => tag(&mut state.entity_mut(kind, account, name)?.tags, tags(form)?),
        "Untag" => {
            let keys = list(form, "TagKeys.member.");
            state.entity_mut(kind, account, name)?.tags.retain(|key, _| !keys.contains(key));
            Ok(String::new())
        }
        _ => inline(state.entity_mut(kind, account, name)?, form, verb),
    }
}

/// A principal's or group's own policies.
fn inline(entity: &mut Entity, form: &Form, verb: &str) -> Result<String, Fault> {
    if verb == "ListPolicies" {
        return Ok(listing("PolicyNames", entity.inline.keys().map(|it| escape(it))));
    }
    let name = named(form, "PolicyName", 128)?;
    if verb == "PutPolicy" {
        let document = required(form, "PolicyDocument")?;
        grammar::check(document, grammar::INLINE)?;
        entity.inline.insert(name.to_owned(), document.clone());
        return Ok(String::new());
    }
    let document = entity.inline.get(name).ok_or_else(|| missing("policy", name))?;
    if verb == "DeletePolicy" {
        entity.inline.remove(name);
        return Ok(String::new());
    }
    let word = entity.kind.word();
    let document = encoded(document);
    Ok(format!("<{word}Name>{}</{word}Name><PolicyName>{name}</PolicyName><PolicyDocument>{document}</PolicyDocument>", entity.name))
}

fn authorize(call: &Signed<'_>, resource: &str) -> Result<(), Fault> {
    let context = call.caller.context(call.region, call.now, &[]);
    call.caller.authorize(&format!("iam:{}", call.action), resource, &context)
}

fn required<'a>(form: &'a Form, name: &str) -> Result<&'a String, Fault> {
    form.get(name).ok_or_else(|| invalid(&format!("Value null at '{name}' failed to satisfy constraint: Member must not be null")))
}

fn invalid(message: &str) -> Fault {
    Fault::new(400, "ValidationError", message)
}

/// `[\w+=,.@-]`, up to so many (API reference).
fn named<'a>(form: &'a Form, key: &str, most: usize) -> Result<&'a str, Fault> {
    let name = required(form, key)?;
    let legal = |it: char| it.is_ascii_alphanumeric() || "_+=,.@-".contains(it);
    if (1..=most).contains(&name.len()) && name.chars().all(legal) {
        return Ok(name);
    }
    Err(invalid(&format!("The specified value for {key} is invalid. It must contain only alphanumeric characters and/or: +=,.@_-")))
}

fn path(form: &Form) -> Result<String, Fault> {
    let path = form.get("Path").map_or("/", String::as_str);
    let legal = path.starts_with('/') && path.ends_with('/') && path.len() <= 512 && path.chars().all(|it| ('!'..='~').contains(&it));
    if legal { Ok(path.to_owned()) } else { Err(invalid("The specified value for path is invalid. It must begin and end with /")) }
}

/// At most 50, keys up to 128 and values up to 256 characters (API reference, `Tag`).
fn tags(form: &Form) -> Result<BTreeMap<String, String>, Fault> {
    let mut tags = BTreeMap::new();
    for n in 1.. {
        let Some(key) = form.get(&format!("Tags.member.{n}.Key")) else { break };
        let value = required(form, &format!("Tags.member.{n}.Value"))?;
        let legal = |it: &str| it.chars().all(|it| it.is_alphanumeric() || it.is_whitespace() || "_.:/=+-@".contains(it));
        if !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 || !legal(key) || !legal(value) {
            return Err(Fault::new(400, "InvalidInput", "The tag is not valid."));
        }
        tags.insert(key.clone(), value.clone());
    }
    Ok(tags)
}

fn tag(tags: &mut BTreeMap<String, String>, new: BTreeMap<String, String>) -> Result<String, Fault> {
    tags.extend(new);
    if tags.len() > 50 { Err(Fault::new(409, "LimitExceeded", "Cannot exceed quota for TagsPerPolicy: 50")) } else { Ok(String::new()) }
}

/// `v1`, `v2` and so on, of those that there are.
fn version(policy: &Managed, form: &Form) -> Result<u32, Fault> {
    let text = required(form, "VersionId")?;
    let number = text.strip_prefix('v').and_then(|it| it.parse().ok()).filter(|it| policy.versions.contains_key(it));
    number.ok_or_else(|| Fault::new(404, "NoSuchEntity", &format!("Policy {} version {text} does not exist", policy.arn())))
}

fn members(items: impl Iterator<Item = String>) -> String {
    items.map(|it| format!("<member>{it}</member>")).collect()
}

/// A whole list: the sandbox shows no second page.
fn listing(name: &str, items: impl Iterator<Item = String>) -> String {
    format!("<IsTruncated>false</IsTruncated><{name}>{}</{name}>", members(items))
}

fn entity_xml(it: &Entity, call: &Signed<'_>) -> String {
    let word = it.kind.word();
    let trust = it.trust.as_ref().map(|it| format!("<AssumeRolePolicyDocument>{}</AssumeRolePolicyDocument>", encoded(&it.to_string())));
    format!(
        "<Path>{}</Path><{word}Name>{}</{word}Name><{word}Id>{}</{word}Id><Arn>{}</Arn><CreateDate>{}</CreateDate>{}{}",
        escape(&it.path),
        it.name,
        it.id,
        escape(&it.arn()),
        stamp(call.now),
        tags_xml(&it.tags),
        trust.unwrap_or_default()
    )
}

/// What bounds a user or role; lists do not tell it.
fn boundary_xml(it: &Entity) -> String {
    let shown = |arn: &String| {
        format!(
            "<PermissionsBoundary><PermissionsBoundaryType>PermissionsBoundaryPolicy</PermissionsBoundaryType>\
             <PermissionsBoundaryArn>{}</PermissionsBoundaryArn></PermissionsBoundary>",
            escape(arn)
        )
    };
    it.boundary.as_ref().map(shown).unwrap_or_default()
}

fn policy_xml(state: &State, it: &Managed, call: &Signed<'_>, with_tags: bool) -> String {
    let date = stamp(call.now);
    format!(
        "<PolicyName>{}</PolicyName><PolicyId>{}</PolicyId><Arn>{}</Arn><Path>{}</Path><DefaultVersionId>v{}</DefaultVersionId>\
         <AttachmentCount>{}</AttachmentCount><PermissionsBoundaryUsageCount>{}</PermissionsBoundaryUsageCount><IsAttachable>true</IsAttachable><CreateDate>{date}</CreateDate><UpdateDate>{date}</UpdateDate>{}",
        it.name,
        it.id,
        escape(&it.arn()),
        escape(&it.path),
        it.default,
        state.holders(&it.arn()).count(),
        state.bounded(&it.arn()).count(),
        if with_tags { tags_xml(&it.tags) } else { String::new() }
    )
}

fn version_xml(it: &Managed, number: u32, call: &Signed<'_>, with_document: bool) -> String {
    let document = it.versions.get(&number).filter(|_| with_document).map(|it| format!("<Document>{}</Document>", encoded(it)));
    format!(
        "{}<VersionId>v{number}</VersionId><IsDefaultVersion>{}</IsDefaultVersion><CreateDate>{}</CreateDate>",
        document.unwrap_or_default(),
        number == it.default,
        stamp(call.now)
    )
}

fn tags_xml(tags: &BTreeMap<String, String>) -> String {
    let shown = tags.iter().map(|(key, value)| format!("<Key>{}</Key><Value>{}</Value>", escape(key), escape(value)));
    format!("<Tags>{}</Tags>", members(shown))
}

/// As RFC 3986 writes it, which is how IAM sends documents.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
