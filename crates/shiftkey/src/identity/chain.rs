//! The SDK configuration of a [`Scope`]: the AWS provider chain, with what the SDK leaves out put back.
//!
//! Variables come from the [`Env`] that the caller passed; only the parts of the SDK that have no such seam (IMDS,
//! ECS, web identity, `credential_process`, FIPS and dual-stack settings) read the process environment themselves.

use std::{path::PathBuf, sync::Arc, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, profile::ProfileFileCredentialsProvider, provider_config::ProviderConfig, timeout::TimeoutConfig,
};
use aws_credential_types::{
    Credentials,
    provider::{SharedCredentialsProvider, error::CredentialsError},
};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_http_client::{Builder, Connector, proxy::ProxyConfig, tls};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::{Prompt, Scope, profiles::Profiles, role, skew::Skew};
use crate::{
    clock::Clock,
    env::Env,
    error::Result,
    shared::{Buckets, Store},
    trust,
};

/// What identities are found in: the caller's environment, clock and, perhaps, a person.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) env: Env,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) prompt: Option<Arc<dyn Prompt>>,
    /// What processes share, sessions that cost an MFA code among it.
    pub(crate) store: Arc<Store>,
    pub(crate) buckets: Arc<Buckets>,
    pub(crate) skew: Skew,
}

impl Surroundings {
    /// The SDK's configuration for `scope`, credentials provider included.
    pub(crate) async fn sdk_config(self: &Arc<Self>, scope: &Scope) -> Result<SdkConfig> {
        let profiles = Profiles::load(&self.env, scope.profile.as_deref()).await?;
        let http = self.http_client(scope)?;
        let region = self.region(scope);
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http.clone())
            .time_source(self.time_source())
            .timeout_config(timeouts())
            .profile_files(profiles.files())
            .profile_name(profiles.selected());
        if let Some(region) = &region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = scope.endpoint_url.as_ref().or(self.env.vars.get("AWS_ENDPOINT_URL")) {
            loader = loader.endpoint_url(url);
        }
        if let Some(provider) = self.provider(scope, &profiles, http, region).await? {
            loader = loader.credentials_provider(provider);
        }
        Ok(loader.load().await)
    }

    /// A service's endpoint: the scope's, else `AWS_ENDPOINT_URL_<SERVICE>`, else the SDK's choice.
    pub(crate) fn endpoint(&self, scope: &Scope, service: &str) -> Option<String> {
        let variable = format!("AWS_ENDPOINT_URL_{service}");
        scope.endpoint_url.clone().or_else(|| self.env.var(&variable).map(str::to_owned))
    }

    /// Where the chain is ours: keys in the environment, an explicit profile, a profile that assumes a role. `None` leaves
    /// the rest of the chain to the SDK.
    async fn provider(
        self: &Arc<Self>,
        scope: &Scope,
        profiles: &Profiles,
        http: SharedHttpClient,
        region: Option<String>,
    ) -> Result<Option<SharedCredentialsProvider>> {
        // An explicit profile wins over keys in the environment, as `aws --profile` does.
        if scope.profile.is_none()
            && let Some(keys) = self.environment_keys()
        {
            return Ok(Some(SharedCredentialsProvider::new(keys)));
        }
        let region = region.or_else(|| profiles.region());
        let base = ProviderConfig::without_region()
            .with_region(region.clone().map(Region::new))
            .with_http_client(http.clone())
            .with_time_source(self.time_source())
            .with_behavior_version(Some(BehaviorVersion::v2026_01_12()));
        if let Some(chain) = role::walk(profiles)? {
            let sts = role::Sts {
                http,
                region,
                endpoint: self.endpoint(scope, "STS").or_else(|| self.env.var("AWS_ENDPOINT_URL").map(str::to_owned)),
            };
            return Ok(Some(role::provider(self, chain, profiles, &base, sts)));
        }
        if scope.profile.is_none() && !profiles.exists() {
            return Ok(None);
        }
        if scope.profile.is_some() {
            return Ok(Some(SharedCredentialsProvider::new(
                ProfileFileCredentialsProvider::builder()
                    .configure(&base)
                    .profile_files(profiles.files())
                    .profile_name(profiles.selected())
                    .build(),
            )));
        }
        Ok(None)
    }

    pub(super) fn environment_keys(&self) -> Option<Credentials> {
        let id = self.env.var("AWS_ACCESS_KEY_ID")?;
        let secret = self.env.var("AWS_SECRET_ACCESS_KEY")?;
        let token = self.env.var("AWS_SESSION_TOKEN").map(str::to_owned);
        Some(Credentials::new(id, secret, token, None, "environment"))
    }

    pub(super) fn region(&self, scope: &Scope) -> Option<String> {
        let from_env = || self.env.var("AWS_REGION").or_else(|| self.env.var("AWS_DEFAULT_REGION"));
        // An explicit profile's own region is preferred to the environment's; the SDK reads it.
        match (&scope.region, &scope.profile) {
            (Some(region), _) => Some(region.clone()),
            (None, _) => from_env().map(str::to_owned),
        }
    }

    /// The HTTP client of the SDK with our trust anchors and the `HTTPS_PROXY` settings. Without TLS in sight
    /// (all endpoints overridden to plain HTTP) no root certificate is read, which is half of a cold start.
    fn http_client(&self, scope: &Scope) -> Result<SharedHttpClient> {
        let plain = [scope.endpoint_url.as_deref(), self.env.var("AWS_ENDPOINT_URL")]
            .into_iter()
            .flatten()
            .next()
            .is_some_and(|url| url.starts_with("http://"));
        let roots = if plain { tls::TrustStore::empty() } else { trust_store(&self.env)? };
        let context = tls::TlsContext::builder()
            .with_trust_store(roots)
            .build()
            .map_err(|error| crate::Error::config("the trust anchors could not be used").with_source(error))?;
        Ok(Builder::new().build_with_connector_fn(move |settings, components| {
            let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
            connector.set_connector_settings(settings.cloned());
            connector
                .set_sleep_impl(components.and_then(aws_smithy_runtime_api::client::runtime_components::RuntimeComponents::sleep_impl));
            connector.tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc)).tls_context(context.clone()).build()
        }))
    }

    pub(super) fn time_source(&self) -> SharedTimeSource {
        SharedTimeSource::new(Now(Arc::clone(&self.clock)))
    }
}

/// Whether the SDK's error says that a session has run out rather than that none was found.
pub(super) fn is_expired(error: &CredentialsError) -> bool {
    use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(layer) = cause {
        if let Some(sts) = layer.downcast_ref::<aws_sdk_sts::Error>()
            && matches!(sts.code(), Some("ExpiredToken" | "ExpiredTokenException"))
        {
            return true;
        }
        // The SDK's SSO provider has no public type for this; its texts are the only sign.
        let text = layer.to_string();
        if text.contains("token is expired") || text.contains("expired and cannot be refreshed") || text.contains("ExpiredToken") {
            return true;
        }
        cause = layer.source();
    }
    false
}

pub(super) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(20))
        .build()
}

fn trust_store(env: &Env) -> Result<tls::TrustStore> {
    // AWS_CA_BUNDLE is the AWS tools' own variable for this (the Rust SDK does not read it).
    let explicit = env.var("AWS_CA_BUNDLE").map(PathBuf::from);
    Ok(tls::TrustStore::empty().with_pem_certificate(trust::pem(env, explicit.as_deref())?))
}

#[derive(Debug)]
struct Now(Arc<dyn Clock>);

impl TimeSource for Now {
    fn now(&self) -> std::time::SystemTime {
        self.0.now()
    }
}
