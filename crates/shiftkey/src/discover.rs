//! Asking AWS which clusters and workgroups there are.

use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Identity, Purpose, call},
    issue::{cluster_client, serverless_client},
    target::Warehouse,
};

/// A warehouse that AWS lists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Discovered {
    /// Cluster or workgroup.
    pub warehouse: Warehouse,
    /// AWS region.
    pub region: String,
    /// Host, unless it is being created.
    pub host: Option<String>,
    /// Port, unless it is being created.
    pub port: Option<u16>,
    /// The database that it was created with; AWS tells it for clusters only.
    pub database: Option<String>,
    /// AWS's word for its state: `available`, `paused`, ...
    pub status: String,
}

/// What AWS lists, and what it refused to list.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Clusters, then workgroups, each by name.
    pub found: Vec<Discovered>,
    /// The listings that failed while another succeeded.
    pub failures: Vec<Error>,
}

/// Lists clusters and workgroups of the identity's account and region, page by page. Fails only when neither
/// listing succeeds: not everyone may see both kinds.
pub(crate) async fn discover(identity: &Identity) -> Result<Discovery> {
    let (clusters, workgroups) = tokio::join!(clusters(identity), workgroups(identity));
    let mut discovery = Discovery::default();
    match (clusters, workgroups) {
        (Err(error), Err(_)) => return Err(with_permission(error)),
        (clusters, workgroups) => {
            for listing in [clusters, workgroups] {
                match listing {
                    Ok(found) => discovery.found.extend(found),
                    Err(error) => discovery.failures.push(with_permission(error)),
                }
            }
        }
    }
    Ok(discovery)
}

async fn clusters(identity: &Identity) -> Result<Vec<Discovered>> {
    let mut found = Vec::new();
    let client = cluster_client(identity);
    let mut marker: Option<String> = None;
    loop {
        let ask = || client.describe_clusters().set_marker(marker.clone()).send();
        let page = call(identity, "redshift:DescribeClusters", Purpose::First, ask).await?;
        for cluster in page.clusters.unwrap_or_default() {
            let Some(id) = cluster.cluster_identifier else { continue };
            let endpoint = cluster.endpoint;
            found.push(Discovered {
                warehouse: Warehouse::Cluster(id),
                region: identity.region.clone(),
                host: endpoint.as_ref().and_then(|endpoint| endpoint.address.clone()),
                port: endpoint.and_then(|endpoint| endpoint.port).and_then(|port| u16::try_from(port).ok()),
                database: cluster.db_name,
                status: cluster.cluster_status.unwrap_or_default(),
            });
        }
        marker = page.marker.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            break;
        }
    }
    found.sort_by(|a, b| name(a).cmp(name(b)));
    Ok(found)
}

async fn workgroups(identity: &Identity) -> Result<Vec<Discovered>> {
    let mut found = Vec::new();
    let client = serverless_client(identity);
    let mut token: Option<String> = None;
    loop {
        let ask = || client.list_workgroups().set_next_token(token.clone()).send();
        let page = call(identity, "redshift-serverless:ListWorkgroups", Purpose::First, ask).await?;
        for workgroup in page.workgroups {
            let Some(name) = workgroup.workgroup_name else { continue };
            let endpoint = workgroup.endpoint;
            found.push(Discovered {
                warehouse: Warehouse::Workgroup(name),
                region: identity.region.clone(),
                host: endpoint.as_ref().and_then(|endpoint| endpoint.address.clone()),
                port: endpoint.and_then(|endpoint| endpoint.port).and_then(|port| u16::try_from(port).ok()),
                database: None,
                status: workgroup.status.map(|status| status.as_str().to_lowercase()).unwrap_or_default(),
            });
        }
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    found.sort_by(|a, b| name(a).cmp(name(b)));
    Ok(found)
}

fn name(discovered: &Discovered) -> &str {
    match &discovered.warehouse {
        Warehouse::Cluster(name) | Warehouse::Workgroup(name) | Warehouse::CustomDomain(name) => name,
    }
}

fn with_permission(error: Error) -> Error {
    if error.kind() != ErrorKind::Denied {
        return error;
    }
    error.with_hint(
        "listing needs redshift:DescribeClusters and redshift-serverless:ListWorkgroups; a target whose host and port \
         are known needs neither",
    )
}
