//! All `param` nodes as data: what help, completion and the schema know of them.

use indexmap::IndexMap;

use crate::plan::cx::Cx;
use crate::plan::param::ParamDef;
use crate::plan::value::Locals;
use crate::plan::value::engine::display;
use crate::plan::value::param::{kind, set_by};
use crate::syntax::document::{Node, Scalar, Value};

use super::view::View;

/// All parameters with the values in force. Values that are not in force are checked too.
pub(in crate::plan) fn params(cx: &Cx<'_>, nodes: &[Node], profiles: &[(&str, &Node)]) -> IndexMap<String, ParamDef> {
    let mut params = IndexMap::new();
    for node in nodes.iter().filter(|node| node.name.text == "param" && cx.is_good(node)) {
        let Some(Value { scalar: Scalar::String(name), span, .. }) = node.args.first() else { continue };
        let Some(origin) = cx.param_origin(name).filter(|_| !params.contains_key(&cx.full(name))) else { continue };
        let (value, met) = cx.watch(|| cx.binding(name));
        let default = node.props.iter().find(|prop| prop.name.text == "default").map(|prop| &prop.value);
        let Some(rule) = cx.rule(node, name) else { continue };
        let by_profiles = profiles.iter().flat_map(|(_, profile)| set_by(cx, profile)).filter(|prop| prop.name.text == *name);
        for other in default.into_iter().chain(by_profiles.map(|prop| &prop.value)) {
            cx.check_param(name, &rule, other);
        }
        let locals = Locals::top();
        let view = View { cx, locals: &locals };
        let doc = view.prop(node, "doc").and_then(|value| view.text(value)).or_else(|| view.child_text(node, "doc"));
        let def = ParamDef {
            name: cx.full(name),
            kind: kind(node),
            doc: doc.map(|(text, _)| text),
            default: default.map(as_written),
            choices: rule.choices,
            value: value.filter(|_| met.is_empty()).and_then(|value| display(&value).ok()),
            origin,
            span: span.clone(),
        };
        params.insert(cx.full(name), def);
    }
    params
}

/// A value as its text stands in the plan.
pub(super) fn as_written(value: &Value) -> String {
    match &value.scalar {
        Scalar::String(text) => text.clone(),
        Scalar::Bool(flag) => flag.to_string(),
        _ => value.span.text().to_owned(),
    }
}
