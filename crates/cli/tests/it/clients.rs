use std::{io::Read, process::Stdio};

use crate::harness::{Test, installed, listing};

#[test]
fn a_client_finds_everything_but_a_password_in_its_environment() {
    let ran = Test::new()
        .env("PGPASSWORD", "of another server")
        .env("PGSERVICE", "another")
        .program("client", "env; echo \"args: $*\"; cat \"$PGPASSFILE\"; stat -Lc %a \"$PGPASSFILE\"")
        .args(["connect", "prod/analytics", "--client", "client", "--", "-c", "select 1"])
        .run()
        .success();
    assert!(!ran.stdout.contains("PGPASSWORD") && !ran.stdout.contains("PGSERVICE"), "{}", ran.stdout);
    let ran = ran.out("PGUSER=IAM:alice").out("PGSSLMODE=verify-full").out("PGDATABASE=dev").out("args: -c select 1");
    ran.out(":dev:IAM\\:alice:").out("\n600\n");
}

#[test]
fn a_client_verifies_one_name_and_dials_another_address() {
    let tunnel = |script: &str| {
        let client =
            ["exec", "prod/analytics", "--host", "127.0.0.1", "--port", "15439", "--server-name", "c.example.com", "--", "sh", "-c"];
        Test::new().args(client).args([script]).run().success()
    };
    tunnel("env; cat \"$PGPASSFILE\"").out("PGHOST=c.example.com\n").out("PGHOSTADDR=127.0.0.1\n").out("\nc.example.com:15439:dev:");
    let named = ["--host", "nlb.example.com", "--port", "15439", "--server-name", "c.example.com"];
    Test::new().args(["connect", "prod/analytics"]).args(named).run().status(2).err("prod/analytics: libpq cannot dial").err("IP address");
    Test::new().args(["url", "prod/analytics"]).args(named).run().status(2).err("the format jdbc cannot say").err("hint: ");
}

#[test]
fn clients_of_libpq_are_told_which_certificates_to_trust() {
    let ca_file = |test: Test| test.env("SHIFTKEY_CA_FILE", "").env("SSL_CERT_FILE", "/some/ca.pem");
    ca_file(Test::new()).args(["exec", "prod/analytics", "--", "env"]).run().success().out("PGSSLROOTCERT=/some/ca.pem\n");
    let url = |format| ca_file(Test::new()).args(["url", "prod/analytics", "--format", format]).run().success().stdout;
    assert!(url("uri").ends_with("?sslmode=verify-full&sslrootcert=%2Fsome%2Fca.pem\n"), "libpq trusts nothing unless told");
    assert!(!url("jdbc").contains("ca.pem"), "Java has a trust store of its own");
}

#[test]
fn exec_returns_the_childs_status() {
    let exec = |script: &str| Test::new().args(["exec", "prod/analytics", "--", "sh", "-c", script]).run().status;
    assert_eq!((exec("exit 0"), exec("exit 7"), exec("kill -TERM $$"), exec("kill -KILL $$")), (0, 7, 143, 137));
}

#[test]
fn direct_puts_the_password_into_the_environment_and_nothing_else_does() {
    let direct =
        Test::new().args(["exec", "prod/analytics", "--direct", "--", "sh", "-c", "test -n \"$PGPASSWORD\" -a -z \"$PGPASSFILE\""]);
    direct.run().success();
    Test::new().args(["exec", "prod/analytics", "--", "sh", "-c", "test -z \"$PGPASSWORD\" -a -n \"$PGPASSFILE\""]).run().success();
}

#[test]
fn nothing_is_left_behind_after_a_sigkill() {
    let mut test = Test::new().args(["exec", "prod/analytics", "--no-cache", "--", "sh", "-c", "echo ready; cat"]);
    let home = test.path();
    let mut child = test.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(listing(&home), Vec::<std::path::PathBuf>::new());
}

#[test]
fn psql_signs_in_where_it_is_installed() {
    if !installed("psql") {
        return;
    }
    Test::new().args(["connect", "prod/analytics", "--", "-XAtc", "select current_user"]).run().success().out("alice\n");
    Test::new().args(["exec", "prod/adhoc", "--", "psql", "-XAtc", "select current_user"]).run().success().out("IAM:alice\n");
    Test::new().args(["connect", "prod/analytics", "--", "-XAtc", "nonsense"]).run().status(1);
}
