//! What the top of a document says for all its tasks: `env`, `shell`, `sandbox`, and the pools that they share.

use indexmap::IndexMap;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::TargetName;
use crate::plan::cx::Cx;
use crate::plan::expand::bad_name;
use crate::plan::sandbox::SandboxDef;
use crate::plan::target::PoolUse;
use crate::plan::value::Locals;
use crate::syntax::document::{Node, Scalar, Value};

use super::sandbox::sandbox;
use super::task::shell_of;
use super::view::{View, children, number};

/// The most that a pool may have.
const CAPACITY: u32 = 1_000_000;

/// All that tasks have unless they say otherwise.
pub(in crate::plan) struct Defaults {
    /// The environment.
    pub env: Vec<(String, String)>,
    /// The shell for `run`.
    pub(super) shell: Option<Vec<String>>,
    /// The sandbox.
    pub(super) sandbox: Option<SandboxDef>,
    /// The pools by name; `None` for one whose capacity is at fault.
    pools: IndexMap<String, Option<Pool>>,
}

struct Pool {
    capacity: u32,
    span: Span,
}

/// Reads the top of a document.
pub(in crate::plan) fn defaults(cx: &Cx<'_>, nodes: &[Node], env: Vec<(String, String)>) -> Defaults {
    let locals = Locals::top();
    let view = View { cx, locals: &locals };
    let first = |word: &str| nodes.iter().find(|node| node.name.text == word && cx.is_good(node));
    Defaults {
        env,
        shell: first("shell").and_then(|node| shell_of(&view, node)),
        sandbox: first("sandbox").and_then(|node| sandbox(&view, node)),
        pools: pools(&view, nodes),
    }
}

fn pools(view: &View<'_, '_>, nodes: &[Node]) -> IndexMap<String, Option<Pool>> {
    let mut found: IndexMap<String, Option<Pool>> = IndexMap::new();
    for node in nodes.iter().filter(|node| node.name.text == "pool") {
        let Some(Value { scalar: Scalar::String(name), span, .. }) = node.args.first() else { continue };
        if let Err(why) = name.parse::<TargetName>() {
            view.cx.fault(bad_name(name, why, span));
        } else if let Some(first) = found.get(name) {
            let fault = Diagnostic::plan("plan::duplicate-name", format!("`pool {name}` is declared twice"), span, "declared again here");
            let fault = first.iter().fold(fault, |fault, first| fault.label(&first.span, "first declared here"));
            view.cx.fault(fault.help("rename one of them"));
        } else {
            let capacity = node.args.get(1).filter(|_| view.cx.is_good(node)).and_then(|value| view.text(value));
            let capacity = capacity.and_then(|text| view.parsed(text, "plan::bad-value", number(1, CAPACITY)));
            found.insert(name.clone(), capacity.map(|capacity| Pool { capacity, span: span.clone() }));
        }
    }
    found
}

/// The pools that a task takes from, sorted by name.
pub(super) fn pool_uses(view: &View<'_, '_>, node: &Node, defaults: &Defaults) -> Vec<PoolUse> {
    let mut found: Vec<(PoolUse, Span)> = Vec::new();
    for child in children(view.cx, node, "pool") {
        let Some((made, span)) = pool_use(view, child, defaults) else { continue };
        if let Some((_, first)) = found.iter().find(|(known, _)| known.name == made.name) {
            let fault = Diagnostic::plan("plan::repeated", "the task takes from this pool already", &span, "again here");
            view.cx.fault(fault.label(first, "first here").help("say once how much it takes: `weight=2`"));
        } else {
            found.push((made, span));
        }
    }
    let mut uses: Vec<PoolUse> = found.into_iter().map(|(made, _)| made).collect();
    uses.sort_by(|a, b| a.name.cmp(&b.name));
    uses
}

fn pool_use(view: &View<'_, '_>, node: &Node, defaults: &Defaults) -> Option<(PoolUse, Span)> {
    let (name, span) = view.text(node.args.first()?)?;
    let weight = match view.prop(node, "weight") {
        Some(value) => Some(view.parsed(view.text(value)?, "plan::bad-value", number(1, CAPACITY))?).zip(Some(value.span.clone())),
        None if node.props.is_empty() => None,
        // Its form is at fault already.
        None => return None,
    };
    let Some(pool) = defaults.pools.get(&name) else {
        if !view.cx.may_lack(&["pool"]) {
            let shown = super::view::shown(&name);
            let fault = Diagnostic::plan("plan::unknown-pool", format!("there is no pool `{shown}`"), &span, "unknown pool");
            view.cx.fault(match view.cx.near(&name, defaults.pools.keys().map(String::as_str)) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault.help(format!("declare it at the top of the file: `pool \"{shown}\" 2`")),
            });
        }
        return None;
    };
    let pool = pool.as_ref()?;
    let (weight, place) = weight.unwrap_or((1, span.clone()));
    if weight > pool.capacity {
        let message = format!("`{name}` has {}, and the task takes {weight} of it", pool.capacity);
        let fault = Diagnostic::plan("plan::bad-value", message, &place, "more than there is");
        view.cx.fault(fault.label(&pool.span, "declared here").help("such a task could never start; take less, or give the pool more"));
        return None;
    }
    Some((PoolUse { name: view.cx.full(&name), weight, capacity: pool.capacity }, span))
}
