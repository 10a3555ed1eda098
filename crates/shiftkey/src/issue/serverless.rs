//! Serverless workgroups: the `redshift-serverless` API.
//!
//! Shapes: Amazon Redshift Serverless API Reference, `GetCredentials`, `GetWorkgroup`,
//! `ListCustomDomainAssociations`.

use std::{sync::Arc, time::SystemTime};

use aws_sdk_redshiftserverless::Client;

use super::{Api, Request, credential, seconds};
use crate::{
    clock::Clock,
    credential::{Credential, Endpoint},
    error::{Error, ErrorKind, Result},
    identity::{Identity, Purpose, call, no_retries},
};

/// The SDK's client for this identity.
pub(crate) fn client(identity: &Identity) -> Client {
    let mut config = aws_sdk_redshiftserverless::config::Builder::from(&identity.sdk);
    if let Some(endpoint) = identity.endpoint("REDSHIFT_SERVERLESS") {
        config.set_endpoint_url(Some(endpoint));
    }
    Client::from_conf(config.interceptor(identity.skew().clone()).retry_config(no_retries()).build())
}

pub(super) async fn issue(request: &Request, identity: &Identity, clock: &dyn Clock, purpose: Purpose) -> Result<Arc<Credential>> {
    let client = client(identity);
    let answer = call(identity, Api::Serverless.action(), purpose, || {
        client.get_credentials().workgroup_name(&request.name).db_name(&request.database).duration_seconds(seconds(request.duration)).send()
    })
    .await?;
    let expires = answer.expiration.and_then(|time| SystemTime::try_from(time).ok());
    credential(request, answer.db_user, answer.db_password, expires, clock, identity.skew())
}

pub(super) async fn locate(identity: &Identity, name: &str) -> Result<Endpoint> {
    let workgroup = workgroup(identity, name).await?;
    let status = workgroup.status.map(|status| status.as_str().to_owned()).unwrap_or_default();
    match workgroup.endpoint.map(|endpoint| (endpoint.address, endpoint.port)) {
        Some((Some(host), port)) => Ok(Endpoint { host, port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(5439) }),
        _ => Err(Error::new(ErrorKind::Unreachable, format!("workgroup '{name}' has no endpoint; its status is '{status}'"))
            .with_hint("wait until the workgroup is available")),
    }
}

/// The ARN that policies name: it holds the workgroup's id, not its name.
pub(crate) async fn arn(identity: &Identity, name: &str) -> Result<String> {
    let arn = workgroup(identity, name).await?.workgroup_arn;
    arn.ok_or_else(|| Error::new(ErrorKind::Unexpected, format!("AWS told no ARN of workgroup '{name}'")))
}

/// The workgroup behind a custom domain; `None` when AWS knows none by that name.
pub(super) async fn of_domain(identity: &Identity, host: &str) -> Result<Option<String>> {
    let client = client(identity);
    let mut token = None;
    loop {
        let ask = || client.list_custom_domain_associations().custom_domain_name(host).set_next_token(token.clone()).send();
        let page = match call(identity, "redshift-serverless:ListCustomDomainAssociations", Purpose::Lookup, ask).await {
            Ok(page) => page,
            Err(error) if error.kind() == ErrorKind::NoSuchTarget => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = page
            .associations
            .unwrap_or_default()
            .into_iter()
            .find(|association| association.custom_domain_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(host)));
        if let Some(name) = found.and_then(|association| association.workgroup_name) {
            return Ok(Some(name));
        }
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(None);
        }
    }
}

async fn workgroup(identity: &Identity, name: &str) -> Result<aws_sdk_redshiftserverless::types::Workgroup> {
    let client = client(identity);
    let get = || client.get_workgroup().workgroup_name(name).send();
    let answer = call(identity, "redshift-serverless:GetWorkgroup", Purpose::Lookup, get).await?;
    answer.workgroup.ok_or_else(|| Error::new(ErrorKind::NoSuchTarget, format!("AWS knows no workgroup '{name}' in {}", identity.region)))
}
