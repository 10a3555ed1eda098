//! Whom an account's policies let sign in to a warehouse, held against the users that the warehouse has. Pure: [`super::iam`] reads them.
//!
//! Nothing is told by the look of a pattern: names are tried, one by one, as requests that the evaluator decides. A statement that lets
//! one in as `alice` and as no name that is nearly `alice` names her; one that lets near names in as well has a pattern.

mod asker;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::SystemTime,
};

use serde_json::Value;

use self::asker::Asker;
use super::{Place, Spot, evaluate};
use crate::issue::Api;

const CREATE: &str = "redshift:CreateClusterUser";
const JOIN: &str = "redshift:JoinGroup";
/// Whoever may do this on everything can give himself any permission.
const ADMINISTER: &str = "iam:PutUserPolicy";

/// A name that nobody has.
const NOBODY: &str = "shiftkey.nobody.qz9";

/// About so many requests are tried at the most: where there are more names and policies than that, not every name is tried with each.
const MOST_TRIED: usize = 500_000;

/// So many are named of those who have a way to a user.
const MOST_TOLD: usize = 3;

/// What IAM holds of an account, as far as it bears on signing in.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Policies that somebody has.
    pub policies: Vec<Policy>,
    /// Users and roles that have some.
    pub principals: Vec<Principal>,
    /// What could not be read.
    pub unread: BTreeSet<String>,
}

/// One policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name; of one that is written into its holder, with the holder.
    pub name: String,
    /// Empty for one that is written into its holder.
    pub arn: String,
    /// What it says.
    pub document: Value,
}

/// A user or role.
#[derive(Clone, Debug, Default)]
pub struct Principal {
    /// Whether it is a user.
    pub is_user: bool,
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// `AIDA...` or `AROA...`.
    pub id: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Places in [`Account::policies`], its groups' among them.
    pub policies: Vec<usize>,
    /// The place of its permissions boundary.
    pub boundary: Option<usize>,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.is_user { "user" } else { "role" }, self.name)
    }
}

impl Principal {
    /// The database user that AWS makes of it where it maps identities.
    fn mapped(&self) -> String {
        format!("{}:{}", if self.is_user { "IAM" } else { "IAMR" }, self.name)
    }
}

/// What the warehouse has.
#[derive(Clone, Debug, Default)]
pub struct Catalog<'a> {
    /// Its users, and whether each is a superuser.
    pub users: BTreeMap<&'a str, bool>,
    /// Its groups.
    pub groups: BTreeSet<&'a str>,
    /// The database that is signed in to.
    pub database: &'a str,
}

/// Names that a statement reaches.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Names {
    /// It reaches names that nobody would think of.
    pub any: bool,
    /// Names of the warehouse that it reaches by a pattern.
    pub by_pattern: BTreeSet<String>,
    /// Names of the warehouse that it names.
    pub by_name: BTreeSet<String>,
    /// Names that it names and the warehouse does not have.
    pub missing: BTreeSet<String>,
}

/// What one statement lets its holders do.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    /// The place in [`Account::policies`].
    pub policy: usize,
    /// The place in the policy, from 0.
    pub statement: usize,
    /// The statement's id; empty for none.
    pub sid: String,
    /// Users and roles: `user alice`.
    pub holders: BTreeSet<String>,
    /// Whether one of them does not administer IAM.
    pub ordinary: bool,
    /// Database users that they may sign in as.
    pub users: Names,
    /// Whether users that the warehouse does not have may be created by signing in.
    pub creates: bool,
    /// Groups that their sessions may join.
    pub groups: Names,
    /// Those whom AWS would sign in as a user that the warehouse does not have.
    pub strangers: BTreeSet<String>,
    /// Keys of the request that it hangs on besides.
    pub hangs_on: BTreeSet<String>,
}

/// Who may be issued a credential for a user of the warehouse.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Way {
    /// The first three users and roles: `user alice`.
    pub who: BTreeSet<String>,
    /// How many they are.
    pub count: usize,
    /// Whether it leads here in particular: those before may not be issued one for any name at all. Where some do so, only they are told.
    pub own: bool,
}

/// All that was found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reached {
    /// Statements that reach something, by policy and place.
    pub statements: Vec<Reach>,
    /// One in so many users was tried with each policy; superusers, the holders themselves and who is named always were. 1: all of them.
    pub stride: usize,
    /// The warehouse's users to whom policies lead. What a session's name or tags decide, and what hangs on a condition that cannot be
    /// told, leads there: of those that were tried, nobody has a way to a user that is not here.
    pub ways: BTreeMap<String, Way>,
}

/// Whether a policy is about signing in, or administers IAM.
pub(super) fn matters(document: &Value) -> bool {
    let actions = [Api::Cluster, Api::ClusterWithIam, Api::Serverless].map(Api::action).into_iter().chain([CREATE, JOIN, ADMINISTER]);
    let statements = evaluate::list(&document["Statement"]);
    actions.into_iter().any(|action| statements.iter().any(|statement| evaluate::acts(statement, action)))
}

/// Tries every name. `now` decides conditions on the time.
pub fn reach(account: &Account, place: &Place, catalog: &Catalog<'_>, now: SystemTime) -> Reached {
    reach_within(MOST_TRIED, account, place, catalog, now)
}

fn reach_within(most: usize, account: &Account, place: &Place, catalog: &Catalog<'_>, now: SystemTime) -> Reached {
    // Who has the same policies, none of which is about who has it, has the same rights.
    let mut alike: BTreeMap<Rights, Vec<&Principal>> = BTreeMap::new();
    for (n, principal) in account.principals.iter().enumerate() {
        let held: BTreeSet<usize> = principal.policies.iter().copied().collect();
        let personal = held.iter().chain(&principal.boundary).any(|it| asker::is_personal(&account.policies[*it].document));
        let key = (held.into_iter().collect(), principal.boundary, personal.then_some(n));
        alike.entry(key).or_default().push(principal);
    }
    let stride = alike.len().saturating_mul(catalog.users.len()).div_ceil(most).max(1);
    let mut search = Search { account, place, catalog, stride, found: BTreeMap::new(), ways: BTreeMap::new() };
    for ((held, boundary, _), principals) in alike {
        let Some(first) = principals.first() else { continue };
        let mut asker = Asker::new(account, held, boundary, first, place, now);
        let ordinary = asker.ask(ADMINISTER, "*", None).is_none();
        let holders = Holders { principals: &principals, ordinary };
        match &place.spot {
            Spot::Cluster(_) => {
                search.users(&mut asker, &holders);
                search.groups(&mut asker, &holders);
                search.mapped(&mut asker, &holders, Api::ClusterWithIam.action(), &place.of_cluster("dbname", catalog.database));
            }
            Spot::Workgroup { arn, .. } => search.mapped(&mut asker, &holders, Api::Serverless.action(), arn),
        }
    }
    Reached { statements: search.found.into_values().collect(), stride, ways: search.ways }
}

/// Policies, boundary and, where they are about who has them, the principal.
type Rights = (Vec<usize>, Option<usize>, Option<usize>);

/// Principals with the same rights.
struct Holders<'a> {
    principals: &'a [&'a Principal],
    ordinary: bool,
}

struct Search<'a> {
    account: &'a Account,
    place: &'a Place,
    catalog: &'a Catalog<'a>,
    stride: usize,
    found: BTreeMap<(usize, usize), Reach>,
    ways: BTreeMap<String, Way>,
}

impl Search<'_> {
    /// The statement's entry, which these hold.
    fn at(&mut self, statement: (usize, usize), holders: &Holders<'_>, hangs_on: &BTreeSet<String>) -> &mut Reach {
        let document = &self.account.policies[statement.0].document;
        let sid = || evaluate::list(&document["Statement"]).get(statement.1).and_then(|it| it["Sid"].as_str()).unwrap_or_default();
        let new = || Reach { policy: statement.0, statement: statement.1, sid: sid().to_owned(), ..Reach::default() };
        let entry = self.found.entry(statement).or_insert_with(new);
        entry.holders.extend(holders.principals.iter().map(ToString::to_string));
        entry.ordinary |= holders.ordinary;
        entry.hangs_on.extend(hangs_on.iter().cloned());
        entry
    }

    fn users(&mut self, asker: &mut Asker, holders: &Holders<'_>) {
        let action = Api::Cluster.action();
        let own = |name: &str| holders.principals.iter().any(|it| it.name == name);
        let named = asker.literals("dbuser");
        let users = self.catalog.users.iter().enumerate();
        let chosen = users.filter(|(n, (name, superuser))| n % self.stride == 0 || **superuser || own(name) || named.contains(**name));
        let names: Vec<&str> = chosen.map(|(_, (name, _))| *name).collect();
        let all: Vec<&str> = self.catalog.users.keys().copied().collect();
        let has = |name: &str| self.catalog.users.contains_key(name);
        let tried = self.tried(asker, "dbuser", action, (&names, &all), &has);
        self.lead(asker, holders, &tried, &names);
        for (statement, tried) in tried {
            let creates = tried.fresh.iter().any(|name| asker.ask(CREATE, &self.place.of_cluster("dbuser", name), Some(name)).is_some());
            let entry = self.at(statement, holders, &tried.hangs_on);
            entry.creates |= creates;
            entry.users.merge(tried.names);
        }
    }

    /// Notes to whom these have a way. Names of AWS's making are not asked for: they are the identity's own.
    fn lead(&mut self, asker: &mut Asker, holders: &Holders<'_>, tried: &BTreeMap<(usize, usize), Tried>, names: &[&str]) {
        let mut reached: BTreeMap<&str, bool> = BTreeMap::new();
        for Tried { names, .. } in tried.values() {
            for name in names.by_pattern.iter().chain(&names.by_name) {
                *reached.entry(name).or_default() |= !names.any;
            }
        }
        let mut some = |name: &str| asker.some_session(Api::Cluster.action(), &self.place.of_cluster("dbuser", name), Some(name));
        let anybody = some(NOBODY);
        for name in names.iter().filter(|name| !of_aws(name)) {
            if reached.get(name) != Some(&true) && some(name) {
                reached.insert(name, !anybody);
            }
        }
        for (name, own) in reached.into_iter().filter(|(name, _)| !of_aws(name)) {
            self.way(name, own, holders.principals);
        }
    }

    fn way(&mut self, name: &str, own: bool, principals: &[&Principal]) {
        let way = self.ways.entry(name.to_owned()).or_default();
        if own && !way.own {
            *way = Way { own, ..Way::default() };
        }
        if own == way.own {
            way.count += principals.len();
            let room = MOST_TOLD.saturating_sub(way.who.len());
            way.who.extend(principals.iter().take(room).map(ToString::to_string));
        }
    }

    fn groups(&mut self, asker: &mut Asker, holders: &Holders<'_>) {
        let names: Vec<&str> = self.catalog.groups.iter().copied().collect();
        let has = |name: &str| self.catalog.groups.contains(name);
        for (statement, tried) in self.tried(asker, "dbgroup", JOIN, (&names, &names), &has) {
            self.at(statement, holders, &tried.hangs_on).groups.merge(tried.names);
        }
    }

    /// `names` are the chosen ones and, where any name is reached anyway, all.
    fn tried(
        &self,
        asker: &mut Asker,
        kind: &str,
        action: &str,
        names: (&[&str], &[&str]),
        has: &dyn Fn(&str) -> bool,
    ) -> BTreeMap<(usize, usize), Tried> {
        let mut found: BTreeMap<(usize, usize), Tried> = BTreeMap::new();
        if !asker.speaks(action) {
            return found;
        }
        let mut ask = |name: &str| asker.ask(action, &self.place.of_cluster(kind, name), Some(name));
        let anybody = ask(NOBODY).unwrap_or_default();
        for statement in &anybody.by {
            let tried = found.entry(*statement).or_default();
            tried.names.any = true;
            tried.fresh.push(NOBODY.to_owned());
            tried.hangs_on.extend(anybody.hangs_on.iter().cloned());
        }
        for name in if anybody.by.is_empty() { names.0 } else { names.1 } {
            let Some(answer) = ask(name) else { continue };
            for statement in answer.by {
                let near = match anybody.by.contains(&statement) {
                    true => None,
                    false => near(name).find(|near| ask(near).is_some_and(|it| it.by.contains(&statement))),
                };
                let tried = found.entry(statement).or_default();
                tried.hangs_on.extend(answer.hangs_on.iter().cloned());
                let by = if tried.names.any || near.is_some() { &mut tried.names.by_pattern } else { &mut tried.names.by_name };
                by.insert((*name).to_owned());
                if tried.fresh.is_empty() {
                    tried.fresh.extend(near);
                }
            }
        }
        for name in asker.literals(kind).into_iter().filter(|name| !has(name)) {
            let answer = asker.ask(action, &self.place.of_cluster(kind, &name), Some(&name)).unwrap_or_default();
            for statement in answer.by.into_iter().filter(|it| !anybody.by.contains(it)) {
                let tried = found.entry(statement).or_default();
                tried.hangs_on.extend(answer.hangs_on.iter().cloned());
                tried.names.missing.insert(name.clone());
                tried.fresh.push(name.clone());
            }
        }
        found
    }

    fn mapped(&mut self, asker: &mut Asker, holders: &Holders<'_>, action: &str, arn: &str) {
        let answer = asker.ask(action, arn, None);
        if answer.is_some() || asker.some_session(action, arn, None) {
            for principal in holders.principals {
                let name = principal.mapped();
                if self.catalog.users.contains_key(name.as_str()) {
                    self.way(&name, true, &[principal]);
                }
            }
        }
        let Some(answer) = answer else { return };
        let strangers: Vec<String> = holders
            .principals
            .iter()
            .filter(|it| !self.catalog.users.contains_key(it.mapped().as_str()))
            .map(ToString::to_string)
            .collect();
        if !strangers.is_empty() {
            for statement in answer.by {
                self.at(statement, holders, &answer.hangs_on).strangers.extend(strangers.iter().cloned());
            }
        }
    }
}

/// Whether AWS makes such names of identities.
fn of_aws(name: &str) -> bool {
    name.starts_with("IAM:") || name.starts_with("IAMR:")
}

/// What came of trying names.
#[derive(Default)]
struct Tried {
    names: Names,
    /// Names that are reached and the warehouse does not have.
    fresh: Vec<String>,
    hangs_on: BTreeSet<String>,
}

impl Names {
    fn merge(&mut self, other: Self) {
        self.any |= other.any;
        self.by_pattern.extend(other.by_pattern);
        self.by_name.extend(other.by_name);
        self.missing.extend(other.missing);
    }
}

/// Names that are nearly this one: with something before it or after it, and with one letter exchanged.
fn near(name: &str) -> impl Iterator<Item = String> + '_ {
    let exchanged = name.char_indices().map(|(at, letter)| {
        let other = if letter == 'q' { "z" } else { "q" };
        format!("{}{other}{}", &name[..at], &name[at + letter.len_utf8()..])
    });
    [format!("{name}qz9"), format!("qz9{name}")].into_iter().chain(exchanged)
}

#[cfg(test)]
mod tests;
