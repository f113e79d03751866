//! The words of the language as data: which node stands where, with which arguments, properties and children.
//! In: nothing. Out: tables that the reader, `kiln schema` and the reference are all made from, so they cannot disagree.
//! Never: a rule that looks at values of more than one node; those live with the readers.

mod arg;
mod container;
mod guide;
mod image;
mod include;
mod reference;
mod release;
mod running;
mod schema;
pub(super) mod service;
mod task;
mod template;
mod top;

pub use reference::reference_markdown;
pub use schema::schema_json;
pub use top::TOP;

use crate::syntax::document::Scalar;

/// One kind of node.
#[derive(Debug)]
pub struct NodeSpec {
    /// Its name.
    pub name: &'static str,
    /// One line about it.
    pub doc: &'static str,
    /// Its arguments, in order; at most one of them may stand several times.
    pub args: &'static [ArgSpec],
    /// Its named properties.
    pub props: &'static [PropSpec],
    /// What a property of any other name means; `None` when other names are faults.
    pub other_props: Option<&'static str>,
    /// What may stand in its block.
    pub children: Children,
    /// Whether it may stand only once in its block.
    pub once: bool,
}

/// What may stand in a block.
#[derive(Debug)]
pub enum Children {
    /// There is no block.
    None,
    /// Whatever may stand where the block is used; checked there.
    Elsewhere,
    /// These nodes.
    Known {
        /// What may stand there.
        nodes: &'static [&'static NodeSpec],
    },
    /// These nodes, and others whose names the user chooses.
    Open {
        /// The nodes with a meaning of their own.
        nodes: &'static [&'static NodeSpec],
        /// What a node of any other name is.
        other: &'static NodeSpec,
    },
}

/// One argument.
#[derive(Debug)]
pub struct ArgSpec {
    /// What it is called in messages and in the reference.
    pub name: &'static str,
    /// What it must be.
    pub kind: Kind,
    /// How often it stands.
    pub count: Count,
    /// One line about it.
    pub doc: &'static str,
}

/// How often an argument stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Exactly once.
    One,
    /// Once or not at all.
    Maybe,
    /// At least once.
    Some,
    /// Any number of times.
    Any,
}

/// One property.
#[derive(Debug)]
pub struct PropSpec {
    /// Its name.
    pub name: &'static str,
    /// What it must be.
    pub kind: Kind,
    /// Whether the node is wrong without it.
    pub required: bool,
    /// One line about it.
    pub doc: &'static str,
}

/// What a value must be. All but `Script` and `Regex` are interpolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Free text.
    Text,
    /// Text or a number; numbers are taken as they are written.
    Scalar,
    /// The name of something that the node declares.
    Name,
    /// The name of a target.
    Target,
    /// A path or glob inside the project.
    Path,
    /// `amd64`, `"linux/arm/v7"`.
    Platform,
    /// `"90s"`, `"5m"`.
    Duration,
    /// `"512MiB"`.
    Size,
    /// A whole number.
    Integer,
    /// A number, with or without a point.
    Number,
    /// `#true` or `#false`; the bare word alone is `#true`.
    Flag,
    /// One of a few words.
    Words(&'static [&'static str]),
    /// Text for a shell, never interpolated.
    Script,
    /// A regular expression, never interpolated.
    Regex,
}

impl Kind {
    /// Whether a value of this form can be of this kind. Text inside is judged later, when it is resolved.
    #[must_use]
    pub fn accepts(self, scalar: &Scalar) -> bool {
        match scalar {
            Scalar::String(_) => self != Self::Flag,
            Scalar::Integer(_) => {
                matches!(self, Self::Scalar | Self::Integer | Self::Number | Self::Size | Self::Duration)
            }
            Scalar::Float(number) => number.is_finite() && matches!(self, Self::Scalar | Self::Number),
            Scalar::Bool(_) => matches!(self, Self::Flag | Self::Scalar),
            Scalar::Null => false,
        }
    }

    /// What a message calls it.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Scalar => "a text or a number",
            Self::Name => "a name",
            Self::Target => "the name of a target",
            Self::Path => "a path",
            Self::Platform => "a platform",
            Self::Duration => "a length of time like `\"90s\"`",
            Self::Size => "a size like `\"512MiB\"`",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Flag => "`#true` or `#false`",
            Self::Words(_) => "a word",
            Self::Script => "script text",
            Self::Regex => "a regular expression",
        }
    }

    /// Its name in the schema.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Scalar => "scalar",
            Self::Name => "name",
            Self::Target => "target",
            Self::Path => "path",
            Self::Platform => "platform",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Flag => "flag",
            Self::Words(_) => "words",
            Self::Script => "script",
            Self::Regex => "regex",
        }
    }
}

impl Children {
    /// The nodes with a meaning of their own.
    #[must_use]
    pub const fn nodes(&self) -> &'static [&'static NodeSpec] {
        match self {
            Self::None | Self::Elsewhere => &[],
            Self::Known { nodes } | Self::Open { nodes, .. } => nodes,
        }
    }

    /// The specification of a child of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'static NodeSpec> {
        let known = self.nodes().iter().find(|node| node.name == name).copied();
        match self {
            Self::Open { other, .. } => known.or(Some(other)),
            _ => known,
        }
    }
}

/// The argument of every flag.
const ON: &[ArgSpec] = &[ArgSpec::maybe("on", Kind::Flag, "`#false` turns it off")];

impl NodeSpec {
    const fn new(name: &'static str, doc: &'static str) -> Self {
        Self { name, doc, args: &[], props: &[], other_props: None, children: Children::None, once: false }
    }
    const fn args(mut self, args: &'static [ArgSpec]) -> Self {
        self.args = args;
        self
    }
    const fn props(mut self, props: &'static [PropSpec]) -> Self {
        self.props = props;
        self
    }
    const fn other_props(mut self, doc: &'static str) -> Self {
        self.other_props = Some(doc);
        self
    }
    const fn children(mut self, nodes: &'static [&'static Self]) -> Self {
        self.children = Children::Known { nodes };
        self
    }
    const fn open(mut self, nodes: &'static [&'static Self], other: &'static Self) -> Self {
        self.children = Children::Open { nodes, other };
        self
    }
    const fn once(mut self) -> Self {
        self.once = true;
        self
    }
    /// A node with one argument that stands once in its block.
    const fn single(name: &'static str, doc: &'static str, args: &'static [ArgSpec]) -> Self {
        Self::new(name, doc).args(args).once()
    }
    /// A node that is on when it stands there.
    const fn flag(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, doc).args(ON).once()
    }

    /// The fewest and the most arguments that the node takes.
    #[must_use]
    pub fn arity(&self) -> (usize, Option<usize>) {
        let fewest = self.args.iter().filter(|arg| matches!(arg.count, Count::One | Count::Some)).count();
        let unbounded = self.args.iter().any(|arg| matches!(arg.count, Count::Some | Count::Any));
        (fewest, (!unbounded).then_some(self.args.len()))
    }

    /// The specification of argument `index` of `total`: those before a repeated one count from the front, those after it from the back.
    #[must_use]
    pub fn arg(&self, index: usize, total: usize) -> Option<&'static ArgSpec> {
        let Some(repeated) = self.args.iter().position(|arg| matches!(arg.count, Count::Some | Count::Any)) else {
            return self.args.get(index);
        };
        let after = self.args.len() - repeated - 1;
        if index < repeated {
            self.args.get(index)
        } else if index + after >= total {
            self.args.get(self.args.len() - (total - index))
        } else {
            self.args.get(repeated)
        }
    }
}

impl ArgSpec {
    const fn one(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, count: Count::One, doc }
    }
    const fn maybe(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, count: Count::Maybe, doc }
    }
    const fn some(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, count: Count::Some, doc }
    }
    const fn any(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, count: Count::Any, doc }
    }
}

impl PropSpec {
    const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, required: false, doc }
    }
    const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, required: true, doc }
    }
}

/// What may stand around targets: in `each`, and in a template that is used there.
#[must_use]
pub fn around_targets() -> &'static Children {
    TOP.find("each").map_or(&Children::None, |each| &each.children)
}

/// The names of the nodes in whose block a node of this name may stand, for faults about a node at the wrong place.
#[must_use]
pub fn homes(name: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut seen: Vec<*const NodeSpec> = Vec::new();
    let mut open: Vec<&'static NodeSpec> = TOP.nodes().to_vec();
    while let Some(node) = open.pop() {
        if seen.contains(&std::ptr::from_ref(node)) {
            continue;
        }
        seen.push(std::ptr::from_ref(node));
        if node.children.nodes().iter().any(|child| child.name == name) {
            found.push(node.name);
        }
        open.extend(node.children.nodes());
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_around_a_repeated_one_are_found_from_both_ends() {
        let copy = image::COPY.arg(2, 3).map(|arg| arg.name);
        assert_eq!(copy, Some("destination"));
        assert_eq!(image::COPY.arg(0, 3).map(|arg| arg.name), Some("source"));
        assert_eq!(image::COPY.arg(1, 3).map(|arg| arg.name), Some("source"));
        assert_eq!(image::COPY.arity(), (2, None));
    }

    #[test]
    fn a_node_at_the_wrong_place_is_led_home() {
        assert_eq!(homes("outputs"), ["task"]);
        assert_eq!(homes("platforms"), ["image", "task"]);
        assert_eq!(homes("nothing"), Vec::<&str>::new());
    }

    #[test]
    fn at_most_one_argument_of_a_node_repeats_and_flags_never_hide_a_text() {
        let mut open: Vec<&NodeSpec> = TOP.nodes().to_vec();
        let mut seen: Vec<*const NodeSpec> = Vec::new();
        while let Some(node) = open.pop() {
            if seen.contains(&std::ptr::from_ref(node)) {
                continue;
            }
            seen.push(std::ptr::from_ref(node));
            let repeated = node.args.iter().filter(|arg| matches!(arg.count, Count::Some | Count::Any)).count();
            assert!(repeated <= 1, "{}", node.name);
            assert!(!node.doc.is_empty() && !node.doc.ends_with('.'), "{}: {}", node.name, node.doc);
            open.extend(node.children.nodes());
        }
    }
}
