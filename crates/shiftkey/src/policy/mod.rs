//! IAM policies: what a request needs, policies for an intent, what is wrong with one, and what one allows. All of that does no IO;
//! [`iam`] alone asks AWS.
//!
//! The tables: Service Authorization Reference, "Amazon Redshift" and "Amazon Redshift Serverless".

pub mod apply;
mod document;
pub mod evaluate;
pub mod explain;
pub mod generate;
pub mod iam;
pub mod lint;
mod needs;
pub mod reach;
mod render;

use std::fmt;

pub use self::{
    document::{Condition, Document, LONGEST, Statement, to_json},
    needs::{Needs, statements},
    render::Format,
};

/// A warehouse by the names that its ARNs are made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// `aws`, `aws-cn`, `aws-us-gov`, ...
    pub partition: String,
    /// The warehouse's region.
    pub region: String,
    /// The caller's account: AWS builds the ARNs of a request with it.
    pub account: String,
    /// Which.
    pub spot: Spot,
}

/// A cluster or workgroup as policies name it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Spot {
    /// By its identifier.
    Cluster(String),
    /// By its ARN, which holds an id that cannot be told from the name.
    Workgroup {
        /// For people.
        name: String,
        /// `arn:P:redshift-serverless:R:A:workgroup/UUID`.
        arn: String,
    },
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "cluster {name}"),
            Self::Workgroup { name, .. } => write!(f, "workgroup {name}"),
        }
    }
}

impl Place {
    /// `arn:P:redshift:R:A:KIND:NAME`.
    pub(crate) fn arn(&self, kind: &str, name: &str) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:redshift:{region}:{account}:{kind}:{name}")
    }

    /// The ARN of what lies in the cluster: `dbuser`, `dbname`, `dbgroup`.
    pub(crate) fn of_cluster(&self, kind: &str, name: &str) -> String {
        match &self.spot {
            Spot::Cluster(cluster) => self.arn(kind, &format!("{cluster}/{name}")),
            Spot::Workgroup { arn, .. } => arn.clone(),
        }
    }
}
