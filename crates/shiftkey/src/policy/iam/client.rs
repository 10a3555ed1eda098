//! One call of IAM's query API, on the SDK's own machinery: its signatures, clock, time-outs and connections. The SDK's client for
//! IAM would add more to the binary than the rest of this product.

use std::{fmt, pin::Pin};

use aws_config::{BehaviorVersion, Region};
use aws_runtime::{
    auth::{SigV4OperationSigningConfig, sigv4},
    service_clock_skew::ServiceClockSkewInterceptor,
};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::{
    auth::{AuthSchemeOptionResolverParams, static_resolver::StaticAuthSchemeOptionResolver},
    orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
    result::SdkError,
    runtime_components::RuntimeComponentsBuilder,
    runtime_plugin::StaticRuntimePlugin,
};
use aws_smithy_types::{
    body::SdkBody,
    config_bag::Layer,
    error::metadata::{ErrorMetadata, ProvideErrorMetadata},
    timeout::TimeoutConfig,
};
use aws_types::{SigningName, region::SigningRegion, service_config::ServiceConfigKey};

use super::{endpoint, xml::Element};
use crate::{
    error::{Error, Result},
    identity::{Identity, Purpose, call},
};

/// What IAM says instead of an answer.
#[derive(Debug)]
pub(super) struct Fault(ErrorMetadata);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl ProvideErrorMetadata for Fault {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

/// The code by which IAM refused, where it did.
pub(super) fn code(error: &Error) -> Option<&str> {
    let source = std::error::Error::source(error)?.downcast_ref::<SdkError<Fault, HttpResponse>>()?;
    source.as_service_error()?.code()
}

/// An answer to come.
pub(super) type Answer<'a> = Pin<Box<dyn Future<Output = Result<Element>> + Send + 'a>>;

/// Calls by one identity.
#[derive(Debug)]
pub(super) struct Client {
    identity: Identity,
    operation: Operation<String, Element, Fault>,
}

impl Client {
    pub(super) fn new(identity: Identity, partition: &str) -> Self {
        let sdk = &identity.sdk;
        let (public, region) = endpoint::of(partition, sdk.use_fips().unwrap_or(false));
        // In the order of the SDK's own clients.
        let key = ServiceConfigKey::builder().service_id("IAM").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok();
        let configured = || sdk.service_config()?.load_config(key?);
        let url = identity.endpoint("IAM").or_else(configured).or_else(|| sdk.endpoint_url().map(str::to_owned));
        let url = url.unwrap_or_else(|| public.to_owned());
        let mut builder = Operation::builder()
            .service_name("iam")
            .operation_name("Query")
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(&url)
            .no_retry()
            .timeout_config(sdk.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled))
            .interceptor(identity.skew().clone())
            .interceptor(ServiceClockSkewInterceptor::new())
            .with_connection_poisoning()
            .runtime_plugin(signing(&identity, region));
        if let Some(http) = sdk.http_client() {
            builder = builder.http_client(http);
        }
        if let Some(sleep) = sdk.sleep_impl() {
            builder = builder.sleep_impl(sleep);
        }
        if let Some(time) = sdk.time_source() {
            builder = builder.time_source(time);
        }
        let operation = builder.serializer(request).deserializer(answer).build();
        Self { identity, operation }
    }

    /// Calls `action`, which is written `iam:NAME`, and gives what stands in its result.
    ///
    /// Boxed: the way down to AWS is deep, and many functions hold such a call.
    pub(super) fn ask(&self, action: &'static str, parameters: &[(String, String)]) -> Answer<'_> {
        let name = action.split_once(':').map_or(action, |(_, name)| name);
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", name).append_pair("Version", "2010-05-08").extend_pairs(parameters);
        let body = form.finish();
        Box::pin(async move { call(&self.identity, action, Purpose::First, || self.operation.invoke(body.clone())).await })
    }
}

fn signing(identity: &Identity, region: &'static str) -> StaticRuntimePlugin {
    let mut config = Layer::new("signing");
    config.store_put(AuthSchemeOptionResolverParams::new(()));
    config.store_put(SigV4OperationSigningConfig {
        region: Some(SigningRegion::from(Region::from_static(region))),
        name: Some(SigningName::from_static("iam")),
        ..SigV4OperationSigningConfig::default()
    });
    let components = RuntimeComponentsBuilder::new("signing")
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![sigv4::SCHEME_ID])))
        .with_auth_scheme(sigv4::SigV4AuthScheme::new())
        .with_identity_cache(identity.sdk.identity_cache());
    let components = match identity.sdk.credentials_provider() {
        Some(provider) => components.with_identity_resolver(sigv4::SCHEME_ID, provider),
        None => components,
    };
    StaticRuntimePlugin::new().with_config(config.freeze()).with_runtime_components(components)
}

fn request(body: String) -> std::result::Result<HttpRequest, aws_smithy_runtime_api::box_error::BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri("/")?;
    let headers = request.headers_mut();
    headers.insert("content-type", "application/x-www-form-urlencoded");
    headers.insert("user-agent", concat!("shiftkey/", env!("CARGO_PKG_VERSION")));
    Ok(request)
}

fn answer(response: &HttpResponse) -> std::result::Result<Element, OrchestratorError<Fault>> {
    let text = response.body().bytes().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let document = Element::parse(text);
    if response.status().is_success() {
        let result = document.filter(|it| it.name.ends_with("Response")).map(|it| it.child_ending("Result"));
        return result.ok_or_else(|| OrchestratorError::other("the answer is not IAM's"));
    }
    let mut fault = ErrorMetadata::builder();
    if let Some(document) = document {
        fault = fault.code(document.text(&["Error", "Code"])).message(document.text(&["Error", "Message"]));
    }
    Err(OrchestratorError::operation(Fault(fault.build())))
}
