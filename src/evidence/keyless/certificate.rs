//! Certificates of signers: whom they name, who vouched for the name, what the key is and what it may be used for.
//! Source: RFC 5280; sigstore/fulcio, docs/oid-info.md and docs/certificate-specification.md.

use x509_cert::Certificate as X509;
use x509_cert::TbsCertificate;
use x509_cert::der::asn1::{ObjectIdentifier, Utf8StringRef};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, SubjectAltName};

use crate::base::time::Moment;

use super::super::public::PublicKey;

/// Who vouched for the name: as plain bytes, and as a `UTF8String`.
const ISSUER_V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.1");
const ISSUER_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8");
/// A name that is neither an address nor a link.
const OTHER_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");
pub(super) const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
pub(super) const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");

/// The largest certificate that is read, in bytes: the name in it is bounded by this as well.
const LIMIT: usize = 32 << 10;

/// What a certificate says. Whether it is to be believed is what a chain says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The key that signs.
    pub key: PublicKey,
    /// Whom the key belongs to.
    pub names: Vec<String>,
    /// Who vouched for that, such as `https://token.actions.githubusercontent.com`.
    pub issuer: Option<String>,
    /// Whether it says that the key may sign code.
    pub signs_code: bool,
    /// Whether it says that the key may say what time it is, and nothing else. Source: RFC 3161, section 2.3.
    pub stamps_time: bool,
}

/// Why bytes are no certificate that can be used, as a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// No X.509.
    #[error("has a certificate with it that cannot be read")]
    Form,
    /// The key is of no known kind.
    #[error("has a certificate with it whose kind of key is not known")]
    Key,
    /// It has two issuers.
    #[error("has a certificate with it that names two issuers")]
    TwoIssuers,
}

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// [`BadCertificate`].
    pub fn read(der: &[u8]) -> Result<Self, BadCertificate> {
        let certificate = parse(der)?;
        let tbs = certificate.tbs_certificate();
        let info = tbs.subject_public_key_info().to_der().map_err(|_| BadCertificate::Form)?;
        let usage = tbs.get_extension::<ExtendedKeyUsage>().map_err(|_| BadCertificate::Form)?;
        let (is_critical, usage) = usage.map_or((false, Vec::new()), |(is_critical, usage)| (is_critical, usage.0));
        Ok(Self {
            key: PublicKey::of_der(info).map_err(|_| BadCertificate::Key)?,
            names: names(tbs)?,
            issuer: issuer(tbs)?,
            signs_code: usage.contains(&CODE_SIGNING),
            stamps_time: is_critical && usage == [TIME_STAMPING],
        })
    }
}

/// Where a certificate stands in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Who it is about, as DER.
    pub subject: Vec<u8>,
    /// Who issued it.
    pub issuer: Vec<u8>,
    /// Whether it may issue others, as it says.
    is_authority: bool,
}

impl Link {
    /// Reads DER.
    ///
    /// # Errors
    /// [`BadCertificate::Form`].
    pub fn read(der: &[u8]) -> Result<Self, BadCertificate> {
        let certificate = parse(der)?;
        let tbs = certificate.tbs_certificate();
        let constraints = tbs.get_extension::<BasicConstraints>().map_err(|_| BadCertificate::Form)?;
        Ok(Self {
            subject: tbs.subject().to_der().map_err(|_| BadCertificate::Form)?,
            issuer: tbs.issuer().to_der().map_err(|_| BadCertificate::Form)?,
            is_authority: constraints.is_some_and(|(_, constraints)| constraints.ca),
        })
    }

    /// Whether others can stand below it: it says so, or it issued itself, as old roots do that say nothing.
    pub fn is_above(&self) -> bool {
        self.is_authority || self.subject == self.issuer
    }
}

/// From when until when a certificate is valid.
///
/// # Errors
/// [`BadCertificate::Form`].
pub fn validity(der: &[u8]) -> Result<(Moment, Moment), BadCertificate> {
    let certificate = parse(der)?;
    let validity = certificate.tbs_certificate().validity();
    let moment = |time: &x509_cert::time::Time| Moment::from_seconds(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX));
    Ok((moment(&validity.not_before), moment(&validity.not_after)))
}

fn parse(der: &[u8]) -> Result<X509, BadCertificate> {
    if der.len() > LIMIT {
        return Err(BadCertificate::Form);
    }
    X509::from_der(der).map_err(|_| BadCertificate::Form)
}

fn names(tbs: &TbsCertificate) -> Result<Vec<String>, BadCertificate> {
    let Some((_, names)) = tbs.get_extension::<SubjectAltName>().map_err(|_| BadCertificate::Form)? else { return Ok(Vec::new()) };
    let name = |name: &GeneralName| match name {
        GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) | GeneralName::DnsName(text) => Some(text.to_string()),
        GeneralName::OtherName(other) if other.type_id == OTHER_NAME => {
            other.value.decode_as::<Utf8StringRef<'_>>().ok().map(|text| text.as_str().to_owned())
        }
        _ => None,
    };
    Ok(names.0.iter().filter_map(name).collect())
}

/// Both forms may stand there; then they have to say the same.
fn issuer(tbs: &TbsCertificate) -> Result<Option<String>, BadCertificate> {
    let mut found: Option<String> = None;
    for extension in tbs.extensions().into_iter().flatten() {
        let bytes = extension.extn_value.as_bytes();
        let text = match extension.extn_id {
            ISSUER_V1 => std::str::from_utf8(bytes).map_err(|_| BadCertificate::Form)?,
            ISSUER_V2 => Utf8StringRef::from_der(bytes).map_err(|_| BadCertificate::Form)?.as_str(),
            _ => continue,
        };
        if found.as_deref().is_some_and(|known| known != text) {
            return Err(BadCertificate::TwoIssuers);
        }
        found = Some(text.to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::tests::github;
    use super::*;

    #[test]
    fn the_certificate_of_a_workflow_names_it_its_issuer_and_its_use() {
        let (_, material) = github();
        let certificate = Certificate::read(material.certificate.as_deref().unwrap()).unwrap();
        let name = "https://github.com/salrashid123/go-bazel-github-workflow/.github/workflows/release.yaml@refs/tags/v0.0.17";
        assert_eq!(certificate.names.len(), 1);
        assert!(certificate.names[0].starts_with(&name[..85]), "{:?}", certificate.names);
        assert_eq!(certificate.issuer.as_deref(), Some("https://token.actions.githubusercontent.com"));
        assert!(certificate.signs_code);
        let (from, until) = validity(material.certificate.as_deref().unwrap()).unwrap();
        assert_eq!(until.seconds() - from.seconds(), 600);
        // A root says nothing of a name.
        let root = Certificate::read(&material.chain[1]).unwrap();
        assert_eq!((root.names, root.issuer, root.signs_code), (Vec::new(), None, false));
    }

    #[test]
    fn a_certificate_may_say_the_time_when_it_is_for_that_alone() {
        let read = |text: &str| Certificate::read(&super::super::super::pem::first(text).unwrap().1).unwrap();
        assert!(read(include_str!("../../../fixtures/keyless/stamps/p256.pem")).stamps_time);
        let loose = read(include_str!("../../../fixtures/keyless/stamps/loose.pem"));
        assert_eq!((loose.stamps_time, loose.signs_code), (false, true));
    }

    #[test]
    fn no_cut_and_no_changed_byte_makes_reading_fall_over() {
        let (_, material) = github();
        let whole = material.certificate.unwrap();
        for at in 0..whole.len() {
            assert!(Certificate::read(&whole[..at]).is_err(), "{at}");
            for bit in [0x01, 0x40, 0x80] {
                let mut changed = whole.clone();
                changed[at] ^= bit;
                // Some changes are to text; none ends the program.
                let _ = Certificate::read(&changed);
                let _ = validity(&changed);
            }
        }
        let long = [whole, vec![0; LIMIT]].concat();
        assert_eq!(Certificate::read(&long), Err(BadCertificate::Form));
    }
}
