//! The rules. Each is a name, a severity, a sentence, and a function from a policy to what breaks it.

use super::{Expectations, Severity, read::Read, read::Statement};
use crate::policy::{
    LONGEST,
    evaluate::{Part, covers, is_variable, parts},
};

const LOG_IN: &str = "redshift:GetClusterCredentials";
const CREATE: &str = "redshift:CreateClusterUser";

/// A rule.
pub struct Rule {
    /// Its stable name.
    pub name: &'static str,
    /// How bad it is to break it.
    pub severity: Severity,
    /// What it finds, in a few words.
    pub about: &'static str,
    pub(super) check: fn(&Read, &Expectations) -> Vec<Fault>,
}

/// What breaks a rule.
pub(super) struct Fault {
    pub(super) statement: Option<usize>,
    pub(super) reason: String,
    pub(super) fix: String,
}

impl Fault {
    fn new(statement: usize, reason: impl Into<String>, fix: &str) -> Self {
        Self { statement: Some(statement), reason: reason.into(), fix: fix.to_owned() }
    }

    fn whole(reason: impl Into<String>, fix: &str) -> Self {
        Self { statement: None, reason: reason.into(), fix: fix.to_owned() }
    }
}

/// All of them.
pub const RULES: &[Rule] = &[
    Rule { name: "any-user", severity: Severity::Error, about: "any database user, the admin too", check: any_user },
    Rule {
        name: "echoed-user",
        severity: Severity::Error,
        about: "${redshift:DbUser} without a condition on who asks",
        check: echoed_user,
    },
    Rule { name: "admin", severity: Severity::Error, about: "the admin user can be logged in as", check: admin },
    Rule { name: "old-version", severity: Severity::Error, about: "variables are literal text in this Version", check: old_version },
    Rule { name: "variable-place", severity: Severity::Error, about: "a variable before the fifth colon of an ARN", check: variable_place },
    Rule { name: "numeric-variable", severity: Severity::Error, about: "a variable under a numeric operator", check: numeric_variable },
    Rule { name: "workgroup-name", severity: Severity::Error, about: "a workgroup's name where its id belongs", check: workgroup_name },
    Rule { name: "partition", severity: Severity::Error, about: "an ARN of another partition", check: partition },
    Rule { name: "too-long", severity: Severity::Error, about: "longer than a managed policy can be", check: too_long },
    Rule { name: "unknown-key", severity: Severity::Error, about: "a redshift: key that AWS does not have", check: unknown_key },
    Rule {
        name: "tags-itself",
        severity: Severity::Error,
        about: "who it is for may choose the database user by a tag",
        check: tags_itself,
    },
    Rule { name: "no-create", severity: Severity::Error, about: "auto-create is wanted and CreateClusterUser missing", check: no_create },
    Rule { name: "wider-create", severity: Severity::Warning, about: "may create users as whom nobody may log in", check: wider_create },
    Rule { name: "no-database", severity: Severity::Warning, about: "no dbname ARN beside the dbuser ARN", check: no_database },
    Rule { name: "any-database", severity: Severity::Warning, about: "every database", check: any_database },
    Rule { name: "any-group", severity: Severity::Warning, about: "every group, those with rights too", check: any_group },
    Rule { name: "any-workgroup", severity: Severity::Warning, about: "every workgroup", check: any_workgroup },
    Rule { name: "not-elements", severity: Severity::Warning, about: "an allow by NotAction or NotResource", check: not_elements },
    Rule {
        name: "unnamed-database",
        severity: Severity::Note,
        about: "a credential for all databases can be asked for",
        check: unnamed_database,
    },
];

/// The user's part of `CLUSTER/USER`.
fn user_of(name: &str) -> &str {
    name.split_once('/').map_or("*", |(_, user)| user)
}

fn any_user(policy: &Read, _: &Expectations) -> Vec<Fault> {
    let wild = |name: &String| user_of(name).chars().all(|char| matches!(char, '*' | '?')) && name.contains('*');
    let found = policy.allowing(&[LOG_IN, CREATE]).filter(|(_, statement)| statement.names("dbuser").iter().any(wild));
    let found = found.filter(|(_, statement)| {
        !statement.conditions().iter().any(|(operator, key, values)| {
            key.eq_ignore_ascii_case("redshift:DbUser")
                && operator.starts_with("String")
                && !operator.contains("Not")
                && !values.contains(&"*")
        })
    });
    found
        .map(|(n, _)| {
            Fault::new(
                n,
                "allows credentials for any database user, the admin among them",
                "name the users: arn:aws:redshift:REGION:ACCOUNT:dbuser:CLUSTER/${aws:username}, or one user's name",
            )
        })
        .collect()
}

fn echoed_user(policy: &Read, _: &Expectations) -> Vec<Fault> {
    let echoes =
        |statement: &Statement| statement.names("dbuser").iter().any(|name| name.to_ascii_lowercase().contains("${redshift:dbuser}"));
    let bound = |statement: &Statement| {
        let tied = |(operator, key, values): &(&str, &str, Vec<&str>)| {
            let key = key.to_ascii_lowercase();
            let who = key == "aws:userid" || key == "aws:username" || key == "aws:sourceidentity" || key.starts_with("aws:principaltag/");
            let chosen = key == "redshift:dbuser" && !values.iter().any(|value| value.chars().all(|char| char == '*'));
            let names = values.iter().all(|value| value.to_ascii_lowercase().contains("${redshift:dbuser}"));
            operator.starts_with("String") && !operator.contains("Not") && !operator.contains("IfExists") && ((who && names) || chosen)
        };
        statement.conditions().iter().any(tied)
    };
    let found = policy.allowing(&[LOG_IN, CREATE]).filter(|(_, statement)| echoes(statement) && !bound(statement));
    found
        .map(|(n, _)| {
            Fault::new(
                n,
                "${redshift:DbUser} is whatever user is asked for, so this allows any",
                "add the condition StringEquals aws:userid = ROLE_ID:${redshift:DbUser}",
            )
        })
        .collect()
}

fn admin(policy: &Read, expectations: &Expectations) -> Vec<Fault> {
    let fallback = [String::from("awsuser")];
    let admins = if expectations.admins.is_empty() { &fallback[..] } else { &expectations.admins[..] };
    let mut found = Vec::new();
    for (n, statement) in policy.allowing(&[LOG_IN]) {
        let reaches = |name: &String, admin: &str| {
            let user = user_of(name);
            let any = user.chars().all(|char| matches!(char, '*' | '?'));
            // A person's own name is the admin's only if somebody made such a user; that the caller chooses freely may be.
            let chosen = user.contains("${redshift:DbUser}") || user.to_ascii_lowercase().contains("${aws:principaltag/");
            !any && (chosen || covers(&parts(&user.to_ascii_lowercase()), &parts(admin)))
        };
        for admin in admins {
            let admin = admin.to_ascii_lowercase();
            let names: Vec<String> = statement.names("dbuser").into_iter().filter(|name| reaches(name, &admin)).collect();
            if !names.is_empty() && !names.iter().all(|name| is_denied(policy, name, &admin)) {
                found.push(Fault::new(
                    n,
                    format!("allows to log in as the admin user {admin}"),
                    "deny redshift:GetClusterCredentials on the cluster's dbuser ARN of that user",
                ));
            }
        }
    }
    found
}

/// Whether a deny without further conditions strikes the admin of all clusters that `name` is about.
fn is_denied(policy: &Read, name: &str, admin: &str) -> bool {
    let cluster = name.split_once('/').map_or("*", |(cluster, _)| cluster);
    policy.statements.iter().filter(|statement| statement.value["Effect"] == "Deny" && statement.acts(LOG_IN)).any(|statement| {
        let conditions = statement.conditions();
        let by_key = conditions.len() == 1
            && conditions.iter().all(|(operator, key, values)| {
                key.eq_ignore_ascii_case("redshift:DbUser")
                    && operator.starts_with("StringEquals")
                    && values.iter().any(|value| value.eq_ignore_ascii_case(admin))
            });
        let strikes = |pattern: &String| covers(&parts(pattern), &parts(&format!("{cluster}/{admin}")));
        (conditions.is_empty() || by_key) && statement.names("dbuser").iter().any(strikes)
    })
}

fn old_version(policy: &Read, _: &Expectations) -> Vec<Fault> {
    if policy.version.as_deref() == Some("2012-10-17") {
        return Vec::new();
    }
    let uses = |statement: &Statement| {
        let conditions = statement.conditions();
        let values = conditions.iter().flat_map(|(_, _, values)| values.iter().copied());
        statement.resources().into_iter().chain(values).any(is_variable)
    };
    let fix = "set \"Version\": \"2012-10-17\"";
    let found = policy.statements.iter().enumerate().filter(|(_, statement)| uses(statement));
    found.map(|(n, _)| Fault::new(n, "without Version 2012-10-17 a variable is literal text, and fits nobody", fix)).collect()
}

fn variable_place(policy: &Read, _: &Expectations) -> Vec<Fault> {
    let misplaced = |arn: &str| arn.starts_with("arn:") && arn.splitn(6, ':').take(5).any(|part| part.contains("${"));
    let found = policy.statements.iter().enumerate().filter(|(_, statement)| statement.resources().into_iter().any(misplaced));
    found
        .map(|(n, _)| Fault::new(n, "IAM takes variables after the fifth colon of an ARN only", "write region and account out, or *"))
        .collect()
}

fn numeric_variable(policy: &Read, _: &Expectations) -> Vec<Fault> {
    let numeric = |statement: &Statement| {
        let conditions = statement.conditions();
        conditions.iter().any(|(operator, _, values)| operator.contains("Numeric") && values.iter().any(|value| is_variable(value)))
    };
    let found = policy.statements.iter().enumerate().filter(|(_, statement)| numeric(statement));
    found.map(|(n, _)| Fault::new(n, "IAM takes no variables under numeric operators", "write the number out")).collect()
}

fn workgroup_name(policy: &Read, _: &Expectations) -> Vec<Fault> {
    let uuid = |id: &str| {
        let parts: Vec<&str> = id.split('-').collect();
        parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let named = |arn: &&str| {
        let id = arn.split_once(":workgroup/").filter(|(start, _)| start.contains(":redshift-serverless:")).map(|(_, id)| id);
        id.is_some_and(|id| !id.contains(['*', '?', '$']) && !uuid(id))
    };
    let found = policy.statements.iter().enumerate().filter_map(|(n, statement)| Some((n, statement.resources().into_iter().find(named)?)));
    found
        .map(|(n, arn)| {
            let name = arn.rsplit('/').next().unwrap_or_default();
            Fault::new(
                n,
                format!("a workgroup's ARN has its id, and '{name}' is none"),
                "take workgroupArn from `aws redshift-serverless get-workgroup`",
            )
        })
        .collect()
}

fn partition(policy: &Read, expectations: &Expectations) -> Vec<Fault> {
    let of_region = |region: &str| match region {
        region if region.starts_with("cn-") => Some("aws-cn"),
        region if region.starts_with("us-gov-") => Some("aws-us-gov"),
        region if region.contains('*') || region.contains('?') || region.is_empty() => None,
        region if region.starts_with("us-iso") || region.starts_with("eu-iso") || region.starts_with("eusc-") => None,
        _ => Some("aws"),
    };
    let mut first = expectations.partition.clone();
    let mut found = Vec::new();
    for (n, statement) in policy.statements.iter().enumerate() {
        for arn in statement.resources() {
            let parts: Vec<&str> = arn.splitn(6, ':').collect();
            let [_, partition, _, region, _, _] = parts[..] else { continue };
            if partition.contains('*') {
                continue;
            }
            let wanted = of_region(region).map(str::to_owned).unwrap_or_else(|| first.clone().unwrap_or_else(|| partition.to_owned()));
            let wanted = expectations.partition.clone().unwrap_or(wanted);
            first.get_or_insert_with(|| partition.to_owned());
            if partition != wanted || first.as_deref() != Some(partition) {
                let reason = format!("'{arn}' is of the partition {partition}, where {wanted} is meant");
                found.push(Fault::new(n, reason, "write arn:aws-cn: in China, arn:aws-us-gov: in GovCloud, arn:aws: elsewhere"));
                break;
            }
        }
    }
    found
}

fn too_long(policy: &Read, _: &Expectations) -> Vec<Fault> {
    if policy.length <= LONGEST {
        return Vec::new();
    }
    let reason = format!("{} characters without white space; a managed policy has {LONGEST} at the most", policy.length);
    vec![Fault::whole(reason, "split it, or let a variable such as ${aws:username} stand for many users")]
}

fn unknown_key(policy: &Read, _: &Expectations) -> Vec<Fault> {
    // Of the credentials' actions. Other actions of Redshift have keys of their own.
    const GONE: [&str; 4] = ["redshift:dbgroups", "redshift:dbgroup", "redshift:autocreate", "redshift:clusteridentifier"];
    let mut found = Vec::new();
    for (n, statement) in policy.statements.iter().enumerate() {
        if let Some((_, key, _)) = statement.conditions().into_iter().find(|(_, key, _)| GONE.contains(&key.to_ascii_lowercase().as_str()))
        {
            let reason = format!("AWS has no key {key}, so the condition is never true");
            found.push(Fault::new(n, reason, "limit groups by dbgroup ARNs, creation by redshift:CreateClusterUser, clusters by ARNs"));
        }
    }
    found
}

fn tags_itself(policy: &Read, _: &Expectations) -> Vec<Fault> {
    const TAGGING: [&str; 3] = ["iam:TagUser", "iam:TagRole", "sts:TagSession"];
    let limited = |statement: &Statement| statement.has_key("aws:TagKeys") || statement.has_key("aws:RequestTag/");
    let principals = |statement: &Statement| statement.resources().iter().any(|arn| *arn == "*" || arn.contains(":iam:"));
    let found = policy.allowing(&TAGGING).filter(|(_, statement)| principals(statement) && !limited(statement));
    found
        .map(|(n, _)| {
            Fault::new(
                n,
                "whoever may tag users, roles or sessions may choose the database user, groups and roles of RedshiftDbUser, RedshiftDbGroups and RedshiftDbRoles",
                "limit the tags by the condition key aws:TagKeys, or deny these three",
            )
        })
        .collect()
}

/// Patterns of users that may be logged in as, and those that may be created.
fn users(policy: &Read, action: &str) -> Vec<(usize, String)> {
    policy.allowing(&[action]).flat_map(|(n, statement)| statement.names("dbuser").into_iter().map(move |name| (n, name))).collect()
}

fn uncovered<'a>(narrow: &'a [(usize, String)], wide: &'a [(usize, String)]) -> impl Iterator<Item = &'a (usize, String)> {
    narrow.iter().filter(|(_, name)| {
        let name: Vec<Part> = parts(name);
        !wide.iter().any(|(_, pattern)| covers(&parts(pattern), &name))
    })
}

fn no_create(policy: &Read, expectations: &Expectations) -> Vec<Fault> {
    if !expectations.auto_create {
        return Vec::new();
    }
    let (login, create) = (users(policy, LOG_IN), users(policy, CREATE));
    let found = uncovered(&login, &create);
    found
        .map(|(n, name)| {
            Fault::new(*n, format!("'{name}' may log in and not be created"), "allow redshift:CreateClusterUser on the same dbuser ARN")
        })
        .collect()
}

fn wider_create(policy: &Read, _: &Expectations) -> Vec<Fault> {
    let (login, create) = (users(policy, LOG_IN), users(policy, CREATE));
    let found = uncovered(&create, &login);
    found
        .map(|(n, name)| {
            Fault::new(
                *n,
                format!("'{name}' may be created, and not logged in as"),
                "limit redshift:CreateClusterUser to the dbuser ARNs of GetClusterCredentials",
            )
        })
        .collect()
}

fn no_database(policy: &Read, _: &Expectations) -> Vec<Fault> {
    let databases = policy.allowing(&[LOG_IN]).any(|(_, statement)| !statement.names("dbname").is_empty());
    let login = policy.allowing(&[LOG_IN]).find(|(_, statement)| !statement.names("dbuser").is_empty());
    let found = login.filter(|_| !databases).map(|(n, _)| {
        Fault::new(
            n,
            "no dbname ARN is allowed, so only credentials for no database in particular are issued, which open all",
            "allow redshift:GetClusterCredentials on arn:aws:redshift:REGION:ACCOUNT:dbname:CLUSTER/DATABASE as well",
        )
    });
    found.into_iter().collect()
}

fn any_database(policy: &Read, _: &Expectations) -> Vec<Fault> {
    let wild = |statement: &Statement| statement.names("dbname").iter().any(|name| user_of(name) == "*");
    let limited = |statement: &Statement| {
        let conditions = statement.conditions();
        conditions.iter().any(|(operator, key, values)| {
            key.eq_ignore_ascii_case("redshift:DbName")
                && operator.starts_with("String")
                && !operator.contains("Not")
                && !values.contains(&"*")
        })
    };
    let found = policy.allowing(&[LOG_IN, "redshift:GetClusterCredentialsWithIAM"]);
    found
        .filter(|(_, statement)| wild(statement) && !limited(statement))
        .map(|(n, _)| Fault::new(n, "allows every database", "name the databases: dbname:CLUSTER/DATABASE"))
        .collect()
}

fn any_group(policy: &Read, _: &Expectations) -> Vec<Fault> {
    let found = policy.allowing(&["redshift:JoinGroup"]);
    found
        .filter(|(_, statement)| statement.names("dbgroup").iter().any(|name| user_of(name) == "*"))
        .map(|(n, _)| Fault::new(n, "allows to join every group", "name the groups: dbgroup:CLUSTER/GROUP"))
        .collect()
}

fn any_workgroup(policy: &Read, _: &Expectations) -> Vec<Fault> {
    let wild = |statement: &Statement| {
        statement.resources().into_iter().any(|arn| arn == "*" || arn.ends_with(":workgroup/*") || arn.ends_with(":*"))
    };
    let limited = |statement: &Statement| statement.has_key("aws:ResourceTag/");
    let found = policy.allowing(&["redshift-serverless:GetCredentials"]);
    found
        .filter(|(_, statement)| wild(statement) && !limited(statement))
        .map(|(n, _)| Fault::new(n, "allows every workgroup", "name the workgroups by their ARNs, or by a condition on aws:ResourceTag"))
        .collect()
}

fn not_elements(policy: &Read, _: &Expectations) -> Vec<Fault> {
    let found = policy.statements.iter().enumerate().filter(|(_, statement)| statement.allows());
    let named = |statement: &Statement| ["NotAction", "NotResource"].into_iter().find(|name| statement.value.get(name).is_some());
    found
        .filter_map(|(n, statement)| Some((n, named(statement)?)))
        .map(|(n, name)| Fault::new(n, format!("{name} allows all else, and what AWS will add"), "list what is allowed"))
        .collect()
}

fn unnamed_database(policy: &Read, _: &Expectations) -> Vec<Fault> {
    let limits = policy.allowing(&[LOG_IN]).any(|(_, statement)| statement.names("dbname").iter().any(|name| user_of(name) != "*"));
    let free = |statement: &Statement| !statement.names("dbuser").is_empty() && !statement.has_key("redshift:DbName");
    let found = policy.allowing(&[LOG_IN]).filter(|(_, statement)| limits && free(statement));
    found
        .map(|(n, _)| {
            Fault::new(
                n,
                "databases are limited, but a request that names none is allowed, and its credential opens them all",
                "add the condition StringEquals redshift:DbName = DATABASE",
            )
        })
        .collect()
}
