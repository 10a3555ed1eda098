use std::{
    fs,
    path::PathBuf,
    process::{Output, Stdio},
};

use shiftkey_sandbox::{gate::Challenge, pki::Pki};
use tokio::process::Command;

use super::*;

const NAMES: [&str; 3] = ["tokio_postgres", "deadpool", "sqlx"];

/// Where cargo puts an example, as seen from a test of the same build. (It builds them for `cargo test`, but not for a test
/// that is named with `--test`.)
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.is_file(), "{} is not built: run `cargo build -p shiftkey --examples` first", program.display());
    program
}

impl World {
    /// Runs an example with nothing but the sandbox's environment, and `variables` on top.
    async fn run(&self, name: &str, variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(program(name));
        command.arg("prod/analytics").env_clear().envs(&self.env.vars).envs(variables.iter().copied());
        command.stdin(Stdio::null()).output().await.unwrap()
    }
}

#[tokio::test]
async fn each_prints_the_user_and_aws_is_asked_once_for_all() {
    for engine in engines() {
        let world = World::new(engine.clone()).await;
        for name in NAMES {
            let output = world.run(name, &[]).await;
            assert_eq!((output.status.success(), &*output.stdout), (true, &b"alice\n"[..]), "{name}: {output:?}");
        }
        for action in [ISSUE, "DescribeClusters", "GetCallerIdentity"] {
            assert_eq!(world.sandbox.calls().count(action), 1, "{action}");
        }
        assert_eq!(world.events("authenticated"), NAMES.len(), "{engine:?}");
    }
}

#[tokio::test]
async fn none_sends_a_password_to_a_warehouse_whose_certificate_is_not_right() {
    let world = World::new(Engine::Embedded).await;
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let file = place.path().join(name);
        fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let authority = file("ca.pem", Pki::generate().unwrap().ca_pem());
    // Leads to the warehouse, whose certificate is not for that name.
    let port = world.target_port();
    let elsewhere = format!(
        "[environments.prod]\nregion = 'us-east-1'\n[targets.'prod/analytics']\ncluster = 'analytics'\ndatabase = 'dev'\n\
         db_user = 'alice'\nhost = '0.0.0.0'\nport = {port}\n"
    );
    let elsewhere = file("config.toml", &elsewhere);
    for name in NAMES {
        for variable in [("SHIFTKEY_CA_FILE", authority.as_str()), ("SHIFTKEY_CONFIG", elsewhere.as_str())] {
            let output = world.run(name, &[variable]).await;
            let words = String::from_utf8_lossy(&output.stderr).to_lowercase();
            assert!(!output.status.success() && words.contains("certificate"), "{name}, {}: {words}", variable.0);
        }
    }
    assert!(world.sandbox.world().connection_log(&analytics()).is_empty());
}

#[tokio::test]
async fn redshifts_digest_is_answered_by_the_library_and_by_no_driver() {
    let world = World::of(Sandbox::builder().engine(Engine::Embedded).challenge(Challenge::Digest)).await;
    for (name, signs_in) in NAMES.into_iter().zip([true, true, false]) {
        let output = world.run(name, &[]).await;
        assert_eq!(output.status.success(), signs_in, "{name}: {output:?}");
    }
}
