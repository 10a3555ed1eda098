//! From a denial to the statement that is missing.

use super::{Api, Request, serverless};
use crate::{
    error::{Error, ErrorKind},
    identity::Identity,
    policy::{self, Needs},
};

/// Adds to a denial what the call needs; other errors pass. Spends a call to STS, and for a workgroup one for its id.
pub(crate) async fn explain(error: Error, request: &Request, identity: &Identity) -> Error {
    if error.kind() != ErrorKind::Denied {
        return error;
    }
    let Ok(caller) = identity.caller().await else { return error };
    let workgroup_arn = match request.api {
        Api::Serverless => serverless::arn(identity, &request.name).await,
        Api::Cluster | Api::ClusterWithIam => None,
    };
    let needs = Needs {
        partition: caller.partition(),
        account: &caller.account,
        region: &identity.region,
        request,
        workgroup_arn: workgroup_arn.as_deref(),
    };
    let statements = policy::to_json(&policy::statements(&needs));
    error.with_hint(format!("{} needs this in an IAM policy:\n{statements}", caller.arn))
}
