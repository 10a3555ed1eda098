//! AWS's errors told apart by their codes. A throttle arrives as a generic error of the query protocol, so no typed
//! exception would catch it.

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::{
    backoff,
    error::{Error, ErrorKind},
};

/// Turns a failed call of `action` into our error: kind by code, AWS's words as the message.
pub(crate) fn aws_error<E>(action: &str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let (kind, message) = match &error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code();
            let words = service.err().message().map_or_else(|| format!("HTTP {status}"), one_line);
            match code {
                // A proxy or a captive portal answers in AWS's place.
                None if status < 400 => (ErrorKind::Unreachable, format!("{action}: the answer is not AWS's (HTTP {status})")),
                _ => (kind(code, status), format!("{action}: {}{words}", code.map(|code| format!("{code}: ")).unwrap_or_default())),
            }
        }
        SdkError::TimeoutError(_) => (ErrorKind::Unreachable, format!("{action}: AWS did not answer in time")),
        SdkError::DispatchFailure(_) => (ErrorKind::Unreachable, format!("{action}: AWS could not be reached: {}", bottom(&error))),
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            let kind = if backoff::is_throttle("", status) { ErrorKind::Throttled } else { ErrorKind::Unreachable };
            (kind, format!("{action}: AWS's answer could not be read (HTTP {status})"))
        }
        _ => (ErrorKind::Unexpected, format!("{action}: {}", bottom(&error))),
    };
    let error = Error::new(kind, message).with_source(error);
    match hint(kind) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Codes: aws-query and AWS JSON protocols, "Common Errors" of the Redshift, Redshift Serverless and STS references.
fn kind(code: Option<&str>, status: u16) -> ErrorKind {
    let code = code.unwrap_or_default();
    if backoff::is_throttle(code, status) {
        return ErrorKind::Throttled;
    }
    match code {
        "AccessDenied" | "AccessDeniedException" | "OptInRequired" | "UnauthorizedOperation" => ErrorKind::Denied,
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "RequestTimeTooSkewed" => ErrorKind::IdentityExpired,
        "IncompleteSignature"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => ErrorKind::NoIdentity,
        "ClusterNotFound"
        | "ClusterNotFoundFault"
        | "CustomDomainAssociationNotFound"
        | "CustomDomainAssociationNotFoundFault"
        | "ResourceNotFoundException" => ErrorKind::NoSuchTarget,
        // IAM's.
        "ConcurrentModification" => ErrorKind::Throttled,
        "DeleteConflict"
        | "EntityAlreadyExists"
        | "EntityTemporarilyUnmodifiable"
        | "InvalidInput"
        | "LimitExceeded"
        | "MalformedPolicyDocument"
        | "NoSuchEntity"
        | "PolicyNotAttachable"
        | "UnmodifiableEntity" => ErrorKind::Config,
        "InvalidParameterCombination"
        | "InvalidParameterValue"
        | "MissingParameter"
        | "UnsupportedOperation"
        | "ValidationError"
        | "ValidationException" => ErrorKind::Config,
        _ if status >= 500 => ErrorKind::Unreachable,
        _ => ErrorKind::Unexpected,
    }
}

fn hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::IdentityExpired => Some("sign in again, for example `aws sso login`; if that was just done, check this machine's clock"),
        ErrorKind::NoIdentity => Some("AWS does not accept these keys: check AWS_ACCESS_KEY_ID or the profile, and this machine's clock"),
        ErrorKind::NoSuchTarget => Some("`shiftkey targets --discover` lists what AWS has in this region"),
        ErrorKind::Throttled => Some("AWS asks to slow down; try again in a few seconds"),
        ErrorKind::Unreachable => Some("check the network (a proxy or captive portal?), the region and AWS_ENDPOINT_URL, then try again"),
        ErrorKind::ClientMissing | ErrorKind::Config | ErrorKind::Denied | ErrorKind::LoginRefused | ErrorKind::Unexpected => None,
    }
}

fn bottom(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    one_line(&cause.to_string())
}

/// A peer's words may hold anything; terminals and logs get one line of them.
fn one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(1_000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide_what_the_caller_should_do() {
        for (code, status, expected) in [
            (Some("Throttling"), 400, ErrorKind::Throttled),
            (Some("ThrottlingException"), 400, ErrorKind::Throttled),
            (None, 429, ErrorKind::Throttled),
            (Some("AccessDenied"), 403, ErrorKind::Denied),
            (Some("AccessDeniedException"), 400, ErrorKind::Denied),
            (Some("ExpiredToken"), 403, ErrorKind::IdentityExpired),
            (Some("InvalidClientTokenId"), 403, ErrorKind::NoIdentity),
            (Some("SignatureDoesNotMatch"), 403, ErrorKind::NoIdentity),
            (Some("ClusterNotFound"), 404, ErrorKind::NoSuchTarget),
            (Some("ResourceNotFoundException"), 400, ErrorKind::NoSuchTarget),
            (Some("InvalidParameterValue"), 400, ErrorKind::Config),
            (Some("NoSuchEntity"), 404, ErrorKind::Config),
            (Some("ConcurrentModification"), 409, ErrorKind::Throttled),
            (Some("InternalFailure"), 500, ErrorKind::Unreachable),
            (None, 503, ErrorKind::Unreachable),
            (Some("Surprise"), 400, ErrorKind::Unexpected),
        ] {
            assert_eq!(kind(code, status), expected, "{code:?} {status}");
        }
    }

    #[test]
    fn a_peers_words_stay_on_one_line() {
        assert_eq!(one_line("a\nb\x1b[31mc"), "a b [31mc");
    }
}
