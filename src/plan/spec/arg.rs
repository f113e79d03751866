//! What a task takes from the command line.

use super::task::DOC;
use super::top::{CHOICES, PARAM_KINDS};
use super::{ArgSpec, Kind, NodeSpec, PropSpec};

pub(super) static ARG: NodeSpec = NodeSpec::new(
    "arg",
    "a value that is typed behind the task, `kiln deploy env=prod`: a variable of its name for the commands, and `${name}` in the \
     task's own values; part of the key",
)
.args(&[
    ArgSpec::one("name", Kind::Name, "its name"),
    ArgSpec::maybe("required", Kind::Words(&["required"]), "says that it has no default and must be typed"),
])
.props(&[
    PropSpec::new("default", Kind::Scalar, "its value when none is typed; without it, one must be typed when the task takes part"),
    PropSpec::new(
        "type",
        Kind::Words(PARAM_KINDS),
        "what the value must be, and what it is in expressions; that of a default which is a whole number, `#true` or `#false`, else `text`",
    ),
    PropSpec::new("required", Kind::Flag, "the same as `required` behind the name"),
    PropSpec::new("min", Kind::Number, "the least that a number may be"),
    PropSpec::new("max", Kind::Number, "the most that a number may be"),
    PropSpec::new("pattern", Kind::Regex, "a regular expression that matches the whole text"),
    PropSpec::new("doc", Kind::Text, "one line about it"),
])
.children(&[&DOC, &CHOICES], &[]);

pub(super) static FLAG: NodeSpec = NodeSpec::new(
    "flag",
    "a switch that is typed behind the task, `kiln build --release`: a variable of its name, `true` or `false`; `release=false` and \
     `--no-release` turn it off",
)
.args(&[ArgSpec::one("name", Kind::Name, "its name; `-` for `_` on the command line")])
.props(&[PropSpec::new("short", Kind::Text, "one letter: `short=\"r\"` for `-r`"), PropSpec::new("doc", Kind::Text, "one line about it")]);

pub(super) static REST: NodeSpec = NodeSpec::new(
    "rest",
    "takes what is typed behind `--`, `kiln test -- --nocapture`: `\"$@\"` in each `run`, the last words of the last `exec`",
)
.props(&[PropSpec::new("doc", Kind::Text, "one line about it")])
.once();
