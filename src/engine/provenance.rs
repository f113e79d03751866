//! Provenance steps: a record of what went into an image, with a digest that any tool can check.
//! In: the files, bases and tools that the steps before were keyed by. Out: an SLSA v1 document.
//! Never: a digest of other bytes than those that were used, a value of the environment, a time.

use std::io::Read as _;
use std::sync::Arc;

use rayon::prelude::*;

use crate::base::digest::{Blake3, ContentDigest, Digest, Hasher, Sha256};
use crate::base::path::AbsPath;
use crate::event::FailureClass;
use crate::evidence::provenance::{Parameters, Provenance, Resource};
use crate::graph::action::ProvenanceAction;
use crate::graph::ingredients::Material;
use crate::store::result::OutputEntry;
use crate::sys::file;

use super::{Failure, Job, Machine, Made};

/// The name of the document among a step's documents.
pub const DOCUMENT: &str = "provenance.slsa.json";

/// Writes the record.
pub async fn provenance(machine: &Arc<Machine>, job: &Job<'_>, action: &ProvenanceAction) -> Result<Made, Failure> {
    let (shared, materials) = (Arc::clone(machine), job.taken.materials.clone());
    let found = tokio::task::spawn_blocking(move || materials.par_iter().map(|one| resource(&shared, one)).collect::<Result<Vec<_>, _>>());
    let found = found.await.map_err(Failure::disk)??;
    let mut dependencies: Vec<Resource> = found.into_iter().flatten().collect();
    let count = dependencies.len();
    for (name, sha256) in &action.asked.documents {
        dependencies.push(Resource::file(name.clone(), sha256.clone()));
    }
    if let Some(commit) = &action.commit {
        let mut source = Resource::commit(commit.origin.as_deref(), &commit.sha);
        if commit.dirty {
            source.annotations.insert("state".to_owned(), "files differ from the commit".to_owned());
        }
        dependencies.push(source);
    }
    let parameters = Parameters {
        plan: action.asked.documents.first().map(|(name, _)| name.clone()).unwrap_or_default(),
        target: job.action.name.target.to_string(),
        platforms: action.image.platforms.iter().map(|recipe| recipe.platform.to_string()).collect(),
        profiles: action.asked.profiles.clone(),
        params: action.asked.params.iter().cloned().collect(),
    };
    let bytes = Provenance::new(parameters, dependencies).bytes();
    let digest = machine.store.put::<Blake3>(&bytes).map_err(|error| Failure::store(&error))?;
    let detail = Some(crate::base::words::count(count, "material"));
    Ok(Made { documents: vec![(DOCUMENT.to_owned(), ContentDigest(digest))], detail, ..Made::default() })
}

/// What a record says of one material; folders have no digest and say nothing.
fn resource(machine: &Machine, material: &Material) -> Result<Option<Resource>, Failure> {
    Ok(match material {
        Material::File(file) => match &file.entry {
            OutputEntry::File { digest, .. } => {
                let sha256 = same_bytes(&machine.root.at(&file.path), *digest, &file.path.to_string())?;
                Some(Resource::file(file.path.escaped(), sha256.hex()))
            }
            OutputEntry::Link { target } => {
                let mut link = Resource::file(file.path.escaped(), Digest::<Sha256>::of(target).hex());
                link.annotations.insert("kind".to_owned(), "link".to_owned());
                Some(link)
            }
            OutputEntry::Folder => None,
        },
        Material::Image { repository, digest, platform } => Some(Resource::image(repository, &digest.0.hex(), platform)),
        Material::Tool { name, path, digest, version } => {
            let sha256 = same_bytes(path, *digest, name)?;
            Some(Resource::tool(name, version.as_deref(), sha256.hex()))
        }
    })
}

/// The SHA-256 of a file whose content has this digest; both are taken in one reading, so they are of the same bytes.
fn same_bytes(path: &AbsPath, expected: ContentDigest, shown: &str) -> Result<Digest<Sha256>, Failure> {
    let mut reader = file::open(path).map_err(Failure::disk)?;
    let (mut known, mut wanted) = (Hasher::<Blake3>::new(), Hasher::<Sha256>::new());
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = reader.read(&mut buffer).map_err(|error| Failure::disk(format!("`{shown}` cannot be read: {error}")))?;
        if read == 0 {
            break;
        }
        known.update(&buffer[..read]);
        wanted.update(&buffer[..read]);
    }
    if known.finish() == expected.0 {
        return Ok(wanted.finish());
    }
    let help = "run it again: what the image was made of must still stand there".to_owned();
    Err(Failure::new(FailureClass::Step, format!("`{shown}` changed after the image was made of it"), Some(help)))
}
