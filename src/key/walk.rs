//! The one walk over an action that both sinks hear. Whoever changes it moves [`DOMAIN`], so that no old key is met.

use crate::base::canon::Sink;
use crate::base::id::StepKind;
use crate::evidence::provenance::BUILD_TYPE;
use crate::graph::action::{Action, ActionKind, FetchAction, ProvenanceAction, PublishAction, ScanAction};
use crate::graph::ingredients::{Ingredients, Material};
use crate::plan::RegistryPlace;
use crate::plan::dockerfile::Dockerfile;
use crate::plan::image::{Add, AddSource, Compression, Copy, Elsewhere, Form, Health, HealthCommand, LayerDef, Media, Recipe, Settings};
use crate::plan::policy::{CustomRule, Field, PolicyDef, Rule, Severity, Test};
use crate::plan::sandbox::WritePlace;
use crate::plan::target::{Command, Container, FileSet, TaskCell};
use crate::store::result::{OutputEntry, OutputFile};

use super::service;

/// The version of the encoding.
pub const DOMAIN: &str = "kiln action 3";

pub fn action<S: Sink>(action: &Action, taken: &Ingredients, sink: &mut S) {
    sink.text("kind", action.name.kind.word());
    match &action.kind {
        ActionKind::Run(cell) => task(cell, taken, sink),
        ActionKind::Fetch(from) => fetch(from, action.name.kind, taken, sink),
        ActionKind::Build(build) => {
            sink.text("created", &build.epoch.to_string());
            image(&build.recipe, taken, sink);
        }
        ActionKind::Index(image) => {
            for recipe in &image.platforms {
                sink.open(&recipe.platform.to_string());
                if recipe.form.media != Media::default() {
                    sink.text("media", recipe.form.media.word());
                }
                pairs("annotations", &recipe.settings.annotations, sink);
                sink.close();
            }
        }
        ActionKind::Scan(scan) => policy(scan, sink),
        ActionKind::Sbom(sbom) => {
            sink.text("scanner", crate::scan::VERSION);
            sink.text("image", &sbom.repository);
            sink.text("created", &sbom.epoch.to_string());
        }
        ActionKind::Provenance(provenance) => record(provenance, taken, sink),
        ActionKind::Save(image) => {
            for save in &image.saves {
                sink.open("save");
                sink.text("path", save.output.pattern.as_str());
                sink.text("format", save.form.word());
                sink.text("name", &save.name.to_string());
                sink.close();
            }
        }
        ActionKind::Push(publish) => place(publish, sink),
        ActionKind::Evidence(evidence) => {
            place(&evidence.publication, sink);
            sink.list("evidence", &evidence.evidence.words());
        }
        ActionKind::Tag(publish) => {
            place(publish, sink);
            sink.list("tags", &publish.all_tags().iter().map(ToString::to_string).collect::<Vec<_>>());
        }
        ActionKind::Up(up) => service::up(up, sink),
        ActionKind::Group => {}
    }
    sink.open("images");
    for (name, image) in &taken.images {
        sink.text(&name.to_string(), &image.descriptor.digest.to_string());
    }
    sink.close();
    sink.open("needs");
    for (name, digest) in &taken.needs {
        sink.text(&name.to_string(), digest);
    }
    sink.close();
}

/// What a key says of a file: its kind, whether it may be executed, its content. The size follows from the content.
pub fn entry<S: Sink>(entry: &OutputEntry, sink: &mut S) {
    match entry {
        OutputEntry::File { digest, executable, .. } => {
            sink.text("mode", if *executable { "755" } else { "644" });
            sink.text("content", &digest.to_string());
        }
        OutputEntry::Link { target } => sink.field("link", target),
        OutputEntry::Folder => sink.text("kind", "folder"),
    }
}

/// A list of files, each under its path.
pub fn files<S: Sink>(name: &str, files: &[OutputFile], sink: &mut S) {
    sink.open(name);
    for file in files {
        sink.open(&file.path.escaped());
        entry(&file.entry, sink);
        sink.close();
    }
    sink.close();
}

fn patterns<S: Sink>(set: &FileSet, sink: &mut S) {
    sink.open("patterns");
    for (pattern, _) in &set.include {
        sink.text("", pattern.as_str());
    }
    for (pattern, _) in &set.exclude {
        sink.text("", &format!("!{pattern}"));
    }
    sink.close();
}

pub(super) fn pairs<S: Sink>(name: &str, values: &[(String, String)], sink: &mut S) {
    sink.open(name);
    for (key, value) in values {
        sink.text(key, value);
    }
    sink.close();
}

fn task<S: Sink>(cell: &TaskCell, taken: &Ingredients, sink: &mut S) {
    sink.list("shell", &cell.shell);
    commands(&cell.commands, sink);
    sink.field("dir", cell.dir.as_bytes());
    sink.maybe("platform", cell.platform.as_ref().map(ToString::to_string).as_deref());
    pairs("env", &cell.env, sink);
    sink.open("pass-env");
    for name in &cell.pass_env {
        let value = taken.pass_env.iter().find(|(own, _)| own == name).and_then(|(_, value)| value.as_deref());
        sink.open(name);
        sink.maybe("", value);
        sink.close();
    }
    sink.close();
    if !cell.secrets.is_empty() {
        sink.open("secrets");
        for secret in &cell.secrets {
            sink.text(&secret.variable, &format!("{}{}", secret.name, if secret.as_file { " as a file" } else { "" }));
        }
        sink.close();
    }
    if !cell.rest.is_empty() {
        sink.list("rest", &cell.rest);
    }
    sink.list("tools", &cell.tools);
    sink.open("tool");
    for (name, digest) in &taken.tools {
        sink.text(name, &digest.to_string());
    }
    sink.close();
    if !taken.versions.is_empty() {
        sink.open("tool-version");
        for (name, version) in &taken.versions {
            sink.text(name, version);
        }
        sink.close();
    }
    sink.list("outputs", &cell.outputs.iter().map(|output| output.pattern.as_str()).collect::<Vec<_>>());
    if let Some(inside) = &cell.container {
        container(inside, sink);
    }
    sink.maybe("exec-in", cell.exec_in.as_ref().map(|(name, _)| name.as_str()));
    // Without a sandbox a task has the key that it always had.
    if let Some(sandbox) = &cell.sandbox {
        sink.text("sandbox", sandbox.mode.word());
        sink.list("sandbox-read", &sandbox.read);
        sink.list("sandbox-write", &sandbox.write.iter().map(WritePlace::shown).collect::<Vec<_>>());
        sink.flag("sandbox-network", sandbox.network);
    }
    sink.flag("interactive", cell.interactive);
    if let Some(inputs) = &cell.inputs {
        patterns(inputs, sink);
    }
    for list in &taken.files {
        files("inputs", list, sink);
    }
}

pub(super) fn commands<S: Sink>(commands: &[Command], sink: &mut S) {
    sink.open("commands");
    for command in commands {
        match command {
            Command::Script(text) => sink.text("run", text),
            Command::Exec(words) => sink.list("exec", words),
        }
    }
    sink.close();
}

fn container<S: Sink>(inside: &Container, sink: &mut S) {
    sink.open("container");
    service::image(&inside.image, sink);
    sink.flag("mount", inside.mount);
    service::isolation(&inside.isolation, sink);
    sink.close();
}

fn fetch<S: Sink>(action: &FetchAction, kind: StepKind, taken: &Ingredients, sink: &mut S) {
    sink.text("platform", &action.platform.to_string());
    // `why` calls a base by that name, and any other image an image.
    let is_base = kind == StepKind::Base;
    match &action.from {
        Elsewhere::Registry { reference, insecure, .. } => {
            sink.text(if is_base { "reference" } else { "image" }, &reference.to_string());
            sink.flag("insecure", *insecure);
        }
        Elsewhere::Layout { path, tag, .. } => {
            sink.field(if is_base { "layout" } else { "image" }, path.as_bytes());
            sink.maybe("tag", tag.as_deref());
        }
    }
    for list in &taken.files {
        files("files", list, sink);
    }
}

fn image<S: Sink>(recipe: &Recipe, taken: &Ingredients, sink: &mut S) {
    sink.text("platform", &recipe.platform.to_string());
    sink.flag("scratch", recipe.base.is_none());
    sink.flag("squash", recipe.squash);
    form(recipe.form, sink);
    let mut lists = taken.files.iter();
    for layer in &recipe.layers {
        match layer {
            LayerDef::Copies(copies) => {
                // A layer of one copy has the key that it always had.
                if copies.len() > 1 {
                    sink.open("layer");
                }
                for copy in copies {
                    sink.open("copy");
                    content(copy, lists.next().map_or(&[], Vec::as_slice), sink);
                    sink.close();
                }
                if copies.len() > 1 {
                    sink.close();
                }
            }
            LayerDef::Add(add) => added(add, sink),
            LayerDef::Run(run) => {
                sink.open("run");
                sink.list("shell", &run.shell);
                sink.text("script", &run.script);
                sink.close();
            }
        }
    }
    if let Some(file) = &recipe.dockerfile {
        dockerfile(file, sink);
    }
    settings(&recipe.settings, sink);
}

/// The usual form says nothing, so that images have the keys that they always had.
fn form<S: Sink>(form: Form, sink: &mut S) {
    if form.media != Media::default() {
        sink.text("media", form.media.word());
    }
    if form.compression != Compression::default() {
        sink.text("compress", form.compression.word());
    }
}

fn added<S: Sink>(add: &Add, sink: &mut S) {
    sink.open("add");
    match &add.source {
        AddSource::Archive(set) => patterns(set, sink),
        AddSource::Url { url, sha256 } => {
            sink.text("url", url);
            sink.text("sha256", sha256);
        }
    }
    sink.text("to", &add.to);
    sink.text("owner", &format!("{}:{}", add.owner.0, add.owner.1));
    sink.close();
}

/// Where layers may come from and go to changes how fast it is built, not what; so it is not in here.
fn dockerfile<S: Sink>(file: &Dockerfile, sink: &mut S) {
    sink.open("dockerfile");
    sink.field("path", file.path.as_bytes());
    sink.field("context", file.context.as_bytes());
    sink.maybe("target", file.target.as_deref());
    pairs("args", &file.args, sink);
    sink.list("secrets", &file.secrets.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
    sink.list("ssh", &file.ssh);
    sink.close();
}

fn content<S: Sink>(copy: &Copy, list: &[OutputFile], sink: &mut S) {
    sink.text("to", &copy.to);
    let owner = |(user, group)| format!("{user}:{group}");
    match &copy.image {
        Some(image) => {
            sink.text("image", &image.shown());
            sink.maybe("owner", copy.owner.map(owner).as_deref());
        }
        None => sink.text("owner", &owner(copy.owner.unwrap_or_default())),
    }
    sink.maybe("mode", copy.mode.map(|mode| format!("{mode:o}")).as_deref());
    patterns(&copy.from, sink);
    files("files", list, sink);
}

fn settings<S: Sink>(settings: &Settings, sink: &mut S) {
    pairs("env", &settings.env, sink);
    sink.maybe("user", settings.user.as_deref());
    sink.maybe("workdir", settings.workdir.as_deref());
    sink.list("expose", &settings.expose);
    sink.list("volumes", &settings.volumes);
    pairs("labels", &settings.labels, sink);
    pairs("annotations", &settings.annotations, sink);
    sink.maybe("stop-signal", settings.stop_signal.as_deref());
    sink.maybe("author", settings.author.as_deref());
    sink.maybe("os-version", settings.os_version.as_deref());
    let shell = settings.shell.as_deref().unwrap_or_default();
    for (name, words) in [("config-shell", shell), ("onbuild", &settings.on_build), ("os-feature", &settings.os_features)] {
        if !words.is_empty() {
            sink.list(name, words);
        }
    }
    for (name, words) in [("entrypoint", &settings.entrypoint), ("cmd", &settings.cmd)] {
        if let Some(words) = words {
            sink.list(name, words);
        }
    }
    health(settings.healthcheck.as_ref(), sink);
}

pub(super) fn health<S: Sink>(check: Option<&Health>, sink: &mut S) {
    let millis = |span: &Option<std::time::Duration>| span.map(|span| span.as_millis().to_string());
    match check {
        None => {}
        Some(Health::None) => sink.text("healthcheck", "none"),
        Some(Health::Check { command, interval, timeout, start_period, retries }) => {
            sink.open("healthcheck");
            match command {
                HealthCommand::Exec(words) => sink.list("exec", words),
                HealthCommand::Shell(text) => sink.text("run", text),
            }
            sink.maybe("interval", millis(interval).as_deref());
            sink.maybe("timeout", millis(timeout).as_deref());
            sink.maybe("start-period", millis(start_period).as_deref());
            sink.maybe("retries", retries.map(|count| count.to_string()).as_deref());
            sink.close();
        }
    }
}

fn policy<S: Sink>(scan: &ScanAction, sink: &mut S) {
    sink.text("scanner", crate::scan::VERSION);
    sink.text("image", &scan.repository);
    sink.text("created", &scan.epoch.to_string());
    sink.flag("mutable-base", scan.mutable_base);
    sink.maybe("fail", scan.fail.as_ref().map(|(severity, _)| severity.word()));
    rules(&scan.policy, sink);
}

pub(super) fn rules<S: Sink>(policy: &PolicyDef, sink: &mut S) {
    for (rule, level, _) in &policy.rules {
        let limit = if let Rule::MaxSize(bytes) = rule { format!(" {bytes}") } else { String::new() };
        sink.text(rule.word(), &format!("{}{limit}", level.word()));
    }
    for rule in &policy.custom {
        custom(rule, sink);
    }
    if let Some((age, level, _)) = &policy.max_age {
        sink.open("max-age");
        sink.text("seconds", &age.as_secs().to_string());
        sink.text("level", level.word());
        sink.close();
    }
    for waiver in &policy.waivers {
        sink.open("waive");
        sink.text(&waiver.id, &waiver.reason);
        sink.text("until", &waiver.until);
        sink.flag("in-force", waiver.in_force);
        sink.close();
    }
    for allowance in &policy.allow {
        sink.open("allow");
        sink.text(allowance.pattern.as_str(), &allowance.reason);
        sink.close();
    }
}

fn custom<S: Sink>(rule: &CustomRule, sink: &mut S) {
    sink.open("rule");
    sink.text("name", &rule.name);
    sink.text("level", rule.level.word());
    sink.maybe("severity", rule.severity.map(Severity::word));
    sink.maybe("doc", rule.doc.as_deref());
    for condition in &rule.conditions {
        sink.open("where");
        match &condition.field {
            Field::Label(name) => sink.text("label", name),
            Field::Env(name) => sink.text("env", name),
            Field::Plain(word) => sink.text("field", word),
        }
        match &condition.test {
            Test::Is(text) => sink.text("is", text),
            Test::Not(text) => sink.text("not", text),
            Test::Has(text) => sink.text("has", text),
            Test::Above(limit) => sink.text("above", &limit.to_string()),
            Test::Below(limit) => sink.text("below", &limit.to_string()),
            Test::Set(set) => sink.flag("set", *set),
        }
        sink.close();
    }
    sink.close();
}

fn record<S: Sink>(provenance: &ProvenanceAction, taken: &Ingredients, sink: &mut S) {
    sink.text("claim", BUILD_TYPE);
    sink.text("kiln", env!("CARGO_PKG_VERSION"));
    if let Some(commit) = &provenance.commit {
        sink.text("commit", &commit.sha);
        sink.maybe("origin", commit.origin.as_deref());
        sink.flag("dirty", commit.dirty);
    }
    pairs("documents", &provenance.asked.documents, sink);
    sink.list("profiles", &provenance.asked.profiles);
    pairs("params", &provenance.asked.params, sink);
    sink.list("platforms", &provenance.image.platforms.iter().map(|recipe| recipe.platform.to_string()).collect::<Vec<_>>());
    sink.open("materials");
    for material in &taken.materials {
        match material {
            Material::File(file) => {
                sink.open(&file.path.escaped());
                entry(&file.entry, sink);
                sink.close();
            }
            Material::Image { repository, digest, platform } => sink.text(&format!("{repository} {platform}"), &digest.to_string()),
            Material::Tool { name, digest, version, .. } => {
                sink.text(name, &digest.to_string());
                sink.maybe("version", version.as_deref());
            }
        }
    }
    sink.close();
}

fn place<S: Sink>(publish: &PublishAction, sink: &mut S) {
    match &publish.registry.place {
        RegistryPlace::Remote { host, prefix } => sink.text("registry", &format!("{host}/{prefix}")),
        RegistryPlace::Layout(path) => sink.field("layout", path.as_bytes()),
    }
    sink.text("repository", &publish.repository);
    sink.list("immutable", &publish.registry.immutable);
}
