//! `kiln verify IMAGE`: builds an image twice under different circumstances and says where the two differ.
//!
//! Two copies of the project are made, each with a cache of its own, so neither the project nor what kiln knows of it changes. The
//! second copy lies elsewhere, its files were made in the opposite order and bear another date, and kiln runs there under another
//! user, umask, locale and time zone. Every step that the image stands on runs in both.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::Args;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Span};
use crate::base::id::{StepId, StepName};
use crate::base::path::{AbsPath, RelPath};
use crate::base::pattern::Pattern;
use crate::base::words;
use crate::exec::gather;
use crate::graph::select;
use crate::image::build::{BaseImage, ImageError};
use crate::image::compare;
use crate::oci::descriptor::Descriptor;
use crate::plan::target::FileSet;
use crate::record::history::StepHistory;
use crate::report::inspect::DifferenceRow;
use crate::report::json;
use crate::report::reproduce::{self as screen, StepView, VerifyView};
use crate::store::local::Store;
use crate::store::result::{ActionResult, OutputEntry};
use crate::sys::clock::Stopwatch;
use crate::sys::tree::Tree;
use crate::sys::twin::{self, Circumstances};
use crate::sys::{file, git, walk};

use super::args::Global;
use super::images::{self, Steps};
use super::inspect::row;
use super::machine;
use super::open::{self, Opened};
use super::output::Output;
use super::settings::{self, Settings};

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct Reproduce {
    /// An image of the plan: `web`, `web@arm64`, `web[variant=slim]`
    pub image: String,
    /// Keeps both copies with what they made, and says where
    #[arg(long)]
    pub keep: bool,
}

/// The user that the second kiln has, where namespaces are allowed.
const USER: u32 = 4242;
/// The date of the files in the second copy: 2001-09-09.
const DATE: u64 = 1_000_000_000;
/// The environment of the second kiln.
const ENV: &[(&str, &str)] = &[
    ("LANG", "tr_TR.UTF-8"),
    ("LC_ALL", "tr_TR.UTF-8"),
    ("LANGUAGE", "tr"),
    ("TZ", "Pacific/Auckland"),
    ("USER", "somebody"),
    ("LOGNAME", "somebody"),
    ("COLUMNS", "40"),
    ("TERM", "vt100"),
];
/// How long the second build begins after the first at least, so that a time in seconds is another one.
const APART: u64 = 1_100;

/// Builds twice and compares.
///
/// # Errors
/// The faults of the plan; a build that fails; a disk that refuses.
pub fn verify(global: &Global, output: &Output, asked: &Reproduce) -> Result<u8, Diagnostics> {
    let folder = tempfile::Builder::new().prefix("kiln-verify-").tempdir().map_err(|error| disk(&error))?;
    let place = file::canonical(folder.path()).ok().and_then(AbsPath::new).ok_or_else(|| disk(&"the folder for copies has no path"))?;
    let settings = settings::resolve(global)?;
    // The plan is looked at with a cache of its own, too: what is known of the project stays as it is.
    let apart = Settings { cache: place.join("look"), ..settings.clone() };
    let name = asked.image.split(['[', '@']).next().unwrap_or(&asked.image).to_owned();
    let opened = open::open_for(&apart, &[name])?;
    let steps = images::steps(&opened, &asked.image)?;
    let project = Whole::of(&settings, &opened, &wanted(&steps))?;
    let (mut files, another) = (project.files.clone(), twin::can_be(USER));
    let first = project.copied(&place.join("one"), &files, None)?;
    files.reverse();
    let second = project.copied(&place.join("another").join("place").join("two"), &files, Some(DATE))?;
    let watch = Stopwatch::start();
    let one = build(global, &settings, &first, &place.join("cache-one"), &steps, &Circumstances::default())?;
    std::thread::sleep(std::time::Duration::from_millis(APART.saturating_sub(watch.millis())));
    let circumstances = Circumstances { env: ENV, umask: Some("077"), user: another.then_some(USER) };
    let two = build(global, &settings, &second, &place.join("cache-two"), &steps, &circumstances)?;
    let (one, two) = match (one, two) {
        (Built::Failed(code, said), _) | (_, Built::Failed(code, said)) => return failed(output, &asked.image, code, &said),
        (Built::Done(one), Built::Done(two)) => (one, two),
    };
    let mut changed = vec!["folder", "order and dates of files", "time", "umask", "locale", "time zone", "name of the user"];
    if another {
        changed.push("user");
    }
    let view = VerifyView {
        image: asked.image.clone(),
        same: one.top.digest == two.top.digest,
        digests: [one.top.digest.to_string(), two.top.digest.to_string()],
        changed: changed.into_iter().map(str::to_owned).collect(),
        steps: differing(&opened, &wanted(&steps), &one, &two),
        differences: differences(&steps, &one, &two)?,
    };
    output.answer(&if output.json { json::document(&view) } else { screen::screen(&view, output.out) });
    if asked.keep {
        let kept = folder.keep();
        output.complain(&[format!("both copies and what they made are in {}", kept.display())]);
    }
    Ok(u8::from(!view.same))
}

fn disk(error: &dyn std::fmt::Display) -> Diagnostic {
    let message = format!("the copies of the project could not be made: {error}");
    Diagnostic::new(Class::Environment, "verify::copy", message)
        .help("they lie in the folder that TMPDIR names; it needs room for two copies and two caches")
}

/// The steps that are asked for: the index, or the builds.
fn wanted(steps: &Steps) -> Vec<String> {
    match (&steps.index, &steps.platform) {
        (Some(index), None) => vec![index.to_string()],
        (_, asked) => {
            let fits = |step: &&StepName| asked.is_none() || step.platform == *asked;
            steps.builds.iter().filter(fits).map(ToString::to_string).collect()
        }
    }
}

/// A project with the repository that it lies in.
struct Whole {
    /// What is copied: the repository, or the project where there is none.
    top: AbsPath,
    /// Where the project lies below.
    inner: RelPath,
    /// Files below `top`.
    files: Vec<RelPath>,
    /// Whether git is asked.
    versioned: bool,
}

impl Whole {
    /// All that git knows or would know, and what the steps read beside it; without git every file. What steps make is left out, so
    /// that they make it again.
    fn of(settings: &Settings, opened: &Opened, targets: &[String]) -> Result<Self, Diagnostics> {
        let root = &settings.root;
        let answer = git::ask(root, &["rev-parse", "--show-toplevel"]).ok().flatten();
        let top = answer.and_then(|top| AbsPath::new(file::canonical(top).ok()?));
        let versioned = top.is_some();
        let top = top.unwrap_or_else(|| root.clone());
        let below = root.as_path().strip_prefix(top.as_path()).unwrap_or(root.as_path());
        let inner = RelPath::new(below.as_os_str().as_bytes()).map_err(|error| disk(&error))?;
        let mut files: BTreeSet<RelPath> = BTreeSet::new();
        if versioned {
            let list =
                git::bytes(&top, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"], &[]).map_err(|error| disk(&error))?;
            files.extend(list.split(|byte| *byte == 0).filter(|path| !path.is_empty()).filter_map(|path| RelPath::new(path).ok()));
        }
        let tree = Tree::open(root).map_err(|error| disk(&error))?;
        let selection = select::select(&opened.graph, targets)?;
        let mut sets: Vec<Cow<'_, FileSet>> = selection.steps.iter().flat_map(|id| gather::file_sets(opened.graph.action(*id))).collect();
        if !versioned {
            let all = Pattern::of(&RelPath::root());
            let span = opened.graph.action(selection.asked[0]).span.clone();
            sets = vec![Cow::Owned(FileSet { include: vec![(all, span)], exclude: Vec::new() })];
        }
        for set in sets {
            let patterns = |list: &[(Pattern, Span)]| list.iter().map(|(pattern, _)| pattern.clone()).collect::<Vec<_>>();
            let (include, exclude) = (patterns(&set.include), patterns(&set.exclude));
            let found = walk::survey(&tree, &include.iter().collect::<Vec<_>>(), &exclude.iter().collect::<Vec<_>>(), walk::Folders::Empty);
            let found = found.map_err(|faults| disk(&words::list(&faults.iter().map(ToString::to_string).collect::<Vec<_>>(), "and")))?;
            for entry in found.entries {
                files.insert(inner.join(entry.path.as_bytes()).map_err(|error| disk(&error))?);
            }
        }
        let made = |path: &RelPath| path.below(&inner).is_some_and(|own| opened.graph.is_output(&own));
        let files = files.into_iter().filter(|path| !made(path)).collect();
        Ok(Self { top, inner, files, versioned })
    }

    /// Makes a copy below `place` and gives the project's root in it.
    fn copied(&self, place: &AbsPath, files: &[RelPath], dated: Option<u64>) -> Result<AbsPath, Diagnostic> {
        if let Some(parent) = place.parent() {
            file::create_dirs(&parent).map_err(|error| disk(&error))?;
        }
        if self.versioned {
            let words = ["clone", "--quiet", "--shared", "--no-checkout", "--", &self.top.to_string(), &place.to_string()];
            git::bytes(&self.top, &words, &[]).map_err(|error| disk(&error))?;
            // Without a commit there is nothing that the index could hold.
            let _ = git::bytes(place, &["read-tree", "HEAD"], &[]);
        }
        file::create_dirs(place).map_err(|error| disk(&error))?;
        for path in files {
            twin::copy(&self.top.at(path), &place.at(path), dated).map_err(|error| disk(&error))?;
        }
        Ok(place.at(&self.inner))
    }
}

/// How a build ended.
enum Built {
    Done(Box<Left>),
    /// With this code, and what it said.
    Failed(u8, String),
}

/// What a build left.
struct Left {
    store: Store,
    history: StepHistory,
    top: Descriptor,
}

impl Left {
    fn result(&self, step: &StepName) -> Option<ActionResult> {
        machine::last_result(&self.store, &self.history, step)
    }
}

fn build(
    global: &Global,
    settings: &Settings,
    root: &AbsPath,
    cache: &AbsPath,
    steps: &Steps,
    circumstances: &Circumstances<'_>,
) -> Result<Built, Diagnostic> {
    let mut words: Vec<OsString> = vec!["-C".into(), root.as_path().into(), "--cache-dir".into(), cache.as_path().into(), "-f".into()];
    let plan =
        settings.plan_place().map_or_else(|| PathBuf::from(settings.plan.as_path()), |place| PathBuf::from(root.at(&place).as_path()));
    words.push(plan.into());
    words.extend(global.set.iter().flat_map(|pair| [OsString::from("--set"), pair.into()]));
    words.extend(global.profile.iter().flat_map(|name| [OsString::from("--profile"), name.into()]));
    words.extend(
        [(global.frozen, "--frozen"), (global.offline, "--offline")].into_iter().filter(|(on, _)| *on).map(|(_, word)| word.into()),
    );
    words.push("run".into());
    words.extend(wanted(steps).into_iter().map(OsString::from));
    let ended = twin::kiln(&words, root.as_path(), circumstances).map_err(|error| disk(&error))?;
    if !ended.status.success() {
        let code = ended.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(Class::Internal.exit_code());
        let said = [ended.stdout, ended.stderr].concat();
        return Ok(Built::Failed(code, String::from_utf8_lossy(&said).into_owned()));
    }
    let own = Settings { root: root.clone(), cache: cache.clone(), ..settings.clone() };
    let store = machine::store(&own)?;
    let history = StepHistory::load(own.project().as_path());
    let mut left = Left { store, history, top: Descriptor::of("", &[]) };
    let first = match (&steps.index, &steps.platform) {
        (Some(index), None) => Some(index),
        (_, asked) => steps.builds.iter().find(|step| asked.is_none() || step.platform == *asked),
    };
    let image = first.and_then(|step| left.result(step)).and_then(|result| result.image);
    left.top = image.map(|image| image.descriptor).ok_or_else(|| disk(&"what the build left cannot be found"))?;
    Ok(Built::Done(Box::new(left)))
}

/// The build in a copy failed: its last lines say why.
fn failed(output: &Output, image: &str, code: u8, said: &str) -> Result<u8, Diagnostics> {
    let lines: Vec<&str> = said.lines().collect();
    let tail = lines[lines.len().saturating_sub(20)..].join("\n");
    output.complain(&[format!("`{}` could not be built in a copy of the project:", words::visible(image))]);
    output.complain(&tail.lines().map(str::to_owned).collect::<Vec<_>>());
    Ok(code)
}

/// The steps whose outputs differ, in the order in which they ran.
fn differing(opened: &Opened, targets: &[String], one: &Left, two: &Left) -> Vec<StepView> {
    let steps: Vec<StepId> = select::select(&opened.graph, targets).map(|selection| selection.steps).unwrap_or_default();
    let mut found = Vec::new();
    for id in steps {
        let name = &opened.graph.action(id).name;
        let (Some(a), Some(b)) = (one.result(name), two.result(name)) else { continue };
        let side = |result: &ActionResult| -> BTreeSet<(String, String)> {
            let form = |entry: &OutputEntry| match entry {
                OutputEntry::File { digest, executable, .. } => format!("{digest} {executable}"),
                OutputEntry::Link { target } => format!("-> {}", String::from_utf8_lossy(target)),
                OutputEntry::Folder => "folder".to_owned(),
            };
            result.outputs.iter().map(|output| (output.path.to_string(), form(&output.entry))).collect()
        };
        let (a, b) = (side(&a), side(&b));
        let outputs: BTreeSet<String> = a.symmetric_difference(&b).map(|(path, _)| path.clone()).collect();
        if !outputs.is_empty() {
            found.push(StepView { step: name.to_string(), outputs: outputs.into_iter().collect() });
        }
    }
    found
}

fn differences(steps: &Steps, one: &Left, two: &Left) -> Result<Vec<DifferenceRow>, Diagnostic> {
    let mut found = Vec::new();
    let fits = |step: &&StepName| steps.platform.is_none() || step.platform == steps.platform;
    for step in steps.builds.iter().filter(fits) {
        let platform = step.platform.as_ref().map_or_else(String::new, ToString::to_string);
        let image = |left: &Left| {
            let descriptor = left.result(step).and_then(|result| result.image).map(|image| image.descriptor);
            descriptor.map(|descriptor| BaseImage::read(&left.store, &descriptor)).transpose()
        };
        let unsound = |error: ImageError| Diagnostic::new(Class::Environment, "inspect::unsound", error.to_string());
        let (Some(a), Some(b)) = (image(one).map_err(unsound)?, image(two).map_err(unsound)?) else { continue };
        if a.descriptor.digest == b.descriptor.digest {
            continue;
        }
        let mut rows = compare::documents(&a, &b);
        rows.extend(compare::layers((&one.store, &a), (&two.store, &b)).map_err(|error| images::unsound(&error))?);
        found.extend(rows.into_iter().map(|difference| row(&platform, difference)));
    }
    Ok(found)
}
