//! What a task takes from the command line.

use super::task::DOC;
use super::top::{CHOICES, VALUE_DOC, value_props};
use super::{ArgSpec, Kind, NodeSpec, PropSpec};

static ARG_PROPS: [PropSpec; 7] = value_props("its value when none is typed; without it, one must be typed when the task takes part");

pub(super) static ARG: NodeSpec = NodeSpec::new(
    "arg",
    "a value that is typed behind the task, `kiln deploy env=prod`: a variable of its name for the commands, and `${name}` in the \
     task's own values; part of the key",
)
.args(&[
    ArgSpec::one("name", Kind::Name, "its name"),
    ArgSpec::maybe("required", Kind::Words(&["required"]), "says that it has no default and must be typed"),
])
.props(&ARG_PROPS)
.children(&[&DOC, &CHOICES]);

pub(super) static FLAG: NodeSpec = NodeSpec::new(
    "flag",
    "a switch that is typed behind the task, `kiln build --release`: a variable of its name, `true` or `false`; `release=false` and \
     `--no-release` turn it off",
)
.args(&[ArgSpec::one("name", Kind::Name, "its name; `-` for `_` on the command line")])
.props(&[PropSpec::new("short", Kind::Text, "one letter: `short=\"r\"` for `-r`"), VALUE_DOC]);

pub(super) static REST: NodeSpec = NodeSpec::new(
    "rest",
    "takes what is typed behind `--`, `kiln test -- --nocapture`: `\"$@\"` in each `run`, the last words of the last `exec`",
)
.props(&[VALUE_DOC])
.once();
