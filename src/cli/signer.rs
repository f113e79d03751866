//! Who must have signed, as the command line says it: a key, or an identity with those who are believed about it.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::words;
use crate::evidence::keyless::identity::{Expected, Identity};
use crate::evidence::keyless::trust::{BadTrust, Trust};
use crate::evidence::public::PublicKey;
use crate::evidence::signer::Signer;
use crate::sys::{clock, file};

/// The largest file that is read for a key, and for roots.
const KEY_LIMIT: u64 = 64 << 10;
const TRUST_LIMIT: u64 = 1 << 20;

/// Options that say who must have signed; cosign's names for them.
#[derive(Debug, Args)]
pub struct Signed {
    /// The public key (PEM) that must have signed it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "name_pattern", "issuer", "issuer_pattern"])]
    pub key: Option<PathBuf>,
    /// The name in the certificate that must have signed it: an address, or a workflow's link
    #[arg(id = "name", long = "certificate-identity", value_name = "NAME", conflicts_with = "name_pattern")]
    pub name: Option<String>,
    /// A regular expression that matches the whole name
    #[arg(id = "name_pattern", long = "certificate-identity-regexp", value_name = "PATTERN")]
    pub name_pattern: Option<String>,
    /// Who must have vouched for the name: `https://token.actions.githubusercontent.com`
    #[arg(id = "issuer", long = "certificate-oidc-issuer", value_name = "LINK", conflicts_with = "issuer_pattern")]
    pub issuer: Option<String>,
    /// A regular expression that matches the whole link
    #[arg(id = "issuer_pattern", long = "certificate-oidc-issuer-regexp", value_name = "PATTERN")]
    pub issuer_pattern: Option<String>,
    /// Roots and logs that are believed, as sigstore publishes them (`trusted_root.json`)
    #[arg(long, value_name = "FILE")]
    pub trusted_root: Option<PathBuf>,
    /// Certificates (PEM) of authorities that are believed
    #[arg(long, value_name = "FILE")]
    pub ca_roots: Option<PathBuf>,
    /// Certificates (PEM) between those authorities and a signer, where none came with the signature
    #[arg(long, value_name = "FILE", requires = "ca_roots")]
    pub ca_intermediates: Option<PathBuf>,
    /// The public key (PEM) of a transparency log that is believed
    #[arg(long, value_name = "FILE")]
    pub rekor_key: Option<PathBuf>,
    /// Certificates (PEM) of authorities whose time stamps are believed
    #[arg(long, value_name = "FILE")]
    pub timestamp_certificate_chain: Option<PathBuf>,
    /// Does without a log: the certificate must be valid now where no log says when it was used
    #[arg(long)]
    pub insecure_ignore_tlog: bool,
}

impl Signed {
    /// Who must have signed.
    ///
    /// # Errors
    /// All that is missing or cannot be read, each for itself.
    pub fn signer(&self) -> Result<Signer, Diagnostics> {
        if let Some(path) = &self.key {
            return Ok(Signer::Key(key(path, "`cosign public-key --key cosign.key` prints it")?));
        }
        let mut faults = Diagnostics::default();
        let name = expected(self.name.as_deref(), self.name_pattern.as_deref(), &mut faults);
        let issuer = expected(self.issuer.as_deref(), self.issuer_pattern.as_deref(), &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let (name, issuer) = match (name, issuer) {
            (Some(name), Some(issuer)) => (name, issuer),
            (Some(_), None) => return Err(half("who vouches for the name was not said", "--certificate-oidc-issuer").into()),
            (None, Some(_)) => return Err(half("the name was not said", "--certificate-identity").into()),
            (None, None) => {
                let fault = Diagnostic::new(
                    Class::Usage,
                    "verify::no-key",
                    "neither a key nor an identity was named, and anybody can sign an image",
                );
                let help = "`--key cosign.pub` names the key that must have signed it; `--certificate-identity` and \
                            `--certificate-oidc-issuer` name a signer known by a certificate";
                return Err(fault.help(help).into());
            }
        };
        let trust = self.trust()?;
        Ok(Signer::Identity(Box::new(Identity { name, issuer, trust, without_log: self.insecure_ignore_tlog, now: clock::now() })))
    }

    fn trust(&self) -> Result<Trust, Diagnostics> {
        let (mut trust, mut faults) = (Trust::default(), Diagnostics::default());
        let files: [(&Option<PathBuf>, Add); 4] = [
            (&self.trusted_root, Trust::add_published),
            (&self.ca_roots, Trust::add_roots),
            (&self.ca_intermediates, Trust::add_links),
            (&self.timestamp_certificate_chain, Trust::add_stampers),
        ];
        for (path, add) in files {
            let Some(path) = path else { continue };
            let text = file::read(path, TRUST_LIMIT).map_err(|error| error.to_string());
            let added = text.and_then(|bytes| add(&mut trust, &String::from_utf8_lossy(&bytes)).map_err(|error| error.to_string()));
            if let Err(why) = added {
                let shown = words::visible(&path.to_string_lossy());
                let fault = Diagnostic::new(Class::Usage, "verify::bad-trust", format!("`{shown}` cannot be used: {why}"));
                faults
                    .push(fault.help("`cosign trusted-root create` and sigstore's own repository make `trusted_root.json`; roots are PEM"));
            }
        }
        if let Some(path) = &self.rekor_key {
            match key(path, "it is the log's own public key; `trusted_root.json` holds it, too") {
                Ok(key) => trust.add_log(key),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        if trust.has_no_authority() {
            let fault = Diagnostic::new(Class::Usage, "verify::no-root", "no root was named, and anybody can issue a certificate");
            faults.push(fault.help("`--trusted-root trusted_root.json` or `--ca-roots roots.pem` names those that are believed"));
        }
        if trust.has_no_witness() && !self.insecure_ignore_tlog {
            let message =
                "no transparency log and no time stamps were named, so nobody says whether the certificate was valid when it was used";
            faults.push(Diagnostic::new(Class::Usage, "verify::no-log", message).help(
                "`--trusted-root trusted_root.json`, `--rekor-key rekor.pub` or `--timestamp-certificate-chain tsa.pem` names one; \
                 `--insecure-ignore-tlog` does without, and the certificate must be valid now",
            ));
        }
        if faults.is_empty() { Ok(trust) } else { Err(faults) }
    }
}

/// Adds what a file holds to what is trusted.
type Add = fn(&mut Trust, &str) -> Result<(), BadTrust>;

fn half(missing: &str, option: &str) -> Diagnostic {
    let message = format!("{missing}: a name is as good as who vouches for it");
    Diagnostic::new(Class::Usage, "verify::half-identity", message).help(format!("add `{option}`, or `{option}-regexp`"))
}

fn expected(exact: Option<&str>, pattern: Option<&str>, faults: &mut Diagnostics) -> Option<Expected> {
    if let Some(exact) = exact {
        return Some(Expected::Exact(exact.to_owned()));
    }
    let pattern = pattern?;
    match Expected::pattern(pattern) {
        Ok(expected) => Some(expected),
        Err(_) => {
            let shown = words::shorten(&words::visible(pattern), 100);
            let fault = Diagnostic::new(Class::Usage, "verify::bad-pattern", format!("`{shown}` is no regular expression"));
            faults.push(fault.help("write it like `https://github.com/acme/.*`; it has to match the whole text"));
            None
        }
    }
}

/// Reads a public key.
fn key(path: &Path, help: &str) -> Result<PublicKey, Diagnostic> {
    let shown = words::visible(&path.to_string_lossy());
    let bad = |why: String| Diagnostic::new(Class::Usage, "verify::bad-key", format!("`{shown}` cannot be used: {why}"));
    let bytes = file::read(path, KEY_LIMIT).map_err(|error| bad(error.to_string()))?;
    PublicKey::read(&String::from_utf8_lossy(&bytes)).map_err(|error| bad(error.to_string()).help(help))
}
