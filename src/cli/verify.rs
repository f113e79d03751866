//! `kiln verify-signature IMAGE`: whether somebody known vouches for an image.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::words;
use crate::engine::verify::{self, Unverified, Verified};
use crate::evidence::beside::ClaimKind;
use crate::evidence::keyless::identity::{self, Witness};
use crate::evidence::signer::{Signer, Vouched};
use crate::oci::reference::Reference;

use super::args::Global;
use super::output::Output;
use super::signer::Signed;
use super::{machine, run};

/// Options of `verify-signature`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The image in its registry: `ghcr.io/acme/web:1.4`, `…@sha256:…`
    pub image: String,
    #[command(flatten)]
    pub by: Signed,
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
    let signer = asked.by.signer()?;
    let (session, _) = machine::apart(global, asked.insecure.then(|| reference.repository.host()))?;
    let kind = asked.attestation.map(Attestation::kind);
    let what = kind.map_or_else(|| "signature".to_owned(), |kind| format!("signed claim of kind `{}`", kind.word()));
    match run::runtime()?.block_on(verify::verify(&session, &reference, &signer, kind)) {
        Ok(verified) => {
            let image = format!("{}@{}", reference.repository, verified.digest);
            output.answer(&if output.json { json(&image, verified) } else { text(&image, &what, &verified) });
            Ok(0)
        }
        Err(Unverified::Registry(error)) => Err(error.diagnostic().into()),
        Err(Unverified::Refused { digest, reasons }) => {
            let image = format!("{}@{digest}", reference.repository);
            let message = if reasons.is_empty() {
                format!("`{image}` has no {what}")
            } else {
                format!("`{image}` has no {what} of this {}: {}", signer.word(), reasons.join("; "))
            };
            let fault = Diagnostic::new(Class::Policy, "verify::refused", message);
            let asked = match &signer {
                Signer::Key(key) => format!("the key is {}…; ", &key.fingerprint()[..16]),
                Signer::Identity(_) => String::new(),
            };
            Err(fault.help(format!("{asked}nothing was proved, so do not use the image")).into())
        }
    }
}

fn text(image: &str, what: &str, verified: &Verified) -> String {
    let what = words::with_article(what);
    match &verified.by {
        Vouched::Key(fingerprint) => format!("{image}: {what} of key {}\n", &fingerprint[..16]),
        Vouched::Identity(by) => {
            let shown = |text: &str| words::shorten(&words::visible(text), 300);
            let when = by.seen.map_or_else(String::new, |(moment, witness)| format!("  signed {moment}, as the {} says\n", word(witness)));
            let not: String = not_checked(by).iter().map(|what| format!("  not checked: {what}\n")).collect();
            format!("{image}: {what} of {}\n  as {} says\n{when}{not}", shown(&by.name), shown(&by.issuer))
        }
    }
}

fn json(image: &str, verified: Verified) -> String {
    let mut answer = serde_json::json!({ "image": image, "verified": true });
    match &verified.by {
        Vouched::Key(fingerprint) => answer["key"] = fingerprint.as_str().into(),
        Vouched::Identity(by) => {
            answer["identity"] = by.name.as_str().into();
            answer["issuer"] = by.issuer.as_str().into();
            answer["signed_at"] = by.seen.map_or(Value::Null, |(moment, _)| moment.to_string().into());
            answer["time_from"] = by.seen.map_or(Value::Null, |(_, witness)| word(witness).into());
            answer["not_checked"] = not_checked(by).into();
        }
    }
    answer["claim"] = verified.claim.unwrap_or_default();
    format!("{answer}\n")
}

const fn word(witness: Witness) -> &'static str {
    match witness {
        Witness::Log => "transparency log",
        Witness::Stamp => "time stamp",
    }
}

/// What a proof does not rest on.
fn not_checked(by: &identity::Vouched) -> Vec<&'static str> {
    let mut not = Vec::new();
    match by.seen {
        Some((_, Witness::Log)) => {}
        Some((_, Witness::Stamp)) => not.push("whether a transparency log knows of it"),
        None => not.push("when it was signed, and whether a transparency log knows of it; the certificate is valid now"),
    }
    not.push("whether the certificate itself was made public (SCT)");
    not
}
