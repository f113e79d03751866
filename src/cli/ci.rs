//! `kiln ci github|gitlab|azure`: prints a pipeline that runs the plan; executes nothing, connects to nothing.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::{StepId, TargetName};
use crate::base::words;
use crate::engine::signing;
use crate::graph::action::ActionKind;
use crate::graph::select;
use crate::plan::evidence::KeyFrom;
use crate::plan::image::ImageDef;
use crate::plan::param::ParamOrigin;
use crate::plan::secret::SecretSource;
use crate::plan::tag::TagRule;
use crate::plan::target::{Target, TargetKind, TaskCell};
use crate::plan::{Plan, RegistryPlace};
use crate::report::pipeline::{self, Login, Pipeline, Program, System};

use super::args::{How, Run};
use super::open::{self, Opened, World};
use super::output::Output;
use super::run;
use super::settings::Settings;

/// Options of `ci`.
#[derive(Debug, Args)]
pub struct Ci {
    /// The CI system
    pub system: Option<Word>,
    /// What a tag releases [default: every image that is pushed to a registry]
    pub targets: Vec<String>,
    /// Where the pipeline fetches kiln from [default: the variable KILN_URL]
    #[arg(long, value_name = "ADDRESS", requires = "sha256")]
    pub url: Option<String>,
    /// What the program must be [default: the variable KILN_SHA256]
    #[arg(long, value_name = "HEX", requires = "url")]
    pub sha256: Option<String>,
}

/// The CI systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Word {
    /// GitHub Actions, for `.github/workflows/kiln.yml`
    Github,
    /// GitLab CI, for `.gitlab-ci.yml`
    Gitlab,
    /// Azure Pipelines, for `azure-pipelines.yml`
    Azure,
}

/// # Errors
/// The faults of the plan; a target that is not there; a name that cannot stand in a pipeline.
pub fn ci(settings: &Settings, output: &Output, asked: &Ci) -> Result<u8, Diagnostics> {
    let opened = open::open(settings, World::Unasked)?;
    let Some(word) = asked.system else {
        // Many a plan has a target of this name.
        if opened.plan.targets.keys().any(|name| name.as_str() == "ci") {
            return run::run(settings, output, &Run { targets: vec!["ci".to_owned()], how: How::default() });
        }
        let fault = Diagnostic::new(Class::Usage, "cli::ci", "no CI system was named");
        return Err(fault.help("`kiln ci github`, `kiln ci gitlab` or `kiln ci azure` prints a pipeline that runs the plan").into());
    };
    let system = match word {
        Word::Github => System::GitHub,
        Word::Gitlab => System::GitLab,
        Word::Azure => System::Azure,
    };
    let mut pipeline = Reader { opened: &opened }.pipeline(&asked.targets)?;
    pipeline.options = options(settings)?;
    pipeline.kiln = program(asked)?;
    output.answer(&pipeline::text(system, &pipeline));
    Ok(0)
}

/// The plan's file, where it is not `build.kdl` at the root of the project, and the profiles that were chosen.
fn options(settings: &Settings) -> Result<Vec<String>, Diagnostic> {
    let unfit = |shown: &str| {
        let message = format!("`{}` cannot be named in a pipeline", words::visible(shown));
        Diagnostic::new(Class::Usage, "cli::ci", message)
            .help("the plan lies in the project, and names in a pipeline have letters, digits, `.`, `_`, `-` and `/`")
    };
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/'));
    let place = settings.plan_place().ok_or_else(|| unfit(&settings.plan_name))?.to_string();
    let mut options = Vec::new();
    if place != "build.kdl" {
        options.extend(["-f".to_owned(), place]);
    }
    for profile in &settings.profiles {
        options.extend(["--profile".to_owned(), profile.clone()]);
    }
    match options.iter().find(|text| !plain(text)) {
        Some(odd) => Err(unfit(odd)),
        None => Ok(options),
    }
}

fn program(asked: &Ci) -> Result<Option<Program>, Diagnostic> {
    let (Some(url), Some(sha256)) = (&asked.url, &asked.sha256) else { return Ok(None) };
    let fault = |message: &str, help: &str| Diagnostic::new(Class::Usage, "cli::ci", message).help(help);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?&=+%@,".contains(c);
    if !url.starts_with("https://") || !url.chars().all(plain) {
        return Err(fault("`--url` is no address that a pipeline can fetch", "it begins with `https://`"));
    }
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(fault("`--sha256` is no digest", "`sha256sum kiln` prints the 64 digits of the program at that address"));
    }
    Ok(Some(Program { url: url.clone(), sha256: sha256.to_ascii_lowercase() }))
}

struct Reader<'a> {
    opened: &'a Opened,
}

impl Reader<'_> {
    fn pipeline(&self, typed: &[String]) -> Result<Pipeline, Diagnostics> {
        let Opened { plan, graph, .. } = self.opened;
        let release = if typed.is_empty() { self.published() } else { typed.to_vec() };
        let released = select::select(graph, &release)?.steps;
        let checks = self.checks(&release)?;
        let checked = select::select(graph, &checks)?.steps;
        let is_released = |target: &Target| released.iter().any(|id| graph.action(*id).name.target == target.name);
        let images: Vec<&ImageDef> = plan.images().filter(|(target, _)| is_released(target)).map(|(_, image)| image).collect();
        let has =
            |test: fn(&TagRule) -> bool| images.iter().any(|image| !image.push.is_empty() && image.tags.iter().any(|(rule, _)| test(rule)));
        let mut notes = Vec::new();
        let mut pipeline = Pipeline {
            name: if plan.project.name.is_empty() { "kiln".to_owned() } else { plan.project.name.clone() },
            checks,
            branches: has(|rule| matches!(rule, TagRule::Branch(_) | TagRule::Sha(_) | TagRule::Date(_))),
            requests: has(|rule| matches!(rule, TagRule::Request(_))),
            logins: self.logins(&released),
            check_secrets: self.secrets(&checked, &mut notes),
            release_secrets: self.secrets(&released, &mut notes),
            values: values(plan),
            tools: self.tools(&released, &checked),
            release,
            ..Pipeline::default()
        };
        pipeline.notes = notes;
        Ok(pipeline)
    }

    /// The images that are pushed to registries; layouts are folders of the machine.
    fn published(&self) -> Vec<String> {
        let plan = &self.opened.plan;
        let remote = |image: &ImageDef| {
            let places = image.push.iter().filter_map(|push| plan.registries.get(&push.registry));
            places.into_iter().any(|registry| matches!(registry.place, RegistryPlace::Remote { .. }))
        };
        let images = plan.targets.iter().filter(|(_, target)| match &target.kind {
            TargetKind::Image(images) => target.left_out.is_none() && images.iter().any(|image| remote(image)),
            _ => false,
        });
        images.map(|(name, _)| name.to_string()).collect()
    }

    /// What can fail before anything is published: what the default leads to, what is released, and every task that makes nothing but
    /// its success. What another of them needs anyway is not named.
    fn checks(&self, release: &[String]) -> Result<Vec<String>, Diagnostics> {
        let Opened { plan, graph, .. } = self.opened;
        let mut wanted: Vec<String> = Vec::new();
        let is_check = |cell: &TaskCell| cell.inputs.is_some() && cell.outputs.is_empty() && !cell.interactive && cell.exec_in.is_none();
        for (name, target) in plan.targets.iter().filter(|(_, target)| target.left_out.is_none()) {
            match &target.kind {
                TargetKind::Task(cells) if cells.iter().all(|cell| is_check(cell)) => wanted.push(name.to_string()),
                _ => {}
            }
        }
        let named = release.iter().map(|text| select::target(text)).filter_map(|name| name.parse::<TargetName>().ok());
        for name in plan.project.default.iter().cloned().chain(named) {
            self.unpublished(&name, &mut wanted);
        }
        // Tasks that need a published image are left out: a review publishes nothing.
        let steps = |text: &String| {
            Ok::<_, Diagnostics>(select::select(graph, std::slice::from_ref(text))?.steps.into_iter().collect::<BTreeSet<_>>())
        };
        let mut sets: Vec<(String, BTreeSet<StepId>)> = Vec::new();
        for text in wanted {
            let found = steps(&text)?;
            let publishes =
                found.iter().any(|id| matches!(graph.action(*id).kind, ActionKind::Push(_) | ActionKind::Tag(_) | ActionKind::Up(_)));
            if !publishes && !sets.iter().any(|(known, _)| *known == text) {
                sets.push((text, found));
            }
        }
        let within = |at: usize| {
            let own = &sets[at].1;
            sets.iter()
                .enumerate()
                .any(|(other, (_, steps))| other != at && own.is_subset(steps) && (own.len() < steps.len() || other < at))
        };
        Ok((0..sets.len()).filter(|at| !within(*at)).map(|at| sets[at].0.clone()).collect())
    }

    /// A target as far as it publishes nothing: of an image its scan or its build, of a group its members.
    fn unpublished(&self, name: &TargetName, wanted: &mut Vec<String>) {
        let Some(target) = self.opened.plan.targets.get(name).filter(|target| target.left_out.is_none()) else { return };
        match &target.kind {
            TargetKind::Image(images) if images.iter().all(|image| image.push.is_empty()) => wanted.push(name.to_string()),
            TargetKind::Image(images) => {
                let word = if images.iter().any(|image| image.scan.is_some()) { "scan" } else { "build" };
                wanted.push(format!("{name}/{word}"));
            }
            TargetKind::Group(members) => members.iter().for_each(|(member, _)| self.unpublished(member, wanted)),
            TargetKind::Task(_) => wanted.push(name.to_string()),
            TargetKind::Service(_) => {}
        }
    }

    fn logins(&self, steps: &[StepId]) -> Vec<Login> {
        let mut logins: Vec<Login> = Vec::new();
        for id in steps {
            let ActionKind::Push(publication) = &self.opened.graph.action(*id).kind else { continue };
            let RegistryPlace::Remote { host, .. } = &publication.registry.place else { continue };
            let unknown = self.opened.undecided.registry(&publication.registry.name);
            let login = Login { registry: publication.registry.name.clone(), host: (!unknown).then(|| host.clone()) };
            let same = |other: &Login| other.registry == login.registry || other.host.is_some() && other.host == login.host;
            if !logins.iter().any(same) {
                logins.push(login);
            }
        }
        logins
    }

    /// The variables that secrets of these steps are read from; other sources are told.
    fn secrets(&self, steps: &[StepId], notes: &mut Vec<String>) -> Vec<String> {
        let mut names = BTreeSet::new();
        let mut note = |text: String| {
            if !notes.contains(&text) {
                notes.push(text);
            }
        };
        let mut take = |name: Option<&str>, source: &SecretSource| match source {
            SecretSource::Env(variable) => drop(names.insert(variable.clone())),
            SecretSource::File(path) => {
                let what = name.map_or_else(|| "The key that signs".to_owned(), |name| format!("The secret `{name}`"));
                note(format!("{what} is read from the file {path}, which a step of your own has to write."));
            }
            SecretSource::Command(_) => {
                let what = name.map_or_else(|| "The key that signs".to_owned(), |name| format!("The secret `{name}`"));
                note(format!("{what} is what a command of the plan prints; the machine must be able to run it."));
            }
        };
        for id in steps {
            match &self.opened.graph.action(*id).kind {
                ActionKind::Run(cell) => cell.secrets.iter().for_each(|secret| take(Some(&secret.name), &secret.source)),
                ActionKind::Evidence(action) => {
                    let Some(sign) = &action.evidence.sign else { continue };
                    let KeyFrom { name, source } = &sign.key;
                    take(name.as_deref(), source);
                    match &sign.password {
                        Some(KeyFrom { name, source }) => take(name.as_deref(), source),
                        None => take(None, &SecretSource::Env(signing::PASSWORD.to_owned())),
                    }
                }
                _ => {}
            }
        }
        names.into_iter().collect()
    }

    fn tools(&self, released: &[StepId], checked: &[StepId]) -> Vec<String> {
        let cells = released
            .iter()
            .chain(checked)
            .filter_map(|id| if let ActionKind::Run(cell) = &self.opened.graph.action(*id).kind { Some(cell) } else { None });
        cells.flat_map(|cell| cell.tools.iter().cloned()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Values that somebody has to give.
fn values(plan: &Plan) -> Vec<String> {
    let needed = plan
        .params
        .values()
        .filter(|param| param.default.is_none() && !matches!(param.origin, ParamOrigin::Include | ParamOrigin::Profile(_)));
    needed.map(|param| format!("KILN_PARAM_{}", param.name.to_uppercase())).collect()
}
