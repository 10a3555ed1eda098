use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    process::Stdio,
};

use shiftkey_sandbox::engine::Engine;

use crate::harness::{Own, Test, installed, listing};

#[test]
fn a_client_finds_everything_but_a_password() {
    let ran = Test::new()
        .env("PGPASSWORD", "of another server")
        .env("PGSERVICE", "another")
        .env("PGSSLNEGOTIATION", "direct")
        .program("client", "env; echo \"args: $*\"; stat -c %a \"$PGHOST\" \"$PGHOST/.s.PGSQL.$PGPORT\"")
        .args(["connect", "prod/analytics", "--client", "client", "--", "-c", "select 1"])
        .run()
        .success();
    for absent in ["PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSSLNEGOTIATION", "PGSSLROOTCERT"] {
        assert!(!ran.stdout.contains(absent), "{absent}: {}", ran.stdout);
    }
    let ran = ran.out("PGUSER=IAM:alice").out("PGSSLMODE=disable").out("PGDATABASE=dev").out("PGPORT=5432");
    ran.out("args: -c select 1").out("\n700\n600\n");
    let tcp = ["exec", "prod/analytics", "--tcp", "--", "sh", "-c", "env; test ! -e \"$PGHOST\""];
    Test::new().args(tcp).run().success().out("PGHOST=127.0.0.1\n").out("PGSSLMODE=disable\n");
}

#[test]
fn a_client_may_dial_the_warehouse_itself() {
    let ran = Test::new()
        .program("client", "env; cat \"$PGPASSFILE\"; stat -Lc %a \"$PGPASSFILE\"")
        .args(["connect", "prod/analytics", "--direct", "--client", "client"])
        .run()
        .success();
    assert!(!ran.stdout.contains("PGPASSWORD"), "{}", ran.stdout);
    ran.out("PGUSER=IAM:alice").out("PGSSLMODE=verify-full").out(":dev:IAM\\:alice:").out("\n600\n");
    Test::new().args(["connect", "prod/analytics", "--direct", "--tcp"]).run().status(2).err("cannot be used with");
}

#[test]
fn a_client_verifies_one_name_and_dials_another_address() {
    let tunnel = ["--host", "127.0.0.1", "--port", "15439", "--server-name", "c.example.com"];
    let client = ["--direct", "--client", "sh", "--", "-c", "env; cat \"$PGPASSFILE\""];
    let ran = Test::new().args(["connect", "prod/analytics"]).args(tunnel).args(client).run().success();
    ran.out("PGHOST=c.example.com\n").out("PGHOSTADDR=127.0.0.1\n").out("\nc.example.com:15439:dev:");
    let named = ["--host", "nlb.example.com", "--port", "15439", "--server-name", "c.example.com"];
    let connect = |more: &[&str]| Test::new().args(["connect", "prod/analytics", "--client", "true"]).args(named).args(more).run();
    connect(&["--direct"]).status(2).err("prod/analytics: libpq cannot dial").err("IP address");
    connect(&[]).success(); // the proxy can
    Test::new().args(["url", "prod/analytics"]).args(named).run().status(2).err("the format jdbc cannot say").err("hint: ");
}

#[test]
fn clients_of_libpq_are_told_which_certificates_to_trust() {
    let ca_file = |test: Test| test.env("SHIFTKEY_CA_FILE", "").env("SSL_CERT_FILE", "/some/ca.pem");
    ca_file(Test::new()).args(["exec", "prod/analytics", "--direct", "--", "env"]).run().success().out("PGSSLROOTCERT=/some/ca.pem\n");
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
    Test::new().args(["exec", "prod/analytics", "--", "sh", "-c", "test -z \"$PGPASSWORD\" -a -z \"$PGPASSFILE\""]).run().success();
}

#[test]
fn nothing_that_matters_is_left_behind_after_a_sigkill() {
    let mut test = Test::new().args(["exec", "prod/analytics", "--no-cache", "--", "sh", "-c", "echo ready; cat"]);
    let home = test.path();
    let mut child = test.command().env("TMPDIR", &home).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let left = listing(&home);
    assert!(left.len() == 1 && left[0].ends_with(".s.PGSQL.5432"), "a dead socket and nothing else: {left:?}");
    // The next one sweeps it away, and leaves nothing itself.
    let mut next = Test::new().args(["exec", "prod/analytics", "--no-cache", "--", "true"]);
    assert!(next.command().env("TMPDIR", &home).status().unwrap().success());
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0);
}

#[test]
fn a_long_run_outlives_its_credential() {
    if !installed("psql") {
        return;
    }
    let own = Own::start(Engine::Embedded);
    let mut test = Test::against(&own).args(["connect", "prod/analytics", "--", "-XAtq"]);
    let mut child = test.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut line = String::new();
    writeln!(stdin, "select 'ready';").unwrap();
    stdout.read_line(&mut line).unwrap();
    for warehouse in own.world().warehouses() {
        own.world().revoke_grants(&warehouse.id);
    }
    writeln!(stdin, "select 'still there';\n\\c\nselect current_user;").unwrap();
    drop(stdin);
    stdout.read_to_string(&mut line).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(line, "ready\nstill there\nalice\n");
    assert_eq!(own.calls().count("GetClusterCredentials"), 2);
}

#[test]
fn psql_signs_in_where_it_is_installed() {
    if !installed("psql") {
        return;
    }
    Test::new().args(["connect", "prod/analytics", "--", "-XAtc", "select current_user"]).run().success().out("alice\n");
    Test::new().args(["exec", "prod/adhoc", "--", "psql", "-XAtc", "select current_user"]).run().success().out("IAM:alice\n");
    Test::new().args(["exec", "prod/adhoc", "--tcp", "--", "psql", "-XAtc", "select current_user"]).run().success().out("IAM:alice\n");
    Test::new().args(["connect", "prod/analytics", "--direct", "--", "-XAtc", "select current_user"]).run().success().out("alice\n");
    Test::new().args(["connect", "prod/analytics", "--", "-XAtc", "nonsense"]).run().status(1);
}
