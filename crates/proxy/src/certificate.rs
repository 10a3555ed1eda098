//! What TLS is served with to clients: a certificate and its key, read anew when told.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use shiftkey::{Error, Result};

use crate::private_file;

/// What a client that begins with TLS at once must name, so that it cannot be led here by another protocol (PostgreSQL
/// documentation, "SSL Session Encryption").
const ALPN: &[u8] = b"postgresql";

/// A certificate, its chain and its key, in two files of PEM.
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// `Config` when one cannot be read or used, they do not belong together, or others may read the key.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self> {
        let config = RwLock::new(read(certificate, key)?);
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), config })
    }

    /// Reads both files anew, for clients from then on.
    ///
    /// # Errors
    /// As [`Self::load`]; then what was read before goes on to be served.
    pub fn reload(&self) -> Result<()> {
        let fresh = read(&self.certificate, &self.key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Where it is read from.
    pub fn files(&self) -> [&Path; 2] {
        [&self.certificate, &self.key]
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let wrong = |path: &Path, why: String| Error::config(format!("the TLS file {}: {why}", path.display()));
    let pem = std::fs::read(certificate).map_err(|error| wrong(certificate, format!("it cannot be read: {error}")).with_source(error))?;
    let chain: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| wrong(certificate, format!("it is malformed: {error}")))?;
    if chain.is_empty() {
        return Err(
            wrong(certificate, "it holds no certificate".to_owned()).with_hint("it must be PEM, the server's own certificate first")
        );
    }
    let pem = private_file::read("the TLS key", key)?;
    let private = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| wrong(key, format!("it holds no key: {error}")).with_hint("it must be PEM, without a passphrase"))?;
    let unusable = |error: rustls::Error| wrong(certificate, format!("it cannot be used with its key: {error}"));
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    /// A certificate in two files, as they should be.
    fn write(dir: &Path) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (dir.join("tls.crt"), dir.join("tls.key"));
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        (certificate, key)
    }

    #[test]
    fn files_that_cannot_be_served_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = write(dir.path());
        Certificate::load(&certificate, &key).unwrap();
        let other = tempfile::tempdir().unwrap();
        let (_, another) = write(other.path());
        let told = |certificate: &Path, key: &Path| Certificate::load(certificate, key).unwrap_err().message().to_owned();
        assert!(told(&certificate, &another).contains("cannot be used with its key"));
        assert!(told(&key, &key).contains("holds no certificate"));
        fs::set_permissions(&certificate, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(told(&certificate, &certificate).contains("holds no key"));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(told(&certificate, &key).contains("can be read or changed by others"));
    }

    #[test]
    fn a_reload_that_fails_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = write(dir.path());
        let served = Certificate::load(&certificate, &key).unwrap();
        let first = served.config();
        fs::write(&certificate, "nonsense").unwrap();
        served.reload().unwrap_err();
        assert!(Arc::ptr_eq(&first, &served.config()));
        write(dir.path());
        served.reload().unwrap();
        assert!(!Arc::ptr_eq(&first, &served.config()));
    }
}
