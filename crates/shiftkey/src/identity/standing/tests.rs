use super::*;
use crate::{env::Env, error::Error, identity::source::tests::surroundings};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("config", "[profile p]\nregion = eu-west-1\naws_access_key_id = A\naws_secret_access_key = s\nsso_note = x\n");
        place
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn env(&self, variables: &[(&str, &str)]) -> Env {
        let file = |name: &str| self.0.path().join(name).display().to_string();
        let mut vars: std::collections::BTreeMap<_, _> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        vars.insert("AWS_CONFIG_FILE".into(), file("config"));
        vars.insert("AWS_SHARED_CREDENTIALS_FILE".into(), file("credentials"));
        Env { vars, home: Some(self.0.path().to_owned()), cwd: None }
    }

    fn fingerprint(&self, variables: &[(&str, &str)], profile: Option<&str>) -> String {
        surroundings(self.env(variables)).fingerprint(&Scope { profile: profile.map(str::to_owned), ..Scope::default() })
    }
}

#[test]
fn whatever_may_change_the_identity_changes_the_fingerprint() {
    let place = Place::new();
    let mut seen = vec![place.fingerprint(&[], None)];
    assert_eq!(place.fingerprint(&[("PATH", "/bin")], None), seen[0], "what is not AWS's does not count");
    seen.push(place.fingerprint(&[("AWS_PROFILE", "p")], None));
    seen.push(place.fingerprint(&[], Some("p")));
    seen.push(place.fingerprint(&[("AWS_SECRET_ACCESS_KEY", "s")], None));
    seen.push(place.fingerprint(&[("AWS_SECRET_ACCESS_KEY", "t")], None));
    place.write("credentials", "[default]\n");
    seen.push(place.fingerprint(&[], None));
    place.write(".aws/sso/cache/token.json", "{}");
    seen.push(place.fingerprint(&[], None));
    place.write(".aws/sso/cache/token.json", "{ }");
    seen.push(place.fingerprint(&[], None));
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[tokio::test]
async fn keys_in_a_profile_need_nobody_to_be_asked() {
    let place = Place::new();
    let surroundings = surroundings(place.env(&[]));
    let nobody = || async { Err(Error::config("nobody may be asked")) };
    let scope = Scope { profile: Some("p".into()), ..Scope::default() };
    let standing = surroundings.standing(&scope, nobody).await.unwrap();
    assert_eq!((standing.region.as_str(), standing.endpoints.as_str(), standing.asks), ("eu-west-1", "", false));
    let other_aws = Scope { endpoint_url: Some("http://localhost:1".into()), ..scope };
    let elsewhere = surroundings.standing(&other_aws, nobody).await.unwrap();
    assert_eq!(elsewhere.who, standing.who);
    assert_ne!(elsewhere.endpoints, standing.endpoints, "the same name there is another warehouse");
}

#[test]
fn a_principal_is_believed_no_longer_than_its_keys() {
    let standing = Standing {
        region: "r".into(),
        endpoints: String::new(),
        who: "w".into(),
        description: "d".into(),
        account: None,
        asks: false,
        nameless: false,
        until: Some(5_000),
    };
    assert!(standing.holds(UNIX_EPOCH + Duration::from_secs(4)));
    assert!(!standing.holds(UNIX_EPOCH + Duration::from_secs(5)));
    assert!(Standing { until: None, ..standing }.holds(UNIX_EPOCH + Duration::from_secs(1 << 40)));
}
