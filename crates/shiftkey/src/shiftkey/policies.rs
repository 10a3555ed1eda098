//! What `policy` asks AWS: names for ARNs, IAM, and whether a login will pass.

use super::{Asker, Request, Scope, Shiftkey, Target, Warehouse};
use crate::{
    error::{Error, Result},
    issue,
    policy::{Place, Spot, explain::Explanation, iam::Iam},
};

impl Shiftkey {
    /// The warehouse of `target` by the names that policies have for it.
    ///
    /// # Errors
    /// As for any AWS call: the account is asked for, and of a workgroup its ARN.
    pub async fn place(&self, target: &Target) -> Result<Place> {
        let place = async {
            let asker = self.asker(Scope::from(target)).await?;
            let caller = self.caller_of(&asker).await?;
            let spot = match self.warehouse(target, &asker).await? {
                Warehouse::Workgroup(name) => {
                    Spot::Workgroup { arn: issue::workgroup_arn(&self.identity_of(&asker).await?, &name).await?, name }
                }
                Warehouse::Cluster(name) | Warehouse::CustomDomain(name) => Spot::Cluster(name),
            };
            let partition = caller.partition().to_owned();
            Ok(Place { partition, region: asker.standing.region.clone(), account: caller.account, spot })
        };
        Box::pin(place).await.map_err(|error: Error| error.with_target(&target.label))
    }

    /// The admin user of a cluster.
    ///
    /// # Errors
    /// As for any AWS call.
    pub async fn admin(&self, target: &Target, cluster: &str) -> Result<String> {
        let admin = async {
            let asker = self.asker(Scope::from(target)).await?;
            issue::admin(&self.identity_of(&asker).await?, cluster).await
        };
        Box::pin(admin).await.map_err(|error| error.with_target(&target.label))
    }

    /// IAM, as the identity of `scope` sees it.
    ///
    /// # Errors
    /// When no identity is found, or STS does not accept it.
    pub async fn iam(&self, scope: &Scope) -> Result<Iam> {
        let asker = self.asker(scope.clone()).await?;
        self.iam_of(&asker).await
    }

    /// Whether policies let this identity log in to `target`.
    ///
    /// # Errors
    /// As for any AWS call; what IAM does not let us see is no error.
    pub async fn explain(&self, target: &Target) -> Result<Explanation> {
        let explanation = async {
            let (asker, wish) = self.prepare(target).await?;
            let iam = self.iam_of(&asker).await?;
            let request: &Request = &wish.key.request;
            let arn = match request.api {
                issue::Api::Serverless => issue::workgroup_arn(&self.identity_of(&asker).await?, &request.name).await.ok(),
                issue::Api::Cluster | issue::Api::ClusterWithIam => None,
            };
            iam.explain(request, &asker.standing.region, arn.as_deref(), self.0.surroundings.skew.aws_now()).await
        };
        Box::pin(explanation).await.map_err(|error| error.with_target(&target.label))
    }

    async fn iam_of(&self, asker: &Asker) -> Result<Iam> {
        let caller = self.caller_of(asker).await?;
        Ok(Iam::new(self.identity_of(asker).await?, caller))
    }
}
