//! What stays in a repository when it is cleared, and what goes.
//! In: what stands there, and rules. Out: for each document whether it stays and why; what goes, in the order of its removal.
//! Never: asks a registry, takes away what something that stays is made of or vouched for by, guesses an age.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::digest::BlobDigest;
use crate::base::time::Moment;
use crate::oci::reference::Tag;

/// A manifest or an index of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    /// The documents that an index names.
    pub children: Vec<BlobDigest>,
    /// What it is about: a signature is about an image.
    pub subject: Option<BlobDigest>,
    /// When it was made, as it says itself; `None` also for the times that reproducible builds put in its place.
    pub created: Option<Moment>,
    /// When it came here, where the place tells.
    pub arrived: Option<Moment>,
    /// What it is called.
    pub tags: BTreeSet<Tag>,
}

/// All that is known to stand in a repository.
pub type Holdings = BTreeMap<BlobDigest, Holding>;

/// What is asked for. An image stays or goes as a whole, with all its tags.
pub struct Rules<'a> {
    /// Of the images that may go, the newest so many stay.
    pub keep: Option<usize>,
    /// Those that are not older stay.
    pub within: Option<Duration>,
    /// Whether what has no tag goes.
    pub untagged: bool,
    /// Says of a tag why an image that has it is not asked for its age.
    pub stays: &'a dyn Fn(&Tag) -> Option<&'static str>,
    /// The present.
    pub now: Moment,
}

/// Why a document stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stays {
    /// It has this tag, and why that is enough.
    Tag(Tag, &'static str),
    /// It is among the newest.
    Newest,
    /// It is not older than was asked for.
    Young,
    /// Nothing says when it was made.
    Undated,
    /// An image that stays is made of it, or it is about one that stays.
    With(BlobDigest),
    /// It has no tag, and that is no reason to go.
    Untagged,
    /// It has no tag, and somebody may be about to give it one: it came within the last day, or nobody knows when.
    Arriving,
}

/// Why a document goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goes {
    /// It is neither among the newest nor young enough.
    Old,
    /// Nothing but what goes is made of it, or it is about what goes.
    With(BlobDigest),
    /// It has no tag.
    Untagged,
}

/// What becomes of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What stays.
    pub stays: BTreeMap<BlobDigest, Stays>,
    /// What goes: an index before what it names, an image before what is about it.
    pub goes: Vec<(BlobDigest, Goes)>,
}

/// How long what has no tag may wait for one: a release sends everything by digest before it moves a tag.
const GRACE_MS: i64 = 24 * 3_600_000;

/// Decides.
#[must_use]
pub fn decide(holdings: &Holdings, rules: &Rules<'_>) -> Decision {
    let links = Links::of(holdings);
    let mut stays = BTreeMap::new();
    let named = |holding: &Holding| holding.tags.iter().any(|tag| tag.subject().is_none());
    let (images, others): (Vec<_>, Vec<_>) = holdings.iter().partition(|(_, holding)| named(holding));
    let mut old = Vec::new();
    for (digest, holding) in images {
        let tag = holding.tags.iter().find_map(|tag| (rules.stays)(tag).map(|why| Stays::Tag(tag.clone(), why)));
        match (tag, made(holding)) {
            (Some(why), _) => drop(stays.insert(*digest, why)),
            (None, None) => drop(stays.insert(*digest, Stays::Undated)),
            (None, Some(made)) => old.push((made, newest_version(holding), *digest)),
        }
    }
    old.sort_by(|left, right| right.cmp(left));
    for (rank, (made, _, digest)) in old.iter().enumerate() {
        let young = rules.within.is_some_and(|within| is_younger(*made, within, rules.now));
        if rules.keep.is_some_and(|keep| rank < keep) {
            stays.insert(*digest, Stays::Newest);
        } else if young {
            stays.insert(*digest, Stays::Young);
        } else if rules.keep.is_none() && rules.within.is_none() {
            // Only what has no tag was asked about.
            stays.insert(*digest, Stays::Newest);
        }
    }
    links.spread(&mut stays);
    let mut goes: BTreeMap<BlobDigest, Goes> =
        old.iter().filter(|(_, _, digest)| !stays.contains_key(digest)).map(|(_, _, digest)| (*digest, Goes::Old)).collect();
    links.take(&mut goes, &stays);
    let waits = |holding: &Holding| holding.arrived.is_none_or(|arrived| rules.now.0.saturating_sub(arrived.0) < GRACE_MS);
    if rules.untagged {
        let is_left = |digest: &BlobDigest| !stays.contains_key(digest) && !goes.contains_key(digest);
        let untagged: Vec<_> = others.iter().filter(|(digest, holding)| is_left(digest) && !waits(holding)).collect();
        let untagged: Vec<_> = untagged.into_iter().map(|(digest, _)| (**digest, Goes::Untagged)).collect();
        goes.extend(untagged);
        // What they are made of goes with them, whenever it came.
        links.take(&mut goes, &stays);
    }
    for (digest, _) in others {
        if stays.contains_key(digest) || goes.contains_key(digest) {
            continue;
        }
        stays.insert(*digest, if rules.untagged { Stays::Arriving } else { Stays::Untagged });
    }
    // What has no tag and stays keeps its parts.
    links.spread(&mut stays);
    goes.retain(|digest, _| !stays.contains_key(digest));
    Decision { goes: Links::parents_first(holdings, &goes), stays }
}

/// When an image was made, or came here.
fn made(holding: &Holding) -> Option<Moment> {
    holding.created.or(holding.arrived)
}

fn is_younger(made: Moment, within: Duration, now: Moment) -> bool {
    i64::try_from(within.as_millis()).is_ok_and(|within| now.0.saturating_sub(made.0) <= within)
}

/// Of images made in the same moment, such as those of one commit, the higher version counts as newer.
fn newest_version(holding: &Holding) -> Option<semver::Version> {
    let version = |tag: &Tag| semver::Version::parse(tag.as_str().strip_prefix('v').unwrap_or(tag.as_str())).ok();
    holding.tags.iter().filter_map(version).max()
}

/// What follows what: an index its parts, a document what is about it.
struct Links(BTreeMap<BlobDigest, Vec<BlobDigest>>);

impl Links {
    fn of(holdings: &Holdings) -> Self {
        let mut links: BTreeMap<BlobDigest, Vec<BlobDigest>> = BTreeMap::new();
        let mut link = |from: BlobDigest, to: BlobDigest| {
            if holdings.contains_key(&from) && holdings.contains_key(&to) && from != to {
                links.entry(from).or_default().push(to);
            }
        };
        for (digest, holding) in holdings {
            holding.children.iter().for_each(|child| link(*digest, *child));
            let subjects = holding.subject.into_iter().chain(holding.tags.iter().filter_map(Tag::subject));
            subjects.for_each(|subject| link(subject, *digest));
        }
        Self(links)
    }

    fn after(&self, digest: BlobDigest) -> &[BlobDigest] {
        self.0.get(&digest).map_or(&[], Vec::as_slice)
    }

    /// What follows something that stays, stays.
    fn spread(&self, stays: &mut BTreeMap<BlobDigest, Stays>) {
        let mut open: Vec<BlobDigest> = stays.keys().copied().collect();
        while let Some(digest) = open.pop() {
            for next in self.after(digest) {
                if !stays.contains_key(next) {
                    stays.insert(*next, Stays::With(digest));
                    open.push(*next);
                }
            }
        }
    }

    /// What follows something that goes, goes, unless it stays.
    fn take(&self, goes: &mut BTreeMap<BlobDigest, Goes>, stays: &BTreeMap<BlobDigest, Stays>) {
        let mut open: Vec<BlobDigest> = goes.keys().copied().collect();
        while let Some(digest) = open.pop() {
            for next in self.after(digest) {
                if !stays.contains_key(next) && !goes.contains_key(next) {
                    goes.insert(*next, Goes::With(digest));
                    open.push(*next);
                }
            }
        }
    }

    /// An interrupted removal leaves no index whose parts are gone: depth first along what indexes name, and turned round. What is
    /// about another document is visited first, so it goes last.
    fn parents_first(holdings: &Holdings, goes: &BTreeMap<BlobDigest, Goes>) -> Vec<(BlobDigest, Goes)> {
        let is_about = |digest: &&BlobDigest| {
            holdings.get(digest).is_some_and(|one| one.subject.is_some() || one.tags.iter().any(|tag| tag.subject().is_some()))
        };
        let (vouchers, others): (Vec<&BlobDigest>, Vec<&BlobDigest>) = goes.keys().partition(is_about);
        let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
        for digest in vouchers.into_iter().chain(others) {
            let mut path = vec![(*digest, 0)];
            while let Some((at, child)) = path.pop() {
                if child == 0 && !seen.insert(at) {
                    continue;
                }
                match holdings.get(&at).and_then(|one| one.children.get(child)) {
                    Some(next) => {
                        path.push((at, child + 1));
                        if goes.contains_key(next) && !seen.contains(next) {
                            path.push((*next, 0));
                        }
                    }
                    None => order.push(at),
                }
            }
        }
        order.reverse();
        order.into_iter().filter_map(|digest| goes.get(&digest).map(|why| (digest, *why))).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 24 * 3_600_000;
    const NOW: Moment = Moment(1_000 * DAY);

    fn digest(n: usize) -> BlobDigest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        BlobDigest(crate::base::digest::Digest::from_bytes(bytes))
    }

    fn tag(text: &str) -> Tag {
        text.parse().unwrap()
    }

    fn image(tags: &[&str], days: i64) -> Holding {
        let created = Some(Moment(NOW.0 - days * DAY));
        Holding { created, tags: tags.iter().map(|text| tag(text)).collect(), ..Holding::default() }
    }

    fn numbers(goes: &[(BlobDigest, Goes)]) -> Vec<usize> {
        goes.iter().map(|(gone, _)| (0..100).find(|n| digest(*n) == *gone).unwrap()).collect()
    }

    const RULES: Rules<'static> = Rules { keep: None, within: None, untagged: false, stays: &|_| None, now: NOW };

    #[test]
    fn the_newest_stay_and_an_old_index_goes_before_its_parts_and_its_signature() {
        let signature = Tag::about(digest(9), ".sig").to_string();
        let holdings: Holdings = [
            (digest(1), image(&["3"], 1)),
            (digest(2), image(&["2"], 2)),
            (digest(9), Holding { children: vec![digest(4), digest(5)], ..image(&["1"], 3) }),
            (digest(4), image(&[], 3)),
            (digest(5), image(&[], 3)),
            (digest(6), Holding { subject: Some(digest(4)), ..Holding::default() }),
            (digest(7), image(&[&signature], 3)),
        ]
        .into();
        let decision = decide(&holdings, &Rules { keep: Some(2), ..RULES });
        let goes = numbers(&decision.goes);
        let place = |n: usize| goes.iter().position(|gone| *gone == n).unwrap();
        assert_eq!(goes.len(), 5, "{goes:?}");
        assert!(place(9) < place(4) && place(9) < place(5) && place(4) < place(6) && place(9) < place(7), "{goes:?}");
        // With the index tagged twice, once as something that stays, nothing of it goes.
        let protected = Rules { keep: Some(1), stays: &|tag| (tag.as_str() == "1").then_some("is immutable"), ..RULES };
        assert_eq!(numbers(&decide(&holdings, &protected).goes), [2]);
    }

    #[test]
    fn age_and_number_are_both_enough_to_stay_and_no_age_is_too() {
        let mut holdings: Holdings = (0..6).map(|n| (digest(n), image(&[&format!("t{n}")], n as i64 * 10))).collect();
        let goes = |rules: &Rules<'_>, holdings: &Holdings| {
            let mut goes = numbers(&decide(holdings, rules).goes);
            goes.sort_unstable();
            goes
        };
        let within = Some(Duration::from_secs(20 * 24 * 3_600));
        assert_eq!(goes(&Rules { keep: Some(2), ..RULES }, &holdings), [2, 3, 4, 5]);
        assert_eq!(goes(&Rules { within, ..RULES }, &holdings), [3, 4, 5]);
        assert_eq!(goes(&Rules { keep: Some(5), within, ..RULES }, &holdings), [5]);
        assert_eq!(goes(&RULES, &holdings), Vec::<usize>::new());
        holdings.insert(digest(5), Holding { created: None, ..image(&["t5"], 0) });
        assert_eq!(goes(&Rules { keep: Some(1), ..RULES }, &holdings), [1, 2, 3, 4]);
    }

    #[test]
    fn an_untagged_index_takes_its_parts_with_it_unless_another_one_has_them() {
        let at =
            |days: i64, children: Vec<BlobDigest>| Holding { children, arrived: Some(Moment(NOW.0 - days * DAY)), ..Holding::default() };
        let part = || Holding::default();
        let holdings: Holdings = [
            (digest(1), at(3, vec![digest(3), digest(4)])),
            // It is about to be tagged, and shares a part with the other one.
            (digest(2), at(0, vec![digest(4), digest(5)])),
            (digest(3), part()),
            (digest(4), part()),
            (digest(5), part()),
        ]
        .into();
        assert_eq!(numbers(&decide(&holdings, &Rules { untagged: true, ..RULES }).goes), [1, 3]);
    }

    #[test]
    fn what_has_no_tag_goes_only_when_asked_for_and_a_day_old() {
        let at = |days| Holding { arrived: Some(Moment(NOW.0 - days * DAY / 2)), ..Holding::default() };
        let holdings: Holdings = [(digest(1), at(1)), (digest(2), at(3)), (digest(3), Holding::default())].into();
        assert_eq!(numbers(&decide(&holdings, &RULES).goes), Vec::<usize>::new());
        assert_eq!(numbers(&decide(&holdings, &Rules { untagged: true, ..RULES }).goes), [2]);
    }

    /// Children, age in days, kind of name, subject.
    type Row = (Vec<prop::sample::Index>, Option<i64>, u8, Option<prop::sample::Index>);

    /// Documents name only those with a higher number, as digests force it.
    fn repository(rows: &[Row]) -> Holdings {
        let below = |n: usize, index: &prop::sample::Index| {
            let left = rows.len() - n - 1;
            (left > 0).then(|| digest(n + 1 + index.index(left)))
        };
        let holding = |n: usize, (children, days, name, subject): &Row| {
            let name = match name {
                0 | 1 => Some(format!("v{n}")),
                2 => Some(Tag::about(digest(n / 2), ".sig").to_string()),
                _ => None,
            };
            let created = days.map(|days| Moment(NOW.0 - days * DAY));
            Holding {
                children: children.iter().filter_map(|index| below(n, index)).collect(),
                subject: subject.as_ref().and_then(|index| below(n, index)),
                created,
                arrived: created,
                tags: name.iter().map(|name| tag(name)).collect(),
            }
        };
        rows.iter().enumerate().map(|(n, row)| (digest(n), holding(n, row))).collect()
    }

    fn repositories() -> impl Strategy<Value = Holdings> {
        let index = any::<prop::sample::Index>;
        let row = (prop::collection::vec(index(), 0..3), prop::option::of(0..90_i64), 0..5_u8, prop::option::of(index()));
        prop::collection::vec(row, 1..24).prop_map(|rows| repository(&rows))
    }

    proptest! {
        #[test]
        fn whatever_stays_is_whole_and_vouched_for_and_nothing_is_forgotten(
            holdings in repositories(), keep in prop::option::of(0..5_usize), days in prop::option::of(0..60_u64), untagged: bool,
        ) {
            let within = days.map(|days| Duration::from_secs(days * 24 * 3_600));
            let decision = decide(&holdings, &Rules { keep, within, untagged, ..RULES });
            let gone: BTreeSet<BlobDigest> = decision.goes.iter().map(|(digest, _)| *digest).collect();
            prop_assert_eq!(gone.len(), decision.goes.len());
            prop_assert_eq!(gone.len() + decision.stays.len(), holdings.len());
            prop_assert!(decision.stays.keys().all(|digest| !gone.contains(digest)));
            let place: BTreeMap<BlobDigest, usize> = decision.goes.iter().enumerate().map(|(n, (digest, _))| (*digest, n)).collect();
            for (digest, holding) in &holdings {
                let subjects = holding.subject.into_iter().chain(holding.tags.iter().filter_map(Tag::subject));
                let follows = holding.children.iter().map(|child| (*digest, *child)).chain(subjects.map(|subject| (subject, *digest)));
                for (first, then) in follows.filter(|(first, then)| first != then) {
                    if decision.stays.contains_key(&first) && holdings.contains_key(&then) {
                        prop_assert!(decision.stays.contains_key(&then));
                    }
                }
                for child in &holding.children {
                    if let (Some(parent), Some(child)) = (place.get(digest), place.get(child)) {
                        prop_assert!(parent < child);
                    }
                }
            }
            let young = |holding: &Holding| holding.tags.iter().any(|tag| tag.subject().is_none()) && holding.created.is_some();
            if let Some(keep) = keep {
                let left = holdings.iter().filter(|(digest, holding)| young(holding) && decision.stays.contains_key(digest)).count();
                prop_assert!(left >= keep.min(holdings.values().filter(|holding| young(holding)).count()));
            }
        }
    }
}
