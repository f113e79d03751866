//! What the user trusts for signers without a key of their own: authorities that issue certificates, and logs that say when.
//! In: PEM, or a root of trust as sigstore publishes it. Source: RFC 5280; sigstore/protobuf-specs, sigstore_trustroot.proto.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use serde::Deserialize;
use webpki::{EndEntityCert, Error, KeyUsage};

use crate::base::time::Moment;

use super::super::pem;
use super::super::public::PublicKey;
use super::certificate::{self, Link, validity};
use super::material::Chain;

/// What certificates may be good for, as the bytes of the identifier without tag and length.
const CODE_SIGNING: &[u8] = certificate::CODE_SIGNING.as_bytes();
const TIME_STAMPING: &[u8] = certificate::TIME_STAMPING.as_bytes();
/// The most certificates between a signer and a root that a stranger may hand in.
const MOST_GIVEN: usize = 8;

/// Who may say who signed, and when.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    authorities: Vec<Authority>,
    stampers: Vec<Authority>,
    logs: Vec<Log>,
}

#[derive(Debug, Clone)]
struct Authority {
    root: TrustAnchor<'static>,
    /// From when to when the root's own certificate is valid.
    lives: (Moment, Moment),
    between: Vec<CertificateDer<'static>>,
    /// Who alone speaks for it, where somebody was named.
    own: Vec<CertificateDer<'static>>,
    valid: Window,
}

/// A log that promises to hold an entry for ever.
#[derive(Debug, Clone)]
pub(super) struct Log {
    /// Its key, whose digest is its name.
    pub(super) key: PublicKey,
    valid: Window,
}

/// When something may be relied on; a side that is missing has no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Window {
    start: Option<Moment>,
    end: Option<Moment>,
}

impl Window {
    fn holds(self, at: Moment) -> bool {
        self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at <= end)
    }
}

/// Why a text gives nothing to trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTrust {
    /// No PEM, or something else in it.
    #[error("it holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`)")]
    NoCertificate,
    /// There are certificates in it, and none of an authority.
    #[error("it holds no certificate of an authority that issues others")]
    NoAuthority,
    /// A certificate in it is none.
    #[error("a certificate in it cannot be read")]
    Certificate,
    /// Not a root of trust.
    #[error("it is no root of trust as sigstore publishes it (`trusted_root.json`)")]
    Form,
    /// A key of a log is of no known kind.
    #[error("a key of a log in it is of a kind that is not known")]
    Key,
}

impl Trust {
    /// Adds every certificate of a text as a root.
    ///
    /// # Errors
    /// [`BadTrust`].
    pub fn add_roots(&mut self, text: &str) -> Result<(), BadTrust> {
        let roots = certificates(text)?;
        for root in &roots {
            self.authorities.push(Authority::new(root, Vec::new())?);
        }
        Ok(())
    }

    /// Adds every certificate of a text as a link between a signer and the roots that were added before. None of them is believed for that.
    ///
    /// # Errors
    /// [`BadTrust`].
    pub fn add_links(&mut self, text: &str) -> Result<(), BadTrust> {
        let links = certificates(text)?;
        for link in &links {
            Link::read(link).map_err(|_| BadTrust::Certificate)?;
        }
        self.authorities.iter_mut().for_each(|authority| authority.between.extend(links.iter().cloned()));
        Ok(())
    }

    /// Adds authorities that stamp times. What is issued by no other certificate of the text is a root, other authorities stand between;
    /// where the text also holds the certificate of one that stamps, nobody else does. Source: cosign, pkg/cosign/tsa.go.
    ///
    /// # Errors
    /// [`BadTrust`].
    pub fn add_stampers(&mut self, text: &str) -> Result<(), BadTrust> {
        let (above, own) = sorted(certificates(text)?)?;
        let is_root = |link: &Link| link.subject == link.issuer || above.iter().all(|(_, other)| other.subject != link.issuer);
        let (roots, between): (Vec<_>, Vec<_>) = above.iter().partition(|(_, link)| is_root(link));
        if roots.is_empty() {
            return Err(BadTrust::NoAuthority);
        }
        let between: Vec<CertificateDer<'static>> = between.into_iter().map(|(der, _)| der.clone()).collect();
        for (root, _) in roots {
            self.stampers.push(Authority { own: own.clone(), ..Authority::new(root, between.clone())? });
        }
        Ok(())
    }

    /// Adds a log by its key.
    pub fn add_log(&mut self, key: PublicKey) {
        self.logs.push(Log { key, valid: Window::default() });
    }

    /// Adds the authorities and the logs of a `trusted_root.json`.
    ///
    /// # Errors
    /// [`BadTrust`].
    pub fn add_published(&mut self, json: &str) -> Result<(), BadTrust> {
        let read: Published = serde_json::from_str(json).map_err(|_| BadTrust::Form)?;
        if !read.media_type.starts_with("application/vnd.dev.sigstore.trustedroot") {
            return Err(BadTrust::Form);
        }
        for authority in read.certificate_authorities {
            self.authorities.push(authority.read()?);
        }
        for stamper in read.timestamp_authorities {
            let stamper = stamper.read()?;
            let (above, own) = sorted(stamper.between)?;
            self.stampers.push(Authority { between: above.into_iter().map(|(der, _)| der).collect(), own, ..stamper });
        }
        for log in read.tlogs {
            let key = STANDARD.decode(log.public_key.raw_bytes).map_err(|_| BadTrust::Form)?;
            let key = PublicKey::of_der(key).map_err(|_| BadTrust::Key)?;
            self.logs.push(Log { key, valid: log.public_key.valid_for.window()? });
        }
        Ok(())
    }

    /// Whether nobody is trusted to say who signed.
    #[must_use]
    pub const fn has_no_authority(&self) -> bool {
        self.authorities.is_empty()
    }

    /// Whether no log and no stamper is trusted to say when.
    #[must_use]
    pub const fn has_no_witness(&self) -> bool {
        self.logs.is_empty() && self.stampers.is_empty()
    }

    /// The certificates of stampers that may be relied on at a moment: a stamp need not bring its own along.
    pub(super) fn stampers(&self, at: Moment) -> impl Iterator<Item = &[u8]> {
        let there = self.stampers.iter().filter(move |stamper| stamper.valid.holds(at));
        there.flat_map(|stamper| stamper.own.iter().map(AsRef::as_ref))
    }

    /// As [`Trust::leads_to_root`], for whoever stamped a time.
    pub(super) fn stamper_leads_to_root(&self, leaf: &[u8], given: &[Vec<u8>], at: Moment) -> bool {
        let may = |stamper: &&Authority| stamper.own.is_empty() || stamper.own.iter().any(|own| own.as_ref() == leaf);
        leads_to_root(self.stampers.iter().filter(may), leaf, given, at, TIME_STAMPING).is_ok()
    }

    /// The logs that may be relied on at a moment.
    pub(super) fn logs(&self, at: Moment) -> impl Iterator<Item = &Log> {
        self.logs.iter().filter(move |log| log.valid.holds(at))
    }

    /// Whether a chain leads from a certificate to a trusted root, with all of it valid at a moment and good for signing code. `given`
    /// are certificates from whoever signed: they may be links of the chain, never its end.
    ///
    /// # Errors
    /// Why there is none, as a clause.
    pub(super) fn leads_to_root(&self, leaf: &[u8], given: &[Vec<u8>], at: Moment) -> Result<(), String> {
        leads_to_root(self.authorities.iter(), leaf, given, at, CODE_SIGNING)
    }
}

fn leads_to_root<'a>(
    authorities: impl Iterator<Item = &'a Authority>,
    leaf: &[u8],
    given: &[Vec<u8>],
    at: Moment,
    purpose: &'static [u8],
) -> Result<(), String> {
    let leaf = CertificateDer::from(leaf);
    let end = EndEntityCert::try_from(&leaf).map_err(|error| unsound(&error))?;
    let given = given.iter().take(MOST_GIVEN).map(|der| CertificateDer::from(der.as_slice()));
    let given: Vec<CertificateDer<'_>> = given.collect();
    let mut worst: Option<Error> = None;
    for authority in authorities.filter(|authority| authority.valid.holds(at)) {
        match authority.vouches(&end, &given, at, purpose) {
            Ok(()) => return Ok(()),
            // Another root is no news; what fails on the way to one is.
            Err(Error::UnknownIssuer) => {}
            Err(error) => worst = Some(error),
        }
    }
    Err(worst.map_or_else(|| "has a certificate that leads to none of the roots".to_owned(), |error| unsound(&error)))
}

/// The certificates of a text, at least one.
fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, BadTrust> {
    let found = pem::certificates(text).filter(|found| !found.is_empty()).ok_or(BadTrust::NoCertificate)?;
    Ok(found.into_iter().map(CertificateDer::from).collect())
}

type Above = Vec<(CertificateDer<'static>, Link)>;

/// Those who issue others, and those below them.
fn sorted(certificates: Vec<CertificateDer<'static>>) -> Result<(Above, Vec<CertificateDer<'static>>), BadTrust> {
    let (mut above, mut own) = (Vec::new(), Vec::new());
    for der in certificates {
        let link = Link::read(&der).map_err(|_| BadTrust::Certificate)?;
        if link.is_above() { above.push((der, link)) } else { own.push(der) }
    }
    Ok((above, own))
}

impl Authority {
    /// One that may be relied on at any time.
    fn new(root: &CertificateDer<'_>, between: Vec<CertificateDer<'static>>) -> Result<Self, BadTrust> {
        let anchor = webpki::anchor_from_trusted_cert(root).map_err(|_| BadTrust::Certificate)?.to_owned();
        let lives = validity(root).map_err(|_| BadTrust::Certificate)?;
        Ok(Self { root: anchor, lives, between, own: Vec::new(), valid: Window::default() })
    }

    fn vouches(&self, end: &EndEntityCert<'_>, given: &[CertificateDer<'_>], at: Moment, purpose: &'static [u8]) -> Result<(), Error> {
        let seconds = u64::try_from(at.seconds()).map_err(|_| Error::InvalidCertValidity)?;
        let between: Vec<CertificateDer<'_>> = self.between.iter().chain(given).cloned().collect();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        // That the signer's own certificate says so is asked where it is read; an authority's need not say anything.
        let usage = KeyUsage::required_if_present(purpose);
        end.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, std::slice::from_ref(&self.root), &between, time, usage, None, None)?;
        // Whoever named a root did not mean one that is over.
        let (from, until) = self.lives;
        if from <= at && at <= until { Ok(()) } else { Err(Error::InvalidCertValidity) }
    }
}

fn unsound(error: &Error) -> String {
    match error {
        Error::CertNotValidYet { .. } | Error::CertExpired { .. } | Error::InvalidCertValidity => {
            "has a certificate that was not valid when it was signed, or one above it was not".to_owned()
        }
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            "has a certificate, or one above it, that is not for signing code".to_owned()
        }
        Error::CaUsedAsEndEntity => "has an authority's certificate with it, not a signer's".to_owned(),
        Error::BadDer | Error::TrailingData(_) | Error::UnsupportedCertVersion => {
            "has a certificate with it that cannot be read".to_owned()
        }
        other => format!("has a certificate whose chain to the root does not hold ({other:?})"),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Published {
    media_type: String,
    #[serde(default)]
    tlogs: Vec<PublishedLog>,
    #[serde(default)]
    certificate_authorities: Vec<PublishedAuthority>,
    #[serde(default)]
    timestamp_authorities: Vec<PublishedAuthority>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublishedLog {
    public_key: PublishedKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublishedKey {
    raw_bytes: String,
    #[serde(default)]
    valid_for: PublishedWindow,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublishedAuthority {
    cert_chain: Chain,
    #[serde(default)]
    valid_for: PublishedWindow,
}

impl PublishedAuthority {
    /// The root comes last.
    fn read(self) -> Result<Authority, BadTrust> {
        let mut between = Vec::new();
        for certificate in self.cert_chain.certificates {
            between.push(CertificateDer::from(certificate.der().ok_or(BadTrust::Form)?));
        }
        let root = between.pop().ok_or(BadTrust::Form)?;
        Ok(Authority { valid: self.valid_for.window()?, ..Authority::new(&root, between)? })
    }
}

#[derive(Deserialize, Default)]
struct PublishedWindow {
    start: Option<String>,
    end: Option<String>,
}

impl PublishedWindow {
    fn window(&self) -> Result<Window, BadTrust> {
        let moment = |text: &Option<String>| text.as_deref().map(|text| Moment::parse(text).ok_or(BadTrust::Form)).transpose();
        Ok(Window { start: moment(&self.start)?, end: moment(&self.end)? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PUBLISHED, github};
    use super::*;

    #[test]
    fn a_chain_holds_while_the_certificate_does_and_to_named_roots_only() {
        let mut trust = Trust::default();
        trust.add_published(PUBLISHED).unwrap();
        assert!(!trust.has_no_authority() && !trust.has_no_witness());
        let (_, material) = github();
        let leaf = material.certificate.as_deref().unwrap();
        let (from, until) = validity(leaf).unwrap();
        let at = |moment: Moment| trust.leads_to_root(leaf, &[], moment);
        assert_eq!((at(from), at(until)), (Ok(()), Ok(())));
        for moment in [Moment(from.0 - 1_000), Moment(until.0 + 1_000), Moment(i64::MAX), Moment(-5_000)] {
            assert!(at(moment).unwrap_err().contains("has a certificate that"), "{moment}");
        }
        // The roots alone, as PEM: what is between comes with the signature.
        let pem = |der: &[u8]| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der));
        let mut alone = Trust::default();
        alone.add_roots(&pem(&material.chain[1])).unwrap();
        assert_eq!(alone.leads_to_root(leaf, &material.chain, from), Ok(()));
        assert_eq!(alone.leads_to_root(leaf, &[], from).unwrap_err(), "has a certificate that leads to none of the roots");
        // A link may be named, and is no root.
        alone.add_links(&pem(&material.chain[0])).unwrap();
        assert_eq!(alone.leads_to_root(leaf, &[], from), Ok(()));
        let mut unrooted = Trust::default();
        unrooted.add_roots(include_str!("../../../fixtures/keyless/other_root.pem")).unwrap();
        unrooted.add_links(&(pem(&material.chain[0]) + &pem(&material.chain[1]))).unwrap();
        assert_eq!(unrooted.leads_to_root(leaf, &[], from).unwrap_err(), "has a certificate that leads to none of the roots");
        assert_eq!(unrooted.add_links("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), Err(BadTrust::Certificate));
        // What came with the signature is no root.
        let mut other = Trust::default();
        other.add_roots(include_str!("../../../fixtures/keyless/other_root.pem")).unwrap();
        assert!(other.leads_to_root(leaf, &material.chain, from).is_err());
        // An authority's certificate signs nothing by itself.
        assert!(alone.leads_to_root(&material.chain[0], &[], from).unwrap_err().contains("an authority's certificate"));
    }

    #[test]
    fn a_text_that_gives_nothing_to_trust_is_refused_by_what_it_is() {
        let mut trust = Trust::default();
        assert_eq!(trust.add_roots(""), Err(BadTrust::NoCertificate));
        assert_eq!(trust.add_roots(include_str!("../../../fixtures/keys/rfc6979.pub")), Err(BadTrust::NoCertificate));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(trust.add_roots(broken), Err(BadTrust::Certificate));
        for text in
            ["", "{}", r#"{"mediaType":"text/plain"}"#, &PUBLISHED.replace("2022-12-31T23:59:59", "soon"), &PUBLISHED.replace("MFkw", "*")]
        {
            assert!(matches!(trust.add_published(text), Err(BadTrust::Form)), "{text}");
        }
        assert_eq!(trust.add_published(&PUBLISHED.replace("\"MFkw", "\"AFkw")), Err(BadTrust::Key));
    }

    #[test]
    fn of_an_authority_that_stamps_times_the_topmost_certificate_is_the_root_in_whatever_order_they_stand() {
        let (_, material) = github();
        let pem = |der: &[u8]| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der));
        let (leaf, between, root) = (pem(&material.certificate.unwrap()), pem(&material.chain[0]), pem(&material.chain[1]));
        let read = |texts: &[&String]| {
            let mut trust = Trust::default();
            trust.add_stampers(&texts.iter().map(|text| text.as_str()).collect::<String>())?;
            Ok(trust.stampers.iter().map(|one| (one.root.subject.to_vec(), one.between.len(), one.own.len())).collect::<Vec<_>>())
        };
        let subject = |der: &[u8]| webpki::anchor_from_trusted_cert(&CertificateDer::from(der)).unwrap().subject.to_vec();
        let (top, middle) = (subject(&material.chain[1]), subject(&material.chain[0]));
        for order in [[&leaf, &between, &root], [&root, &between, &leaf], [&between, &leaf, &root]] {
            assert_eq!(read(&order), Ok(vec![(top.clone(), 1, 1)]));
        }
        assert_eq!(read(&[&root]), Ok(vec![(top.clone(), 0, 0)]));
        // Two roots: what stands between may lead to either.
        let other = include_str!("../../../fixtures/keyless/other_root.pem").to_owned();
        assert_eq!(read(&[&root, &other, &between]).unwrap().iter().map(|one| one.1).collect::<Vec<_>>(), [1, 1]);
        // Without what issued it, it is what the user trusts.
        assert_eq!(read(&[&between, &leaf]), Ok(vec![(middle, 0, 1)]));
        assert_eq!(read(&[&leaf]), Err(BadTrust::NoAuthority));
    }
}
