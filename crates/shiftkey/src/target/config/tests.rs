mod mistakes;

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::{error::ErrorKind, target::Warehouse};

const CONFIG: &str = r#"
[defaults]
database = "warehouse"
groups = ["b", "a", "b"]

[environments.prod]
profile = "prod"
region = "us-east-1"

[environments.staging]
region = "eu-west-1"

[targets."prod/analytics"]
cluster = "analytics"
db_user = "{session_name}"
duration = 900

[targets."prod/adhoc"]
workgroup = "adhoc"

[targets."staging/analytics"]
cluster = "analytics"
database = "dev"
mapping = "iam"

[targets."prod/tunnel"]
cluster = "finance"
endpoint = "127.0.0.1:15439"
server_name = "finance.abc.us-east-1.redshift.amazonaws.com"
"#;

struct Place {
    dir: tempfile::TempDir,
    env: Env,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = Env { home: Some(dir.path().join("home")), cwd: Some(dir.path().join("home/work/repo/sub")), ..Env::default() };
        fs::create_dir_all(env.cwd.as_ref().unwrap()).unwrap();
        Self { dir, env }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn load(&self) -> Result<Config> {
        Config::load(&self.env, None)
    }
}

fn config() -> Config {
    let place = Place::new();
    place.write("home/.config/shiftkey/config.toml", CONFIG);
    place.load().unwrap()
}

fn resolve(text: &str) -> Target {
    config().resolve(text, &Overrides::default()).unwrap()
}

fn refuse(text: &str, flags: &Overrides) -> (ErrorKind, String) {
    let error = config().resolve(text, flags).unwrap_err();
    assert_eq!(error.target(), Some(text));
    (error.kind(), format!("{error} {}", error.hint().unwrap_or_default()))
}

#[test]
fn configured_targets_take_environment_and_defaults() {
    let target = resolve("prod/analytics");
    assert_eq!(target.warehouse, Warehouse::Cluster("analytics".into()));
    assert_eq!((target.profile.as_deref(), target.region.as_deref()), (Some("prod"), Some("us-east-1")));
    assert_eq!((target.database.as_str(), target.duration.as_secs()), ("warehouse", 900));
    assert_eq!(target.groups, ["a", "b"], "sorted and unique");
    let serverless = resolve("adhoc");
    assert_eq!(serverless.label, "prod/adhoc", "a name that is unique needs no environment");
    assert!(serverless.groups.is_empty(), "defaults that cannot be meant are left out");
    assert_eq!(resolve("staging/analytics").mapping, Mapping::Iam);
    let tunnel = resolve("prod/tunnel");
    assert_eq!((tunnel.host.as_deref(), tunnel.port), (Some("127.0.0.1"), Some(15439)));
    assert_eq!(tunnel.warehouse, Warehouse::Cluster("finance".into()));
}

#[test]
fn ad_hoc_forms() {
    let cluster = resolve("cluster:sales@eu-west-1");
    assert_eq!((cluster.warehouse, cluster.region.as_deref()), (Warehouse::Cluster("sales".into()), Some("eu-west-1")));
    assert_eq!(resolve("workgroup:bi-team").warehouse, Warehouse::Workgroup("bi-team".into()));
    let host = resolve("my.abc.cn-north-1.redshift.amazonaws.com.cn:5440/sales");
    assert_eq!((host.warehouse, host.region.as_deref()), (Warehouse::Cluster("my".into()), Some("cn-north-1")));
    assert_eq!((host.port, host.database.as_str()), (Some(5440), "sales"));
    assert_eq!(host.host.as_deref(), Some("my.abc.cn-north-1.redshift.amazonaws.com.cn"));
    assert_eq!(resolve("data.example.com").warehouse, Warehouse::CustomDomain("data.example.com".into()));
    let look_alike = resolve("x.y.us-east-1.redshift.amazonaws.com.evil.com");
    assert!(matches!(look_alike.warehouse, Warehouse::CustomDomain(_)), "not taken for cluster x");
}

#[test]
fn flags_win_over_variables_and_variables_over_files() {
    let mut place = Place::new();
    place.write("home/.config/shiftkey/config.toml", CONFIG);
    place.env.vars.insert("SHIFTKEY_DATABASE".into(), "from_variable".into());
    place.env.vars.insert("SHIFTKEY_REGION".into(), "us-west-2".into());
    let config = place.load().unwrap();
    let flags = Overrides { database: Some("from_flag".into()), ..Overrides::default() };
    let target = config.resolve("prod/analytics", &flags).unwrap();
    assert_eq!((target.database.as_str(), target.region.as_deref()), ("from_flag", Some("us-west-2")));
}

#[test]
fn wrong_names_are_refused_before_any_call() {
    let with = |change: fn(&mut Overrides)| {
        let mut flags = Overrides::default();
        change(&mut flags);
        flags
    };
    for (text, flags, kind, needle) in [
        ("prod/analytic", with(|_| ()), ErrorKind::NoSuchTarget, "did you mean 'prod/analytics'"),
        ("nothing/here", with(|_| ()), ErrorKind::NoSuchTarget, "shiftkey targets"),
        ("analytics", with(|_| ()), ErrorKind::Config, "prod/analytics, staging/analytics"),
        ("cluster:Bad_Name", with(|_| ()), ErrorKind::Config, "cluster identifier"),
        ("cluster:ok@mars", with(|_| ()), ErrorKind::Config, "AWS region"),
        ("workgroup:x", with(|_| ()), ErrorKind::Config, "workgroup name"),
        ("127.0.0.1:5439", with(|_| ()), ErrorKind::Config, "does not say which cluster"),
        ("x.elb.us-east-1.amazonaws.com", with(|_| ()), ErrorKind::Config, "does not say which cluster"),
        ("prod/analytics", with(|flags| flags.db_user = Some("select".into())), ErrorKind::Config, "reserved"),
        ("prod/analytics", with(|flags| flags.duration = Some("2h".into())), ErrorKind::Config, "15m to 1h"),
        ("prod/analytics", with(|flags| flags.groups = Some(vec!["Upper".into()])), ErrorKind::Config, "lower case"),
        ("prod/analytics", with(|flags| flags.host = Some("evil host".into())), ErrorKind::Config, "not a host name"),
        ("prod/adhoc", with(|flags| flags.db_user = Some("bob".into())), ErrorKind::Config, "serverless"),
        ("staging/analytics", with(|flags| flags.auto_create = Some(true)), ErrorKind::Config, "mapping"),
    ] {
        let (found, message) = refuse(text, &flags);
        assert_eq!(found, kind, "{text}: {message}");
        assert!(message.contains(needle), "{text}: {message}");
    }
}

#[test]
fn the_mapping_flag_outweighs_the_configured_choice_of_a_user() {
    let flags = Overrides { mapping: Some(Mapping::Iam), ..Overrides::default() };
    let target = config().resolve("prod/analytics", &flags).unwrap();
    assert_eq!((target.mapping, target.db_user, target.groups), (Mapping::Iam, None, vec![]));
    let (kind, message) = refuse("prod/analytics", &Overrides { db_user: Some("bob".into()), ..flags });
    assert!(kind == ErrorKind::Config && message.contains("db_user cannot be chosen"), "both typed: {message}");
}

#[test]
fn every_value_knows_its_origin() {
    let mut place = Place::new();
    let user = place.write("home/.config/shiftkey/config.toml", "[environments.prod]\nregion = \"us-east-1\"\nprofile = \"p\"\n");
    let project = place.write("home/work/shiftkey.toml", "[environments.prod]\nregion = \"eu-west-1\"\n");
    place.env.vars.insert("SHIFTKEY_PROFILE".into(), "q".into());
    let shown: Vec<String> = place
        .load()
        .unwrap()
        .settings()
        .iter()
        .map(|setting| format!("{} = {} ({})", setting.key, setting.value, setting.origin))
        .collect();
    assert_eq!(
        shown,
        [
            format!("environments.prod.profile = \"p\" (user file {})", user.display()),
            format!("environments.prod.region = \"eu-west-1\" (project file {})", project.display()),
            "override.profile = \"q\" (environment SHIFTKEY_PROFILE)".to_owned(),
        ]
    );
}

#[test]
fn a_project_file_cannot_redirect_credentials() {
    for text in [
        "[environments.prod]\nendpoint_url = \"http://evil\"\n",
        "[environments.prod]\nca_file = \"evil.pem\"\n",
        "[targets.\"prod/a\"]\ncluster = \"a\"\nhost = \"evil.example.com\"\n",
        "[targets.\"prod/a\"]\ncluster = \"a\"\nendpoint = \"evil.example.com:5439\"\n",
        "[targets.\"prod/a\"]\ncluster = \"a\"\nserver_name = \"evil.example.com\"\n",
        "[targets.\"prod/a\"]\ncluster = \"a\"\nca_file = \"evil.pem\"\n",
    ] {
        let own = "[environments.prod]\nregion = \"us-east-1\"\n[targets.\"prod/a\"]\ncluster = \"a\"\n";
        let place = Place::new();
        place.write("home/.config/shiftkey/config.toml", own);
        place.write("home/work/repo/shiftkey.toml", text);
        let config = place.load().unwrap();
        let error = config.resolve("prod/a", &Overrides::default()).unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.message().contains("may not set"), "{text}: {error}");
        assert!(config.environments().iter().all(|environment| environment.endpoint_url.is_none()), "{text}");
        assert!(!config.settings().iter().any(|setting| setting.value.contains("evil")), "{text}");
        let place = Place::new();
        place.write("home/.config/shiftkey/config.toml", text);
        assert!(!place.load().unwrap().settings().is_empty() && text.contains("evil"), "the user's own file may: {text}");
        assert!(!place.load().unwrap().mistakes().iter().any(|mistake| mistake.message.contains("may not")), "{text}");
    }
}

#[test]
fn files_that_are_not_as_they_should_be_are_refused() {
    let place = Place::new();
    let path = place.write("home/.config/shiftkey/config.toml", CONFIG);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(place.load().unwrap_err().message().contains("written by others"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(place.load().unwrap_err().message().contains("not a file"));
    let missing = Config::load(&place.env, Some(Path::new("/nonexistent/shiftkey.toml"))).unwrap_err();
    assert_eq!(missing.message(), "/nonexistent/shiftkey.toml: cannot be read: No such file or directory (os error 2)");
}

#[test]
fn files_are_parsed_again_only_when_they_have_changed() {
    let (mut place, configs) = (Place::new(), Configs::default());
    let path = place.write("home/.config/shiftkey/config.toml", CONFIG);
    let load = |place: &Place| configs.load(&place.env, None);
    let first = load(&place).unwrap();
    assert!(Arc::ptr_eq(&first.layers, &load(&place).unwrap().layers));
    fs::write(&path, CONFIG.replace("warehouse", "lakehouse")).unwrap();
    let second = load(&place).unwrap();
    assert_eq!(second.resolve("prod/analytics", &Overrides::default()).unwrap().database, "lakehouse");
    place.write("home/work/shiftkey.toml", "[environments.project]\n");
    assert_eq!(load(&place).unwrap().environments().len(), 3);
    place.env.vars.insert("SHIFTKEY_DATABASE".into(), "dev".into());
    assert_eq!(load(&place).unwrap().resolve("prod/analytics", &Overrides::default()).unwrap().database, "dev");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(load(&place).is_err());
}

#[test]
fn the_upward_search_stops_at_home() {
    let mut place = Place::new();
    place.write("shiftkey.toml", "[environments.above]\n");
    assert!(place.load().unwrap().environments().is_empty(), "above home");
    place.env.home = None;
    assert_eq!(place.load().unwrap().environments().len(), 1, "without a home the root ends the search");
}

#[test]
fn a_file_that_others_may_write_to_is_not_trusted() {
    for (mode, uid, gid, expected) in [
        (0o600, 1000, 100, false),
        (0o644, 1000, 100, false),
        (0o664, 1000, 1000, false),
        (0o664, 1000, 100, true),
        (0o646, 1000, 1000, true),
    ] {
        assert_eq!(layers::writable_by_others(mode, uid, gid), expected, "{mode:o} {uid} {gid}");
    }
}

#[test]
fn names_cannot_pass_for_what_the_user_spells_out() {
    for text in [
        "[environments.\"h.example.com:5439\"]\n",
        "[targets.\"my.abc.us-east-1.redshift.amazonaws.com/dev\"]\ncluster = \"a\"\n",
        "[targets.\"cluster:a\"]\ncluster = \"b\"\n",
        "[targets.plain]\ncluster = \"a\"\n",
        "[targets.\"prod/\\u001b[2J\"]\ncluster = \"a\"\n",
    ] {
        let place = Place::new();
        place.write("home/work/repo/shiftkey.toml", text);
        let config = place.load().unwrap();
        let mistake = config.mistakes().remove(0);
        assert!(mistake.message.contains("name") && !mistake.message.contains('\u{1b}'), "{text}: {mistake}");
        assert!(config.target_names().is_empty() && config.environments().is_empty(), "{text}");
        for spelled in ["cluster:a@us-east-1", "my.abc.us-east-1.redshift.amazonaws.com/dev", "h.example.com:5439/dev"] {
            let target = config.resolve(spelled, &Overrides::default()).unwrap();
            assert_ne!(target.warehouse, Warehouse::Cluster("b".into()), "{text}");
        }
    }
}
