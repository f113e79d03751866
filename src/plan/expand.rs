//! Repetition: `each` gives several targets, `matrix` several cells of one target. Both are counted before they are built.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::{BadName, TargetName};
use crate::base::platform::Platform;
use crate::base::words;
use crate::syntax::document::{Node, Scalar, Value};

use super::cx::{CELL_LIMIT, Cx, STEP_LIMIT};
use super::names::Sort;
use super::param::ParamKind;
use super::read::view::{Text, View, children};
use super::value::bindings::check_variable;
use super::value::engine::PLAN_LIMIT;
use super::value::{Locals, NoPlatform, Variable};

/// A target node for one combination of `each` values.
pub(super) struct Instance<'a> {
    /// The node.
    pub node: &'a Node,
    /// What it is.
    pub sort: Sort,
    /// Its name, resolved.
    pub name: TargetName,
    /// The name in the source.
    pub span: Span,
    /// The `each` variables around it, from the outermost in.
    pub vars: Vec<Variable>,
}

impl Instance<'_> {
    /// The names that hold for the whole target.
    pub(super) fn locals(&self) -> Locals {
        whole_target(self.node, self.vars.clone())
    }

    /// The names that hold for one cell of its matrix, with those of its arguments.
    pub(super) fn cell_locals(&self, cell: &[Variable], platform: Result<Platform, NoPlatform>) -> Locals {
        // A matrix that comes from a template is the target's as well.
        let owner = self.node.name.span.frame;
        let owned = cell.iter().filter(|var| var.span.frame != owner);
        let owned = owned.map(|var| Variable { span: Span { frame: owner, ..var.span.clone() }, ..var.clone() });
        let vars = self.vars.iter().chain(cell).cloned().chain(owned).collect();
        Locals { vars, platform, hidden: Vec::new() }
    }
}

fn whole_target(node: &Node, vars: Vec<Variable>) -> Locals {
    let matrix = node.children.iter().flatten().filter(|child| child.name.text == "matrix");
    let axes = matrix.flat_map(|matrix| matrix.children.iter().flatten()).map(|axis| axis.name.text.clone());
    Locals { vars, platform: Err(NoPlatform::Whole), hidden: axes.collect() }
}

/// All targets of a document, in order of declaration, and whether that is all: a name that has no value leaves its target out.
pub(super) fn instances<'a>(cx: &Cx<'a>, nodes: &'a [Node]) -> (Vec<Instance<'a>>, bool) {
    let mut found = Found { instances: Vec::new(), complete: true };
    found.walk(cx, nodes, &[]);
    found.complete &= !cx.may_lack(&["task", "image", "service", "group", "each", "include"]);
    (found.instances, found.complete)
}

struct Found<'a> {
    instances: Vec<Instance<'a>>,
    complete: bool,
}

impl<'a> Found<'a> {
    fn walk(&mut self, cx: &Cx<'a>, nodes: &'a [Node], vars: &[Variable]) {
        for node in nodes {
            let sort = match node.name.text.as_str() {
                "each" if cx.is_good(node) => {
                    self.complete &= self.each(cx, node, vars).is_some();
                    continue;
                }
                // Without a block it could not be written out, which is reported.
                "use" => {
                    self.complete &= cx.is_good(node) && node.children.is_some();
                    self.walk(cx, node.children.as_deref().unwrap_or_default(), vars);
                    continue;
                }
                "task" => Sort::Task,
                "image" => Sort::Image,
                "service" => Sort::Service,
                "group" => Sort::Group,
                "each" => {
                    self.complete = false;
                    continue;
                }
                _ => continue,
            };
            let instance = if cx.is_good(node) { instance(cx, node, sort, vars) } else { None };
            self.complete &= instance.is_some();
            self.instances.extend(instance);
        }
    }

    /// `None` when the values are not known, which is reported.
    fn each(&mut self, cx: &Cx<'a>, node: &'a Node, vars: &[Variable]) -> Option<()> {
        let variable = &node.args[0];
        let Scalar::String(name) = &variable.scalar else { return None };
        if let Some(word) = node.args.get(1).filter(|value| value.bare && matches!(value.span.text(), "in" | "of")) {
            let values: Vec<&str> = node.args[2..].iter().map(|value| value.span.text()).collect();
            let help = format!(
                "write `each {name} {} {{ … }}`; a value that is `{}` is quoted",
                words::visible(&values.join(" ")),
                word.span.text()
            );
            cx.fault(
                Diagnostic::plan("plan::bad-value", "`each` has no `in`: its values follow the name", &word.span, "would be a value")
                    .help(help),
            );
            return None;
        }
        let locals = Locals { vars: vars.to_vec(), ..Locals::top() };
        let view = View { cx, locals: &locals };
        let inside = node.children.as_deref().unwrap_or_default();
        if inside.is_empty() {
            let fault = Diagnostic::plan("plan::empty", "`each` has no targets", &node.name.span, "no block");
            cx.fault(fault.help("write them in its block: `each bin api worker { task \"build-${bin}\" { … } }`"));
        }
        let named = free_name(&view, name, &variable.span);
        let values = distinct(&view, &node.args[1..], name)?;
        named?;
        let targets = (values.len() as u128).saturating_mul(written(inside));
        if (self.instances.len() as u128).saturating_add(targets) > CELL_LIMIT as u128 {
            let message = format!("`each` makes {}; a plan has at most {CELL_LIMIT}", count(targets, "target"));
            cx.fault(Diagnostic::plan("plan::matrix-size", message, &node.name.span, "counted here").help("give it fewer values"));
            return None;
        }
        for (value, _) in values {
            let var = Variable { name: name.clone(), value, kind: ParamKind::Text, span: variable.span.clone() };
            self.walk(cx, inside, &[vars, &[var]].concat());
        }
        Some(())
    }
}

fn count(n: u128, noun: &str) -> String {
    usize::try_from(n).map_or_else(|_| format!("{n} {noun}s"), |n| words::count(n, noun))
}

/// How many targets a block makes each time, counted from the text alone.
fn written(nodes: &[Node]) -> u128 {
    let one = |node: &Node| match node.name.text.as_str() {
        "task" | "image" | "service" | "group" => 1,
        "each" => {
            let values = node.args.len().saturating_sub(1) as u128;
            values.saturating_mul(written(node.children.as_deref().unwrap_or_default()))
        }
        "use" => written(node.children.as_deref().unwrap_or_default()),
        _ => 0,
    };
    nodes.iter().map(one).fold(0, u128::saturating_add)
}

fn instance<'a>(cx: &Cx<'a>, node: &'a Node, sort: Sort, vars: &[Variable]) -> Option<Instance<'a>> {
    let locals = whole_target(node, vars.to_vec());
    let (text, span) = View { cx, locals: &locals }.text(&node.args[0])?;
    match cx.full(&text).parse() {
        Ok(name) => Some(Instance { node, sort, name, span, vars: vars.to_vec() }),
        Err(why) => {
            cx.fault(bad_name(&text, why, &span));
            None
        }
    }
}

/// A fault about the name of a target, a registry or a policy.
pub(super) fn bad_name(text: &str, why: BadName, span: &Span) -> Diagnostic {
    let message = match why {
        BadName::Empty => "a name cannot be empty".to_owned(),
        why => format!("the name `{}` {why}", words::shorten(&words::visible(text), 80)),
    };
    Diagnostic::plan("plan::bad-name", message, span, "not a name")
}

/// Whether a variable may have this name: one that no other value in scope has. A fault otherwise.
pub(super) fn free_name(view: &View<'_, '_>, name: &str, span: &Span) -> Option<()> {
    if let Err((why, help)) = check_variable(name) {
        view.cx.fault(Diagnostic::plan("plan::bad-name", format!("`{}` {why}", words::visible(name)), span, "").help(help));
        return None;
    }
    let vars = view.locals.vars.iter().filter(|var| var.span.frame == span.frame).map(|var| (&var.name, &var.span));
    let params = view.cx.frames().get(span.frame).into_iter().flat_map(|frame| &frame.args).map(|(name, span, _)| (name, span));
    let outer = vars.chain(params).find(|(known, _)| *known == name).map(|(_, span)| span);
    if let Some(first) = outer.or_else(|| view.cx.declared(name)) {
        let fault = Diagnostic::plan("plan::duplicate-name", format!("`{name}` has a value already"), span, "declared again here");
        view.cx.fault(fault.label(first, "first declared here").help("rename one of them, so that `${…}` can mean only one"));
        return None;
    }
    Some(())
}

/// The values of a variable, none of them twice; `None` when one has no text, which is reported.
fn distinct(view: &View<'_, '_>, values: &[Value], name: &str) -> Option<Vec<Text>> {
    let texts = view.all_texts(values)?;
    let mut seen = std::collections::HashSet::new();
    for (text, span) in &texts {
        if !seen.insert(text.as_str()) {
            let message = format!("`{}` has the value `{}` twice", words::visible(name), words::visible(text));
            view.cx.fault(Diagnostic::plan("plan::repeated", message, span, "again here").help("leave one of them out"));
            return None;
        }
    }
    Some(texts)
}

/// One variable of a matrix with its values.
struct Axis {
    name: String,
    span: Span,
    values: Vec<Text>,
}

/// The cells of a target's matrix, in order: the last variable changes fastest, then those of `include`. A target without
/// matrix has one cell without variables. `None` when the matrix cannot be built, which is reported.
pub(super) fn cells(cx: &Cx<'_>, instance: &Instance<'_>) -> Option<Vec<Vec<Variable>>> {
    let locals = Locals { hidden: Vec::new(), ..instance.locals() };
    let view = View { cx, locals: &locals };
    let Some(matrix) = children(cx, instance.node, "matrix").next() else {
        return (!super::read::view::was_written(instance.node, "matrix")).then(|| vec![Vec::new()]);
    };
    let (mut axes, mut good) = (Vec::new(), true);
    for axis in matrix.children.iter().flatten().filter(|axis| !matches!(axis.name.text.as_str(), "exclude" | "include")) {
        let named = free_name(&view, &axis.name.text, &axis.name.span);
        let values = if cx.is_good(axis) { distinct(&view, &axis.args, &axis.name.text) } else { None };
        match (named, values) {
            (Some(()), Some(values)) => axes.push(Axis { name: axis.name.text.clone(), span: axis.name.span.clone(), values }),
            _ => good = false,
        }
    }
    if !good {
        return None;
    }
    // Properties of `matrix` are reported where they stand.
    if axes.is_empty() && matrix.props.is_empty() {
        let fault = Diagnostic::plan("plan::matrix", "`matrix` has no variables", &matrix.name.span, "no variable");
        cx.fault(fault.help("write one per line in its block: `matrix { bin api worker }`"));
        return None;
    }
    let total = axes.iter().map(|axis| axis.values.len() as u128).fold(1, u128::saturating_mul);
    if total > CELL_LIMIT as u128 {
        let message = format!("the matrix has {}; at most {CELL_LIMIT} are built", count(total, "cell"));
        cx.fault(Diagnostic::plan("plan::matrix-size", message, &matrix.name.span, "counted here").help("give its variables fewer values"));
        return None;
    }
    let excluded = constraints(&view, matrix, "exclude", &axes)?;
    let mut cells = combinations(&axes);
    cells.retain(|cell| !excluded.iter().any(|(pairs, _)| pairs.iter().all(|(name, value)| has(cell, name, value))));
    for (pairs, span) in constraints(&view, matrix, "include", &axes)? {
        cells.push(included(cx, &axes, &pairs, &span, &cells)?);
    }
    if cells.is_empty() {
        let fault = Diagnostic::plan("plan::matrix", "`exclude` leaves no cell of the matrix", &matrix.name.span, "nothing is left");
        cx.fault(fault.help("exclude less"));
        return None;
    }
    Some(cells)
}

fn has(cell: &[Variable], name: &str, value: &str) -> bool {
    cell.iter().any(|var| var.name == name && var.value == value)
}

fn combinations(axes: &[Axis]) -> Vec<Vec<Variable>> {
    let mut cells = vec![Vec::new()];
    for axis in axes {
        let longer = cells.iter().flat_map(|cell: &Vec<Variable>| {
            axis.values.iter().map(move |(value, _)| {
                let mut cell = cell.clone();
                cell.push(Variable { name: axis.name.clone(), value: value.clone(), kind: ParamKind::Text, span: axis.span.clone() });
                cell
            })
        });
        cells = longer.collect();
    }
    cells
}

type Constraint = (Vec<(String, String)>, Span);

/// The `exclude` or `include` nodes of a matrix, their variables checked.
fn constraints(view: &View<'_, '_>, matrix: &Node, word: &str, axes: &[Axis]) -> Option<Vec<Constraint>> {
    let (mut found, mut good) = (Vec::new(), true);
    for node in matrix.children.iter().flatten().filter(|node| node.name.text == word) {
        if !view.cx.is_good(node) {
            good = false;
            continue;
        }
        let mut pairs = Vec::new();
        for prop in &node.props {
            let name = &prop.name.text;
            let Some(axis) = axes.iter().find(|axis| axis.name == *name) else {
                let message = format!("the matrix has no variable `{}`", words::visible(name));
                let fault = Diagnostic::plan("plan::matrix", message, &prop.name.span, "not a variable of the matrix");
                let near = words::closest(name, axes.iter().map(|axis| axis.name.as_str()));
                view.cx.fault(match near {
                    Some(near) => fault.help(format!("did you mean `{near}`?")),
                    None => fault.help(format!("it has: {}", axes.iter().map(|axis| axis.name.as_str()).collect::<Vec<_>>().join(", "))),
                });
                good = false;
                continue;
            };
            let Some((value, span)) = view.text(&prop.value) else {
                good = false;
                continue;
            };
            if word == "exclude" && !axis.values.iter().any(|(known, _)| *known == value) {
                let message = format!("`{name}` never has the value `{}`", words::visible(&value));
                let fault = Diagnostic::plan("plan::matrix", message, &span, "excludes nothing");
                let near = words::closest(&value, axis.values.iter().map(|(value, _)| value.as_str()));
                view.cx.fault(
                    near.map_or_else(|| fault.clone().help("leave it out"), |near| fault.clone().help(format!("did you mean `{near}`?"))),
                );
                good = false;
                continue;
            }
            pairs.push((name.clone(), value));
        }
        if node.props.is_empty() {
            let fault = Diagnostic::plan("plan::matrix", format!("`{word}` names no variable"), &node.name.span, "no variable");
            view.cx.fault(fault.help(format!("write `{word} {}=…`", axes.first().map_or("variable", |axis| axis.name.as_str()))));
            good = false;
        }
        found.push((pairs, node.name.span.clone()));
    }
    good.then_some(found)
}

/// The cell of an `include`: it gives every variable a value, and is not there yet.
fn included(cx: &Cx<'_>, axes: &[Axis], pairs: &[(String, String)], span: &Span, cells: &[Vec<Variable>]) -> Option<Vec<Variable>> {
    let mut cell = Vec::new();
    for axis in axes {
        let Some((_, value)) = pairs.iter().find(|(name, _)| *name == axis.name) else {
            let fault = Diagnostic::plan("plan::matrix", format!("`include` gives `{}` no value", axis.name), span, "an incomplete cell");
            cx.fault(fault.help(format!("add `{}=…`", axis.name)));
            return None;
        };
        cell.push(Variable { name: axis.name.clone(), value: value.clone(), kind: ParamKind::Text, span: axis.span.clone() });
    }
    if cells.iter().any(|known| cell.iter().all(|var| has(known, &var.name, &var.value))) {
        let fault = Diagnostic::plan("plan::matrix", "`include` adds a cell that is there already", span, "adds nothing");
        cx.fault(fault.help("leave it out"));
        return None;
    }
    Some(cell)
}

impl Cx<'_> {
    /// Counts one more definition; false, and reported once, when the plan has too many, or its texts are too large already.
    pub(super) fn one_more_step(&self, span: &Span) -> bool {
        let steps = self.shared.steps.get() + 1;
        self.shared.steps.set(steps);
        if steps == STEP_LIMIT + 1 {
            let message = format!("the plan has more than {STEP_LIMIT} combinations of cells and platforms");
            self.fault(
                Diagnostic::plan("plan::matrix-size", message, span, "reached here").help("make its matrix smaller, or split the plan"),
            );
        }
        steps <= STEP_LIMIT && self.shared.spent.get() <= PLAN_LIMIT
    }
}
