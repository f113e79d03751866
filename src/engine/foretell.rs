//! What a release would do to tags: which it would move in a place, and what they name there now.
//! In: the rules of an image, the place as it stands. Out: tags with what they name. Never: a write, a right to write.

use crate::base::digest::BlobDigest;
use crate::graph::action::PublishAction;
use crate::oci::reference::Tag;

use super::embedded::refused;
use super::publish::{Place, listed, place, stand};
use super::{Failure, Machine};

/// A tag that a release would put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foretold {
    /// The tag.
    pub tag: Tag,
    /// What it names now; `None` where it is new.
    pub now: Option<BlobDigest>,
}

/// The tags that the rules give in this place now, each with what it names.
///
/// # Errors
/// A [`Failure`] when the place cannot be read.
pub async fn foretell(machine: &Machine, publication: &PublishAction) -> Result<Vec<Foretold>, Failure> {
    let mut found = Vec::new();
    match place(machine, publication)? {
        Place::Layout { folder, .. } => {
            let stand = stand(&folder);
            for tag in publication.tags(&stand.keys().collect::<Vec<_>>()) {
                found.push(Foretold { now: stand.get(tag.as_str()).map(|image| image.digest), tag });
            }
        }
        Place::Remote(repository) => {
            for tag in publication.tags(&listed(machine, publication, &repository).await?) {
                let now = machine.registries.read_tag(&repository, &tag).await.map_err(refused)?;
                found.push(Foretold { tag, now });
            }
        }
    }
    Ok(found)
}
