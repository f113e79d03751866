//! `kiln prune`: clears repositories by the rules of the plan or of the command line. Without `--yes` it only says what would go.

use clap::Args;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::digest::BlobDigest;
use crate::base::path::RelPath;
use crate::base::pattern::Pattern;
use crate::base::time::Span;
use crate::image::clearing;
use crate::oci::reference::Tag;
use crate::registry::inventory::Inventory;
use crate::registry::retention::{self, Decision, Goes, Rules, Stays};
use crate::report::json;
use crate::report::prune::{self as screen, Gone, Kept, PruneView, RepositoryView};
use crate::sys::clock;

use super::args::Global;
use super::output::Output;
use super::places::{self, Place, Places, Spot};
use super::run;

/// Options of `prune`.
#[derive(Debug, Args)]
pub struct Prune {
    /// Images of the plan, repositories such as `ghcr.io/acme/web`, or layouts: `oci:dist/web` [default: every image with a `prune` rule]
    #[arg(value_name = "IMAGE|REPOSITORY")]
    pub names: Vec<String>,
    /// The newest so many images stay
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub keep: Option<u32>,
    /// Images that were made in this last time stay
    #[arg(long, value_name = "TIME")]
    pub within: Option<Span>,
    /// What has no tag goes as well, where the registry tells of it
    #[arg(long)]
    pub untagged: bool,
    /// Only images all of whose tags are like this may go: `pr-*`; several are allowed
    #[arg(long, value_name = "PATTERN")]
    pub only: Vec<String>,
    /// Removes what would go
    #[arg(long)]
    pub yes: bool,
    /// Also lists what stays
    #[arg(short, long)]
    pub verbose: bool,
}

/// What is asked of one repository.
struct Wish<'a> {
    place: &'a Place,
    keep: Option<usize>,
    within: Option<Span>,
    untagged: bool,
    only: &'a [Pattern],
}

/// # Errors
/// The faults of the plan, a repository without a rule, what a registry refuses.
pub fn prune(global: &Global, output: &Output, asked: &Prune) -> Result<u8, Diagnostics> {
    let only = patterns(&asked.only)?;
    let places = places::find(global, &asked.names)?;
    let (mut wishes, mut faults) = (Vec::new(), Diagnostics::default());
    for place in &places.all {
        match wish(place, asked, &only) {
            Some(wish) => wishes.push(wish),
            // Without a name, only what has a rule is meant.
            None if asked.names.is_empty() => {}
            None => faults.push(ruleless(place)),
        }
    }
    if wishes.is_empty() && faults.is_empty() {
        let fault = Diagnostic::new(Class::Usage, "prune::no-rule", "nothing in the plan says what stays in a registry");
        faults.push(fault.help("write `prune keep=10` in a `registry` or an `image`, or name a repository and `--keep` or `--within`"));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let (view, fault) = run::runtime()?.block_on(all(&places, &wishes, asked.yes));
    output.answer(&if output.json { json::document(&view) } else { screen::screen(&view, clock::now(), asked.verbose, output.out) });
    match fault {
        Some(fault) => Err(fault.into()),
        None => Ok(0),
    }
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, Diagnostics> {
    let read = |text: &String| {
        Pattern::new(text).map_err(|error| {
            Diagnostic::new(Class::Usage, "prune::pattern", error.to_string()).help("`*` stands for any characters: `--only 'pr-*'`")
        })
    };
    texts.iter().map(read).collect::<Result<_, Diagnostic>>().map_err(Into::into)
}

fn wish<'a>(place: &'a Place, asked: &Prune, only: &'a [Pattern]) -> Option<Wish<'a>> {
    let typed = asked.keep.is_some() || asked.within.is_some() || asked.untagged;
    let plan = place.prune.as_ref().filter(|_| !typed);
    if plan.is_none() && !typed {
        return None;
    }
    Some(Wish {
        place,
        keep: plan.map_or(asked.keep, |rule| rule.keep).map(|keep| keep as usize),
        within: plan.map_or(asked.within, |rule| rule.within.map(Span)),
        untagged: plan.map_or(asked.untagged, |rule| rule.untagged),
        only,
    })
}

fn ruleless(place: &Place) -> Diagnostic {
    let message = format!("nothing says what stays in `{}`", place.spot);
    Diagnostic::new(Class::Usage, "prune::no-rule", message)
        .help("write `prune keep=10` in its `registry` or `image`, or name it here: `--keep 10`, `--within 30d`, `--untagged`")
}

/// Goes through the repositories; the first fault ends it, and what was done until then is told.
async fn all(places: &Places, wishes: &[Wish<'_>], yes: bool) -> (PruneView, Option<Diagnostic>) {
    let mut view = PruneView { dry_run: !yes, repositories: Vec::new() };
    for wish in wishes {
        let (repository, fault) = one(places, wish, yes).await;
        view.repositories.extend(repository);
        if fault.is_some() {
            return (view, fault);
        }
    }
    (view, None)
}

async fn one(places: &Places, wish: &Wish<'_>, yes: bool) -> (Option<RepositoryView>, Option<Diagnostic>) {
    let Spot::Registry(repository) = &wish.place.spot else { return in_layout(wish, yes) };
    let first = match places.inventory(wish.place, wish.untagged).await {
        Ok(inventory) => inventory,
        Err(fault) => return (None, Some(fault)),
    };
    let decision = decide(wish, &first);
    let mut view = shown(wish, &first, &decision);
    if !yes || decision.goes.is_empty() {
        return (Some(view), None);
    }
    // Somebody may have published meanwhile: only what goes by both looks is removed.
    let second = match places.inventory(wish.place, wish.untagged).await {
        Ok(inventory) => inventory,
        Err(fault) => return (Some(view), Some(fault)),
    };
    let still = decide(wish, &second);
    let still: Vec<BlobDigest> = still.goes.iter().map(|(digest, _)| *digest).collect();
    let same = |digest: &BlobDigest| first.holdings.get(digest).map(|one| &one.tags) == second.holdings.get(digest).map(|one| &one.tags);
    for (at, (digest, _)) in decision.goes.iter().enumerate() {
        if !still.contains(digest) || !same(digest) {
            continue;
        }
        match places.session.remove(repository, *digest).await {
            Ok(_) => view.goes[at].removed = true,
            Err(error) => return (Some(view), Some(error.diagnostic())),
        }
    }
    (Some(view), None)
}

/// A layout is cleared while nobody else writes there, so one look is enough.
fn in_layout(wish: &Wish<'_>, yes: bool) -> (Option<RepositoryView>, Option<Diagnostic>) {
    let Spot::Layout(folder, _) = &wish.place.spot else { return (None, None) };
    if !yes {
        return match clearing::inventory(folder) {
            Ok(inventory) => (Some(shown(wish, &inventory, &decide(wish, &inventory))), None),
            Err(error) => (None, Some(places::unreadable(error))),
        };
    }
    match clearing::clear(folder, clock::now(), |inventory| decide(wish, inventory)) {
        Ok(cleared) => {
            let mut view = shown(wish, &cleared.inventory, &cleared.decision);
            view.goes.iter_mut().for_each(|gone| gone.removed = true);
            view.freed = Some(cleared.bytes);
            (Some(view), None)
        }
        Err(error) => (None, Some(places::unreadable(error))),
    }
}

fn decide(wish: &Wish<'_>, inventory: &Inventory) -> Decision {
    let stays = |tag: &Tag| -> Option<&'static str> {
        let like = |pattern: &Pattern| RelPath::new(tag.as_str()).is_ok_and(|path| pattern.selects(&path));
        let asked = wish.only.is_empty() || wish.only.iter().any(like);
        if asked { wish.place.holds(tag) } else { Some("is not among those asked about") }
    };
    let rules =
        Rules { keep: wish.keep, within: wish.within.map(|span| span.0), untagged: wish.untagged, stays: &stays, now: clock::now() };
    retention::decide(&inventory.holdings, &rules)
}

fn shown(wish: &Wish<'_>, inventory: &Inventory, decision: &Decision) -> RepositoryView {
    let tags = |digest: &BlobDigest| -> Vec<String> {
        inventory.holdings.get(digest).into_iter().flat_map(|holding| &holding.tags).map(ToString::to_string).collect()
    };
    let made =
        |digest: &BlobDigest| inventory.holdings.get(digest).and_then(|one| one.created.or(one.arrived)).map(|made| made.to_string());
    let goes = decision.goes.iter().map(|(digest, why)| Gone {
        digest: digest.to_string(),
        tags: tags(digest),
        made: made(digest),
        why: match why {
            Goes::Old => "old",
            Goes::With(_) => "with",
            Goes::Untagged => "untagged",
        },
        with: if let Goes::With(other) = why { Some(other.to_string()) } else { None },
        removed: false,
    });
    let stays = decision.stays.iter().map(|(digest, why)| Kept {
        digest: digest.to_string(),
        tags: tags(digest),
        made: made(digest),
        why: match why {
            Stays::Tag(tag, why) => format!("`{tag}` {why}"),
            Stays::Newest => "among the newest".to_owned(),
            Stays::Young => "young enough".to_owned(),
            Stays::Undated => "nothing says how old it is".to_owned(),
            Stays::With(_) => "with one that stays".to_owned(),
            Stays::Untagged => "has no tag, and `untagged` was not asked for".to_owned(),
            Stays::Arriving => "has no tag yet: it came within the last day, or nobody knows when".to_owned(),
        },
        with: if let Stays::With(other) = why { Some(other.to_string()) } else { None },
    });
    RepositoryView {
        repository: wish.place.spot.to_string(),
        keep: wish.keep,
        within_s: wish.within.map(|span| span.0.as_secs()),
        untagged: wish.untagged,
        goes: goes.collect(),
        stays: stays.collect(),
        unread: inventory.unread.iter().map(ToString::to_string).collect(),
        unlisted: wish.untagged && !inventory.is_whole,
        freed: None,
    }
}
