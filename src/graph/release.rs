//! The release of an image: pushes and files of the project after every scan, evidence after every push, tags after all of that. So a failure in one registry
//! moves no tag in any.

use std::sync::Arc;

use crate::base::id::{StepId, StepKind, StepName};
use crate::evidence::provenance::public;
use crate::plan::RegistryDef;
use crate::plan::evidence::Asked;
use crate::plan::image::{Elsewhere, ImageDef, Origin, PushDef};
use crate::plan::target::{Target, TargetKind};

use super::action::{ActionKind, EvidenceAction, MountFrom, ProvenanceAction, PublishAction, SbomAction};
use super::lower::Lowering;
use super::{Edge, node};

/// The steps that made an image.
pub(super) struct Built {
    /// One per platform.
    pub builds: Vec<StepId>,
    /// One per platform, or none.
    pub scans: Vec<StepId>,
    /// The index, or the only build.
    pub root: StepId,
}

impl Lowering<'_> {
    pub(super) fn add_release(&mut self, target: &Target, image: &Arc<ImageDef>, built: &Built) {
        let name = |kind, registry: Option<&str>| StepName {
            target: target.name.clone(),
            cell: image.cell.clone(),
            kind,
            platform: None,
            registry: registry.map(str::to_owned),
        };
        let rules: Vec<_> = image.tags.iter().map(|(rule, _)| rule.clone()).collect();
        let place = |push: &PushDef| Some((self.registries.get(push.registry.as_str()).cloned()?, push.evidence.clone()));
        let places: Vec<_> = image.push.iter().filter_map(place).collect();
        let bases = self.bases(image);
        let beside: Arc<[_]> = places.iter().map(|(registry, _)| Arc::clone(registry)).collect();
        let publish = |registry: &Arc<RegistryDef>| PublishAction {
            registry: Arc::clone(registry),
            repository: image.repository.clone(),
            rules: rules.clone(),
            beside: Arc::clone(&beside),
            bases: Arc::clone(&bases),
        };
        if !image.saves.is_empty() {
            let save = self.add(name(StepKind::Save, None), ActionKind::Save(Arc::clone(image)), &target.span);
            self.edge(built.root, save, Edge::Data);
            for scan in &built.scans {
                self.edge(*scan, save, Edge::Need);
            }
        }
        let mut first = Vec::new();
        for (registry, _) in &places {
            let push = self.add(name(StepKind::Push, Some(&registry.name)), ActionKind::Push(publish(registry)), &target.span);
            self.edge(built.root, push, Edge::Data);
            for scan in &built.scans {
                self.edge(*scan, push, Edge::Need);
            }
            first.push(push);
        }
        let pushes = first.clone();
        let bills = if places.iter().any(|(_, evidence)| evidence.sbom.is_some()) { self.bills(target, image, built) } else { Vec::new() };
        let record = self.record(target, image, built, name(StepKind::Provenance, None));
        for (registry, evidence) in places.iter().filter(|(_, evidence)| !evidence.is_empty()) {
            let action = EvidenceAction { publication: publish(registry), evidence: evidence.clone() };
            let step = self.add(name(StepKind::Evidence, Some(&registry.name)), ActionKind::Evidence(Box::new(action)), &target.span);
            for image in built.builds.iter().chain([&built.root]) {
                self.edge(*image, step, Edge::Data);
            }
            let documents = bills.iter().filter(|_| evidence.sbom.is_some()).chain(record.iter().filter(|_| evidence.provenance.is_some()));
            for need in documents.chain(&pushes) {
                self.edge(*need, step, Edge::Need);
            }
            first.push(step);
        }
        // The registry that leads comes first, and the others need it.
        let (lead, follow): (Vec<_>, Vec<_>) = beside.iter().map(publish).partition(PublishAction::leads);
        for action in lead.into_iter().chain(follow) {
            let leads = action.leads();
            let tag = self.add(name(StepKind::Tag, Some(&action.registry.name)), ActionKind::Tag(action), &target.span);
            self.edge(built.root, tag, Edge::Data);
            for before in &first {
                self.edge(*before, tag, Edge::Need);
            }
            if leads {
                first.push(tag);
            }
        }
    }

    /// The repositories of what an image stands on, each once.
    fn bases(&self, image: &ImageDef) -> Arc<[MountFrom]> {
        let mut found: Vec<MountFrom> = Vec::new();
        for recipe in &image.platforms {
            let from = match &recipe.base {
                Some(Origin::Elsewhere(Elsewhere::Registry { reference, .. })) => Some(MountFrom::Base(reference.repository.clone())),
                Some(Origin::Target { name, .. }) => self.plan.targets.get(name).and_then(|target| match &target.kind {
                    TargetKind::Image(images) => images.first().map(|image| MountFrom::Image(image.repository.clone())),
                    _ => None,
                }),
                Some(Origin::Elsewhere(Elsewhere::Layout { .. })) | None => None,
            };
            found.extend(from.filter(|from| !found.contains(from)));
        }
        found.into()
    }

    /// The steps that write bills of materials: the scans, or steps of their own where nothing is scanned.
    fn bills(&mut self, target: &Target, image: &ImageDef, built: &Built) -> Vec<StepId> {
        if !built.scans.is_empty() {
            return built.scans.clone();
        }
        let mut bills = Vec::new();
        for build in &built.builds {
            let name = StepName { kind: StepKind::Sbom, ..self.dag[node(*build)].name.clone() };
            let action = SbomAction { repository: image.repository.clone(), epoch: self.plan.epoch };
            let step = self.add(name, ActionKind::Sbom(action), &target.span);
            self.edge(*build, step, Edge::Data);
            bills.push(step);
        }
        bills
    }

    /// What the plan was, as everybody may read it.
    fn asked(&self) -> Arc<Asked> {
        let Asked { documents, profiles, params } = &*self.plan.asked_for;
        let documents = documents.iter().map(|(name, digest)| (public(name), digest.clone())).collect();
        let params = params.iter().map(|(name, value)| (name.clone(), public(value))).collect();
        Arc::new(Asked { documents, profiles: profiles.clone(), params })
    }

    /// The step that records what the image was made of, where a registry is to have that.
    fn record(&mut self, target: &Target, image: &Arc<ImageDef>, built: &Built, name: StepName) -> Option<StepId> {
        let asked = image.push.iter().find_map(|push| push.evidence.provenance.as_ref())?;
        let action = ProvenanceAction { image: Arc::clone(image), commit: asked.commit.clone(), asked: self.asked() };
        let step = self.add(name, ActionKind::Provenance(action), &target.span);
        for build in &built.builds {
            self.edge(*build, step, Edge::Data);
        }
        Some(step)
    }
}
