//! Profiles that assume a role. The Rust SDK ignores `mfa_serial` and `duration_seconds` in silence, and looks for endpoints
//! in the process's environment instead of the caller's, so chains of profiles are walked here.
//!
//! Meaning of the keys: AWS CLI User Guide, "Using an IAM role in the AWS CLI".

use std::{sync::Arc, time::Duration};

use aws_config::{
    Region,
    ecs::EcsCredentialsProvider,
    imds::credentials::ImdsCredentialsProvider,
    profile::{Profile, ProfileFileCredentialsProvider},
    provider_config::ProviderConfig,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;

use super::{
    chain::{self, Surroundings},
    errors::aws_error,
    profiles::Profiles,
    session_store,
};
use crate::{
    error::{Error, ErrorKind, Result},
    shared::digest,
};

/// So often STS is asked for a role: some seconds of throttling are waited out.
const ATTEMPTS: u32 = 8;

/// The ceilings of the first wait between them, and of all.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1_500));

/// One `AssumeRole` step, as a profile writes it down.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Step {
    profile: String,
    pub(super) role_arn: String,
    pub(super) external_id: Option<String>,
    pub(super) session_name: Option<String>,
    duration: Option<i32>,
    pub(super) mfa_serial: Option<String>,
}

/// Where a chain begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// `credential_source`: `Environment`, `Ec2InstanceMetadata` or `EcsContainer`.
    Ambient(String),
    /// A profile that the SDK reads by itself.
    Profile(String),
}

/// A chain of roles, first step first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Chain {
    pub(super) source: Source,
    pub(super) steps: Vec<Step>,
}

/// How to reach STS before there is an SDK configuration.
#[derive(Clone, Debug)]
pub(super) struct Sts {
    pub(super) http: SharedHttpClient,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
}

/// The chain of the selected profile, if it assumes a role.
pub(super) fn walk(profiles: &Profiles) -> Result<Option<Chain>> {
    let mut steps = Vec::new();
    let mut seen = vec![profiles.selected().to_owned()];
    let source = loop {
        let name = seen.last().expect("starts with one and only grows").clone();
        let Some(profile) = profiles.get(&name) else {
            return if steps.is_empty() { Ok(None) } else { Err(profiles.unknown(&name)) };
        };
        let Some(step) = Step::read(&name, profile)? else {
            break Source::Profile(name);
        };
        steps.push(step);
        match (profile.get("source_profile"), profile.get("credential_source")) {
            (Some(next), _) if next == name => break Source::Profile(name),
            (Some(next), _) if seen.iter().any(|known| known == next) => {
                return Err(Error::config(format!("the AWS profiles {} name each other as source_profile", seen.join(", "))));
            }
            (Some(next), _) => seen.push(next.to_owned()),
            (None, Some(ambient)) => break Source::Ambient(ambient.to_owned()),
            (None, None) => {
                return Err(Error::config(format!("the AWS profile '{name}' has role_arn but no source_profile or credential_source")));
            }
        }
    };
    steps.reverse();
    Ok((!steps.is_empty()).then_some(Chain { source, steps }))
}

/// The provider of a planned chain.
pub(super) fn provider(
    surroundings: &Arc<Surroundings>,
    chain: Chain,
    profiles: &Profiles,
    base: &ProviderConfig,
    sts: Sts,
) -> SharedCredentialsProvider {
    let source = match &chain.source {
        Source::Profile(name) if chain.steps.first().is_some_and(|step| step.profile == *name) => static_keys(profiles, name),
        Source::Profile(name) => SharedCredentialsProvider::new(
            ProfileFileCredentialsProvider::builder().configure(base).profile_files(profiles.files()).profile_name(name).build(),
        ),
        Source::Ambient(kind) => ambient(surroundings, kind, base),
    };
    SharedCredentialsProvider::new(AssumedRoles { surroundings: Arc::clone(surroundings), source, steps: chain.steps, sts })
}

impl Step {
    /// Whether it was written down in the profile of this name.
    pub(super) fn is_of(&self, profile: &str) -> bool {
        self.profile == profile
    }

    /// `None` when the profile assumes no role.
    fn read(name: &str, profile: &Profile) -> Result<Option<Self>> {
        let text = |key: &str| profile.get(key).filter(|value| !value.is_empty()).map(str::to_owned);
        let Some(role_arn) = text("role_arn").filter(|_| text("web_identity_token_file").is_none()) else {
            return Ok(None);
        };
        let duration = match text("duration_seconds") {
            None => None,
            Some(value) => match value.parse() {
                Ok(seconds @ 900..=43200) => Some(seconds),
                _ => {
                    return Err(Error::config(format!(
                        "duration_seconds of AWS profile '{name}' is '{value}', not a number from 900 to 43200"
                    )));
                }
            },
        };
        Ok(Some(Self {
            profile: name.to_owned(),
            role_arn,
            external_id: text("external_id"),
            session_name: text("role_session_name"),
            duration,
            mfa_serial: text("mfa_serial"),
        }))
    }
}

/// Walks the chain whenever keys are asked for; the SDK's identity cache keeps the result in memory.
#[derive(Debug)]
struct AssumedRoles {
    surroundings: Arc<Surroundings>,
    source: SharedCredentialsProvider,
    steps: Vec<Step>,
    sts: Sts,
}

impl ProvideCredentials for AssumedRoles {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.walk())
    }
}

impl AssumedRoles {
    async fn walk(&self) -> Result<Credentials, CredentialsError> {
        let mut keys = self.source.provide_credentials().await?;
        for step in &self.steps {
            keys = self.assume(step, keys).await.map_err(CredentialsError::provider_error)?;
        }
        Ok(keys)
    }

    /// One step: a session kept from an earlier run, or a call to STS. A session that cost a code is kept.
    async fn assume(&self, step: &Step, keys: Credentials) -> Result<Credentials> {
        let name = digest(&[
            "assume-role",
            keys.access_key_id(),
            &step.role_arn,
            step.external_id.as_deref().unwrap_or_default(),
            step.session_name.as_deref().unwrap_or_default(),
            step.mfa_serial.as_deref().unwrap_or_default(),
            &step.duration.unwrap_or_default().to_string(),
        ]);
        let store = &self.surroundings.store;
        if step.mfa_serial.is_some()
            && let Some(session) = session_store::read(store, &name, self.surroundings.skew.aws_now())
        {
            return Ok(session);
        }
        let session = self.call(step, keys).await?;
        if step.mfa_serial.is_some() {
            session_store::write(store, &name, &session);
        }
        Ok(session)
    }

    async fn call(&self, step: &Step, keys: Credentials) -> Result<Credentials> {
        let code = match &step.mfa_serial {
            None => None,
            Some(device) => Some(self.mfa_code(step, device)?),
        };
        let mut config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_config::BehaviorVersion::v2026_01_12())
            .http_client(self.sts.http.clone())
            .time_source(self.surroundings.time_source())
            .credentials_provider(keys)
            .timeout_config(chain::timeouts())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(BACKOFF.0).with_max_backoff(BACKOFF.1))
            .interceptor(self.surroundings.skew.clone())
            .region(Region::new(self.sts.region.clone().unwrap_or_else(|| "us-east-1".to_owned())));
        config.set_endpoint_url(self.sts.endpoint.clone());
        config.set_sleep_impl(aws_smithy_async::rt::sleep::default_async_sleep());
        let since_epoch = self.surroundings.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let answer = aws_sdk_sts::Client::from_conf(config.build())
            .assume_role()
            .role_arn(&step.role_arn)
            .role_session_name(step.session_name.clone().unwrap_or_else(|| format!("shiftkey-{}", since_epoch.as_secs())))
            .set_external_id(step.external_id.clone())
            .set_duration_seconds(step.duration)
            .set_serial_number(step.mfa_serial.clone())
            .set_token_code(code)
            .send()
            .await
            .map_err(|error| self.explain(step, aws_error("sts:AssumeRole", error)))?;
        let session = answer.credentials.ok_or_else(|| Error::new(ErrorKind::Unexpected, "sts:AssumeRole answered without keys"))?;
        let expires = std::time::SystemTime::try_from(session.expiration).ok();
        Ok(Credentials::new(session.access_key_id, session.secret_access_key, Some(session.session_token), expires, "shiftkey"))
    }

    fn mfa_code(&self, step: &Step, device: &str) -> Result<String> {
        let prompt = self.surroundings.prompt.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::NoIdentity, format!("profile '{}' needs a code of the MFA device {device}", step.profile))
                .with_hint("run `shiftkey whoami` once on a terminal to enter the code; the session is kept until it expires")
        })?;
        let code = prompt.mfa_code(device)?;
        if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(code)
        } else {
            Err(Error::new(ErrorKind::NoIdentity, "an MFA code is six digits"))
        }
    }

    fn explain(&self, step: &Step, error: Error) -> Error {
        if error.kind() != ErrorKind::Denied {
            return error;
        }
        let hint = match (&step.mfa_serial, &step.external_id) {
            (Some(_), _) => "the code may be wrong or used already; otherwise the role's trust policy does not allow this caller",
            (None, Some(_)) => "check external_id; otherwise the role's trust policy does not allow this caller",
            (None, None) => "the role's trust policy does not allow this caller, or the caller lacks sts:AssumeRole on it",
        };
        Error::new(ErrorKind::Denied, format!("AWS denied {} to profile '{}'", step.role_arn, step.profile))
            .with_hint(hint)
            .with_source(error)
    }
}

fn static_keys(profiles: &Profiles, name: &str) -> SharedCredentialsProvider {
    let text = |key: &str| profiles.get(name).and_then(|profile| profile.get(key)).map(str::to_owned);
    match (text("aws_access_key_id"), text("aws_secret_access_key")) {
        (Some(id), Some(secret)) => {
            SharedCredentialsProvider::new(Credentials::new(id, secret, text("aws_session_token"), None, "profile"))
        }
        _ => SharedCredentialsProvider::new(Nothing(format!("profile '{name}' is its own source_profile but holds no keys"))),
    }
}

fn ambient(surroundings: &Surroundings, kind: &str, base: &ProviderConfig) -> SharedCredentialsProvider {
    match kind {
        "Ec2InstanceMetadata" => SharedCredentialsProvider::new(ImdsCredentialsProvider::builder().configure(base).build()),
        "EcsContainer" => SharedCredentialsProvider::new(EcsCredentialsProvider::builder().configure(base).build()),
        "Environment" => match surroundings.environment_keys() {
            Some(keys) => SharedCredentialsProvider::new(keys),
            None => {
                SharedCredentialsProvider::new(Nothing("credential_source is Environment, but AWS_ACCESS_KEY_ID is not set".to_owned()))
            }
        },
        other => SharedCredentialsProvider::new(Nothing(format!("credential_source '{other}' is not known"))),
    }
}

/// A source that explains why it is empty, when it is asked.
#[derive(Debug)]
struct Nothing(String);

impl ProvideCredentials for Nothing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::provider_error(Error::new(ErrorKind::NoIdentity, self.0.clone()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    async fn walked(config: &str) -> Result<Option<Chain>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, config).unwrap();
        let env = Env {
            vars: [("AWS_CONFIG_FILE", path.to_str().unwrap()), ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Env::default()
        };
        walk(&Profiles::load(&env, Some("p")).await?)
    }

    #[tokio::test]
    async fn what_the_sdk_would_drop_is_read() {
        let plain = "[profile p]\nrole_arn = arn:r\nsource_profile = base\n[profile base]\naws_access_key_id = A\n";
        let chain = walked(plain).await.unwrap().unwrap();
        assert_eq!((&chain.source, chain.steps[0].duration), (&Source::Profile("base".into()), None));
        let mfa = walked(&plain.replace("source_profile", "mfa_serial = arn:m\nsource_profile")).await.unwrap().unwrap();
        assert_eq!(mfa.steps[0].mfa_serial.as_deref(), Some("arn:m"));
        let long = walked(&plain.replace("source_profile", "duration_seconds = 7200\nsource_profile")).await.unwrap().unwrap();
        assert_eq!(long.steps[0].duration, Some(7200));
        assert_eq!(walked("[profile p]\naws_access_key_id = A\n").await.unwrap(), None, "no role, no chain");
    }

    #[tokio::test]
    async fn steps_run_from_the_source_outward() {
        let chain = walked(
            "[profile p]\nrole_arn = arn:outer\nsource_profile = mid\n\
             [profile mid]\nrole_arn = arn:inner\nmfa_serial = arn:m\ncredential_source = Environment\n",
        )
        .await
        .unwrap()
        .unwrap();
        assert_eq!(chain.source, Source::Ambient("Environment".into()));
        assert_eq!(chain.steps.iter().map(|step| step.role_arn.as_str()).collect::<Vec<_>>(), ["arn:inner", "arn:outer"]);
    }

    #[tokio::test]
    async fn nonsense_is_a_configuration_error() {
        for (config, needle) in [
            ("[profile p]\nrole_arn = r\nmfa_serial = m\n", "no source_profile"),
            ("[profile p]\nrole_arn = r\nsource_profile = q\n[profile q]\nrole_arn = r\nsource_profile = p\n", "each other"),
            ("[profile p]\nrole_arn = r\nsource_profile = p\nduration_seconds = 12\n", "900 to 43200"),
        ] {
            let error = walked(config).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{config}");
            assert!(error.message().contains(needle), "{error}");
        }
    }
}
