//! Which tags a run would move, for `kiln plan`: the places are asked themselves, for a short time.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::error::Elapsed;

use crate::base::id::StepId;
use crate::engine::foretell::{Foretold, foretell};
use crate::engine::{Failure, Machine};
use crate::exec::foresee::Sight;
use crate::graph::action::{ActionKind, PublishAction};
use crate::graph::{ActionGraph, Edge};
use crate::plan::RegistryPlace;
use crate::report::moves::{Move, PlaceMoves};

use super::run;

/// How long a place may take to answer. A plan is looked at; nobody waits a minute for one registry that is down.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the tag steps among these would do; a place that says nothing has its reason.
pub fn moves(machine: &Machine, graph: &ActionGraph, sights: &[Sight]) -> Vec<PlaceMoves> {
    let tagging: Vec<(StepId, &PublishAction)> = sights
        .iter()
        .filter_map(
            |sight| if let ActionKind::Tag(publication) = &graph.action(sight.step).kind { Some((sight.step, publication)) } else { None },
        )
        .collect();
    if tagging.is_empty() {
        return Vec::new();
    }
    let answers = run::runtime().map(|runtime| {
        let asked = tagging.iter().map(|(_, publication)| tokio::time::timeout(PATIENCE, foretell(machine, publication)));
        runtime.block_on(async { join_all(asked).await })
    });
    let Ok(answers) = answers else { return Vec::new() };
    let image = |step: StepId| {
        let root = graph.needs(step).into_iter().find(|(_, edge)| matches!(edge, Edge::Data | Edge::NeedAndData)).map(|(root, _)| root);
        let made = root.and_then(|root| sights.iter().find(|sight| sight.step == root)).and_then(|sight| sight.image.clone());
        (made, root.map(|root| graph.action(root).name.to_string()).unwrap_or_default())
    };
    let view = |((step, publication), answer): ((StepId, &PublishAction), Answer)| {
        let (made, by) = image(step);
        let mut place = PlaceMoves {
            step: graph.action(step).name.to_string(),
            place: shown(publication),
            image: made.as_ref().map(|image| image.digest.to_string()),
            made_by: by,
            tags: Vec::new(),
            unknown: None,
        };
        match answer {
            Ok(Ok(found)) => {
                let moved = |now: Option<_>| now.is_none() || now != made.as_ref().map(|image| image.digest);
                place.tags = found
                    .into_iter()
                    .filter(|one| moved(one.now))
                    .map(|one| Move {
                        may_not: one.now.is_some() && made.is_some() && publication.registry.is_immutable(&one.tag),
                        tag: one.tag.to_string(),
                        from: one.now.map(|now| now.to_string()),
                    })
                    .collect();
            }
            Ok(Err(failure)) => place.unknown = Some(failure.reason),
            Err(_) => place.unknown = Some(format!("it gave no answer within {} s", PATIENCE.as_secs())),
        }
        place
    };
    tagging.into_iter().zip(answers).map(view).collect()
}

/// What a place said, if it said anything in time.
type Answer = Result<Result<Vec<Foretold>, Failure>, Elapsed>;

/// The place of a publication as people write it.
pub fn shown(publication: &PublishAction) -> String {
    match &publication.registry.place {
        RegistryPlace::Remote { host, prefix } if prefix.is_empty() => format!("{host}/{}", publication.repository),
        RegistryPlace::Remote { host, prefix } => format!("{host}/{prefix}/{}", publication.repository),
        RegistryPlace::Layout(path) => format!("oci:{path}/{}", publication.repository),
    }
}
