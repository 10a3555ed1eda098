//! Who is asking: the AWS principal, found through the SDK's chain and our own additions to it.
//!
//! An identity is proven by AWS keys with their own expiry. Those keys are never called a credential here, and
//! they never leave this module but inside the SDK's configuration.

mod attempts;
mod chain;
mod errors;
mod profiles;
mod role;
mod session_store;
mod skew;
mod source;
mod standing;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError},
};

use serde::{Deserialize, Serialize};

pub use self::attempts::Purpose;
pub(crate) use self::{
    attempts::{call, no_retries},
    chain::Surroundings,
    session_store::PREFIX as SESSIONS,
    skew::Skew,
    standing::Standing,
};
use crate::{
    error::{Error, ErrorKind, Result},
    observe::Observe,
    shared::{Buckets, Fact},
    target::Target,
};

/// Keys with less than this left are looked for anew.
const KEYS_FLOOR: Duration = Duration::from_secs(120);

/// Which identity and which AWS endpoints: what decides an SDK configuration.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Scope {
    /// AWS profile; when absent, the default chain (environment, `AWS_PROFILE`, web identity, ECS, IMDS).
    pub profile: Option<String>,
    /// AWS region; when absent, `AWS_REGION`, the profile's, or the instance's.
    pub region: Option<String>,
    /// Overrides the endpoints of all services.
    pub endpoint_url: Option<String>,
}

impl From<&Target> for Scope {
    fn from(target: &Target) -> Self {
        Self { profile: target.profile.clone(), region: target.region.clone(), endpoint_url: target.endpoint_url.clone() }
    }
}

/// Asks a person. Absent where nobody can answer: then what needs an answer fails at once.
pub trait Prompt: std::fmt::Debug + Send + Sync {
    /// The current code of the MFA device with this serial number or ARN: six digits.
    fn mfa_code(&self, device: &str) -> Result<String>;
}

/// Who AWS says is calling (`sts:GetCallerIdentity`, which no policy can deny).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Caller {
    /// `arn:aws:iam::A:user/NAME`, `arn:aws:sts::A:assumed-role/ROLE/SESSION`, ...
    pub arn: String,
    /// Twelve digits.
    pub account: String,
    /// `AIDA...` for a user, `AROA...:SESSION` for a role's session.
    pub user_id: String,
}

/// By the hash of who asks. A user may be renamed.
impl Fact for Caller {
    const KIND: &'static str = "caller";
    const LIFETIME: Duration = Duration::from_secs(24 * 3600);
}

impl Caller {
    /// `aws`, `aws-cn`, `aws-us-gov`, ...
    pub fn partition(&self) -> &str {
        self.arn.split(':').nth(1).unwrap_or("aws")
    }

    /// The name of an assumed role's session.
    pub fn session_name(&self) -> Option<&str> {
        let (kind, path) = self.resource()?;
        (kind == "assumed-role").then(|| path.rsplit('/').next())?
    }

    /// The name of an IAM user, without its path.
    pub fn user_name(&self) -> Option<&str> {
        let (kind, path) = self.resource()?;
        (kind == "user").then(|| path.rsplit('/').next())?
    }

    fn resource(&self) -> Option<(&str, &str)> {
        self.arn.splitn(6, ':').nth(5)?.split_once('/')
    }
}

/// An identity at work: keys that were good a moment ago, and the SDK configuration that uses them.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) sdk: SdkConfig,
    pub(crate) region: String,
    keys: Credentials,
    account: Option<String>,
    surroundings: Arc<Surroundings>,
    scope: Scope,
}

impl Identity {
    /// Finds the identity of `scope` and proves that it has keys.
    pub(crate) async fn find(surroundings: &Arc<Surroundings>, scope: &Scope) -> Result<Self> {
        let sdk = surroundings.sdk_config(scope).await?;
        let provider = sdk.credentials_provider().ok_or_else(|| missing(scope, None))?;
        let keys = provider.provide_credentials().await.map_err(|error| explain(scope, error))?;
        let region = sdk.region().map(ToString::to_string).ok_or_else(|| {
            Error::config("no AWS region is known")
                .with_hint("pass --region, set AWS_REGION, or name a region in the environment's configuration")
        })?;
        // The clients get the keys that were found, so that a chain with a role in it is walked once and not per client.
        let sdk = sdk.into_builder().credentials_provider(SharedCredentialsProvider::new(keys.clone())).build();
        Ok(Self { sdk, region, keys, account: None, surroundings: Arc::clone(surroundings), scope: scope.clone() })
    }

    /// The same, in an account that is known: its calls keep the pace of that account.
    pub(crate) fn in_account(self, account: Option<String>) -> Self {
        Self { account: account.or(self.account), ..self }
    }

    /// Whether the keys will still be good for a while.
    pub(crate) fn is_lasting(&self, now: SystemTime) -> bool {
        self.keys.expiry().is_none_or(|expiry| expiry > now + KEYS_FLOOR)
    }

    /// The access key id that is in use, which is not a secret.
    pub(crate) fn access_key_id(&self) -> &str {
        self.keys.access_key_id()
    }

    /// When the keys end; `None` when they do not, or do not say.
    pub(crate) fn expiry(&self) -> Option<SystemTime> {
        self.keys.expiry()
    }

    pub(crate) fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    pub(crate) fn skew(&self) -> &Skew {
        &self.surroundings.skew
    }

    pub(crate) fn buckets(&self) -> &Buckets {
        &self.surroundings.buckets
    }

    pub(crate) fn observer(&self) -> &dyn Observe {
        self.surroundings.store.observer()
    }

    /// A service's endpoint, where the scope or the environment overrides it.
    pub(crate) fn endpoint(&self, service: &str) -> Option<String> {
        self.surroundings.endpoint(&self.scope, service)
    }

    /// Asks STS who this is.
    pub(crate) async fn caller(&self) -> Result<Caller> {
        let mut config = aws_sdk_sts::config::Builder::from(&self.sdk);
        config.set_endpoint_url(self.endpoint("STS").or_else(|| self.sdk.endpoint_url().map(str::to_owned)));
        config = config.interceptor(self.skew().clone()).retry_config(no_retries());
        let client = aws_sdk_sts::Client::from_conf(config.build());
        let answer = call(self, "sts:GetCallerIdentity", Purpose::First, || client.get_caller_identity().send()).await?;
        match (answer.arn, answer.account, answer.user_id) {
            (Some(arn), Some(account), Some(user_id)) => Ok(Caller { arn, account, user_id }),
            _ => Err(Error::new(ErrorKind::Unexpected, "sts:GetCallerIdentity answered without an ARN")),
        }
    }
}

/// What to do without an identity.
const SIGN_IN: &str = "sign in first: `aws sso login --profile NAME`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

fn missing(scope: &Scope, source: Option<CredentialsError>) -> Error {
    let message = match &scope.profile {
        Some(profile) => format!("the AWS profile '{profile}' gave no identity"),
        None => "no AWS identity was found".to_owned(),
    };
    let error = Error::new(ErrorKind::NoIdentity, message).with_hint(SIGN_IN);
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

/// The SDK wraps errors in several layers; ours comes back whole, the rest is told apart by the SDK's kinds.
fn explain(scope: &Scope, error: CredentialsError) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(layer) = cause {
        if let Some(ours) = layer.downcast_ref::<Error>() {
            return ours.clone();
        }
        cause = layer.source();
    }
    match &error {
        CredentialsError::CredentialsNotLoaded(_) => missing(scope, Some(error)),
        CredentialsError::ProviderTimedOut(_) => {
            Error::new(ErrorKind::Unreachable, "the provider of the AWS identity did not answer in time").with_source(error)
        }
        _ => refused(scope, error),
    }
}

fn refused(scope: &Scope, error: CredentialsError) -> Error {
    let text = innermost(&error);
    let told = match (&scope.profile, chain::is_expired(&error)) {
        (Some(profile), true) => {
            Error::new(ErrorKind::IdentityExpired, format!("the AWS identity of profile '{profile}' has expired: {text}"))
                .with_hint(format!("sign in again, for example `aws sso login --profile {profile}`"))
        }
        (None, true) => Error::new(ErrorKind::IdentityExpired, format!("the AWS identity has expired: {text}"))
            .with_hint("sign in again, for example `aws sso login`"),
        (Some(profile), false) => {
            Error::new(ErrorKind::NoIdentity, format!("the AWS identity of profile '{profile}' could not be obtained: {text}"))
                .with_hint(format!("sign in again, for example `aws sso login --profile {profile}`"))
        }
        // The chain ended somewhere, often at a machine that has no role; that nothing was found before is what matters.
        (None, false) => Error::new(ErrorKind::NoIdentity, format!("no AWS identity was found: {text}")).with_hint(SIGN_IN),
    };
    told.with_source(error)
}

/// The cause at the bottom, on one line.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string().replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_arns() {
        for (arn, user, session, partition) in [
            ("arn:aws:iam::111122223333:user/alice", Some("alice"), None, "aws"),
            ("arn:aws-cn:iam::111122223333:user/team/a/bob", Some("bob"), None, "aws-cn"),
            ("arn:aws:sts::111122223333:assumed-role/Engineer/carol@example.com", None, Some("carol@example.com"), "aws"),
            ("arn:aws-us-gov:sts::111122223333:federated-user/dan", None, None, "aws-us-gov"),
            ("arn:aws:iam::111122223333:root", None, None, "aws"),
            ("garbage", None, None, "aws"),
        ] {
            let caller = Caller { arn: arn.into(), account: String::new(), user_id: String::new() };
            assert_eq!((caller.user_name(), caller.session_name(), caller.partition()), (user, session, partition), "{arn}");
        }
    }
}
