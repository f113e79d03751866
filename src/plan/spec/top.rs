//! What may stand at the top of a plan, and in `each`.

use super::image::IMAGE;
use super::include::INCLUDE;
use super::service::{NETWORK, SERVICE, VOLUME};
use super::task::{DOC, ENV, TASK};
use super::{ArgSpec, Children, Kind, NodeSpec, PropSpec};
use crate::plan::policy::Rule;

/// The nodes at the top of a plan.
pub static TOP: Children = Children::Known {
    nodes: &[&KILN, &PROJECT, &INCLUDE, &LET, &PARAM, &ENV, &REGISTRY, &POLICY, &GROUP, &EACH, &TASK, &IMAGE, &SERVICE, &NETWORK, &VOLUME],
    later: &["secret", "template", "use", "profile", "env-file", "pool", "cache", "shell"],
};

static KILN: NodeSpec =
    NodeSpec::single("kiln", "the edition of the language; the first node of every plan", &[ArgSpec::one("edition", Kind::Integer, "`1`")]);

static PROJECT: NodeSpec = NodeSpec::new("project", "what the plan is about")
    .args(&[ArgSpec::one("name", Kind::Name, "its name")])
    .props(&[PropSpec::new("version", Kind::Scalar, "its version, for `${project.version}`")])
    .children(&[&DOC, &DEFAULT], &[])
    .once();

static DEFAULT: NodeSpec = NodeSpec::single(
    "default",
    "the targets that `kiln run` runs when none is named",
    &[ArgSpec::some("target", Kind::Target, "a task, an image, a service or a group")],
);

static LET: NodeSpec = NodeSpec::new("let", "a value under a name: one argument is a text, several are a list, a block is a map")
    .args(&[ArgSpec::one("name", Kind::Name, "its name"), ArgSpec::any("value", Kind::Scalar, "its value")])
    .open(&[], &ENTRY)
    .later(&["file", "command"]);

static ENTRY: NodeSpec = NodeSpec::new("key", "an entry of a map: one argument is a text, several are a list, a block is a map")
    .args(&[ArgSpec::any("value", Kind::Scalar, "its value")])
    .open(&[], &ENTRY);

static PARAM: NodeSpec = NodeSpec::new("param", "a value that may be set from outside, by `--set name=value` or `KILN_PARAM_NAME`")
    .args(&[ArgSpec::one("name", Kind::Name, "its name")])
    .props(&[
        PropSpec::new("default", Kind::Scalar, "its value when none is set; without it, one must be set"),
        PropSpec::new("doc", Kind::Text, "one line about it"),
    ])
    .children(&[&DOC, &CHOICES], &[])
    .later(&["type"]);

static CHOICES: NodeSpec =
    NodeSpec::single("choices", "the only values it may have", &[ArgSpec::some("value", Kind::Scalar, "one of them")]);

static REGISTRY: NodeSpec = NodeSpec::new("registry", "a place that images are pushed to")
    .args(&[
        ArgSpec::one("name", Kind::Name, "the name used in `push`"),
        ArgSpec::one("place", Kind::Text, "`host/path`, or `oci:folder` for an OCI layout"),
        ArgSpec::maybe("insecure", Kind::Words(&["insecure"]), "plain HTTP may be used"),
    ])
    .props(&[PropSpec::new("insecure", Kind::Flag, "plain HTTP may be used")]);

static POLICY: NodeSpec = NodeSpec::new("policy", "what an image must and must not be")
    .args(&[ArgSpec::one("name", Kind::Name, "the name used in `scan policy=`")])
    .children(&[&DENY, &WARN, &MAX_SIZE, &ALLOW], &["max-age", "fail", "waive"]);

static DENY: NodeSpec =
    NodeSpec::new("deny", "findings of these rules stop a push").args(&[ArgSpec::some("rule", Kind::Words(RULES), "a rule")]);

static WARN: NodeSpec =
    NodeSpec::new("warn", "findings of these rules are reported").args(&[ArgSpec::some("rule", Kind::Words(RULES), "a rule")]);

/// The words of all rules.
const RULES: &[&str] = &{
    let mut words = [""; Rule::WORDS.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = Rule::WORDS[at].0;
        at += 1;
    }
    words
};

static MAX_SIZE: NodeSpec = NodeSpec::single(
    "max-size",
    "the limit for all compressed layers together",
    &[
        ArgSpec::one("size", Kind::Size, "the limit"),
        ArgSpec::maybe("level", Kind::Words(&["warn", "deny"]), "what happens beyond it; `deny` unless given"),
    ],
);

static ALLOW: NodeSpec = NodeSpec::new("allow", "paths in the image that the file rules pass over")
    .args(&[ArgSpec::one("path", Kind::Path, "a path or glob in the image")])
    .props(&[PropSpec::required("reason", Kind::Text, "why")]);

static GROUP: NodeSpec = NodeSpec::new("group", "a name for several targets")
    .args(&[ArgSpec::one("name", Kind::Name, "its name"), ArgSpec::some("target", Kind::Target, "a task, an image, a service or a group")])
    .children(&[&DOC], &[]);

static EACH: NodeSpec = NodeSpec::new("each", "the targets in its block, once for every value")
    .args(&[
        ArgSpec::one("variable", Kind::Name, "the name of the value inside the block"),
        ArgSpec::some("value", Kind::Scalar, "a value"),
    ])
    .children(&[&TASK, &IMAGE, &SERVICE, &GROUP, &EACH], &["use"]);
