//! An error answer of AWS in both protocols: XML for query services, JSON 1.1 for serverless.

use hyper::StatusCode;

/// What AWS answers instead of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(status: u16, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned() }
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::new(400, "InvalidParameterValue", message)
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// JSON services answer with 400 what query services answer with 403 and 404.
    pub(super) fn status_json(&self) -> StatusCode {
        if matches!(self.status, 403 | 404) { StatusCode::BAD_REQUEST } else { self.status() }
    }

    /// The query protocol's `ErrorResponse`.
    pub(super) fn xml(&self, namespace: &str, request_id: &str) -> String {
        let kind = if self.status < 500 { "Sender" } else { "Receiver" };
        format!(
            "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{kind}</Type><Code>{}</Code><Message>{}</Message></Error>\
             <RequestId>{request_id}</RequestId></ErrorResponse>",
            escape(&self.code),
            escape(&self.message)
        )
    }

    /// The JSON protocol's body. Its services spell some codes with `Exception` at the end.
    pub(super) fn json(&self) -> String {
        let code = match self.code.as_str() {
            "AccessDenied" => "AccessDeniedException",
            "ExpiredToken" => "ExpiredTokenException",
            "InternalFailure" => "InternalServerException",
            "InvalidClientTokenId" => "UnrecognizedClientException",
            "InvalidParameterValue" => "ValidationException",
            "MissingAuthenticationToken" => "MissingAuthenticationTokenException",
            "IncompleteSignature" => "IncompleteSignatureException",
            "SignatureDoesNotMatch" => "InvalidSignatureException",
            "Throttling" => "ThrottlingException",
            other => other,
        };
        serde_json::json!({ "__type": code, "message": self.message }).to_string()
    }
}

/// Text inside an XML element.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
