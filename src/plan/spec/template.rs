//! What is written once and used in many places.

use super::{ArgSpec, Children, Kind, NodeSpec};

pub(super) static TEMPLATE: NodeSpec = NodeSpec {
    children: Children::Elsewhere,
    ..NodeSpec::new("template", "targets, or parts of a target, that are written once; it sees its own params and the file's values alone")
        .args(&[
            ArgSpec::one("name", Kind::Name, "the name used in `use`"),
            ArgSpec::any("param", Kind::Name, "a param that every `use` gives a value"),
        ])
        .other_props("the default of the param of this name; it may name the params before it")
};

pub(super) static USE: NodeSpec = NodeSpec::new("use", "what a template of this file holds, written out here")
    .args(&[ArgSpec::one("template", Kind::Name, "its name")])
    .other_props("the value of the param of this name");
