//! Plan → graph: which steps a target stands for, and what each of them waits for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::base::diagnostic::{Diagnostic, Diagnostics, Span};
use crate::base::id::{Cell, StepId, StepKind, StepName, TargetName};
use crate::base::pattern::Pattern;
use crate::base::platform::Platform;
use crate::plan::image::{Add, AddSource, Elsewhere, ImageDef, LayerDef, Origin, Recipe};
use crate::plan::isolation::{Mount, MountSource, Network};
use crate::plan::policy::{self, PolicyDef};
use crate::plan::service::{ServiceDef, VolumeDef};
use crate::plan::target::{ContainerImage, FileSet, Target, TargetKind, TaskCell};
use crate::plan::{Plan, RegistryDef};

use super::action::{Action, ActionKind, BuildAction, FetchAction, ScanAction, UpAction};
use super::basis::Basis;
use super::infer::Producers;
use super::release::Built;
use super::{ActionGraph, Edge, circle, node, step};

/// Makes the graph of a whole plan.
///
/// # Errors
/// Every circle, and every image whose base has no step for a platform that it needs.
pub fn lower(plan: &Plan) -> Result<ActionGraph, Diagnostics> {
    let mut lowering = Lowering::with_steps(plan);
    for target in part(plan) {
        lowering.connect(target);
    }
    lowering.finish()
}

/// The steps of a plan with nothing between them, and who makes what.
pub(super) fn steps(plan: &Plan) -> (DiGraph<Action, Edge>, Producers) {
    let lowering = Lowering::with_steps(plan);
    (lowering.dag, lowering.producers)
}

/// The targets that have steps.
fn part(plan: &Plan) -> impl Iterator<Item = &Target> {
    plan.targets.values().filter(|target| target.left_out.is_none())
}

/// The targets that have none, with the condition that does not hold.
pub(super) fn left_out(plan: &Plan) -> BTreeMap<String, String> {
    plan.targets.values().filter_map(|target| Some((target.name.to_string(), target.left_out.as_ref()?.condition.clone()))).collect()
}

pub(super) struct Lowering<'a> {
    pub(super) plan: &'a Plan,
    pub(super) dag: DiGraph<Action, Edge>,
    targets: HashMap<TargetName, Vec<StepId>>,
    producers: Producers,
    /// All reasons of a pair in one, so that a pair has one edge.
    edges: BTreeMap<(StepId, StepId), Edge>,
    faults: Diagnostics,
    pub(super) registries: HashMap<&'a str, Arc<RegistryDef>>,
    policies: HashMap<&'a str, Arc<PolicyDef>>,
    default_policy: Arc<PolicyDef>,
}

impl<'a> Lowering<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            dag: DiGraph::new(),
            targets: HashMap::new(),
            producers: Producers::default(),
            edges: BTreeMap::new(),
            faults: Diagnostics::default(),
            registries: plan.registries.iter().map(|(name, def)| (name.as_str(), Arc::new(def.clone()))).collect(),
            policies: plan.policies.iter().map(|(name, def)| (name.as_str(), Arc::new(def.clone()))).collect(),
            default_policy: Arc::new(policy::default_policy()),
        }
    }

    fn with_steps(plan: &'a Plan) -> Self {
        let mut lowering = Self::new(plan);
        for target in part(plan) {
            lowering.add_steps(target);
        }
        lowering
    }

    pub(super) fn add(&mut self, name: StepName, kind: ActionKind, span: &Span) -> StepId {
        let target = name.target.clone();
        let node = self.dag.add_node(Action { name, kind, span: span.clone() });
        let id = step(node);
        for output in self.dag[node].kind.outputs() {
            self.producers.add(id, &output.pattern);
        }
        self.targets.entry(target).or_default().push(id);
        id
    }

    fn add_steps(&mut self, target: &Target) {
        match &target.kind {
            TargetKind::Task(cells) => {
                for cell in cells {
                    let mut name = StepName::new(target.name.clone(), StepKind::Run);
                    name.cell = cell.cell.clone();
                    name.platform = cell.platform.clone();
                    self.add(name, ActionKind::Run(Arc::clone(cell)), &target.span);
                }
            }
            TargetKind::Image(images) => {
                for image in images {
                    self.add_image(target, image);
                }
            }
            TargetKind::Service(service) => {
                let action = ActionKind::Up(self.up(service));
                self.add(StepName::new(target.name.clone(), StepKind::Up), action, &target.span);
            }
            TargetKind::Group(_) => {
                self.add(StepName::new(target.name.clone(), StepKind::Group), ActionKind::Group, &target.span);
            }
        }
    }

    /// A service with the networks, volumes and policy that it names.
    fn up(&self, service: &ServiceDef) -> UpAction {
        let networks: &[(String, Span)] = if let Network::Named(names) = &service.isolation.network { names } else { &[] };
        let mut volumes: Vec<_> = service.isolation.mounts.iter().filter_map(|mount| self.volume(mount)).collect();
        volumes.dedup_by(|a, b| a.name == b.name);
        UpAction {
            service: Arc::new(service.clone()),
            networks: networks.iter().filter_map(|(name, _)| self.plan.networks.get(name)).cloned().collect(),
            volumes,
            policy: service.policy.as_ref().and_then(|(name, _)| self.policies.get(name.as_str())).cloned(),
        }
    }

    fn volume(&self, mount: &Mount) -> Option<VolumeDef> {
        let MountSource::Volume(name) = &mount.source else { return None };
        self.plan.volumes.get(name).cloned()
    }

    /// One image: base → build per platform → index; a scan per platform; then its release.
    fn add_image(&mut self, target: &Target, image: &Arc<ImageDef>) {
        let name = |kind, platform: Option<&Platform>, registry: Option<&str>| StepName {
            target: target.name.clone(),
            cell: image.cell.clone(),
            kind,
            platform: platform.cloned(),
            registry: registry.map(str::to_owned),
        };
        let mut builds = Vec::new();
        let mut scans = Vec::new();
        for recipe in &image.platforms {
            let platform = Some(&recipe.platform);
            let build = BuildAction { recipe: Arc::clone(recipe), epoch: self.plan.epoch };
            let mutable_base = build.has_mutable_base();
            let mut fetched = Vec::new();
            let mut fetch = |lowering: &mut Self, kind, from: &Elsewhere, called: Option<&str>| {
                let action = FetchAction { from: from.clone(), platform: recipe.platform.clone() };
                fetched.push(lowering.add(name(kind, platform, called), ActionKind::Fetch(Box::new(action)), &target.span));
            };
            if let Some(from) = recipe.base.as_ref().and_then(Origin::elsewhere) {
                fetch(self, StepKind::Base, from, None);
            }
            let mut stages = BTreeSet::new();
            for from in recipe.copies().filter_map(|copy| copy.image.as_ref()?.elsewhere()) {
                let called = from.shown();
                if stages.insert(called.clone()) {
                    fetch(self, StepKind::Stage, from, Some(&called));
                }
            }
            let id = self.add(name(StepKind::Build, platform, None), ActionKind::Build(build), &target.span);
            for first in fetched {
                self.edge(first, id, Edge::Data);
            }
            builds.push(id);
            if let Some(scan) = &image.scan {
                let policy = scan.policy.as_ref().and_then(|(name, _)| self.policies.get(name.as_str())).unwrap_or(&self.default_policy);
                let action = ScanAction {
                    policy: Arc::clone(policy),
                    repository: image.repository.clone(),
                    epoch: self.plan.epoch,
                    mutable_base,
                    fail: scan.fail.clone(),
                };
                let scan = self.add(name(StepKind::Scan, platform, None), ActionKind::Scan(action), &target.span);
                self.edge(id, scan, Edge::Data);
                scans.push(scan);
            }
        }
        let root = if builds.len() == 1 {
            builds[0]
        } else {
            let index = self.add(name(StepKind::Index, None, None), ActionKind::Index(Arc::clone(image)), &target.span);
            for build in &builds {
                self.edge(*build, index, Edge::Data);
            }
            index
        };
        self.add_release(target, image, &Built { builds, scans, root });
    }

    pub(super) fn edge(&mut self, first: StepId, then: StepId, reason: Edge) {
        let known = self.edges.entry((first, then)).or_insert(reason);
        *known = known.and(reason);
    }

    fn connect(&mut self, target: &Target) {
        let own = self.targets.get(&target.name).cloned().unwrap_or_default();
        for id in &own {
            let kind = self.dag[node(*id)].kind.clone();
            match &kind {
                ActionKind::Run(cell) => self.connect_task(*id, cell),
                ActionKind::Fetch(fetch) => {
                    if let Elsewhere::Layout { path, span, .. } = &fetch.from {
                        self.data(*id, &FileSet { include: vec![(Pattern::of(path), span.clone())], exclude: Vec::new() });
                    }
                }
                ActionKind::Build(build) => self.connect_build(*id, &build.recipe),
                ActionKind::Up(up) => self.contained(*id, &up.service.image, &Cell::default(), &Platform::host(), &up.service.image_span),
                _ => {}
            }
            let begins =
                matches!(kind, ActionKind::Run(_) | ActionKind::Fetch(_) | ActionKind::Build(_) | ActionKind::Up(_) | ActionKind::Group);
            if begins {
                self.named(*id, &target.needs, Edge::Need);
                self.named(*id, &target.after, Edge::After);
            }
            if let TargetKind::Group(members) = &target.kind {
                self.named(*id, members, Edge::Need);
            }
        }
    }

    fn named(&mut self, id: StepId, names: &[(TargetName, Span)], reason: Edge) {
        for (name, _) in names {
            for first in self.targets.get(name).cloned().unwrap_or_default() {
                self.edge(first, id, reason);
            }
        }
    }

    fn data(&mut self, id: StepId, set: &FileSet) {
        for producer in self.producers.of(set) {
            if producer != id {
                self.edge(producer, id, Edge::Data);
            }
        }
    }

    fn connect_task(&mut self, id: StepId, cell: &TaskCell) {
        if let Some(inputs) = &cell.inputs {
            self.data(id, inputs);
        }
        if let Some(container) = &cell.container {
            let platform = cell.platform.clone().unwrap_or_else(Platform::host);
            self.contained(id, &container.image, &cell.cell, &platform, &container.span);
        }
        if let Some(service) = &cell.exec_in {
            self.named(id, std::slice::from_ref(service), Edge::Need);
        }
    }

    /// An edge from the build of the image that a container is made of, when the plan builds it.
    fn contained(&mut self, id: StepId, image: &ContainerImage, cell: &Cell, platform: &Platform, span: &Span) {
        if let ContainerImage::Target(name) = image {
            self.image_step(id, name, cell, platform, span);
        }
    }

    fn connect_build(&mut self, id: StepId, recipe: &Recipe) {
        let cell = self.dag[node(id)].name.cell.clone();
        for layer in &recipe.layers {
            match layer {
                LayerDef::Copies(copies) => {
                    copies.iter().filter(|copy| copy.image.is_none()).for_each(|copy| self.data(id, &copy.from));
                }
                LayerDef::Add(Add { source: AddSource::Archive(set), .. }) => self.data(id, set),
                LayerDef::Add(_) | LayerDef::Run(_) => {}
            }
        }
        if let Some(file) = &recipe.dockerfile {
            // The whole project as context makes no edges: then every task that writes anything would come first.
            let read = [&file.path, &file.context].into_iter().filter(|path| !path.is_root());
            let include = read.map(|path| (Pattern::of(path), file.span.clone())).collect();
            self.data(id, &FileSet { include, exclude: Vec::new() });
        }
        for (name, span) in recipe.origins().filter_map(Origin::target) {
            self.image_step(id, name, &cell, &recipe.platform, span);
        }
    }

    /// An edge from the build of another image for this platform: of the same cell where it has one, else of its only cell.
    fn image_step(&mut self, id: StepId, image: &TargetName, cell: &Cell, platform: &Platform, span: &Span) {
        let builds: Vec<StepId> = self
            .targets
            .get(image)
            .cloned()
            .unwrap_or_default()
            .into_iter()
            .filter(|id| self.dag[node(*id)].name.kind == StepKind::Build)
            .collect();
        let fits = |id: &&StepId| self.dag[node(**id)].name.platform.as_ref() == Some(platform);
        let here: Vec<&StepId> = builds.iter().filter(fits).collect();
        let same: Vec<&&StepId> = here.iter().filter(|id| self.dag[node(***id)].name.cell == *cell).collect();
        let chosen = match (same.as_slice(), here.as_slice()) {
            ([only], _) => Some(***only),
            ([], [only]) => Some(**only),
            _ => None,
        };
        match chosen {
            Some(first) => self.edge(first, id, Edge::Data),
            None => {
                if let Some(out) = self.plan.targets.get(image).and_then(|target| target.left_out.as_ref()) {
                    let fault =
                        Diagnostic::plan("plan::no-such-platform", format!("`{image}` is left out of this plan"), span, "used here");
                    self.faults
                        .push(fault.label(&out.span, "does not hold").help("give both the same `when`, or stand it on another image"));
                    return;
                }
                let has: Vec<String> = builds.iter().map(|id| self.dag[node(*id)].name.to_string()).collect();
                let help = if has.is_empty() {
                    format!("`{image}` is not an image")
                } else {
                    format!("it has {}", crate::base::words::list(&has, "and"))
                };
                self.faults.push(
                    Diagnostic::plan(
                        "plan::no-such-platform",
                        format!("image `{image}` has no single build for {platform}{cell}"),
                        span,
                        "used here",
                    )
                    .help(help),
                );
            }
        }
    }

    fn finish(mut self) -> Result<ActionGraph, Diagnostics> {
        for ((first, then), reason) in &self.edges {
            self.dag.add_edge(node(*first), node(*then), *reason);
        }
        self.faults.extend(circle::faults(&self.dag));
        if self.faults.has_errors() {
            return Err(self.faults);
        }
        let order = declared_order(&self.dag);
        Ok(ActionGraph { dag: self.dag, order, producers: self.producers, left_out: left_out(self.plan), basis: Basis::new(self.plan) })
    }
}

/// Kahn's algorithm, which takes the step that was declared first among those that could be next.
fn declared_order(dag: &DiGraph<Action, Edge>) -> Vec<StepId> {
    let mut open: Vec<usize> = dag.node_indices().map(|index| dag.edges_directed(index, Direction::Incoming).count()).collect();
    let mut next: BinaryHeap<Reverse<NodeIndex>> = dag.node_indices().filter(|index| open[index.index()] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(open.len());
    while let Some(Reverse(index)) = next.pop() {
        order.push(step(index));
        for waiter in dag.neighbors_directed(index, Direction::Outgoing) {
            open[waiter.index()] -= 1;
            if open[waiter.index()] == 0 {
                next.push(Reverse(waiter));
            }
        }
    }
    order
}
