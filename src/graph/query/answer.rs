//! Expression → steps or paths.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Span};
use crate::base::id::{StepId, StepKind};
use crate::base::path::RelPath;
use crate::base::words;
use crate::graph::action::ActionKind;
use crate::graph::{ActionGraph, select};
use crate::plan::image::Elsewhere;
use crate::plan::target::FileSet;

use super::functions::FUNCTIONS;
use super::read::read;
use super::{Expression, Found, Inputs, Operator};

/// Answers a question.
///
/// # Errors
/// Every fault of the expression: its form, unknown functions, names and kinds, arguments that do not fit.
pub fn answer(graph: &ActionGraph, inputs: &dyn Inputs, text: &str) -> Result<Found, Diagnostics> {
    let expression = read(text)?;
    let mut asking = Asking {
        graph,
        inputs,
        places: graph.order().iter().enumerate().map(|(at, id)| (*id, at)).collect(),
        faults: Diagnostics::default(),
    };
    let found = asking.eval(&expression);
    match found {
        Some(found) if !asking.faults.has_errors() => Ok(found),
        _ => Err(asking.faults),
    }
}

struct Asking<'a> {
    graph: &'a ActionGraph,
    inputs: &'a dyn Inputs,
    places: HashMap<StepId, usize>,
    faults: Diagnostics,
}

type Steps = BTreeSet<StepId>;

impl Asking<'_> {
    fn fault(&mut self, code: &'static str, span: &Span, message: String, label: &str, help: String) {
        self.faults.push(Diagnostic::new(Class::Usage, code, message).label(span, label).help(help));
    }

    /// `None` where a fault was found; evaluation goes on, so that all are.
    fn eval(&mut self, expression: &Expression) -> Option<Found> {
        match expression {
            Expression::Word(text, span) => self.named(text, span),
            Expression::Call { name, span, arguments, whole } => self.call(name, span, arguments, whole),
            Expression::Sets { first, rest } => self.sets(first, rest),
        }
    }

    fn sets(&mut self, first: &Expression, rest: &[(Operator, Span, Expression)]) -> Option<Found> {
        let first = self.eval(first);
        // All faults of all sets, not only those of the first that has one.
        let rest: Vec<_> = rest.iter().map(|(operator, span, set)| (*operator, span, self.eval(set))).collect();
        let (mut steps, mut paths) = (None, None);
        match first? {
            Found::Steps(found) => steps = Some(found.into_iter().collect::<Steps>()),
            Found::Paths(found) => paths = Some(found.into_iter().collect::<BTreeSet<String>>()),
        }
        for (operator, span, found) in rest {
            match (&mut steps, &mut paths, found?) {
                (Some(steps), _, Found::Steps(found)) => combine(operator, steps, found),
                (_, Some(paths), Found::Paths(found)) => combine(operator, paths, found),
                _ => {
                    let help = "`owner(PATH)` turns a path into steps, `inputs(X)` and `outputs(X)` turn steps into paths".to_owned();
                    let message = "steps and paths cannot be joined".to_owned();
                    self.fault("query::mixed", span, message, "one side has steps, the other paths", help);
                    return None;
                }
            }
        }
        steps.map(|steps| self.ordered(&steps)).or_else(|| paths.map(|paths| Found::Paths(paths.into_iter().collect())))
    }

    fn ordered(&self, steps: &Steps) -> Found {
        let mut list: Vec<StepId> = steps.iter().copied().collect();
        list.sort_by_key(|id| self.places.get(id));
        Found::Steps(list)
    }

    fn named(&mut self, text: &str, span: &Span) -> Option<Found> {
        if text.contains('*') {
            let fits = |id: &StepId| {
                let name = &self.graph.action(*id).name;
                star(text, name.target.as_str()) || star(text, &name.to_string())
            };
            return Some(self.ordered(&self.graph.order().iter().copied().filter(fits).collect()));
        }
        match select::named(self.graph, text) {
            Ok(found) => Some(self.ordered(&found.into_iter().collect())),
            // A target that `when` leaves out is known, and has no steps in this plan.
            Err(_) if self.graph.left_out(text.split(['[', '/', '@']).next().unwrap_or(text)).is_some() => Some(Found::Steps(Vec::new())),
            Err(fault) => {
                let glued = ['+', '^'].iter().any(|sign| text.contains(*sign));
                let help = if glued { Some("operators stand between spaces: `a + b`".to_owned()) } else { fault.help };
                self.fault("query::unknown-target", span, fault.message, "not in this plan", help.unwrap_or_default());
                None
            }
        }
    }

    fn call(&mut self, name: &str, span: &Span, arguments: &[Expression], whole: &Span) -> Option<Found> {
        let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
            let names = || FUNCTIONS.iter().map(|function| function.name);
            let help = match words::closest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("functions are {}", words::list(&names().collect::<Vec<_>>(), "and")),
            };
            let shown = words::shorten(&words::visible(name), 60);
            self.fault("query::unknown-function", span, format!("there is no function `{shown}`"), "not a function", help);
            return None;
        };
        let (least, most) = function.arguments;
        if !(least..=most).contains(&arguments.len()) {
            let takes = if least == most { words::count(least, "argument") } else { format!("{least} or {most} arguments") };
            let message = format!("`{name}` takes {takes}, not {}", arguments.len());
            self.fault("query::arguments", whole, message, "here", format!("write it like `{}`", function.form));
            return None;
        }
        match (name, arguments) {
            ("deps" | "rdeps", [set, rest @ ..]) => {
                let depth = rest.first().map(|depth| self.number(depth));
                let start = self.steps(set)?;
                let depth = depth.unwrap_or(Some(usize::MAX))?;
                Some(self.ordered(&self.reach(&start, name == "deps", depth)))
            }
            ("somepath", [from, to]) => {
                let (from, to) = (self.steps(from), self.steps(to));
                Some(Found::Steps(self.some_path(&from?, &to?)))
            }
            ("allpaths", [from, to]) => {
                let (from, to) = (self.steps(from), self.steps(to));
                let (down, up) = (self.reach(&from?, true, usize::MAX), self.reach(&to?, false, usize::MAX));
                Some(self.ordered(&down.intersection(&up).copied().collect()))
            }
            ("kind", [kind, rest @ ..]) => {
                let kind = self.kind(kind);
                let from = match rest.first() {
                    Some(set) => self.steps(set)?,
                    None => self.graph.order().iter().copied().collect(),
                };
                let kind = kind?;
                Some(self.ordered(&from.into_iter().filter(|id| self.graph.action(*id).name.kind == kind).collect()))
            }
            ("owner" | "makers" | "readers", [path]) => {
                let path = self.path(path)?;
                let mut found: Steps = Steps::new();
                if name != "readers" {
                    found.extend(self.graph.makers(&path));
                }
                if name != "makers" {
                    found.extend(self.graph.order().iter().copied().filter(|id| reads(self.graph, *id, &path)));
                }
                Some(self.ordered(&found))
            }
            ("inputs", [set]) => {
                let mut paths = BTreeSet::new();
                for id in self.steps(set)? {
                    match self.inputs.inputs(id) {
                        Ok(found) => paths.extend(found),
                        Err(why) => {
                            let name = &self.graph.action(id).name;
                            let fault =
                                Diagnostic::new(Class::Plan, "query::inputs", format!("the inputs of `{name}` cannot be listed: {why}"));
                            self.faults.push(fault);
                        }
                    }
                }
                Some(Found::Paths(paths.into_iter().collect()))
            }
            (_, [set, ..]) => {
                let steps = self.steps(set)?;
                let outputs = steps.iter().flat_map(|id| self.graph.action(*id).kind.outputs());
                let outputs = outputs.map(|output| output.pattern.as_str().to_owned());
                Some(Found::Paths(outputs.collect::<BTreeSet<_>>().into_iter().collect()))
            }
            (_, []) => None,
        }
    }

    fn steps(&mut self, expression: &Expression) -> Option<Steps> {
        match self.eval(expression)? {
            Found::Steps(steps) => Some(steps.into_iter().collect()),
            Found::Paths(_) => {
                let help = "`owner(PATH)` gives the steps that make or read a path".to_owned();
                self.fault("query::mixed", expression.span(), "steps are needed here, and these are paths".to_owned(), "gives paths", help);
                None
            }
        }
    }

    fn word<'e>(&mut self, expression: &'e Expression, what: &str) -> Option<(&'e str, &'e Span)> {
        if let Expression::Word(text, span) = expression {
            return Some((text, span));
        }
        self.fault(
            "query::arguments",
            expression.span(),
            format!("{what} is needed here"),
            "here",
            "write it as one word or in quotes".to_owned(),
        );
        None
    }

    fn number(&mut self, expression: &Expression) -> Option<usize> {
        let (text, span) = self.word(expression, "a number")?;
        let number = text.parse().ok();
        if number.is_none() {
            let shown = words::shorten(&words::visible(text), 60);
            let message = format!("`{shown}` is not a number of steps");
            self.fault("query::arguments", span, message, "how far to go", "write a whole number, or leave it out".to_owned());
        }
        number
    }

    fn kind(&mut self, expression: &Expression) -> Option<StepKind> {
        let (text, span) = self.word(expression, "a kind of step")?;
        let kind = StepKind::ALL.iter().copied().find(|kind| kind.word() == text);
        if kind.is_none() {
            let all: Vec<&str> = StepKind::ALL.iter().map(|kind| kind.word()).collect();
            let help = match words::closest(text, all.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("kinds are {}; a task's step is `run`, an image has the others", words::list(&all, "and")),
            };
            let shown = words::shorten(&words::visible(text), 60);
            self.fault("query::kind", span, format!("there is no kind of step `{shown}`"), "not a kind", help);
        }
        kind
    }

    fn path(&mut self, expression: &Expression) -> Option<RelPath> {
        let (text, span) = self.word(expression, "a path")?;
        match RelPath::new(text.strip_prefix("./").unwrap_or(text)) {
            Ok(path) => Some(path),
            Err(why) => {
                let shown = words::shorten(&words::visible(text), 80);
                self.fault(
                    "query::path",
                    span,
                    format!("`{shown}` {why}"),
                    "not a path of the project",
                    "write it as seen from the project's root".to_owned(),
                );
                None
            }
        }
    }

    fn next(&self, id: StepId, down: bool) -> impl Iterator<Item = StepId> {
        let edges = if down { self.graph.needs(id) } else { self.graph.waiting(id) };
        edges.into_iter().filter(|(_, edge)| edge.requires()).map(|(next, _)| next)
    }

    /// These steps and all within `depth` of them, along needs or against them.
    fn reach(&self, start: &Steps, down: bool, depth: usize) -> Steps {
        let mut found = start.clone();
        let mut border: Vec<StepId> = start.iter().copied().collect();
        for _ in 0..depth {
            border = border.iter().flat_map(|id| self.next(*id, down)).filter(|next| found.insert(*next)).collect();
            if border.is_empty() {
                break;
            }
        }
        found
    }

    fn some_path(&self, from: &Steps, to: &Steps) -> Vec<StepId> {
        let mut came: HashMap<StepId, Option<StepId>> = from.iter().map(|id| (*id, None)).collect();
        let mut queue: VecDeque<StepId> = from.iter().copied().collect();
        while let Some(at) = queue.pop_front() {
            if to.contains(&at) {
                let mut path: Vec<StepId> = std::iter::successors(Some(at), |id| came.get(id).copied().flatten()).collect();
                path.reverse();
                return path;
            }
            for next in self.next(at, true) {
                if let std::collections::hash_map::Entry::Vacant(place) = came.entry(next) {
                    place.insert(Some(at));
                    queue.push_back(next);
                }
            }
        }
        Vec::new()
    }
}

fn combine<T: Ord>(operator: Operator, set: &mut BTreeSet<T>, other: Vec<T>) {
    let other: BTreeSet<T> = other.into_iter().collect();
    match operator {
        Operator::Union => set.extend(other),
        Operator::Except => set.retain(|one| !other.contains(one)),
        Operator::Intersect => set.retain(|one| other.contains(one)),
    }
}

/// Whether a step has this path among what it reads.
fn reads(graph: &ActionGraph, id: StepId, path: &RelPath) -> bool {
    let selects = |set: &FileSet| {
        set.include.iter().any(|(pattern, _)| pattern.selects(path)) && !set.exclude.iter().any(|(pattern, _)| pattern.covers(path))
    };
    match &graph.action(id).kind {
        ActionKind::Run(cell) => {
            cell.inputs.as_ref().is_some_and(selects) && !cell.outputs.iter().any(|output| output.pattern.selects(path))
        }
        ActionKind::Build(build) => build.recipe.project_copies().any(|copy| selects(&copy.from)),
        ActionKind::Fetch(fetch) => matches!(&fetch.from, Elsewhere::Layout { path: layout, .. } if path.is_within(layout)),
        _ => false,
    }
}

/// Whether a name has the form of a pattern, in which `*` stands for any characters.
fn star(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}
