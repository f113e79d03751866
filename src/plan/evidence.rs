//! What goes beside a pushed image: a signature, bills of materials, provenance.

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Span;
use crate::base::digest::{Digest, Sha256};

use super::include::Loaded;
use super::param::ParamOrigin;
use super::secret::SecretSource;
use super::target::TargetKind;
use super::{Overrides, Plan};

/// What a `push` sends beside the image.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EvidenceDef {
    /// A signature of the image and of all that is claimed of it.
    pub sign: Option<SignDef>,
    /// The bill of materials of every platform.
    pub sbom: Option<Span>,
    /// How it was made.
    pub provenance: Option<ProvenanceDef>,
}

impl EvidenceDef {
    /// Whether there is nothing to send.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sign.is_none() && self.sbom.is_none() && self.provenance.is_none()
    }

    /// The words of what is asked for.
    #[must_use]
    pub fn words(&self) -> Vec<&'static str> {
        let asked = [("sign", self.sign.is_some()), ("sbom", self.sbom.is_some()), ("provenance", self.provenance.is_some())];
        asked.into_iter().filter_map(|(word, asked)| asked.then_some(word)).collect()
    }
}

/// The key that signs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignDef {
    /// Where it is.
    pub key: KeyFrom,
    /// Where its password is, if it needs one; [`None`] for COSIGN_PASSWORD.
    pub password: Option<KeyFrom>,
    /// The node.
    pub span: Span,
}

/// A secret with the name that the plan gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFrom {
    /// The `secret`; `None` for a file or a variable.
    pub name: Option<String>,
    /// Where its value comes from.
    pub source: SecretSource,
}

/// What provenance says of the sources.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProvenanceDef {
    /// The commit; `None` outside a repository.
    pub commit: Option<Commit>,
    /// The node.
    pub span: Span,
}

/// The commit that the sources are of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// All its digits.
    pub sha: String,
    /// The address of the repository without anybody's name or password; `None` when it was not fetched from anywhere.
    pub origin: Option<String>,
    /// Whether a tracked file differs from it.
    pub dirty: bool,
}

/// What the plan was, for provenance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its documents with their SHA-256 in hex: the plan's own first, then what it includes.
    pub documents: Vec<(String, String)>,
    /// The profiles that were chosen.
    pub profiles: Vec<String>,
    /// Parameters that do not have their defaults.
    pub params: Vec<(String, String)>,
}

impl Asked {
    /// What a plan was; nothing where no image has provenance, so that other plans are not read for it.
    pub(super) fn of(documents: &Loaded, plan: &Plan, overrides: &Overrides) -> Self {
        let images = plan.targets.values().filter_map(|target| match &target.kind {
            TargetKind::Image(images) => Some(images),
            _ => None,
        });
        if !images.flatten().flat_map(|image| &image.push).any(|push| push.evidence.provenance.is_some()) {
            return Self::default();
        }
        let all = std::iter::once(&documents.main).chain(documents.included.iter().filter_map(|included| included.document.as_ref()));
        let params = plan.params.values().filter(|param| !matches!(param.origin, ParamOrigin::Default | ParamOrigin::Missing));
        Self {
            documents: all.map(|document| (document.source.name.clone(), digest(document.source.text.as_bytes()))).collect(),
            profiles: overrides.profiles.clone(),
            params: params.filter_map(|param| Some((param.name.clone(), param.value.clone()?))).collect(),
        }
    }

    /// Adds a document that says what the plan's names mean, such as its lock.
    pub fn rests_on(&mut self, name: &str, bytes: &[u8]) {
        // Without documents, nobody asks for provenance.
        if !self.documents.is_empty() {
            self.documents.push((name.to_owned(), digest(bytes)));
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    Digest::<Sha256>::of(bytes).hex()
}
