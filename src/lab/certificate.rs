//! The API's own CA, and the certificate that it signed.

use super::{LabError, error::AtPath as _};
use camino::Utf8Path;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::{fs, os::unix::fs::OpenOptionsExt as _, sync::Arc};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// What the API is reached as; a node's certificate has these too.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// Makes `ca.pem`, `server.pem` and `server.key` (0600). The CA's own key is thrown away: it signs once.
pub(super) fn make(state: &Utf8Path) -> Result<(), LabError> {
    let (ca, server, key) = sign().map_err(|cause| LabError::Certificate(cause.into()))?;
    for (name, text, mode) in
        [("ca.pem", ca, 0o644), ("server.pem", server, 0o644), ("server.key", key, 0o600)]
    {
        write(&state.join(name), text.as_bytes(), mode)?;
    }
    Ok(())
}

fn sign() -> Result<(String, String, String), rcgen::Error> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "stackc lab CA");
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let mut server = CertificateParams::new(NAMES.map(str::to_owned))?;
    server.distinguished_name.push(DnType::CommonName, "stackc lab");
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &ca)?;
    Ok((ca.pem(), certificate.pem(), key.serialize_pem()))
}

/// The server's side of TLS, from the files that `make` left.
pub(super) fn load(state: &Utf8Path) -> Result<ServerConfig, LabError> {
    let read = || -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
        let chain = vec![CertificateDer::from_pem_file(state.join("server.pem"))?];
        let key = PrivateKeyDer::from_pem_file(state.join("server.key"))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        Ok(builder.with_single_cert(chain, key)?)
    };
    read().map_err(LabError::Certificate)
}

/// Writes a file that never has a wider mode than this.
pub(super) fn write(path: &Utf8Path, bytes: &[u8], mode: u32) -> Result<(), LabError> {
    use std::io::Write as _;
    let opened =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path);
    opened.and_then(|mut file| file.write_all(bytes)).at("write", path)
}
