//! Scans one image.
//! In: a manifest whose blobs are in the store, and a policy. Out: a verdict and a bill of materials.
//! Never: a verdict on an image that could not be read to its end.

use std::rc::Rc;

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::digest::BlobDigest;
use crate::base::time::Moment;
use crate::oci::config::Config;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, BadDocument, Document, Manifest};
use crate::plan::policy::{PolicyDef, Rule};
use crate::store::blob::StoreError;
use crate::store::layer_reader::LayerError;
use crate::store::local::Store;

use super::content::{Content, Inspector};
use super::rules;
use super::sbom::Package;
use super::sbom::document::{self, Located, Subject};
use super::sbom::source::{Reading, Release, Source};
use super::sbom::spdx;
use super::verdict::Verdict;
use super::view::{self, View, ViewError};

/// The most layers that an image may have; overlayfs takes as many.
const MOST_LAYERS: usize = 500;

/// What the caller knows of the image and its bytes do not say.
#[derive(Debug, Clone)]
pub struct ImageFacts {
    /// Whether the base was named by a tag.
    pub mutable_base: bool,
    /// What the user calls it: a repository with its host, or the name in the plan.
    pub name: String,
    /// When the bill of materials says it was made: the build's `SOURCE_DATE_EPOCH`.
    pub epoch: Moment,
}

/// What a scan gives.
#[derive(Debug)]
pub struct Scan {
    /// What the policy says.
    pub verdict: Verdict,
    /// A CycloneDX 1.6 document in JSON.
    pub sbom: Vec<u8>,
    /// The same as an SPDX 2.3 document in JSON.
    pub spdx: Vec<u8>,
    /// How many packages it names.
    pub packages: usize,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A blob is missing or the disk failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The manifest or the config is not what it should be.
    #[error("image {image} cannot be scanned: its {what} is unsound: {why}")]
    Document {
        /// Which image.
        image: BlobDigest,
        /// `manifest` or `config`.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The layers cannot be read, or make no image.
    #[error("the scan is incomplete: {0}")]
    Layers(#[from] ViewError),
    /// A file that the scan rests on cannot be read.
    #[error("the scan is incomplete: {what} `{path}` cannot be read: {why}")]
    Incomplete {
        /// What the file is, in words.
        what: &'static str,
        /// Where it is, absolute.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

impl ScanError {
    /// The form that users see.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        match self {
            Self::Store(_) | Self::Layers(ViewError::Layer(LayerError::Store(_))) => {
                Diagnostic::new(Class::Environment, "scan::store", self.to_string())
                    .help("run the step again: the image is built or pulled anew")
            }
            Self::Document { .. } => Diagnostic::new(Class::Step, "scan::document", self.to_string())
                .help("build or pull the image again; nothing was published"),
            Self::Layers(_) => Diagnostic::new(Class::Step, "scan::incomplete", self.to_string())
                .help("a layer that cannot be read cannot be judged; rebuild the layer or its base; nothing was published"),
            Self::Incomplete { .. } => Diagnostic::new(Class::Step, "scan::incomplete", self.to_string())
                .help("repair or remove the file in the step that adds it; nothing was published"),
        }
    }
}

/// Scans the image that `image` describes; all its blobs must be in `store`.
///
/// # Errors
/// [`ScanError`] whenever a part of the image that counts could not be read: what is unread is never taken for clean.
pub fn scan_image(store: &Store, image: &Descriptor, facts: &ImageFacts, policy: &PolicyDef) -> Result<Scan, ScanError> {
    let (manifest, config) = documents(store, image)?;
    let secrets = policy.rules.iter().any(|(rule, ..)| *rule == Rule::Secrets);
    let mut inspector = Inspector::new(secrets);
    let mut view = view::squash(store, &manifest.layers, &mut |layer, path, header, bytes| inspector.visit(layer, path, header, bytes))?;
    inspector.second_pass(store, &manifest.layers, &mut view)?;

    let passwd = accounts(&view)?;
    let mut listed = packages(&view, &manifest)?;
    listed.gaps.extend(lost_database(&view)?);
    let asked = rules::Image {
        manifest: &manifest,
        config: &config,
        view: &view,
        inspector: &inspector,
        passwd: &passwd,
        mutable_base: facts.mutable_base,
    };
    let findings = rules::findings(&asked, policy);
    let subject = Subject { name: &facts.name, digest: image.digest, config: &config, epoch: facts.epoch };
    let release = release(&view);
    let packages = document::merge(&release, listed.found);
    let complete = listed.gaps.is_empty();
    let sbom = document::write(&subject, &release, &packages, complete);
    let spdx = spdx::write(&subject, &release, &packages, complete);
    Ok(Scan {
        verdict: Verdict::new(image.digest, findings, &policy.allow, &policy.waivers, listed.gaps),
        sbom,
        spdx,
        packages: packages.len(),
    })
}

fn documents(store: &Store, image: &Descriptor) -> Result<(Manifest, Config), ScanError> {
    let bad = |what, why: String| ScanError::Document { image: image.digest, what, why };
    let bytes = store.read(image.digest.0, manifest::LIMIT)?;
    let manifest = match manifest::read(&image.media_type, &bytes) {
        Ok(Document::Manifest(manifest)) => manifest,
        Ok(Document::Index(_)) => return Err(bad("manifest", BadDocument::Type(image.media_type.clone()).to_string())),
        Err(error) => return Err(bad("manifest", error.to_string())),
    };
    let bytes = store.read(manifest.config.digest.0, manifest::LIMIT)?;
    let config: Config = serde_json::from_slice(&bytes).map_err(|error| bad("config", error.to_string()))?;
    let (named, there) = (config.rootfs.diff_ids.len(), manifest.layers.len());
    if there > MOST_LAYERS {
        return Err(bad("manifest", format!("it has {there} layers, and no engine takes more than {MOST_LAYERS}")));
    }
    if named == there {
        Ok((manifest, config))
    } else {
        Err(bad("config", format!("it lists {named} layers and the manifest has {there}")))
    }
}

/// The account file of the image; empty when there is none.
fn accounts(view: &View<Content>) -> Result<Vec<u8>, ScanError> {
    match resolved(view, b"etc/passwd").as_deref() {
        Some(Content::Accounts(Some(bytes))) => Ok(bytes.clone()),
        Some(Content::Accounts(None)) => Err(ScanError::Incomplete {
            what: "the account file",
            path: "/etc/passwd".to_owned(),
            why: "it is larger than an account file can be".to_owned(),
        }),
        _ => Ok(Vec::new()),
    }
}

fn release(view: &View<Content>) -> Release {
    let found = [&b"etc/os-release"[..], b"usr/lib/os-release"].into_iter().find_map(|path| match resolved(view, path).as_deref() {
        Some(Content::Release(release)) => Some(release.clone()),
        _ => None,
    });
    found.unwrap_or_default()
}

fn resolved(view: &View<Content>, path: &[u8]) -> Option<Rc<Content>> {
    view.get(&view.follow(path)?)?.content.clone()
}

/// The packages of an image, and the databases that could not be read.
struct Listed {
    found: Vec<Located>,
    gaps: Vec<String>,
}

/// Collects what the files of the finished image name; a database that a later layer replaced or removed does not count.
fn packages(view: &View<Content>, manifest: &Manifest) -> Result<Listed, ScanError> {
    let mut listed = Listed { found: Vec::new(), gaps: Vec::new() };
    for (path, node) in view.iter() {
        let absolute = || format!("/{}", crate::base::words::visible(&String::from_utf8_lossy(path)));
        let packages: &[Package] = match node.content.as_deref() {
            Some(Content::Listed(Source::GoSum, _)) if has_sibling(view, path, b"go.mod") => continue,
            Some(Content::Listed(_, Reading::Packages(packages)) | Content::Program(packages)) => packages,
            Some(Content::Listed(source, Reading::Gap(why))) => {
                listed.gaps.push(format!("{} `{}` {why}", source.words(), absolute()));
                continue;
            }
            Some(Content::Listed(source, Reading::Failed(why))) => {
                return Err(ScanError::Incomplete { what: source.words(), path: absolute(), why: why.to_string() });
            }
            _ => continue,
        };
        let layer = manifest.layers[node.layer].digest;
        listed.found.extend(packages.iter().map(|package| Located { package: package.clone(), path: absolute(), layer }));
    }
    Ok(listed)
}

/// dpkg keeps a list of files for each package beside its database; where there are lists, a database must name packages.
/// One that is gone may have been removed on purpose and is a gap; one that is empty was cut off.
fn lost_database(view: &View<Content>) -> Result<Option<String>, ScanError> {
    const STATUS: &[u8] = b"var/lib/dpkg/status";
    if !view.below(b"var/lib/dpkg/info").any(|path| path.ends_with(b".list")) {
        return Ok(None);
    }
    let path = "/var/lib/dpkg/status".to_owned();
    let what = Source::Dpkg.words();
    match resolved(view, STATUS).as_deref() {
        Some(Content::Listed(_, Reading::Packages(packages))) if packages.is_empty() => {
            Err(ScanError::Incomplete { what, path, why: "it is empty, but `/var/lib/dpkg/info` lists packages".to_owned() })
        }
        None => Ok(Some(format!("{what} `{path}` is not there, but `/var/lib/dpkg/info` lists packages"))),
        Some(_) => Ok(None),
    }
}

fn has_sibling(view: &View<Content>, path: &[u8], name: &[u8]) -> bool {
    let folder = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    view.get(&[&path[..folder], name].concat()).is_some()
}
