//! Repetition: `each` gives several targets. They are counted before they are built.

use std::rc::Rc;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::{BadName, TargetName};
use crate::base::platform::Platform;
use crate::base::words;
use crate::syntax::document::{Node, Scalar, Value};

use super::cell::CellName;
use super::cx::{CELL_LIMIT, Cx, STEP_LIMIT};
use super::matrix::{self, MatrixCell};
use super::names::Sort;
use super::param::ParamKind;
use super::read::view::{Text, View};
use super::template;
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

    /// One of its definitions, for messages: `test[os=linux]@linux/arm64`.
    pub(super) fn cell_name(&self, cell: &MatrixCell, platform: Option<&Platform>) -> CellName {
        let each = self.vars.iter().map(|var| var.name.clone()).collect();
        CellName { target: self.name.clone(), each, cell: cell.name(), platform: platform.cloned() }
    }

    /// The names that hold for one cell of its matrix, with those of its arguments.
    pub(super) fn cell_locals(&self, cell: &MatrixCell, args: &[Variable], platform: Result<Platform, NoPlatform>) -> Locals {
        // A matrix that comes from a template is the target's as well.
        let owner = self.node.name.span.frame;
        let own = || cell.vars.iter().chain(args);
        let owned = own().filter(|var| var.span.frame != owner);
        let owned = owned.map(|var| Variable { span: Span { frame: owner, ..var.span.clone() }, ..var.clone() });
        let vars = self.vars.iter().chain(own()).cloned().chain(owned).collect();
        Locals { vars, platform, hidden: Vec::new(), elsewhere: Rc::clone(&cell.given) }
    }
}

fn whole_target(node: &Node, vars: Vec<Variable>) -> Locals {
    Locals {
        vars,
        platform: Err(NoPlatform::Whole),
        hidden: matrix::variables(node).map(|(name, _)| name.to_owned()).collect(),
        elsewhere: Rc::default(),
    }
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
                // One that could not be written out, and a block that somebody wrote himself, are reported.
                "use" => {
                    let block = template::written_out(node);
                    self.complete &= cx.is_good(node) && block.is_some();
                    self.walk(cx, block.unwrap_or_default(), vars);
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
            // One whose name rests on a stand-in may have any other.
            self.complete &= instance.as_ref().is_some_and(|instance| cx.taint_of(&instance.span).is_none());
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
            // Whoever uses the variable was meant to stand in the block.
            cx.probably_meant("each");
        }
        let named = free_name(&view, name, &variable.span);
        let (values, _) = distinct(&view, &node.args[1..], name, &variable.span)?;
        matrix::one_text(cx, &values);
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

/// A count beyond what the machine's own numbers hold.
pub(super) fn count(n: u128, noun: &str) -> String {
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
    let fault = Diagnostic::plan("plan::bad-name", message, span, "not a name");
    let mended: String =
        text.trim().chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':') { c } else { '-' }).collect();
    let mended = mended.trim_matches(['-', '.', ':']);
    match mended.parse::<TargetName>() {
        Ok(mended) if mended.as_str() != text && mended.as_str().len() > 2 => {
            fault.help(format!("write it `{}`", words::shorten(mended.as_str(), 80)))
        }
        _ => fault,
    }
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

/// The values of a variable, none of them twice, and whether they rest on stand-ins: then so does the variable, and two of them may be the
/// same for now. `None` when one has no text, or stands twice, which is reported.
pub(super) fn distinct(view: &View<'_, '_>, values: &[Value], name: &str, variable: &Span) -> Option<(Vec<Text>, bool)> {
    let (texts, met) = view.cx.watch(|| view.all_texts(values));
    let open = !met.is_empty();
    view.cx.taint(variable, met);
    let mut seen = std::collections::HashSet::new();
    let mut found = Vec::new();
    for (text, span) in texts? {
        if seen.insert(text.clone()) {
            found.push((text, span));
        } else if !open {
            let message = format!("`{}` has the value `{}` twice", words::visible(name), words::visible(&text));
            view.cx.fault(Diagnostic::plan("plan::repeated", message, &span, "again here").help("leave one of them out"));
            return None;
        }
    }
    Some((found, open))
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
