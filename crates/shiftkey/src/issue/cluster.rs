//! Provisioned clusters: the `redshift` API.
//!
//! Shapes: Amazon Redshift API Reference, `GetClusterCredentials`, `GetClusterCredentialsWithIAM`,
//! `DescribeClusters`, `DescribeCustomDomainAssociations`.

use std::{sync::Arc, time::SystemTime};

use aws_sdk_redshift::Client;

use super::{Api, Request, credential, seconds};
use crate::{
    clock::Clock,
    credential::{Credential, Endpoint},
    error::{Error, ErrorKind, Result},
    identity::{Identity, Purpose, call, no_retries},
};

/// The SDK's client for this identity.
pub(crate) fn client(identity: &Identity) -> Client {
    let mut config = aws_sdk_redshift::config::Builder::from(&identity.sdk);
    if let Some(endpoint) = identity.endpoint("REDSHIFT") {
        config.set_endpoint_url(Some(endpoint));
    }
    Client::from_conf(config.interceptor(identity.skew().clone()).retry_config(no_retries()).build())
}

pub(super) async fn issue(request: &Request, identity: &Identity, clock: &dyn Clock, purpose: Purpose) -> Result<Arc<Credential>> {
    let client = client(identity);
    let answer = call(identity, Api::Cluster.action(), purpose, || {
        client
            .get_cluster_credentials()
            .cluster_identifier(&request.name)
            .set_db_user(request.db_user.clone())
            .db_name(&request.database)
            .duration_seconds(seconds(request.duration))
            .auto_create(request.auto_create)
            .set_db_groups((!request.groups.is_empty()).then(|| request.groups.clone()))
            .send()
    })
    .await?;
    let expires = answer.expiration.and_then(|time| SystemTime::try_from(time).ok());
    credential(request, answer.db_user, answer.db_password, expires, clock, identity.skew())
}

pub(super) async fn issue_with_iam(request: &Request, identity: &Identity, clock: &dyn Clock, purpose: Purpose) -> Result<Arc<Credential>> {
    let client = client(identity);
    let answer = call(identity, Api::ClusterWithIam.action(), purpose, || {
        client
            .get_cluster_credentials_with_iam()
            .cluster_identifier(&request.name)
            .db_name(&request.database)
            .duration_seconds(seconds(request.duration))
            .send()
    })
    .await?;
    let expires = answer.expiration.and_then(|time| SystemTime::try_from(time).ok());
    credential(request, answer.db_user, answer.db_password, expires, clock, identity.skew())
}

/// The admin user, which AWS calls the master.
pub(crate) async fn admin(identity: &Identity, id: &str) -> Result<String> {
    let admin = describe(identity, id).await?.master_username;
    admin.ok_or_else(|| Error::new(ErrorKind::Unexpected, format!("AWS told no admin user of cluster '{id}'")))
}

async fn describe(identity: &Identity, id: &str) -> Result<aws_sdk_redshift::types::Cluster> {
    let client = client(identity);
    let describe = || client.describe_clusters().cluster_identifier(id).send();
    let answer = call(identity, "redshift:DescribeClusters", Purpose::Lookup, describe).await?;
    let cluster = answer.clusters.unwrap_or_default().into_iter().find(|cluster| cluster.cluster_identifier.as_deref() == Some(id));
    cluster.ok_or_else(|| Error::new(ErrorKind::NoSuchTarget, format!("AWS lists no cluster '{id}' in {}", identity.region)))
}

pub(super) async fn locate(identity: &Identity, id: &str) -> Result<Endpoint> {
    let cluster = describe(identity, id).await?;
    let status = cluster.cluster_status.unwrap_or_default();
    match cluster.endpoint.map(|endpoint| (endpoint.address, endpoint.port)) {
        Some((Some(host), port)) => Ok(Endpoint { host, port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(5439) }),
        _ => Err(Error::new(ErrorKind::Unreachable, format!("cluster '{id}' has no endpoint; its status is '{status}'"))
            .with_hint("wait until the cluster is available, or resume it")),
    }
}

/// The cluster behind a custom domain; `None` when AWS knows none by that name.
pub(super) async fn of_domain(identity: &Identity, host: &str) -> Result<Option<String>> {
    let client = client(identity);
    let ask = || client.describe_custom_domain_associations().custom_domain_name(host).send();
    let answer = match call(identity, "redshift:DescribeCustomDomainAssociations", Purpose::Lookup, ask).await {
        Ok(answer) => answer,
        Err(error) if error.kind() == ErrorKind::NoSuchTarget => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(answer
        .associations
        .unwrap_or_default()
        .into_iter()
        .flat_map(|association| association.certificate_associations.unwrap_or_default())
        .find(|association| association.custom_domain_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(host)))
        .and_then(|association| association.cluster_identifier))
}
