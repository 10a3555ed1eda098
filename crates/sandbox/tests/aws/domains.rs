//! Custom domains in both APIs.

use aws_sdk_redshift::types::Association;
use shiftkey_sandbox::seed::{CLUSTER_DOMAIN, WORKGROUP_DOMAIN};

use super::*;

#[tokio::test]
async fn a_cluster_is_found_by_its_domain() {
    let sandbox = sandbox().await;
    let redshift = aws_sdk_redshift::Client::new(&user(&sandbox, "alice").await);
    let names = |found: &[Association]| {
        let all = found.iter().flat_map(Association::certificate_associations);
        all.map(|it| (it.custom_domain_name().unwrap().to_owned(), it.cluster_identifier().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let expected = [(CLUSTER_DOMAIN.to_owned(), "analytics".to_owned())];
    let describe = || redshift.describe_custom_domain_associations();
    let all = describe().send().await.unwrap();
    assert_eq!((names(all.associations()), all.marker()), (expected.to_vec(), None));
    let arn = all.associations()[0].custom_domain_certificate_arn().unwrap();
    assert!(all.associations()[0].custom_domain_certificate_expiry_date().is_some());
    assert_eq!(names(describe().custom_domain_name("Analytics.Example.Test").send().await.unwrap().associations()), expected);
    assert_eq!(names(describe().custom_domain_certificate_arn(arn).send().await.unwrap().associations()), expected);
    assert!(describe().custom_domain_certificate_arn("arn:aws:acm:other").send().await.unwrap().associations().is_empty());
    for (domain, records, expected) in [
        ("nowhere.example.test", 100, "CustomDomainAssociationNotFoundFault"),
        (WORKGROUP_DOMAIN, 100, "CustomDomainAssociationNotFoundFault"),
        (CLUSTER_DOMAIN, 19, "InvalidParameterValue"),
    ] {
        assert_eq!(code(&describe().custom_domain_name(domain).max_records(records).send().await.unwrap_err()), expected, "{domain}");
    }
    let cluster = redshift.describe_clusters().cluster_identifier("analytics").send().await.unwrap();
    assert_eq!(cluster.clusters()[0].custom_domain_name(), Some(CLUSTER_DOMAIN));
}

#[tokio::test]
async fn a_domain_stands_for_the_cluster_when_credentials_are_asked_for() {
    let sandbox = sandbox().await;
    let redshift = aws_sdk_redshift::Client::new(&user(&sandbox, "alice").await);
    let ask = |user: &str| redshift.get_cluster_credentials().db_user(user);
    ask("alice").custom_domain_name(CLUSTER_DOMAIN).send().await.unwrap();
    redshift.get_cluster_credentials_with_iam().custom_domain_name(CLUSTER_DOMAIN).db_name("dev").send().await.unwrap();
    let id = WarehouseId { kind: WarehouseKind::Cluster, account: PROD.into(), region: "us-east-1".into(), name: "analytics".into() };
    assert_eq!(sandbox.world().grants(&id, "IAM:alice").len(), 2);
    let denied = ask("bob").custom_domain_name(CLUSTER_DOMAIN).send().await.unwrap_err();
    assert!(denied.message().unwrap().contains("dbuser:analytics/bob"), "policies name the cluster: {denied:?}");
    for (request, expected) in [
        (ask("alice").custom_domain_name("nowhere.example.test"), "ClusterNotFound"),
        (ask("alice").custom_domain_name(WORKGROUP_DOMAIN), "ClusterNotFound"),
        (ask("alice").custom_domain_name(CLUSTER_DOMAIN).cluster_identifier("analytics"), "InvalidParameterCombination"),
        (ask("alice"), "InvalidParameterCombination"),
    ] {
        assert_eq!(code(&request.send().await.unwrap_err()), expected);
    }
}

#[tokio::test]
async fn a_workgroup_is_found_by_its_domain_page_by_page() {
    let sandbox = sandbox().await;
    let id =
        |name: &str| WarehouseId { kind: WarehouseKind::Workgroup, account: PROD.into(), region: "us-east-1".into(), name: name.into() };
    let serverless = aws_sdk_redshiftserverless::Client::new(&user(&sandbox, "alice").await);
    let one = serverless.list_custom_domain_associations().max_results(1).send().await.unwrap();
    assert_eq!(
        (one.associations()[0].workgroup_name(), one.next_token()),
        (Some("adhoc"), None),
        "a workgroup without a domain makes no page"
    );
    sandbox.world().update(&id("reports"), |it| it.custom_domain = Some("reports.example.test".into()));
    let mut pages = serverless.list_custom_domain_associations().into_paginator().page_size(1).items().send();
    let mut seen = Vec::new();
    while let Some(it) = pages.next().await {
        let it = it.unwrap();
        assert!(it.custom_domain_certificate_arn().is_some() && it.custom_domain_certificate_expiry_time().is_some());
        seen.push((it.custom_domain_name().unwrap().to_owned(), it.workgroup_name().unwrap().to_owned()));
    }
    let expected = [(WORKGROUP_DOMAIN, "adhoc"), ("reports.example.test", "reports")];
    assert_eq!(seen, expected.map(|(domain, name)| (domain.to_owned(), name.to_owned())));
    let named = serverless.list_custom_domain_associations().custom_domain_name("reports.example.test").send().await.unwrap();
    assert_eq!(named.associations().len(), 1);

    let get = |domain: &str, name: &str| serverless.get_custom_domain_association().custom_domain_name(domain).workgroup_name(name).send();
    assert_eq!(get(WORKGROUP_DOMAIN, "adhoc").await.unwrap().workgroup_name(), Some("adhoc"));
    for (domain, name) in [(WORKGROUP_DOMAIN, "reports"), (WORKGROUP_DOMAIN, "nowhere"), ("nowhere.example.test", "adhoc")] {
        assert_eq!(code(&get(domain, name).await.unwrap_err()), "ResourceNotFoundException", "{domain} {name}");
    }
    let workgroup = serverless.get_workgroup().workgroup_name("adhoc").send().await.unwrap();
    assert_eq!(workgroup.workgroup().unwrap().custom_domain_name(), Some(WORKGROUP_DOMAIN));
    serverless.get_credentials().custom_domain_name(WORKGROUP_DOMAIN).db_name("dev").send().await.unwrap();
    assert_eq!(sandbox.world().grants(&id("adhoc"), "IAM:alice").len(), 1);
    let unknown = serverless.get_credentials().custom_domain_name("nowhere.example.test").send().await.unwrap_err();
    assert_eq!(code(&unknown), "ResourceNotFoundException");
}
