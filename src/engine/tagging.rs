//! The second phase of a release in one repository: its tags are moved, and looked at again, because somebody else may move them at
//! the same time and no registry writes only where nobody else did.
//! In: the tags that the rules give, the image, and the board of the registry that leads the release. Out: where the tags stand.
//! Never: a tag half one release's and half another's once both have ended, a fixed tag taken from another image.
//!
//! One tag, the last one that is written, is the mark: whoever finds its own image there after all its writes was the last to write
//! it, and brings the other tags after it; whoever finds another image has been overtaken and takes back what it wrote over that
//! one since. Other registries follow the one that leads, tag by tag. Tags of versions follow the highest version that stands.

use std::collections::BTreeMap;

use futures_util::future::{BoxFuture, try_join_all};

use crate::base::digest::BlobDigest;
use crate::event::FailureClass;
use crate::oci::reference::Tag;

use super::Failure;

/// How often tags are looked at again while others move them.
const ATTEMPTS: usize = 16;

/// What the rules give, as a repository stands now.
#[derive(Debug, Clone, Default)]
pub(super) struct Ruled {
    /// The tags, in the order in which they are written.
    pub own: Vec<Tag>,
    /// Shorter forms that belong to a higher version, with the tag of that version.
    pub led: Vec<(Tag, Tag)>,
}

/// The tags of one repository.
pub(super) trait Board: Send + Sync {
    /// What the rules give now.
    fn ruled(&self) -> BoxFuture<'_, Result<Ruled, Failure>>;
    /// What must be before the first tag of the release is written; asked of the board that leads.
    fn before(&self) -> BoxFuture<'_, Result<(), Failure>>;
    /// What a tag names.
    fn stands<'a>(&'a self, tag: &'a Tag) -> BoxFuture<'a, Result<Option<BlobDigest>, Failure>>;
    /// Lets a tag name an image; `false` when the repository has no such image.
    fn put<'a>(&'a self, tag: &'a Tag, image: BlobDigest) -> BoxFuture<'a, Result<bool, Failure>>;
    /// Whether the plan lets a tag never move once it stands.
    fn is_fixed(&self, tag: &Tag) -> bool;
    /// The repository, for people.
    fn name(&self) -> String;
}

/// Where the tags of one repository stand.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Tags that name the image.
    pub own: Vec<Tag>,
    /// Those of them that named something else before, or nothing.
    pub moved: Vec<(Tag, Option<BlobDigest>)>,
    /// The tag that was being moved when the registry fell silent.
    pub unknown: Option<Tag>,
    /// Tags that somebody else has moved meanwhile, and what they name.
    pub overtaken: BTreeMap<Tag, BlobDigest>,
}

/// Moves the tags of a repository. `leader` is the board of the registry that leads, when it is another one.
///
/// `moves` tells at any time, and so after a failure, which tags name the image.
pub(super) async fn settle(board: &dyn Board, leader: Option<&dyn Board>, image: BlobDigest, moves: &mut Moves) -> Result<(), Failure> {
    let tags = board.ruled().await?.own;
    let stand = all(board, &tags).await?;
    if leader.is_none() {
        for (tag, old) in tags.iter().zip(&stand) {
            if let Some(old) = old.filter(|old| *old != image && board.is_fixed(tag)) {
                return Err(fixed(&board.name(), tag, old, image));
            }
        }
    }
    moves.own = tags.iter().zip(&stand).filter(|(_, old)| **old == Some(image)).map(|(tag, _)| tag.clone()).collect();
    if leader.is_none() && moves.own.len() < tags.len() {
        board.before().await?;
    }
    for (tag, old) in tags.iter().zip(&stand).filter(|(_, old)| **old != Some(image)) {
        if board.is_fixed(tag) {
            stays(board, leader, tag, image).await?;
        }
        if let Err(failure) = board.put(tag, image).await {
            // The answer was lost or wrong: what stands there says what was done.
            match board.stands(tag).await {
                Ok(Some(now)) if now == image => moves.own.push(tag.clone()),
                Ok(_) => {}
                Err(_) => moves.unknown = Some(tag.clone()),
            }
            return Err(failure);
        }
        moves.own.push(tag.clone());
        moves.moved.push((tag.clone(), *old));
    }
    if moves.moved.is_empty() {
        return Ok(());
    }
    let mut over = BTreeMap::new();
    for _ in 0..ATTEMPTS {
        if !again(board, leader, image, moves, &mut over).await? {
            return Ok(());
        }
    }
    let help = "run it again when they are done".to_owned();
    Err(Failure::new(FailureClass::Environment, format!("others move the tags of `{}` all the time", board.name()), Some(help)))
}

/// Looks once more before a tag is written that never moves again: the shorter the moment, the fewer come between. Where another
/// registry leads, it has decided already; whatever stands here came after the push, which looked, from somebody who was late.
async fn stays(board: &dyn Board, leader: Option<&dyn Board>, tag: &Tag, image: BlobDigest) -> Result<(), Failure> {
    let decides = match leader {
        Some(leader) if leader.ruled().await?.own.contains(tag) => leader,
        _ => board,
    };
    match decides.stands(tag).await?.filter(|theirs| *theirs != image) {
        Some(theirs) => Err(fixed(&decides.name(), tag, theirs, image)),
        None => Ok(()),
    }
}

/// Looks at what stands after all writes, and mends it; whether anything was written, so that it must be looked at once more.
/// `over` remembers what was written since the first time: it may have come late, after somebody else had looked.
async fn again(
    board: &dyn Board,
    leader: Option<&dyn Board>,
    image: BlobDigest,
    moves: &mut Moves,
    over: &mut BTreeMap<Tag, BlobDigest>,
) -> Result<bool, Failure> {
    let Ruled { own, led } = board.ruled().await?;
    let mut plan: Vec<(Tag, BlobDigest)> = Vec::new();
    for (form, version) in led {
        let (stand, theirs) = (board.stands(&form).await?, board.stands(&version).await?);
        if let (Some(stand), Some(theirs)) = (stand, theirs) {
            moves.is_theirs(&form, theirs);
            if theirs != stand && (stand == image || over.get(&form) == Some(&stand)) {
                plan.push((form, theirs));
            }
        }
    }
    let now = all(board, &own).await?;
    let foreign = |tag: &Tag, stand: &Option<BlobDigest>| stand.filter(|theirs| *theirs != image && board.is_fixed(tag));
    let lost = own.iter().zip(&now).find_map(|(tag, stand)| foreign(tag, stand).map(|theirs| (tag, theirs)));
    if let Some((tag, theirs)) = lost.filter(|_| leader.is_none()) {
        // Somebody else was faster by a moment, so all of the release is theirs.
        for other in own.iter().filter(|other| !board.is_fixed(other)) {
            if board.stands(other).await? == Some(image) {
                board.put(other, theirs).await?;
            }
        }
        return Err(fixed(&board.name(), tag, theirs, image));
    }
    let wanted = wanted(board, leader, image, (&own, &now), over).await?;
    let late = own.iter().zip(&wanted).find_map(|(tag, wanted)| foreign(tag, wanted).map(|theirs| (tag.clone(), theirs)));
    for ((tag, stand), wanted) in own.iter().zip(&now).zip(wanted) {
        let Some(wanted) = wanted else { continue };
        if wanted != image {
            moves.is_theirs(tag, wanted);
        }
        // What somebody else wrote is left to him, unless all is ours.
        let ours = stand.is_some_and(|stand| stand == image || over.get(tag) == Some(&stand));
        if *stand != Some(wanted) && (wanted == image || ours) {
            plan.push((tag.clone(), wanted));
        }
    }
    let mut wrote = false;
    for (tag, wanted) in plan {
        if board.put(&tag, wanted).await? {
            wrote = true;
            over.insert(tag.clone(), wanted);
            if wanted == image {
                moves.is_own(&tag);
            }
        }
    }
    match late.filter(|_| !wrote) {
        Some((tag, theirs)) => Err(fixed(&board.name(), &tag, theirs, image)),
        None => Ok(wrote),
    }
}

/// What each tag should name: the image, unless somebody else came later.
async fn wanted(
    board: &dyn Board,
    leader: Option<&dyn Board>,
    image: BlobDigest,
    (own, now): (&[Tag], &[Option<BlobDigest>]),
    over: &BTreeMap<Tag, BlobDigest>,
) -> Result<Vec<Option<BlobDigest>>, Failure> {
    if let Some(leader) = leader {
        let followed = leader.ruled().await?.own;
        // A tag that never moves says whose the release is. What another tag names there may be the late word of somebody who has lost,
        // and is about to take it back.
        let decided = match followed.iter().find(|tag| leader.is_fixed(tag)) {
            Some(fixed) => leader.stands(fixed).await?,
            None => None,
        };
        let lead = own.iter().map(async |tag| match decided {
            _ if !followed.contains(tag) => Ok(Some(image)),
            Some(decided) => Ok(Some(decided)),
            None => leader.stands(tag).await,
        });
        return try_join_all(lead).await;
    }
    // Whoever has the tags that never move has all of the release.
    let holds = own.iter().any(|tag| board.is_fixed(tag));
    let Some(last) = now.last().copied().flatten().filter(|mark| *mark != image && !holds) else { return Ok(vec![Some(image); own.len()]) };
    // Where the last word was ours, it came too late.
    let back =
        |(tag, stand): (&Tag, &Option<BlobDigest>)| if stand.is_some() && over.get(tag) == stand.as_ref() { Some(last) } else { *stand };
    Ok(own.iter().zip(now).map(back).collect())
}

impl Moves {
    fn is_theirs(&mut self, tag: &Tag, theirs: BlobDigest) {
        self.own.retain(|own| own != tag);
        if let Some((tag, _)) = self.moved.iter().find(|(moved, _)| moved == tag) {
            self.overtaken.insert(tag.clone(), theirs);
        }
    }

    fn is_own(&mut self, tag: &Tag) {
        self.overtaken.remove(tag);
        if !self.own.contains(tag) {
            self.own.push(tag.clone());
        }
    }
}

async fn all(board: &dyn Board, tags: &[Tag]) -> Result<Vec<Option<BlobDigest>>, Failure> {
    try_join_all(tags.iter().map(|tag| board.stands(tag))).await
}

/// A fixed tag that names another image: whatever the rest of the plan says, it stays.
pub(super) fn fixed(repository: &str, tag: &Tag, old: BlobDigest, image: BlobDigest) -> Failure {
    let reason = format!("`{repository}:{tag}` names {old} and may not move to {image}");
    Failure::new(FailureClass::Policy, reason, Some("the plan lets it never move (`immutable`); choose a new version".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll, Waker};

    use futures_util::future::FutureExt as _;
    use proptest::prelude::*;

    use super::*;
    use crate::base::digest::Digest;

    /// A registry in memory. Each call takes effect at some moment between two others.
    #[derive(Default)]
    struct Registry(Mutex<BTreeMap<String, BlobDigest>>);

    /// A publisher's view of it.
    struct View {
        registry: Arc<Registry>,
        tags: Vec<&'static str>,
        fixed: bool,
        version: Option<u32>,
    }

    async fn moment() {
        let mut waited = false;
        std::future::poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    impl Board for View {
        fn ruled(&self) -> BoxFuture<'_, Result<Ruled, Failure>> {
            Box::pin(async {
                moment().await;
                let mut ruled = Ruled { own: self.tags.iter().map(|tag| tag.parse().unwrap()).collect(), led: Vec::new() };
                let Some(version) = self.version else { return Ok(ruled) };
                // Versions are `1.N`; the highest one leads `latest`.
                let tags = self.registry.0.lock().unwrap();
                let highest = tags.keys().filter_map(|tag| tag.strip_prefix("1.")?.parse().ok()).fold(version, u32::max);
                let latest: Tag = "latest".parse().unwrap();
                ruled.own.push(format!("1.{version}").parse().unwrap());
                if highest == version {
                    ruled.own.push(latest);
                } else {
                    ruled.led.push((latest, format!("1.{highest}").parse().unwrap()));
                }
                Ok(ruled)
            })
        }
        fn before(&self) -> BoxFuture<'_, Result<(), Failure>> {
            Box::pin(std::future::ready(Ok(())))
        }
        fn stands<'a>(&'a self, tag: &'a Tag) -> BoxFuture<'a, Result<Option<BlobDigest>, Failure>> {
            Box::pin(async {
                moment().await;
                let stand = self.registry.0.lock().unwrap().get(tag.as_str()).copied();
                moment().await;
                Ok(stand)
            })
        }
        fn put<'a>(&'a self, tag: &'a Tag, image: BlobDigest) -> BoxFuture<'a, Result<bool, Failure>> {
            Box::pin(async move {
                moment().await;
                self.registry.0.lock().unwrap().insert(tag.to_string(), image);
                moment().await;
                Ok(true)
            })
        }
        fn is_fixed(&self, tag: &Tag) -> bool {
            self.fixed && tag.as_str().starts_with('v')
        }
        fn name(&self) -> String {
            "r/web".to_owned()
        }
    }

    fn image(byte: u8) -> BlobDigest {
        BlobDigest(Digest::from_bytes([byte; 32]))
    }

    /// One release: the registry that leads, then the others.
    async fn publish(views: Vec<View>, image: BlobDigest) -> Result<Vec<Moves>, Failure> {
        let mut all = Vec::new();
        for (at, view) in views.iter().enumerate() {
            let mut moves = Moves::default();
            settle(view, views.first().filter(|_| at > 0).map(|first| first as &dyn Board), image, &mut moves).await?;
            all.push(moves);
        }
        Ok(all)
    }

    /// Lets publishers go on one moment at a time, in an order that the seed gives.
    fn race(mut runs: Vec<BoxFuture<'_, Result<Vec<Moves>, Failure>>>, mut seed: u64) -> Vec<Result<Vec<Moves>, Failure>> {
        let mut ended: Vec<Option<_>> = runs.iter().map(|_| None).collect();
        loop {
            let open: Vec<usize> = ended.iter().enumerate().filter(|(_, end)| end.is_none()).map(|(at, _)| at).collect();
            if open.is_empty() {
                return ended.into_iter().flatten().collect();
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = open[(seed >> 33) as usize % open.len()];
            if let Poll::Ready(end) = runs[at].as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                ended[at] = Some(end);
            }
        }
    }

    fn views(registries: &[Arc<Registry>], tags: &[&'static str], version: Option<u32>) -> Vec<View> {
        let view = |registry: &Arc<Registry>| View { registry: Arc::clone(registry), tags: tags.to_vec(), fixed: false, version };
        registries.iter().map(view).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn publishers_at_once_leave_all_tags_of_all_registries_at_one_image(seed in any::<u64>(), count in 2_u8..4, places in 1_usize..4) {
            let registries: Vec<Arc<Registry>> = (0..places).map(|_| Arc::default()).collect();
            let runs = (1..=count).map(|own| publish(views(&registries, &["a", "b", "edge"], None), image(own)).boxed());
            let ended = race(runs.collect(), seed);
            prop_assert!(ended.iter().all(Result::is_ok));
            let stand: Vec<_> = registries.iter().flat_map(|registry| registry.0.lock().unwrap().clone().into_values()).collect();
            prop_assert!(stand.len() == 3 * places && stand.iter().all(|one| *one == stand[0]), "{stand:?}");
        }

        #[test]
        fn of_two_versions_at_once_the_higher_one_is_the_latest(seed in any::<u64>(), low in 1_u32..5, more in 1_u32..3) {
            let registries = [Arc::<Registry>::default(), Arc::default()];
            let runs = [low, low + more].map(|version| publish(views(&registries, &[], Some(version)), image(version as u8)).boxed());
            let ended = race(runs.into(), seed);
            prop_assert!(ended.iter().all(Result::is_ok));
            for registry in &registries {
                let tags = registry.0.lock().unwrap();
                for (tag, version) in [(format!("1.{low}"), low), (format!("1.{}", low + more), low + more), ("latest".into(), low + more)] {
                    prop_assert_eq!(tags.get(&tag), Some(&image(version as u8)), "{}", tag);
                }
            }
        }

        #[test]
        fn a_fixed_tag_is_refused_to_whoever_is_late(seed in any::<u64>()) {
            let registries = [Arc::<Registry>::default(), Arc::default()];
            let fixed = || views(&registries, &["v1", "a", "edge"], None).into_iter().map(|view| View { fixed: true, ..view }).collect();
            let ended = race((1..=2).map(|own| publish(fixed(), image(own)).boxed()).collect(), seed);
            let stand = registries[0].0.lock().unwrap()["v1"];
            for registry in &registries {
                prop_assert!(registry.0.lock().unwrap().values().all(|other| *other == stand));
            }
            // Whoever succeeded and looked last sees its own image there; the other one is told.
            prop_assert!(ended.iter().any(Result::is_ok));
            for (own, end) in (1..=2).zip(&ended) {
                if let Err(failure) = end {
                    prop_assert!(stand != image(own) && failure.class == FailureClass::Policy, "{failure:?}");
                }
            }
        }
    }

    #[test]
    fn where_everything_stands_nothing_is_looked_at_twice() {
        struct Still(Mutex<usize>);
        impl Board for Still {
            fn ruled(&self) -> BoxFuture<'_, Result<Ruled, Failure>> {
                Box::pin(std::future::ready(Ok(Ruled { own: vec!["v1".parse().unwrap()], led: Vec::new() })))
            }
            fn before(&self) -> BoxFuture<'_, Result<(), Failure>> {
                panic!("something is written")
            }
            fn stands<'a>(&'a self, _: &'a Tag) -> BoxFuture<'a, Result<Option<BlobDigest>, Failure>> {
                *self.0.lock().unwrap() += 1;
                Box::pin(std::future::ready(Ok(Some(image(1)))))
            }
            fn put<'a>(&'a self, tag: &'a Tag, _: BlobDigest) -> BoxFuture<'a, Result<bool, Failure>> {
                panic!("{tag} is written")
            }
            fn is_fixed(&self, _: &Tag) -> bool {
                true
            }
            fn name(&self) -> String {
                String::new()
            }
        }
        let (board, mut moves) = (Still(Mutex::default()), Moves::default());
        let done = Box::pin(settle(&board, None, image(1), &mut moves)).as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(done, Poll::Ready(Ok(()))));
        assert_eq!((*board.0.lock().unwrap(), moves.moved.len(), moves.own.len()), (1, 0, 1));
    }
}
