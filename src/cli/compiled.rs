//! Compiled plans: what reading, resolving and lowering gave, kept so that the next command need not do it again.
//! In: the texts of a plan, the overrides, and the world that facts are asked of. Out: the plan and the graph that this very
//! program made of the same texts, overrides and facts; or nothing. Never: a part of a damaged file, an error that stops a
//! command, a fact taken from the file instead of asked.
//!
//! The file is a checksum (32 bytes) over all that follows it, then, in postcard's encoding, [`Origin`], [`Kept`], the number of
//! targets, each target as bytes of its own, and the links of the graph. Places are kept as numbers of texts (`base::places`); the
//! texts themselves are read anew.

use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::canon::{HashSink, Sink as _};
use crate::base::diagnostic::{Class, Diagnostic, Label, Severity, Source, Span};
use crate::base::digest::{Blake3, Digest};
use crate::base::id::TargetName;
use crate::base::path::AbsPath;
use crate::base::places;
use crate::graph::links::Links;
use crate::plan::facts::{self, Facts};
use crate::plan::include::{IncludeSource, Loaded};
use crate::plan::target::Target;
use crate::plan::undecided::Undecided;
use crate::plan::{Ask, Overrides, Plan, Resolved, explain};
use crate::record::program;
use crate::sys::file::{self, FileError};

use super::open::Asking;
use super::settings::Settings;
use super::sources::Files;

/// The largest file that is read, in bytes.
const LIMIT: u64 = 1 << 30;
const SUM: usize = 32;
/// Plans of one project that are kept: other overrides and other plan files have places of their own, up to so many.
const PLACES: u8 = 8;

impl Origin {
    /// Whether seeing if it still holds runs no command of the plan.
    pub fn runs_nothing(&self) -> bool {
        facts::run_nothing(&self.facts)
    }

    #[cfg(test)]
    pub fn sample() -> Self {
        Self {
            identity: Digest::of(b"i"),
            main: Digest::of(b"m"),
            included: Vec::new(),
            facts: vec![("env.A".into(), "1".into())],
            asks: false,
        }
    }
}

/// All that decides a plan.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The program, the plan's place and the overrides.
    identity: Digest<Blake3>,
    /// The text of the plan.
    main: Digest<Blake3>,
    /// What it includes, with the texts.
    included: Vec<(IncludeSource, Digest<Blake3>)>,
    /// The facts that were read, with their answers.
    facts: Vec<(String, String)>,
    /// Whether it mattered what might be asked.
    asks: bool,
}

/// What was made of it.
#[derive(Deserialize)]
struct Kept {
    /// All but its targets.
    plan: Plan,
    undecided: Undecided,
    warnings: Vec<Warning>,
}

/// A [`Diagnostic`] whose code is a text.
#[derive(Serialize, Deserialize)]
struct Warning {
    code: String,
    message: String,
    labels: Vec<(Span, String)>,
    help: Option<String>,
}

/// The places where the plan of one command can be kept.
pub struct Compiled {
    /// For a plan that is the same whatever may be asked.
    common: Place,
    /// For one that rests on answers: those that these targets need. `None` where nothing may be asked.
    own: Option<Place>,
}

#[derive(Clone)]
struct Place {
    file: AbsPath,
    identity: Digest<Blake3>,
}

impl Place {
    fn of(settings: &Settings, program: &[u8], asked: &[u8], targets: Option<&[u8]>) -> Self {
        let mut sink = HashSink::new("kiln plan 3");
        sink.field("asked", asked);
        if let Some(targets) = targets {
            sink.field("targets", targets);
        }
        let place = sink.finish();
        let number = place.as_bytes()[0] % PLACES;
        let mut sink = HashSink::new("kiln plan 3");
        sink.field("program", program);
        sink.field("place", place.as_bytes());
        Self { file: settings.project().join(format!("plan-{number}")), identity: sink.finish() }
    }
}

impl Compiled {
    /// The places for this plan file, these overrides, and these targets; `None` when the program cannot tell who it is.
    pub fn of(settings: &Settings, overrides: &Overrides, asking: Asking<'_>) -> Option<Self> {
        // What may be asked is said by the place, not by the overrides.
        let overrides = Overrides { ask: Ask::Everything, ..overrides.clone() };
        let mut sink = HashSink::new("kiln plan 3");
        sink.field("file", settings.plan.as_path().as_os_str().as_bytes());
        sink.field("overrides", &postcard::to_stdvec(&overrides).ok()?);
        let asked = sink.finish();
        let program = program::identity()?;
        let targets = match asking {
            Asking::Nothing => None,
            Asking::Everything => Some(None),
            Asking::For(targets) => Some(Some(targets)),
        };
        let place = |targets: Option<&[u8]>| Place::of(settings, program.as_bytes(), asked.as_bytes(), targets);
        let own = match targets {
            Some(targets) => Some(place(Some(&postcard::to_stdvec(&targets).ok()?))),
            None => None,
        };
        Some(Self { common: place(None), own })
    }

    /// What these texts were resolved to, and the links of its steps, when that is kept and every fact that was read has the same
    /// answer.
    pub fn load(&self, main: &Arc<Source>, files: &Files<'_>, facts: &dyn Facts) -> Option<(Origin, Resolved, Links)> {
        let load = |place: &Place| decode(&file::read(&place.file, LIMIT).ok()?, |origin| self.texts(place, origin, main, files, facts));
        [Some(&self.common), self.own.as_ref()].into_iter().flatten().find_map(load)
    }

    /// Where a plan is kept, and its texts, when everything that decided it is the same now.
    pub fn still_holds(&self, origin: &Origin, main: &Arc<Source>, files: &Files<'_>, facts: &dyn Facts) -> Option<Texts> {
        let place = if origin.asks { self.own.as_ref() } else { Some(&self.common) }?;
        let texts = self.texts(place, origin, main, files, facts)?;
        Some(Texts { file: place.file.clone(), texts })
    }

    fn texts(&self, place: &Place, origin: &Origin, main: &Arc<Source>, files: &Files<'_>, facts: &dyn Facts) -> Option<Vec<Arc<Source>>> {
        if origin.identity != place.identity || origin.main != Digest::of(main.text.as_bytes()) {
            return None;
        }
        let mut texts = vec![Arc::clone(main)];
        for (place, digest) in &origin.included {
            let source = files.source(place).ok()?;
            if Digest::<Blake3>::of(source.text.as_bytes()) != *digest {
                return None;
            }
            texts.push(source);
        }
        let may_ask = self.own.is_some() || facts::are_plain(&origin.facts);
        (may_ask && facts::still_hold(facts, &origin.facts)).then_some(texts)
    }

    /// Writes down what was resolved; `None` when it cannot be, and is compiled each time, rests on stand-ins, or includes what is elsewhere.
    pub fn draft(&self, loaded: &Loaded, resolved: &Resolved) -> Option<Draft> {
        // What is fetched is decided by the lock and the network, too.
        let remote = |place: &IncludeSource| !matches!(place, IncludeSource::Local(_));
        let place = if resolved.asks { self.own.as_ref()? } else { &self.common };
        if self.own.is_none() || loaded.included.iter().any(|one| remote(&one.place)) {
            return None;
        }
        let included: Vec<(IncludeSource, Arc<Source>)> = loaded
            .included
            .iter()
            .map(|one| Some((one.place.clone(), Arc::clone(&one.document.as_ref()?.source))))
            .collect::<Option<_>>()?;
        let texts: Vec<Arc<Source>> = [&loaded.main.source].into_iter().chain(included.iter().map(|(_, source)| source)).cloned().collect();
        let origin = Origin {
            identity: place.identity,
            main: Digest::of(loaded.main.source.text.as_bytes()),
            included: included.iter().map(|(place, source)| (place.clone(), Digest::of(source.text.as_bytes()))).collect(),
            facts: resolved.facts_read.clone(),
            asks: resolved.asks,
        };
        Some(Draft { file: place.file.clone(), bytes: encode(&origin, &texts, resolved)?, origin })
    }
}

/// The texts of a plan that is kept.
pub struct Texts {
    file: AbsPath,
    texts: Vec<Arc<Source>>,
}

impl Texts {
    /// What was made of them, when that is still kept.
    pub fn pieces(&self, origin: &Origin) -> Option<Pieces> {
        let bytes = file::read(&self.file, LIMIT).ok()?;
        let (own, rest) = opened(&bytes)?;
        if own != *origin {
            return None;
        }
        let Body { kept, targets, links } = places::among(&self.texts, || Body::read(&bytes, rest))?;
        Some(Pieces { texts: self.texts.clone(), bytes, targets, kept, links })
    }
}

/// A plan whose targets are still bytes.
pub struct Pieces {
    texts: Vec<Arc<Source>>,
    bytes: Vec<u8>,
    targets: Vec<Range<usize>>,
    kept: Kept,
    /// The links of all its steps.
    pub links: Links,
}

impl Pieces {
    /// The plan with these targets alone; `None` when it has others, or warnings.
    pub fn plan(self, targets: &[usize]) -> Option<(Plan, Undecided, Links)> {
        let Kept { mut plan, undecided, warnings } = self.kept;
        if !warnings.is_empty() {
            return None;
        }
        let read = |at: &usize| target(&self.bytes[self.targets.get(*at)?.clone()]);
        plan.targets = places::among(&self.texts, || targets.iter().map(read).collect::<Option<_>>())?;
        Some((plan, undecided, self.links))
    }
}

/// A file that lacks the links.
pub struct Draft {
    file: AbsPath,
    bytes: Vec<u8>,
    origin: Origin,
}

impl Draft {
    /// Keeps the plan, once it is known to have no fault, in place of the last one; gives what it came from.
    ///
    /// # Errors
    /// [`FileError`]; nothing is lost but time.
    pub fn keep(self, links: &Links) -> Result<Origin, FileError> {
        if let Some(bytes) = complete(self.bytes, links) {
            file::write_atomic(&self.file, &bytes, false)?;
        }
        Ok(self.origin)
    }
}

fn encode(origin: &Origin, texts: &[Arc<Source>], resolved: &Resolved) -> Option<Vec<u8>> {
    let warnings: Vec<Warning> = resolved.warnings.iter().map(Warning::of).collect::<Option<_>>()?;
    let bytes = postcard::to_extend(origin, vec![0; SUM]).ok()?;
    places::among(texts, || {
        let mut bytes = postcard::to_extend(&(&resolved.plan, &resolved.undecided, &warnings), bytes)?;
        bytes = postcard::to_extend(&resolved.plan.targets.len(), bytes)?;
        let mut one = Vec::new();
        for target in resolved.plan.targets.values() {
            one.clear();
            one = postcard::to_extend(target, one)?;
            bytes = postcard::to_extend(one.as_slice(), bytes)?;
        }
        Ok::<_, postcard::Error>(bytes)
    })
    .ok()
}

fn complete(bytes: Vec<u8>, links: &Links) -> Option<Vec<u8>> {
    let mut bytes = postcard::to_extend(links, bytes).ok()?;
    let sum = Digest::<Blake3>::of(&bytes[SUM..]);
    bytes[..SUM].copy_from_slice(sum.as_bytes());
    Some(bytes)
}

/// Reads a file back. `texts` gives the texts of the plan, or nothing when they or the facts are others now.
fn decode(bytes: &[u8], texts: impl FnOnce(&Origin) -> Option<Vec<Arc<Source>>>) -> Option<(Origin, Resolved, Links)> {
    let (origin, rest) = opened(bytes)?;
    let texts = texts(&origin)?;
    places::among(&texts, || {
        let Body { kept, targets, links } = Body::read(bytes, rest)?;
        let Kept { mut plan, undecided, warnings } = kept;
        plan.targets = targets.into_iter().map(|place| target(&bytes[place])).collect::<Option<_>>()?;
        let warnings = warnings.into_iter().map(Warning::restored).collect::<Option<_>>()?;
        let (facts_read, asks) = (origin.facts.clone(), origin.asks);
        Some((origin, Resolved { plan, warnings, facts_read, undecided, asks }, links))
    })
}

/// What a whole file came from, and all behind that.
fn opened(bytes: &[u8]) -> Option<(Origin, &[u8])> {
    let (sum, body) = bytes.split_at_checked(SUM)?;
    if Digest::<Blake3>::of(body).as_bytes() != sum {
        return None;
    }
    postcard::take_from_bytes(body).ok()
}

/// What is behind the origin, with the places of the targets in the file.
struct Body {
    kept: Kept,
    targets: Vec<Range<usize>>,
    links: Links,
}

impl Body {
    /// `rest` is the end of the file.
    fn read(file: &[u8], rest: &[u8]) -> Option<Self> {
        let (kept, rest) = postcard::take_from_bytes::<Kept>(rest).ok()?;
        let (count, mut rest) = postcard::take_from_bytes::<usize>(rest).ok()?;
        let mut targets = Vec::with_capacity(count.min(rest.len()));
        for _ in 0..count {
            let (target, behind) = postcard::take_from_bytes::<&[u8]>(rest).ok()?;
            let end = file.len() - behind.len();
            targets.push(end - target.len()..end);
            rest = behind;
        }
        let (links, rest) = postcard::take_from_bytes::<Links>(rest).ok()?;
        rest.is_empty().then_some(Self { kept, targets, links })
    }
}

fn target(bytes: &[u8]) -> Option<(TargetName, Target)> {
    let target: Target = postcard::from_bytes(bytes).ok()?;
    Some((target.name.clone(), target))
}

impl Warning {
    fn of(diagnostic: &Diagnostic) -> Option<Self> {
        let Diagnostic { code, message, labels, help, severity, class } = diagnostic;
        // Only what comes back the same is written down.
        let plain = *severity == Severity::Warning && *class == Class::Plan && explain::code(code).is_some();
        let labels = labels.iter().map(|label| (label.span.clone(), label.text.clone())).collect();
        plain.then(|| Self { code: (*code).to_owned(), message: message.clone(), labels, help: help.clone() })
    }

    fn restored(self) -> Option<Diagnostic> {
        let labels = self.labels.into_iter().map(|(span, text)| Label { span, text }).collect();
        Some(Diagnostic {
            code: explain::code(&self.code)?,
            message: self.message,
            labels,
            help: self.help,
            severity: Severity::Warning,
            class: Class::Plan,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::RelPath;
    use crate::graph::lower;
    use crate::plan::facts::{CiFact, CommandError, FactError, GitFact};
    use crate::syntax;

    const TEXT: &str = r##"
kiln 1
project "t" version="1.0" { default "all"; }
param "port" default="8080"
let list a b
let version file="VERSION"
let said command="hello"
registry "dist" "oci:dist"
policy "p" { deny secrets; allow "/etc/*" reason="known"; }
each bin api worker {
    task "make-${bin}" {
        platforms amd64 arm64
        inputs "src/**/*.c" "!src/old/" "with[!a]*{b,c}"
        outputs "out/${bin}/${platform}/" "out\\*${bin}-${platform.arch}"
        env PORT="${port}" COMMIT="${git.sha}" SAID="${said}-${version}"
        timeout "90s"
        run "make ${port}"
    }
}
task "idle" {
    needs "make-api"
    matrix { a x y; b 1 2; }
    exec "echo" "${list}"
}
image "web" {
    from scratch
    copy "out/api/" "/app/" mode="755"
    scan policy="p"
    tag "v${git.short}"
    push dist
}
task "never" {
    when "${port == '9'}"
    run "true"
}
group "all" "idle" "web" "never"
"##;

    struct World;

    impl Facts for World {
        fn git(&self, what: GitFact) -> Result<Option<String>, FactError> {
            Ok(Some(if what == GitFact::Time { "1700000000" } else { "123abc" }.to_owned()))
        }
        fn env(&self, _: &str) -> Option<String> {
            None
        }
        fn today(&self) -> crate::base::time::Day {
            "2026-11-22".parse().unwrap()
        }
        fn host_os(&self) -> String {
            "linux".into()
        }
        fn host_arch(&self) -> String {
            "amd64".into()
        }
        fn ci(&self, _: CiFact) -> Option<String> {
            None
        }
        fn file(&self, path: &RelPath, _: u64) -> Result<Option<Vec<u8>>, FactError> {
            Ok(Some(path.as_bytes().to_vec()))
        }
        fn command(&self, script: &str, _: u64) -> Result<Vec<u8>, CommandError> {
            Ok(script.as_bytes().to_vec())
        }
    }

    struct Compilation {
        origin: Origin,
        source: Arc<Source>,
        resolved: Resolved,
        graph: crate::graph::ActionGraph,
    }

    fn compile() -> Compilation {
        let source = Arc::new(Source { name: "build.kdl".into(), text: TEXT.into() });
        let loaded = Loaded::alone(syntax::parse(Arc::clone(&source)).unwrap());
        let resolved = crate::plan::resolve(&loaded, &World, &Overrides::default()).unwrap();
        let graph = lower::lower(&resolved.plan).unwrap();
        let facts = resolved.facts_read.clone();
        let origin = Origin { identity: Digest::of(b"i"), main: Digest::of(TEXT.as_bytes()), included: vec![], facts, asks: resolved.asks };
        Compilation { origin, source, resolved, graph }
    }

    fn written(made: &Compilation) -> Vec<u8> {
        complete(encode(&made.origin, &[Arc::clone(&made.source)], &made.resolved).unwrap(), &Links::of(&made.graph, &made.resolved.plan))
            .unwrap()
    }

    #[test]
    fn a_plan_comes_back_as_it_was_with_its_graph_and_its_warnings() {
        let made = compile();
        assert!(!made.resolved.warnings.is_empty() && made.resolved.facts_read.len() > 2, "{:?}", made.resolved);
        let back = decode(&written(&made), |origin| {
            assert!(facts::still_hold(&World, &origin.facts));
            Some(vec![Arc::clone(&made.source)])
        });
        let (_, resolved, links) = back.unwrap();
        assert_eq!(format!("{resolved:?}"), format!("{:?}", made.resolved));
        let graph = links.graph(&resolved.plan).unwrap();
        assert_eq!(graph.order(), made.graph.order());
        assert!(graph.left_out("never").is_some() && graph.left_out("never") == made.graph.left_out("never"));
        for id in made.graph.order() {
            assert_eq!(format!("{:?}", graph.action(*id)), format!("{:?}", made.graph.action(*id)));
            assert_eq!((graph.needs(*id), graph.waiting(*id)), (made.graph.needs(*id), made.graph.waiting(*id)));
        }
    }

    #[test]
    fn a_file_cut_anywhere_or_with_one_byte_changed_is_no_plan() {
        let made = compile();
        let bytes = written(&made);
        let read = |bytes: &[u8]| decode(bytes, |_| Some(vec![Arc::clone(&made.source)])).is_some();
        assert!(read(&bytes));
        assert!(!read(&[&bytes[..], b"x"].concat()));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] = damaged[at].wrapping_add(1);
            assert!(!read(&damaged), "byte {at}");
            assert!(!read(&bytes[..at]), "cut at {at}");
        }
    }

    /// Damage that keeps its checksum, as another program with the same idea of a checksum would write it.
    #[test]
    fn foreign_bytes_with_a_right_checksum_end_in_nothing_or_a_plan_and_never_in_a_panic() {
        let made = compile();
        let bytes = written(&made);
        for at in SUM..bytes.len() {
            for step in [1, 0x7f] {
                let mut foreign = bytes.clone();
                foreign[at] = foreign[at].wrapping_add(step);
                let sum = Digest::<Blake3>::of(&foreign[SUM..]);
                foreign[..SUM].copy_from_slice(sum.as_bytes());
                if let Some((_, resolved, links)) = decode(&foreign, |_| Some(vec![Arc::clone(&made.source)])) {
                    let _ = links.graph(&resolved.plan);
                }
            }
        }
    }
}
