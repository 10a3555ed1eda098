use std::os::unix::fs::PermissionsExt;

use crate::harness::Test;

const CREDS: [&str; 3] = ["creds", "prod/analytics", "--json"];

#[test]
fn the_second_run_finds_what_the_first_was_issued() {
    let first = Test::new().args(CREDS).run().success();
    assert_eq!(first.json()["cached"], false);
    let second = first.again().args(CREDS).args(["-v"]).run().success().err("from the cache, no call to AWS; issued 0s ago, good for");
    assert_eq!((&second.json()["cached"], &second.json()["db_password"]), (&true.into(), &first.json()["db_password"]));
    let url = first.again().args(["url", "prod/analytics", "--format", "pgpass"]).run().success();
    url.out(first.json()["db_password"].as_str().unwrap());
    Test::new().args(CREDS).args(["-v"]).run().success().err("issued by AWS just now; good for 59m");
}

#[test]
fn nothing_is_kept_when_the_cache_is_off() {
    let by_flag = Test::new().args(CREDS).args(["--no-cache"]).run().success();
    assert_eq!(by_flag.files(), Vec::<std::path::PathBuf>::new());
    let by_variable = Test::new().env("SHIFTKEY_CACHE", "off").args(CREDS).run().success();
    assert_eq!(by_variable.files(), Vec::<std::path::PathBuf>::new());
    Test::new().env("SHIFTKEY_CACHE", "perhaps").args(CREDS).run().status(2).err("it may be on or off");
    Test::new().env("SHIFTKEY_RATE", "fast").args(CREDS).run().status(2).err("CALLS_PER_SECOND");
}

#[test]
fn the_list_shows_what_is_shared_and_no_password() {
    let first = Test::new().args(CREDS).run().success();
    let password = first.json()["db_password"].as_str().unwrap().to_owned();
    first.again().args(CREDS).run().success();
    let list = first.again().args(["cache", "list"]).run().success().out("prod/analytics").out("IAM:alice").out("user/alice").out("58m");
    assert!(!list.stdout.contains(&password));
    let list = first.again().args(["cache", "list", "--json"]).run().success();
    let json = list.json();
    assert!(!list.stdout.contains(&password));
    assert_eq!((json[0]["hits"].as_u64(), json[0]["region"].as_str()), (Some(1), Some("us-east-1")));
    assert!(json[0]["expiration"].as_str().unwrap().ends_with('Z') && json[0]["refreshes_in"].as_u64().unwrap() > 2_600);
    first.again().args(["cache", "clear", "prod/other"]).run().success().err("0 credentials forgotten");
    first.again().args(["cache", "clear", "prod/analytics"]).run().success().err("1 credential forgotten");
    assert_eq!(first.again().args(CREDS).run().success().json()["cached"], false);
    let cleared = first.again().args(["cache", "clear", "--all"]).run().success();
    assert!(cleared.files().iter().all(|file| file.to_str().unwrap().contains("bucket-") || file.to_str().unwrap().ends_with(".lock")));
    first.again().args(["cache", "list"]).run().success().err("holds no credential");
    let path = first.again().args(["cache", "path"]).run().success();
    assert!(path.stdout.trim_end().ends_with("/cache"));
}

#[test]
fn files_are_private_from_the_first_one_on() {
    let ran = Test::new().args(CREDS).run().success();
    for file in ran.files() {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    assert!(ran.files().len() > 3);
}

#[test]
fn a_cache_that_cannot_be_used_is_told_once_and_done_without() {
    let loose = || {
        let test = Test::new();
        let dir = test.path().join("loose");
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o777)).unwrap();
        let dir = dir.display().to_string();
        test.env("SHIFTKEY_CACHE_DIR", &dir)
    };
    let ran = loose().args(CREDS).run().success().err("is open to other users (mode 777); credentials are not shared");
    assert_eq!((ran.stderr.matches("cannot be used").count(), ran.json()["cached"].as_bool()), (1, Some(false)));
    assert_eq!(loose().args(CREDS).args(["-q"]).run().success().stderr, "");
    let nowhere = Test::new().env("SHIFTKEY_CACHE_DIR", "/proc/nowhere/cache").args(CREDS).run().success();
    nowhere.err("cannot be used");
}

#[test]
fn who_needs_time_says_so() {
    let first = Test::new().args(CREDS).run().success();
    assert_eq!(first.again().args(CREDS).args(["--min-remaining", "30m"]).run().success().json()["cached"], true);
    Test::new()
        .args(CREDS)
        .args(["--min-remaining", "1h"])
        .run()
        .status(2)
        .err("shiftkey: prod/analytics: no credential is ever good for so long");
    Test::new().args(CREDS).args(["--min-remaining", "soon"]).run().status(2).err("is not a duration");
}

#[test]
fn another_users_run_directory_is_left_alone() {
    // As after `sudo` or `su`, which keep the variable. Only root can make a directory that is somebody else's.
    let chown = |dir: &std::path::Path| std::os::unix::fs::chown(dir, Some(65_534), None);
    let test = Test::bare();
    let run = test.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let given_away = rustix::process::geteuid().is_root() && chown(&run).is_ok();
    let ran = test.env("XDG_RUNTIME_DIR", run.to_str().unwrap()).args(["cache", "path"]).run().success();
    let place = if given_away { "/.cache/shiftkey" } else { "/run/shiftkey" };
    assert!(ran.stdout.trim_end().ends_with(place), "{}", ran.stdout);
    if given_away {
        let home = run.to_str().unwrap();
        let nowhere = ran.again().env("SHIFTKEY_CACHE_DIR", "").env("HOME", home).args(CREDS).run().success();
        assert_eq!(nowhere.err("there is no place of your own for the cache").json()["cached"], false);
    }
}
