//! Where a client's session goes: to a listener's one target, or to the one that the database names.

use std::{collections::BTreeMap, fmt, sync::Arc};

use shiftkey::{Error, ErrorKind, Result, Target};

use crate::parameters::Asked;

/// Turns names into targets. Asked for each session, so that a changed configuration counts from the next one on.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The target of this name, with this database and database user instead of its own where given.
    ///
    /// # Errors
    /// `NoSuchTarget`, or what is wrong with the configuration.
    fn resolve(&self, name: &str, database: Option<&str>, db_user: Option<&str>) -> Result<Target>;
}

/// One target, whatever it is called.
impl Resolve for Target {
    fn resolve(&self, _: &str, database: Option<&str>, db_user: Option<&str>) -> Result<Target> {
        let mut target = self.clone();
        if let Some(database) = database {
            shiftkey::target::names::database(database)?;
            database.clone_into(&mut target.database);
        }
        if let Some(db_user) = db_user {
            target.db_user = Some(db_user.to_owned());
        }
        Ok(target)
    }
}

/// What a listener serves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Serves {
    /// The target of this name; a client chooses a database in it, or takes the configured one.
    One(String),
    /// Any: the client's database is `TARGET` or `TARGET/DATABASE`.
    ByDatabase,
}

/// What the client's user name means. It is never who signs in: that is the AWS identity.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Users {
    /// Nothing.
    #[default]
    Ignored,
    /// The database user to ask for; who is not in the table is refused.
    Mapped(BTreeMap<String, String>),
}

/// How a listener's clients find their targets.
#[derive(Clone, Debug)]
pub struct Routes {
    /// Which targets.
    pub serves: Serves,
    /// As which database users.
    pub users: Users,
    /// What names mean.
    pub resolver: Arc<dyn Resolve>,
}

impl Routes {
    /// Everything to this target.
    pub fn to(target: &Target) -> Self {
        Self { serves: Serves::One(target.label.clone()), users: Users::Ignored, resolver: Arc::new(target.clone()) }
    }

    /// The target that a client asks for.
    ///
    /// # Errors
    /// As [`Resolve::resolve`]; `LoginRefused` for a user who is not mapped.
    pub(crate) fn target(&self, asked: &Asked) -> Result<Target> {
        let db_user = match &self.users {
            Users::Ignored => None,
            Users::Mapped(users) => Some(users.get(&asked.user).ok_or_else(|| unmapped(&asked.user))?.as_str()),
        };
        let resolve = |name: &str, database: Option<&str>| self.resolver.resolve(name, database, db_user);
        match (&self.serves, asked.database.as_deref()) {
            (Serves::One(name), Some(database)) => {
                // The names of the other kind of listener are understood, so that one connection string does for both.
                let rest = database.strip_prefix(name.as_str());
                match rest.map(|rest| rest.strip_prefix('/').unwrap_or(rest)) {
                    Some("") => resolve(name, None),
                    Some(inner) if database.len() > name.len() + inner.len() => resolve(name, Some(inner)),
                    _ => resolve(name, Some(database)),
                }
            }
            (Serves::One(name), None) => resolve(name, None),
            (Serves::ByDatabase, None) => Err(unnamed()),
            (Serves::ByDatabase, Some(named)) => {
                let whole = resolve(named, None);
                match named.rsplit_once('/') {
                    Some((name, database)) if whole.is_err() => resolve(name, Some(database)).or_else(|error| match error.kind() {
                        // The last part was no database, so the whole was meant for a name.
                        ErrorKind::NoSuchTarget => whole,
                        _ => Err(error),
                    }),
                    _ => whole,
                }
            }
        }
    }
}

fn unnamed() -> Error {
    Error::new(ErrorKind::NoSuchTarget, "this listener serves several targets, and the client names none")
        .with_hint("give the target as the database: dbname=environment/name or dbname=environment/name/database")
}

fn unmapped(user: &str) -> Error {
    let user: String = user.chars().filter(|char| !char.is_control()).take(64).collect();
    Error::new(ErrorKind::LoginRefused, format!("the user '{user}' is not one that this proxy maps"))
        .with_hint("sign in as one of the users that the proxy was started with")
}

#[cfg(test)]
mod tests {
    use shiftkey::{Config, Env, Overrides};

    use super::*;

    #[derive(Debug)]
    struct Configured(Config);

    impl Resolve for Configured {
        fn resolve(&self, name: &str, database: Option<&str>, db_user: Option<&str>) -> Result<Target> {
            let own = |text: Option<&str>| text.map(str::to_owned);
            self.0.resolve(name, &Overrides { database: own(database), db_user: own(db_user), ..Overrides::default() })
        }
    }

    fn routes(serves: Serves, users: Users) -> Routes {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let text = "[environments.prod]\nregion = \"us-east-1\"\n[targets.\"prod/analytics\"]\ncluster = \"analytics\"\ndatabase = \"dev\"\n\
                    db_user = \"alice\"\n";
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&Env::default(), Some(&file)).unwrap();
        Routes { serves, users, resolver: Arc::new(Configured(config)) }
    }

    fn asked(database: Option<&str>) -> Asked {
        Asked { user: "me".into(), database: database.map(str::to_owned), ..Asked::default() }
    }

    #[test]
    fn a_listener_of_one_target_takes_databases_and_routed_names() {
        let routes = routes(Serves::One("prod/analytics".into()), Users::Ignored);
        for (database, expected) in
            [(None, "dev"), (Some("sales"), "sales"), (Some("prod/analytics"), "dev"), (Some("prod/analytics/sales"), "sales")]
        {
            assert_eq!(routes.target(&asked(database)).unwrap().database, expected, "{database:?}");
        }
        assert_eq!(routes.target(&asked(Some("a b"))).unwrap_err().kind(), ErrorKind::Config);
        assert!(routes.target(&asked(Some("prod/analytics2"))).is_err());
        let fixed = Routes::to(&routes.target(&asked(None)).unwrap());
        assert_eq!(fixed.target(&asked(Some("sales"))).unwrap().database, "sales");
        assert!(fixed.target(&asked(Some("a b"))).is_err());
    }

    #[test]
    fn a_listener_of_many_routes_by_database() {
        let routes = routes(Serves::ByDatabase, Users::Ignored);
        for (database, label, expected) in [
            ("prod/analytics", "prod/analytics", "dev"),
            ("prod/analytics/sales", "prod/analytics", "sales"),
            ("analytics/sales", "prod/analytics", "sales"),
            ("cluster:c@us-east-1", "cluster:c@us-east-1", "dev"),
            ("cluster:c@us-east-1/sales", "cluster:c@us-east-1", "sales"),
        ] {
            let target = routes.target(&asked(Some(database)));
            let target = match target {
                Ok(target) => target,
                // A cluster without a database user; the name was understood.
                Err(error) => panic!("{database}: {error}"),
            };
            assert_eq!((target.label.as_str(), target.database.as_str()), (label, expected));
        }
        assert_eq!(routes.target(&asked(None)).unwrap_err().kind(), ErrorKind::NoSuchTarget);
        let error = routes.target(&asked(Some("prod/analytic"))).unwrap_err();
        assert!(error.kind() == ErrorKind::NoSuchTarget && error.hint().unwrap().contains("prod/analytics"), "{error:?}");
    }

    #[test]
    fn users_are_ignored_or_mapped_and_never_trusted() {
        let users = Users::Mapped([("me".to_owned(), "etl".to_owned())].into());
        let routes = routes(Serves::One("prod/analytics".into()), users);
        assert_eq!(routes.target(&asked(None)).unwrap().db_user.as_deref(), Some("etl"));
        let other = Asked { user: "alice".into(), ..Asked::default() };
        assert_eq!(routes.target(&other).unwrap_err().kind(), ErrorKind::LoginRefused);
    }
}
