//! `kiln verify-signature IMAGE --key FILE`: whether somebody known vouches for an image.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::words;
use crate::engine::verify::{self, Unverified};
use crate::evidence::beside::ClaimKind;
use crate::evidence::public::PublicKey;
use crate::oci::reference::Reference;
use crate::store::local::Store;
use crate::sys::file;

use super::args::Global;
use super::output::Output;
use super::{machine, run, settings};

/// The largest file that is read for a key.
const LIMIT: u64 = 64 << 10;

/// Options of `verify-signature`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The image in its registry: `ghcr.io/acme/web:1.4`, `…@sha256:…`
    pub image: String,
    /// The public key (PEM) that must have signed it
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Looks for a signed claim of this kind in place of a signature of the image
    #[arg(long, value_name = "KIND")]
    pub attestation: Option<Attestation>,
    /// Speaks plain HTTP to the image's host
    #[arg(long)]
    pub insecure: bool,
}

/// The kinds of claims, also under the names that cosign gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Attestation {
    /// A bill of materials in CycloneDX
    Cyclonedx,
    /// A bill of materials in SPDX
    #[value(alias = "spdxjson")]
    Spdx,
    /// How it was built, in SLSA's form
    #[value(alias = "slsaprovenance1")]
    Provenance,
}

impl Attestation {
    const fn kind(self) -> ClaimKind {
        match self {
            Self::Cyclonedx => ClaimKind::Cyclonedx,
            Self::Spdx => ClaimKind::Spdx,
            Self::Provenance => ClaimKind::Provenance,
        }
    }
}

/// Verifies, says what was proved, and gives the exit code.
///
/// # Errors
/// The command line, the registry, or that nothing was proved (class `Policy`).
pub fn verify(global: &Global, output: &Output, asked: &Verify) -> Result<u8, Diagnostics> {
    let shown = words::visible(&asked.image);
    let reference: Reference = asked.image.parse().map_err(|error| {
        Diagnostic::new(Class::Usage, "cli::image", format!("`{shown}` is no image: {error}")).help("write it like `ghcr.io/acme/web:1.4`")
    })?;
    let key = key(asked)?;
    let store = Store::open(settings::store_below(&settings::cache_folder(global)?)).map_err(|error| {
        Diagnostic::new(Class::Environment, "store::open", error.to_string()).help("KILN_CACHE_DIR, or --cache-dir, names another folder")
    })?;
    let insecure = asked.insecure.then(|| reference.repository.host().to_owned()).into_iter().collect();
    let session = machine::session_of(insecure, global.offline, &store);
    let kind = asked.attestation.map(Attestation::kind);
    let what = kind.map_or_else(|| "signature".to_owned(), |kind| format!("signed claim of kind `{}`", kind.word()));
    match run::runtime()?.block_on(verify::verify(&session, &reference, &key, kind)) {
        Ok(verified) => {
            let image = format!("{}@{}", reference.repository, verified.digest);
            output.answer(&if output.json {
                let claim = verified.claim;
                let answer = serde_json::json!({ "image": image, "verified": true, "key": key.fingerprint(), "claim": claim });
                format!("{answer}\n")
            } else {
                format!("{image}: {} of key {}\n", words::with_article(&what), &key.fingerprint()[..16])
            });
            Ok(0)
        }
        Err(Unverified::Registry(error)) => Err(error.diagnostic().into()),
        Err(Unverified::Refused { digest, reasons }) => {
            let image = format!("{}@{digest}", reference.repository);
            let message = if reasons.is_empty() {
                format!("`{image}` has no {what}")
            } else {
                format!("`{image}` has no {what} of this key: {}", reasons.join("; "))
            };
            let fault = Diagnostic::new(Class::Policy, "verify::refused", message);
            Err(fault.help(format!("the key is {}…; nothing was proved, so do not use the image", &key.fingerprint()[..16])).into())
        }
    }
}

/// Without a key everybody's signature would do.
fn key(asked: &Verify) -> Result<PublicKey, Diagnostic> {
    let Some(path) = &asked.key else {
        let fault = Diagnostic::new(Class::Usage, "verify::no-key", "no key was named, and anybody can sign an image");
        return Err(fault
            .help("`--key cosign.pub` names the one that must have signed it; signers known by a certificate alone cannot be verified"));
    };
    let shown = words::visible(&path.to_string_lossy());
    let bad = |why: String| Diagnostic::new(Class::Usage, "verify::bad-key", format!("`{shown}` cannot be used: {why}"));
    let bytes = file::read(path, LIMIT).map_err(|error| bad(error.to_string()))?;
    PublicKey::read(&String::from_utf8_lossy(&bytes))
        .map_err(|error| bad(error.to_string()).help("`cosign public-key --key cosign.key` prints it"))
}
