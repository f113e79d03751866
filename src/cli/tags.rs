//! `kiln tags`: what stands in the registries.

use std::collections::BTreeMap;

use clap::Args;

use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::digest::BlobDigest;
use crate::registry::inventory::Inventory;
use crate::report::json;
use crate::report::tags::{self as screen, RepositoryView, Standing, TagsView};
use crate::sys::clock;

use super::args::Global;
use super::output::Output;
use super::places::{self, Spot};
use super::run;

/// Options of `tags`.
#[derive(Debug, Args)]
pub struct Tags {
    /// Images of the plan, repositories such as `ghcr.io/acme/web`, or layouts: `oci:dist/web` [default: every image that is pushed]
    #[arg(value_name = "IMAGE|REPOSITORY")]
    pub names: Vec<String>,
    /// Also those of signatures and attestations
    #[arg(long)]
    pub all: bool,
}

/// # Errors
/// The faults of the plan; what a registry could not say.
pub fn tags(global: &Global, output: &Output, asked: &Tags) -> Result<u8, Diagnostics> {
    let places = places::find(global, &asked.names)?;
    let found = run::runtime()?.block_on(async {
        let mut found = Vec::new();
        for place in &places.all {
            let inventory = places.inventory(place, false).await?;
            found.push(view(&place.spot, &inventory, asked.all));
        }
        Ok::<_, Diagnostic>(found)
    })?;
    let view = TagsView { repositories: found };
    output.answer(&if output.json { json::document(&view) } else { screen::screen(&view, clock::now(), output.out) });
    Ok(0)
}

fn view(spot: &Spot, inventory: &Inventory, all: bool) -> RepositoryView {
    let mut images = Vec::new();
    let mut hidden = 0;
    for (digest, holding) in &inventory.holdings {
        let (about, names): (Vec<_>, Vec<_>) = holding.tags.iter().partition(|tag| tag.subject().is_some());
        hidden += if all { 0 } else { about.len() };
        let mut tags: Vec<String> = names.into_iter().chain(about.into_iter().filter(|_| all)).map(ToString::to_string).collect();
        if tags.is_empty() {
            continue;
        }
        tags.sort_by_key(|tag| (std::cmp::Reverse(tag.len()), tag.clone()));
        images.push(Standing {
            tags,
            digest: digest.to_string(),
            made: holding.created.map(|made| made.to_string()),
            platforms: inventory.platforms.get(digest).into_iter().flatten().map(ToString::to_string).collect(),
            bytes: bytes(inventory, *digest),
        });
    }
    images.sort_by(|left, right| right.made.cmp(&left.made).then_with(|| left.tags.cmp(&right.tags)));
    let unread = inventory.unread.iter().map(ToString::to_string).collect();
    RepositoryView { repository: spot.to_string(), images, hidden, unread }
}

/// The bytes of an image, all platforms together; what two of them share counts twice.
fn bytes(inventory: &Inventory, digest: BlobDigest) -> u64 {
    let own: &BTreeMap<BlobDigest, u64> = &inventory.sizes;
    let children = inventory.holdings.get(&digest).map(|holding| holding.children.as_slice()).unwrap_or_default();
    own.get(&digest).copied().unwrap_or(0) + children.iter().filter_map(|child| own.get(child)).sum::<u64>()
}
