use shiftkey::Warehouse;
use shiftkey_sandbox::seed::{CLUSTER_DOMAIN, WORKGROUP_DOMAIN};

use super::*;

#[tokio::test]
async fn a_custom_domain_leads_to_the_credential_of_what_stands_behind_it() {
    let world = World::new().await;
    for (domain, kind, name, action) in [
        (CLUSTER_DOMAIN, WarehouseKind::Cluster, "analytics", "GetClusterCredentials"),
        (WORKGROUP_DOMAIN, WarehouseKind::Workgroup, "adhoc", "GetCredentials"),
    ] {
        let target = world.target(&format!("{domain}:5439/dev"));
        assert_eq!(target.warehouse, Warehouse::CustomDomain(domain.to_owned()));
        let login = world.shiftkey.login(&target).await.unwrap();
        assert_eq!((login.endpoint.host.as_str(), login.endpoint.port), (domain, 5439));
        assert_eq!(login.credential.db_user, "IAM:alice");
        let grants = world.sandbox.world().grants(&warehouse(kind, name), "IAM:alice");
        let passwords: Vec<_> = grants.iter().map(|it| it.password.as_str()).collect();
        assert_eq!(passwords, [login.credential.password.expose()], "{domain}");
        assert_eq!(world.sandbox.calls().count(action), 1);

        // The domain's name is looked up once.
        let lookups = world.sandbox.calls().list().len();
        assert!(world.shiftkey.login(&target).await.unwrap().origin.is_cached());
        assert_eq!(world.sandbox.calls().list().len(), lookups, "{domain}");

        // No resolver knows the domain, so it is dialled by address; the certificate must carry the domain's name all the same.
        let named = world.target(&format!("prod/{name}"));
        let mut dialled = login.clone();
        dialled.endpoint = world.shiftkey.endpoint(&named).await.unwrap();
        dialled.server_name = Some(domain.to_owned());
        world.connect(&dialled).await.unwrap();
        dialled.server_name = Some("other.example.test".to_owned());
        assert_eq!(world.connect(&dialled).await.unwrap_err().kind(), ErrorKind::Config);
    }
}

#[tokio::test]
async fn a_domain_that_is_not_registered_is_said_to_be_so() {
    let world = World::new().await;
    let error = world.shiftkey.login(&world.target("nowhere.example.test")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSuchTarget);
    assert_eq!(error.to_string(), "nowhere.example.test: AWS knows no custom domain 'nowhere.example.test' in us-east-1");
    assert!(error.hint().unwrap().contains("`cluster:ID --host HOST`"), "{:?}", error.hint());
    assert_eq!(world.sandbox.calls().count("GetClusterCredentials") + world.sandbox.calls().count("GetCredentials"), 0);
}
