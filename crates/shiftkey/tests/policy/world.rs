use std::{io::Write as _, time::Duration};

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use shiftkey::policy::{
    Place, Spot,
    generate::{Grant, Intent, Who},
};

const ACCOUNT: &str = "111122223333";
const ROLES: [&str; 2] = ["AROAAAAAAAAAAAAAAAAAA", "AROABBBBBBBBBBBBBBBBB"];
const NAMES: [&str; 6] = ["alice", "bob", "awsuser", "AWSUSER", "reporting", "svc_alice"];
const DATABASES: [&str; 3] = ["dev", "sales", "_private"];
const GROUPS: [&str; 3] = ["analysts", "engineers", "ops"];
const TAGS: [&str; 2] = ["RedshiftDbUser", "team:user"];
const SUFFIXES: [&str; 2] = ["", "@example.com"];

/// Who calls: a user or a role's session.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    user_name: Option<String>,
    user_id: String,
    tag: Option<(&'static str, String)>,
    mfa: Option<bool>,
}

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) caller: Caller,
    pub(crate) db_user: String,
    pub(crate) place: Place,
    pub(crate) mapped: bool,
    pub(crate) database: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) auto_create: bool,
    pub(crate) duration: Option<u64>,
}

fn places() -> impl Strategy<Value = Place> {
    select(vec![
        place("us-east-1", "analytics"),
        place("us-east-1", "analytics-2"),
        place("eu-west-1", "analytics"),
        workgroup(1),
        workgroup(2),
    ])
}

fn place(region: &str, cluster: &str) -> Place {
    Place { partition: "aws".into(), region: region.into(), account: ACCOUNT.into(), spot: Spot::Cluster(cluster.into()) }
}

fn workgroup(n: u8) -> Place {
    let arn = format!("arn:aws:redshift-serverless:us-east-1:{ACCOUNT}:workgroup/00000000-0000-4000-8000-00000000000{n}");
    Place { spot: Spot::Workgroup { name: format!("w{n}"), arn }, ..place("us-east-1", "") }
}

pub(crate) fn user(name: &str) -> Caller {
    Caller { user_name: Some(name.into()), user_id: format!("AIDA{name}"), tag: None, mfa: Some(true) }
}

fn callers() -> impl Strategy<Value = Caller> {
    let name = select(&NAMES[..]);
    let tag = prop::option::of((select(&TAGS[..]), select(&NAMES[..]).prop_map(str::to_owned)));
    let mfa = prop::option::of(any::<bool>());
    (prop::option::of(select(&ROLES[..])), name, select(&SUFFIXES[..]), tag, mfa).prop_map(|(role, name, suffix, tag, mfa)| match role {
        Some(role) => Caller { user_name: None, user_id: format!("{role}:{name}{suffix}"), tag, mfa },
        None => Caller { tag, mfa, ..user(name) },
    })
}

fn whos() -> impl Strategy<Value = Who> {
    prop_oneof![
        select(vec!["alice", "reporting"]).prop_map(|name| Who::Fixed(name.into())),
        Just(Who::Mapped),
        (select(&ROLES[..]), select(&SUFFIXES[..]))
            .prop_map(|(role, suffix)| Who::Sessions { role_id: role.into(), suffix: suffix.into() }),
        select(&TAGS[..]).prop_map(|key| Who::Tag(key.into())),
        select(vec!["{user_name}", "svc_{user_name}"]).prop_map(|template| Who::Users(template.into())),
    ]
}

fn some(names: &'static [&'static str], least: usize) -> impl Strategy<Value = Vec<String>> {
    prop::sample::subsequence(names, least..=names.len()).prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn grants() -> impl Strategy<Value = Grant> {
    let longest = prop::option::of((900u64..=3600).prop_map(Duration::from_secs));
    let admins = select(vec![vec!["awsuser".to_owned()], vec![], vec!["Root".to_owned(), "bob".to_owned()]]);
    (places(), whos(), some(&DATABASES, 1), some(&GROUPS, 0), any::<bool>(), longest, admins, any::<bool>()).prop_map(
        |(place, who, databases, groups, auto_create, longest, admins, lookup)| {
            let who = if matches!(place.spot, Spot::Workgroup { .. }) { Who::Mapped } else { who };
            let mapped = who == Who::Mapped;
            let (groups, auto_create) = if mapped { (Vec::new(), false) } else { (groups, auto_create) };
            Grant { place, who, databases, groups, auto_create, longest, admins, lookup }
        },
    )
}

pub(crate) fn intents() -> impl Strategy<Value = Intent> {
    (prop::collection::vec(grants(), 1..=4), any::<bool>()).prop_map(|(grants, mfa)| Intent { grants, mfa })
}

pub(crate) fn requests() -> impl Strategy<Value = Asked> {
    let duration = prop::option::of(prop_oneof![900u64..=3600, select(vec![900, 999, 1000, 1800, 3600])]);
    let database = prop::option::weighted(0.9, select(&DATABASES[..]).prop_map(str::to_owned));
    (callers(), select(&NAMES[..]), places(), any::<bool>(), database, some(&GROUPS, 0), any::<bool>(), duration).prop_map(
        |(caller, db_user, place, mapped, database, groups, auto_create, duration)| Asked {
            caller,
            db_user: db_user.into(),
            place,
            mapped,
            database,
            groups,
            auto_create,
            duration,
        },
    )
}

impl Asked {
    /// The same, with what the first grant asks for; the rest stays as it is and may still not fit.
    pub(crate) fn bent(&self, intent: &Intent) -> Self {
        let grant = &intent.grants[0];
        let mut bent = self.clone();
        bent.place = grant.place.clone();
        bent.mapped = grant.who == Who::Mapped;
        bent.database = bent.database.map(|it| if grant.databases.contains(&it) { it } else { grant.databases[0].clone() });
        bent.groups.retain(|it| grant.groups.contains(it));
        match &grant.who {
            Who::Fixed(user) => bent.db_user.clone_from(user),
            Who::Mapped => {}
            Who::Sessions { role_id, suffix } => bent.caller.user_id = format!("{role_id}:{}{suffix}", bent.db_user),
            Who::Tag(key) => bent.caller.tag = Some((TAGS.into_iter().find(|it| it == key).unwrap(), bent.db_user.clone())),
            Who::Users(template) => {
                bent.db_user = template.replace("{user_name}", "alice");
                bent.caller.user_name = Some("alice".into());
            }
        }
        bent
    }

    /// The keys that AWS has for the call (Service Authorization Reference; IAM User Guide, "AWS global condition context keys").
    pub(crate) fn context(&self) -> Vec<(String, Vec<String>)> {
        let caller = &self.caller;
        let chosen = self.chosen().then(|| self.db_user.clone());
        let redshift = matches!(self.place.spot, Spot::Cluster(_));
        let mut keys = vec![
            ("aws:userid".to_owned(), Some(caller.user_id.clone())),
            ("aws:username".to_owned(), caller.user_name.clone()),
            ("aws:multifactorauthpresent".to_owned(), caller.mfa.map(|it| it.to_string())),
            ("redshift:dbuser".to_owned(), chosen),
            ("redshift:dbname".to_owned(), self.database.clone().filter(|_| redshift)),
            ("redshift:durationseconds".to_owned(), self.duration.filter(|_| redshift).map(|it| it.to_string())),
        ];
        if let Some((key, value)) = &caller.tag {
            keys.push((format!("aws:principaltag/{}", key.to_lowercase()), Some(value.clone())));
        }
        keys.into_iter().filter_map(|(key, value)| Some((key, vec![value?]))).collect()
    }

    fn chosen(&self) -> bool {
        matches!(self.place.spot, Spot::Cluster(_)) && !self.mapped
    }

    /// What has to be allowed (aws: Management Guide, "Resource policies for GetClusterCredentials").
    pub(crate) fn needs(&self) -> Vec<(&'static str, String)> {
        let cluster = match &self.place.spot {
            Spot::Workgroup { arn, .. } => return vec![("redshift-serverless:GetCredentials", arn.clone())],
            Spot::Cluster(name) => name,
        };
        let arn = |kind: &str, name: &str| format!("arn:aws:redshift:{}:{ACCOUNT}:{kind}:{cluster}/{name}", self.place.region);
        let database = arn("dbname", self.database.as_deref().unwrap_or("*"));
        if self.mapped {
            return vec![("redshift:GetClusterCredentialsWithIAM", database)];
        }
        let user = arn("dbuser", &self.db_user);
        let mut needs = vec![("redshift:GetClusterCredentials", user.clone())];
        needs.extend(self.database.is_some().then_some(("redshift:GetClusterCredentials", database)));
        needs.extend(self.auto_create.then_some(("redshift:CreateClusterUser", user)));
        needs.extend(self.groups.iter().map(|group| ("redshift:JoinGroup", arn("dbgroup", group))));
        needs
    }
}

/// Whether the intent means this request.
pub(crate) fn asked(intent: &Intent, request: &Asked) -> bool {
    if intent.mfa && request.caller.mfa != Some(true) {
        return false;
    }
    let here: Vec<&Grant> = intent.grants.iter().filter(|it| it.place == request.place).collect();
    if matches!(request.place.spot, Spot::Workgroup { .. }) {
        return !here.is_empty();
    }
    let in_time = |it: &Grant| it.longest.is_none_or(|most| request.duration.unwrap_or(900) <= most.as_secs());
    let opens = |it: &Grant| request.database.as_ref().is_some_and(|name| it.databases.contains(name)) && in_time(it);
    if request.mapped {
        return here.iter().any(|it| it.who == Who::Mapped && opens(it));
    }
    let admin = |it: &&Grant| {
        let guarded = !matches!(it.who, Who::Fixed(_) | Who::Mapped);
        guarded && it.admins.iter().any(|admin| admin.eq_ignore_ascii_case(&request.db_user))
    };
    let mine: Vec<&&Grant> = here.iter().filter(|it| is(&it.who, request)).collect();
    let joins = |group: &String| here.iter().any(|it| it.groups.contains(group));
    mine.iter().any(|it| opens(it))
        && !here.iter().any(admin)
        && (!request.auto_create || mine.iter().any(|it| it.auto_create))
        && request.groups.iter().all(joins)
}

fn is(who: &Who, request: &Asked) -> bool {
    let (caller, db_user) = (&request.caller, &request.db_user);
    match who {
        Who::Fixed(user) => user == db_user,
        Who::Mapped => false,
        Who::Sessions { role_id, suffix } => caller.user_id == format!("{role_id}:{db_user}{suffix}"),
        Who::Tag(key) => caller.tag.as_ref().is_some_and(|(has, value)| has.eq_ignore_ascii_case(key) && value == db_user),
        Who::Users(template) => caller.user_name.as_ref().is_some_and(|name| template.replace("{user_name}", name) == *db_user),
    }
}

/// Users of so many clusters.
pub(crate) fn many(count: usize) -> Intent {
    let grant = |n: usize| Grant {
        place: place("us-east-1", &format!("a-cluster-with-a-rather-long-name-{n}")),
        who: Who::Users("{user_name}".into()),
        databases: vec!["dev".into(), format!("db{n}")],
        groups: vec!["analysts".into()],
        auto_create: true,
        longest: None,
        admins: vec!["awsuser".into()],
        lookup: true,
    };
    Intent { grants: (0..count).map(grant).collect(), mfa: true }
}

/// One cluster with so many databases and groups.
pub(crate) fn wide(databases: usize, groups: usize) -> Intent {
    let mut intent = many(1);
    let long = "x".repeat(50);
    intent.grants[0].databases = (0..databases).map(|n| format!("d{n}{long}")).collect();
    intent.grants[0].groups = (0..groups).map(|n| format!("g{n}{long}")).collect();
    intent
}

/// For each grant a request for each of its databases, with all groups.
pub(crate) fn every(intent: &Intent) -> Vec<Asked> {
    let request = |it: &Grant, database: &String| Asked {
        caller: user("alice"),
        db_user: "alice".into(),
        place: it.place.clone(),
        mapped: false,
        database: Some(database.clone()),
        groups: it.groups.clone(),
        auto_create: true,
        duration: Some(3600),
    };
    intent.grants.iter().flat_map(|it| it.databases.iter().map(|name| request(it, name)).collect::<Vec<_>>()).collect()
}

/// Writes policies and request down for an evaluator of others, when `tests/policy/run.sh` asks for it.
pub(crate) fn cases_file(policies: &[Value], request: &Asked) {
    let Some(path) = std::env::var_os("SHIFTKEY_POLICY_CASES") else { return };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    let context: serde_json::Map<String, Value> = request.context().into_iter().map(|(key, value)| (key, json!(value[0]))).collect();
    let theirs: shiftkey_sandbox::iam::Context = request.context().into_iter().collect();
    for (action, resource) in request.needs() {
        let allowed = shiftkey_sandbox::iam::decide(policies, action, &resource, &theirs) == shiftkey_sandbox::iam::Decision::Allowed;
        let case = json!({ "policies": policies, "action": action, "resource": resource, "context": context, "allowed": allowed });
        writeln!(file, "{case}").unwrap();
    }
}
