//! tokio-quiche takes certificates from files only, so a self-signed one goes to a temporary folder.

use std::path::PathBuf;

use boring::asn1::Asn1Time;
use boring::bn::{BigNum, MsbOption};
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::PKey;
use boring::x509::extension::SubjectAlternativeName;
use boring::x509::{X509, X509NameBuilder};

use crate::Error;

/// The files of a certificate and its key. They go with the value.
pub struct Files {
    dir: PathBuf,
    pub cert: String,
    pub key: String,
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Makes a certificate of P-256 for localhost and writes it.
pub fn write() -> Result<Files, Error> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_nid(Nid::COMMONNAME, "localhost")?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let mut cert = X509::builder()?;
    cert.set_version(2)?;
    cert.set_serial_number(serial.to_asn1_integer()?.as_ref())?;
    cert.set_subject_name(&name)?;
    cert.set_issuer_name(&name)?;
    cert.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    cert.set_not_after(Asn1Time::days_from_now(30)?.as_ref())?;
    cert.set_pubkey(&key)?;
    let names = SubjectAlternativeName::new().dns("localhost").build(&cert.x509v3_context(None, None))?;
    cert.append_extension(&names)?;
    cert.sign(&key, MessageDigest::sha256())?;

    let dir = std::env::temp_dir().join(format!("quiche-h3-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let files = Files { cert: path("cert.pem"), key: path("key.pem"), dir: dir.clone() };
    std::fs::write(&files.cert, cert.build().to_pem()?)?;
    std::fs::write(&files.key, key.private_key_to_pem_pkcs8()?)?;
    Ok(files)
}
