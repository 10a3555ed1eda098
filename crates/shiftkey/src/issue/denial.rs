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
    if says_explicit(error.message()) {
        return error.with_hint(
            "a statement denies it explicitly, so no further permission will help: look in the identity's policies, its permissions \
             boundary, and the organisation's service control policies",
        );
    }
    let Ok(caller) = identity.caller().await else { return error };
    let workgroup_arn = match request.api {
        Api::Serverless => serverless::arn(identity, &request.name).await.ok(),
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

/// AWS's words (IAM User Guide, "Troubleshoot access denied error messages"); they choose between two hints and decide
/// nothing else.
fn says_explicit(message: &str) -> bool {
    message.contains("with an explicit deny")
}

#[cfg(test)]
mod tests {
    use super::says_explicit;

    #[test]
    fn an_explicit_deny_is_told_from_a_missing_permission() {
        let start = "User: arn:aws:iam::111122223333:user/a is not authorized to perform: redshift:GetClusterCredentials on resource: arn";
        assert!(says_explicit(&format!("{start} with an explicit deny in a service control policy")));
        assert!(!says_explicit(&format!("{start} because no identity-based policy allows the redshift:GetClusterCredentials action")));
    }
}
