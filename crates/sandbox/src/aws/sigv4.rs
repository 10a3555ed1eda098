//! Signature Version 4, checked for real (AWS General Reference, "Signature Version 4 signing process").
//! Only header signing of `POST /` is accepted: it is all that the query and JSON protocols use.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::HeaderMap;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::fault::Fault;

/// How far a request's date may stand from the sandbox's clock.
const SKEW: Duration = Duration::from_secs(300);

/// What the request says it was signed with; nothing in it is trusted until [`Authorization::verify`].
#[derive(Debug)]
pub(super) struct Authorization {
    pub(super) access_key: String,
    date: String,
    pub(super) region: String,
    pub(super) service: String,
    signed_headers: Vec<String>,
    signature: String,
}

impl Authorization {
    /// Reads the `Authorization` header.
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, Fault> {
        let text = header(headers, "authorization")
            .ok_or_else(|| Fault::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token"))?;
        let broken = || Fault::new(400, "IncompleteSignature", "Authorization header is not a complete AWS4-HMAC-SHA256 header");
        let fields = text.strip_prefix("AWS4-HMAC-SHA256").ok_or_else(broken)?;
        let field = |name: &str| fields.split(',').find_map(|it| it.trim().strip_prefix(name)?.strip_prefix('=')).ok_or_else(broken);
        let scope: Vec<&str> = field("Credential")?.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = scope[..] else { return Err(broken()) };
        Ok(Self {
            access_key: access_key.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: field("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: field("Signature")?.to_owned(),
        })
    }

    /// Checks date and signature with the secret that belongs to the access key.
    pub(super) fn verify(&self, secret: &str, headers: &HeaderMap, query: &str, body: &[u8], now: SystemTime) -> Result<(), Fault> {
        let stamp = header(headers, "x-amz-date").unwrap_or_default();
        self.check_date(&stamp, now)?;
        for name in ["host", "x-amz-date"] {
            if !self.signed_headers.iter().any(|it| it == name) {
                return Err(mismatch(&format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.")));
            }
        }
        let canonical = self.canonical_request(headers, query, body);
        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [self.date.as_str(), &self.region, &self.service, "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        let expected = hex(&mac(&key, to_sign.as_bytes()));
        if bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            return Ok(());
        }
        Err(mismatch(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
        ))
    }

    fn check_date(&self, stamp: &str, now: SystemTime) -> Result<(), Fault> {
        let signed = instant(stamp).filter(|_| stamp.starts_with(&self.date));
        let signed = signed.ok_or_else(|| {
            Fault::new(400, "IncompleteSignature", "Date must be in ISO-8601 'basic format' and match the credential scope.")
        })?;
        let apart = now.duration_since(signed).unwrap_or_else(|early| early.duration());
        if apart <= SKEW {
            return Ok(());
        }
        let shown = humantime::format_rfc3339_seconds(now);
        // The query services of AWS name a skewed clock so, and SDKs correct their clock on it.
        Err(mismatch(&format!("Signature not yet current or expired: {stamp} is more than 5 minutes from {shown}")))
    }

    fn canonical_request(&self, headers: &HeaderMap, query: &str, body: &[u8]) -> String {
        let mut pairs: Vec<&str> = query.split('&').filter(|it| !it.is_empty()).collect();
        pairs.sort_unstable();
        let mut text = format!("POST\n/\n{}\n", pairs.join("&"));
        for name in &self.signed_headers {
            let values: Vec<String> = headers.get_all(name).iter().map(|it| squeeze(it.as_bytes())).collect();
            let _ = writeln!(text, "{name}:{}", values.join(","));
        }
        let _ = write!(text, "\n{}\n{}", self.signed_headers.join(";"), hex(&Sha256::digest(body)));
        text
    }
}

/// One header's text.
pub(super) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn mismatch(message: &str) -> Fault {
    Fault::new(403, "SignatureDoesNotMatch", message)
}

/// `20260102T030405Z`.
fn instant(stamp: &str) -> Option<SystemTime> {
    let at = |range: std::ops::Range<usize>| stamp.get(range);
    let text = format!("{}-{}-{}T{}:{}:{}Z", at(0..4)?, at(4..6)?, at(6..8)?, at(9..11)?, at(11..13)?, at(13..15)?);
    (stamp.len() == 16).then(|| humantime::parse_rfc3339(&text).ok())?
}

fn squeeze(value: &[u8]) -> String {
    String::from_utf8_lossy(value).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
