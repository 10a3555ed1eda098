//! Trust anchors: the file that the user names, else the system's bundle.
//!
//! One bundle file is read, not a directory of single certificates: that alone halves a cold start.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    env::Env,
    error::{Error, Result},
};

/// Where Linux distributions and the BSDs keep their bundle.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// The anchors as PEM: `explicit`, else `SSL_CERT_FILE`, else the system's.
///
/// # Errors
/// When a file that was named cannot be read, or the system has none.
pub fn pem(env: &Env, explicit: Option<&Path>) -> Result<Vec<u8>> {
    if let Some(path) = file(env, explicit) {
        return std::fs::read(path)
            .map_err(|error| Error::config(format!("the CA file {} cannot be read", path.display())).with_source(error));
    }
    let native = rustls_native_certs::load_native_certs();
    if native.certs.is_empty() {
        return Err(Error::config("this system has no CA certificates").with_hint("install ca-certificates, or set SSL_CERT_FILE"));
    }
    Ok(native.certs.iter().flat_map(|certificate| to_pem(certificate)).collect())
}

/// The file that [`pem`] reads, for programs that need a path: `explicit`, else `SSL_CERT_FILE`, else the system's bundle.
pub fn file<'a>(env: &'a Env, explicit: Option<&'a Path>) -> Option<&'a Path> {
    explicit.or_else(|| env.var("SSL_CERT_FILE").map(Path::new)).or_else(|| system_bundle())
}

fn system_bundle() -> Option<&'static Path> {
    BUNDLES.iter().map(Path::new).find(|path| path.is_file())
}

/// A TLS client that verifies chain and name, with the anchors of [`pem`].
///
/// # Errors
/// As [`pem`], and when the file holds no certificate.
pub fn client_config(env: &Env, explicit: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let pem = pem(env, explicit)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| Error::config(format!("a CA certificate is malformed: {error}")))?;
        // Bundles may hold anchors that are too odd for us; they only matter when something chains to them.
        if let Err(error) = roots.add(certificate) {
            tracing::debug!(%error, "a CA certificate was passed over");
        }
    }
    if roots.is_empty() {
        return Err(Error::config("the CA file holds no usable certificate"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::config("TLS could not be set up").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// TLS clients by their file of anchors. Each is made once, so that a process that dials often parses the anchors once and
/// resumes TLS sessions. Clones share; [`Configs::forget`] makes the files count anew.
#[derive(Clone, Debug, Default)]
pub struct Configs(Arc<Mutex<HashMap<Option<PathBuf>, Arc<ClientConfig>>>>);

impl Configs {
    /// As [`client_config`], made at the first call.
    ///
    /// # Errors
    /// As [`client_config`]; failures are not kept.
    pub fn get(&self, env: &Env, explicit: Option<&Path>) -> Result<Arc<ClientConfig>> {
        let file = explicit.map(Path::to_owned);
        if let Some(config) = self.lock().get(&file) {
            return Ok(Arc::clone(config));
        }
        let config = client_config(env, explicit)?;
        self.lock().insert(file, Arc::clone(&config));
        Ok(config)
    }

    /// Forgets them all.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Option<PathBuf>, Arc<ClientConfig>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_pem(certificate: &[u8]) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in STANDARD.encode(certificate).as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_is_used_or_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, "not a certificate").unwrap();
        assert_eq!(pem(&Env::default(), Some(&file)).unwrap(), b"not a certificate");
        let env = Env { vars: [("SSL_CERT_FILE".to_owned(), file.display().to_string())].into(), ..Env::default() };
        assert_eq!(pem(&env, None).unwrap(), b"not a certificate");
        assert!(client_config(&env, None).unwrap_err().message().contains("no usable"));
        assert!(pem(&Env::default(), Some(&dir.path().join("none"))).is_err());
    }
    #[test]
    fn anchors_are_parsed_once_until_they_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, shiftkey_sandbox::pki::Pki::generate().unwrap().ca_pem()).unwrap();
        let configs = Configs::default();
        let first = configs.get(&Env::default(), Some(&file)).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(Arc::ptr_eq(&first, &configs.clone().get(&Env::default(), Some(&file)).unwrap()));
        configs.forget();
        assert!(configs.get(&Env::default(), Some(&file)).is_err());
    }
}
