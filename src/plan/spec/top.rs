//! What may stand at the top of a plan, and in `each`.

use super::image::IMAGE;
use super::include::INCLUDE;
use super::release::{POLICY, REGISTRY};
use super::running::{POOL, SANDBOX};
use super::service::{NETWORK, SERVICE, VOLUME};
use super::task::{DOC, ENV, ENV_FILE, SHELL, TASK, WHEN};
use super::template::{TEMPLATE, USE};
use super::{ArgSpec, Children, Kind, NodeSpec, PropSpec};
use crate::plan::param::ParamKind;

/// The nodes at the top of a plan.
pub static TOP: Children = Children::Known {
    nodes: &[
        &KILN, &PROJECT, &INCLUDE, &LET, &PARAM, &PROFILE, &ENV, &ENV_FILE, &SHELL, &SANDBOX, &POOL, &SECRET, &REGISTRY, &POLICY, &TOOL,
        &GROUP, &TEMPLATE, &USE, &EACH, &TASK, &IMAGE, &SERVICE, &NETWORK, &VOLUME,
    ],
};

static KILN: NodeSpec =
    NodeSpec::single("kiln", "the edition of the language; the first node of every plan", &[ArgSpec::one("edition", Kind::Integer, "`1`")]);

static PROJECT: NodeSpec = NodeSpec::new("project", "what the plan is about")
    .args(&[ArgSpec::one("name", Kind::Name, "its name")])
    .props(&[PropSpec::new("version", Kind::Scalar, "its version, for `${project.version}`")])
    .children(&[&DOC, &DEFAULT])
    .once();

static DEFAULT: NodeSpec = NodeSpec::single(
    "default",
    "the targets that `kiln run` runs when none is named",
    &[ArgSpec::some("target", Kind::Target, "a task, an image, a service or a group")],
);

static LET: NodeSpec = NodeSpec::new(
    "let",
    "a value under a name: one argument is a text, several are a list, a block is a map; or a text from a file or a command, \
     which are asked only when the value is used, and only by commands that plan or run",
)
.args(&[ArgSpec::one("name", Kind::Name, "its name"), ArgSpec::any("value", Kind::Scalar, "its value")])
.props(&[
    PropSpec::new("file", Kind::Path, "a file of the project whose text is the value, without the newlines at its end; at most 64 KiB"),
    PropSpec::new(
        "command",
        Kind::Script,
        "a script for `sh -c` whose output is the value, without the newlines at its end; run once, in the project's root, for at most a minute",
    ),
])
.open(&[], &ENTRY);

static ENTRY: NodeSpec = NodeSpec::new("key", "an entry of a map: one argument is a text, several are a list, a block is a map")
    .args(&[ArgSpec::any("value", Kind::Scalar, "its value")])
    .open(&[], &ENTRY);

static PARAM_PROPS: [PropSpec; 7] = value_props("its value when none is set; without it, one must be set");

static PARAM: NodeSpec =
    NodeSpec::new("param", "a value that may be set from outside: by `--set name=value`, else by `KILN_PARAM_NAME`, else by a profile")
        .args(&[
            ArgSpec::one("name", Kind::Name, "its name"),
            ArgSpec::maybe("required", Kind::Words(&["required"]), "says that it has no default and must be set"),
        ])
        .props(&PARAM_PROPS)
        .children(&[&DOC, &CHOICES]);

/// What can be said of a value, the same for a `param` and for an `arg`; `default` says what it is when nobody gives one.
pub(super) const fn value_props(default: &'static str) -> [PropSpec; 7] {
    [
        PropSpec::new("default", Kind::Scalar, default),
        PropSpec::new(
            "type",
            Kind::Words(PARAM_KINDS),
            "what the value must be, and what it is in expressions; that of a default which is a whole number, `#true` or `#false`, else \
             `text`",
        ),
        PropSpec::new("required", Kind::Flag, "the same as `required` behind the name"),
        PropSpec::new("min", Kind::Number, "the least that a number may be"),
        PropSpec::new("max", Kind::Number, "the most that a number may be"),
        PropSpec::new("pattern", Kind::Regex, "a regular expression that matches the whole text"),
        VALUE_DOC,
    ]
}

pub(super) const VALUE_DOC: PropSpec = PropSpec::new("doc", Kind::Text, "one line about it");

/// The words of all types.
pub(super) const PARAM_KINDS: &[&str] = &{
    let mut words = [""; ParamKind::WORDS.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = ParamKind::WORDS[at].1;
        at += 1;
    }
    words
};

static PROFILE: NodeSpec = NodeSpec::new("profile", "values for one way of using the plan, chosen by `--profile name` or KILN_PROFILE")
    .args(&[ArgSpec::one("name", Kind::Name, "its name; `${profile}` where it is chosen")])
    .children(&[&DOC, &SET, &ENV, &ENV_FILE]);

static SECRET: NodeSpec =
    NodeSpec::new("secret", "a value that tasks are given and that is shown and kept nowhere; its source is one of these")
        .args(&[ArgSpec::one("name", Kind::Name, "its name, for `secret` in a task")])
        .props(&[
            PropSpec::new("env", Kind::Text, "a variable of kiln's environment"),
            PropSpec::new("file", Kind::Text, "a file: of the project, absolute, or below the home folder as `~/…`"),
            PropSpec::new(
                "command",
                Kind::Script,
                "a script for `sh -c` that prints it, run in kiln's own environment for at most a minute",
            ),
        ]);

static SET: NodeSpec = NodeSpec::new("set", "values of params, unless the command line or the environment sets them")
    .other_props("the value of the param of this name");

pub(super) static CHOICES: NodeSpec =
    NodeSpec::single("choices", "the only values it may have", &[ArgSpec::some("value", Kind::Scalar, "one of them")]);

static TOOL: NodeSpec =
    NodeSpec::new("tool", "a program that tasks name in `tools`, and whose version counts: it enters their keys, and `kiln lock` pins it")
        .args(&[ArgSpec::one("name", Kind::Name, "the program, as `tools` names it")])
        .props(&[
            PropSpec::new("version", Kind::Text, "the versions that the plan takes, as cargo writes them: `1.24`, `>=1.24, <2`, `~3.12`"),
            PropSpec::new("check", Kind::Script, "a script for `sh -c` whose output holds the version; `NAME --version` unless given"),
        ]);

static GROUP: NodeSpec = NodeSpec::new("group", "a name for several targets")
    .args(&[ArgSpec::one("name", Kind::Name, "its name"), ArgSpec::some("target", Kind::Target, "a task, an image, a service or a group")])
    .children(&[&DOC, &WHEN]);

static EACH: NodeSpec = NodeSpec::new("each", "the targets in its block, once for every value")
    .args(&[
        ArgSpec::one("variable", Kind::Name, "the name of the value inside the block"),
        ArgSpec::some("value", Kind::Scalar, "a value"),
    ])
    .children(&[&TASK, &IMAGE, &SERVICE, &GROUP, &EACH, &USE]);
