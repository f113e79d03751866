//! Whether an identity signed: a certificate names it, a chain leads to a root that the user named, and both held when it was signed.

use regex::Regex;

use crate::base::time::Moment;
use crate::base::words;

use super::certificate::Certificate;
use super::entry::Signed;
use super::material::Material;
use super::stamp;
use super::trust::Trust;

/// Who must have signed, and who is believed about it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The name in the certificate.
    pub name: Expected,
    /// Who vouched for the name.
    pub issuer: Expected,
    /// Authorities and logs.
    pub trust: Trust,
    /// Counts a certificate that is valid `now` where no log says when it was signed.
    pub without_log: bool,
    /// The moment of asking.
    pub now: Moment,
}

/// What a text must be.
#[derive(Debug, Clone)]
pub enum Expected {
    /// This.
    Exact(String),
    /// All of it as the pattern says.
    Pattern(Regex),
}

impl Expected {
    /// Reads a pattern; it has to match from the first character to the last, since a part of an address can be in another's.
    ///
    /// # Errors
    /// When it is no regular expression.
    pub fn pattern(text: &str) -> Result<Self, regex::Error> {
        Regex::new(text)?;
        Regex::new(&format!(r"\A(?:{text})\z")).map(Self::Pattern)
    }

    fn is(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The name in the certificate that was expected.
    pub name: String,
    /// Who vouched for it.
    pub issuer: String,
    /// When, and who says so; `None` when nobody was asked.
    pub seen: Option<(Moment, Witness)>,
}

/// Who says when something was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// A transparency log, which has the signature for everybody to see.
    Log,
    /// An authority that stamps times.
    Stamp,
}

impl Identity {
    /// Whether this identity made a signature.
    ///
    /// # Errors
    /// Why it does not count, as a clause.
    pub fn signed(&self, message: &[u8], payload: &[u8], signature: &[u8], material: &Material) -> Result<Vouched, String> {
        let der = material.certificate.as_deref().ok_or("has no certificate with it")?;
        let certificate = Certificate::read(der).map_err(|error| error.to_string())?;
        if !certificate.key.verifies(message, signature) {
            return Err("is not of the key in its certificate".to_owned());
        }
        let seen = self.time(&Signed { message, payload, signature, certificate: der, key: &certificate.key }, material)?;
        self.trust.leads_to_root(der, &material.chain, seen.map_or(self.now, |(moment, _)| moment))?;
        if !certificate.signs_code {
            return Err("has a certificate that is not for signing code".to_owned());
        }
        let shown = |text: &str| words::shorten(&words::visible(text), 200);
        let Some(name) = certificate.names.iter().find(|name| self.name.is(name)) else {
            let names: Vec<String> = certificate.names.iter().map(|name| shown(name)).collect();
            return Err(match names.as_slice() {
                [] => "has a certificate for nobody".to_owned(),
                names => format!("is by {}", words::list(names, "and")),
            });
        };
        match certificate.issuer {
            Some(issuer) if self.issuer.is(&issuer) => Ok(Vouched { name: name.clone(), issuer, seen }),
            Some(issuer) => Err(format!("is by `{}`, as `{}` says", shown(name), shown(&issuer))),
            None => Err(format!("is by `{}`, and nobody says who vouched for that", shown(name))),
        }
    }

    /// When it was signed, as a log says, or else a time stamp.
    fn time(&self, signed: &Signed<'_>, material: &Material) -> Result<Option<(Moment, Witness)>, String> {
        let mut why = "has nothing with it that says when it was signed, no entry of a log and no time stamp";
        let logged = material.entries.iter().map(|entry| (entry.time(&self.trust, signed), Witness::Log));
        let seen: Vec<&[u8]> = [signed.signature].into_iter().chain(material.envelope.as_deref()).collect();
        let stamped = material.stamps.iter().map(|stamp| (stamp::time(stamp, &seen, &self.trust), Witness::Stamp));
        for (time, witness) in logged.chain(stamped) {
            match time {
                Ok(moment) => return Ok(Some((moment, witness))),
                Err(other) => why = other,
            }
        }
        if self.without_log { Ok(None) } else { Err(why.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::key::SigningKey;
    use super::super::super::pem;
    use super::super::tests::{PUBLISHED, github};
    use super::*;

    const NAME: &str = "https://github.com/salrashid123/go-bazel-github-workflow/.github/workflows/release.yaml@refs/tags/NAME";
    const ISSUER: &str = "https://token.actions.githubusercontent.com";

    fn identity(name: &str, issuer: &str) -> Identity {
        let mut trust = Trust::default();
        trust.add_published(PUBLISHED).unwrap();
        let expected = |text: &str| Expected::pattern(text).unwrap();
        Identity { name: expected(name), issuer: expected(issuer), trust, without_log: false, now: Moment(0) }
    }

    fn held(identity: &Identity, material: &Material) -> Result<Vouched, String> {
        let ((payload, signature), _) = github();
        identity.signed(&payload, &payload, &signature, material)
    }

    #[test]
    fn a_workflow_that_signed_an_image_in_public_is_known_by_name_issuer_and_time() {
        let (_, material) = github();
        let name = NAME.replace("NAME", "v.*");
        let vouched = held(&identity(&name, ISSUER), &material).unwrap();
        assert!(vouched.name.starts_with(NAME.trim_end_matches("NAME")), "{vouched:?}");
        assert_eq!(
            (vouched.issuer.as_str(), vouched.seen),
            (ISSUER, Some((Moment::from_seconds(material.entries[0].integrated), Witness::Log)))
        );
        let exact = Identity { name: Expected::Exact(vouched.name.clone()), ..identity("", ISSUER) };
        assert_eq!(held(&exact, &material), Ok(vouched));
    }

    #[test]
    fn a_signature_counts_for_no_other_name_issuer_text_or_time() {
        let (_, material) = github();
        let name = NAME.replace("NAME", "v.*");
        for (name, issuer, expected) in [
            // A part of the name is not the name.
            ("salrashid123", ISSUER, "is by `https://github.com/salrashid123/"),
            ("https://github.com/salrashid123/.*main", ISSUER, "is by `"),
            ("a|.*", "https://accounts.google.com", "as `https://token.actions.githubusercontent.com` says"),
            (&name, "https://token.actions.githubusercontent", "as `https://token"),
        ] {
            let why = held(&identity(name, issuer), &material).unwrap_err();
            assert!(why.contains(expected), "{name} {issuer}: {why}");
        }
        let own = identity(".*", ".*");
        let ((payload, signature), _) = github();
        assert_eq!(own.signed(b"{}", b"{}", &signature, &material).unwrap_err(), "is not of the key in its certificate");
        assert!(own.signed(&payload, &payload, &signature, &material).is_ok());
        let bare = Material { certificate: None, ..material.clone() };
        assert_eq!(held(&own, &bare).unwrap_err(), "has no certificate with it");
        // Without its entry the certificate would have to be valid now, and the user would have to take that.
        let unlogged = Material { entries: Vec::new(), ..material.clone() };
        assert!(held(&own, &unlogged).unwrap_err().contains("nothing with it that says when"));
        let late = Identity { without_log: true, now: Moment(material.entries[0].integrated * 1_000 + 3_600_000), ..own.clone() };
        assert!(held(&late, &unlogged).unwrap_err().contains("not valid when it was signed"));
        let then = Identity { now: Moment::from_seconds(material.entries[0].integrated), ..late };
        assert_eq!(held(&then, &unlogged).unwrap().seen, None);
        // Another certificate of the same authority is not this signature's.
        let other = Material { certificate: Some(material.chain[0].clone()), ..material };
        assert!(held(&own, &other).is_err());
    }

    /// Both certificates are of one authority and one key.
    #[test]
    fn a_name_of_fulcios_own_kind_counts_and_two_issuers_in_one_certificate_are_none() {
        let mut trust = Trust::default();
        trust.add_roots(include_str!("../../../fixtures/keyless/stamps/root.pem")).unwrap();
        let key = SigningKey::read(include_str!("../../../fixtures/keys/rfc6979.pem"), None).unwrap();
        let expected = |text: &str| Expected::Exact(text.to_owned());
        let held = |name: &str, issuer: &str, certificate: &str| {
            let now = Moment::parse("2027-01-01T00:00:00Z").unwrap();
            let own = Identity { name: expected(name), issuer: expected(issuer), trust: trust.clone(), without_log: true, now };
            let material = Material { certificate: Some(pem::first(certificate).unwrap().1), ..Material::default() };
            own.signed(b"{}", b"{}", &key.sign(b"{}"), &material).map(|vouched| vouched.name)
        };
        let (name, issuer) = ("release!ci.example.org", "https://issuer.example.org");
        let other_name = include_str!("../../../fixtures/keyless/other_name.pem");
        assert_eq!(held(name, issuer, other_name).as_deref(), Ok(name));
        assert_eq!(held("release", issuer, other_name).unwrap_err(), "is by `release!ci.example.org`");
        let two = include_str!("../../../fixtures/keyless/two_issuers.pem");
        for issuer in ["https://issuer.example.com", "https://other.example.org"] {
            let why = held("https://ci.example.org/acme", issuer, two).unwrap_err();
            assert_eq!(why, "has a certificate with it that names two issuers", "{issuer}");
        }
    }
}
