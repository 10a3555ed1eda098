//! Which IAM actions and resources a request needs.

use super::Statement;
use crate::issue::{Api, Request};

/// A request and the names that its ARNs are made of.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// `aws`, `aws-cn`, `aws-us-gov`, ...
    pub partition: &'a str,
    /// The caller's account: AWS builds the resource ARN with it.
    pub account: &'a str,
    /// The warehouse's region.
    pub region: &'a str,
    /// What is asked for.
    pub request: &'a Request,
    /// The workgroup's ARN, which holds its id and so cannot be made from the name.
    pub workgroup_arn: Option<&'a str>,
}

/// The narrowest statements that let the request through.
pub fn statements(needs: &Needs<'_>) -> Vec<Statement> {
    let request = needs.request;
    let arn = |kind: &str, name: &str| {
        let Needs { partition, account, region, .. } = needs;
        format!("arn:{partition}:redshift:{region}:{account}:{kind}:{}/{name}", request.name)
    };
    let allow = |action: Vec<&'static str>, resource: Vec<String>| Statement { effect: "Allow", action, resource, ..Statement::default() };
    match request.api {
        Api::Cluster => {
            let user = arn("dbuser", request.db_user.as_deref().unwrap_or_default());
            let mut all = vec![allow(vec![request.api.action()], vec![user.clone(), arn("dbname", &request.database)])];
            if request.auto_create {
                all.push(allow(vec!["redshift:CreateClusterUser"], vec![user]));
            }
            if !request.groups.is_empty() {
                let groups = request.groups.iter().map(|group| arn("dbgroup", group)).collect();
                all.push(allow(vec!["redshift:JoinGroup"], groups));
            }
            all
        }
        Api::ClusterWithIam => vec![allow(vec![request.api.action()], vec![arn("dbname", &request.database)])],
        Api::Serverless => {
            let Needs { partition, account, region, .. } = needs;
            let unknown = || format!("arn:{partition}:redshift-serverless:{region}:{account}:workgroup/WORKGROUP_ID");
            vec![allow(vec![request.api.action()], vec![needs.workgroup_arn.map_or_else(unknown, str::to_owned)])]
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn request(api: Api) -> Request {
        Request {
            api,
            name: "analytics".into(),
            db_user: Some("alice".into()),
            database: "dev".into(),
            groups: Vec::new(),
            auto_create: false,
            duration: Duration::from_secs(3600),
        }
    }

    fn resources(request: &Request, workgroup_arn: Option<&str>) -> Vec<String> {
        let needs = Needs { partition: "aws-cn", account: "111122223333", region: "cn-north-1", request, workgroup_arn };
        statements(&needs)
            .into_iter()
            .map(|statement| format!("{} on {}", statement.action.join("+"), statement.resource.join(" ")))
            .collect()
    }

    #[test]
    fn a_request_needs_what_the_authorization_reference_says() {
        let base = "arn:aws-cn:redshift:cn-north-1:111122223333";
        assert_eq!(
            resources(&request(Api::Cluster), None),
            [format!("redshift:GetClusterCredentials on {base}:dbuser:analytics/alice {base}:dbname:analytics/dev")]
        );
        let wide = Request { groups: vec!["a".into(), "b".into()], auto_create: true, ..request(Api::Cluster) };
        assert_eq!(
            resources(&wide, None)[1..],
            [
                format!("redshift:CreateClusterUser on {base}:dbuser:analytics/alice"),
                format!("redshift:JoinGroup on {base}:dbgroup:analytics/a {base}:dbgroup:analytics/b"),
            ]
        );
        assert_eq!(
            resources(&request(Api::ClusterWithIam), None),
            [format!("redshift:GetClusterCredentialsWithIAM on {base}:dbname:analytics/dev")]
        );
        assert_eq!(resources(&request(Api::Serverless), Some("arn:w")), ["redshift-serverless:GetCredentials on arn:w"]);
        assert!(resources(&request(Api::Serverless), None)[0].ends_with("workgroup/WORKGROUP_ID"));
    }
}
