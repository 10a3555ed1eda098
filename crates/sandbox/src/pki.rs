//! The sandbox's own certificate authority and the warehouses' certificate. Both are made anew for every run and the
//! authority's key is thrown away at once, so trusting the authority never means trusting anything but this run.

use std::fmt;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::seed::{CLUSTER_DOMAIN, WORKGROUP_DOMAIN};

/// The names that the warehouses' certificate is good for.
pub const NAMES: [&str; 6] = ["localhost", "*.sandbox.localhost", "127.0.0.1", "::1", CLUSTER_DOMAIN, WORKGROUP_DOMAIN];

/// What a run's TLS needs.
#[derive(Clone)]
pub struct Pki {
    ca_pem: String,
    server: Arc<ServerConfig>,
}

/// The certificates could not be made. Shows no key.
#[derive(Debug)]
pub struct PkiError(String);

impl Pki {
    /// A new authority and one certificate by it, for [`NAMES`].
    ///
    /// # Errors
    /// When the cryptographic provider refuses.
    pub fn generate() -> Result<Self, PkiError> {
        let mut ca = CertificateParams::new(Vec::new()).map_err(wrap)?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.distinguished_name.push(DnType::CommonName, "shiftkey sandbox authority");
        let ca_key = KeyPair::generate().map_err(wrap)?;
        let ca_pem = ca.self_signed(&ca_key).map_err(wrap)?.pem();

        let mut leaf = CertificateParams::new(NAMES.map(str::to_owned)).map_err(wrap)?;
        leaf.distinguished_name.push(DnType::CommonName, "shiftkey sandbox warehouse");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(wrap)?;
        let certificate = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).map_err(wrap)?;

        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(wrap)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(wrap)?;
        Ok(Self { ca_pem, server: Arc::new(server) })
    }

    /// The authority's certificate, for clients to trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The server's side of TLS. It belongs to no process-wide default.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

impl fmt::Debug for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pki").finish_non_exhaustive()
    }
}

impl fmt::Display for PkiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the sandbox cannot make its certificates: {}", self.0)
    }
}

impl std::error::Error for PkiError {}

fn wrap(error: impl fmt::Display) -> PkiError {
    PkiError(error.to_string())
}
