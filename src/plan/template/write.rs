//! Writes every `use` out: around targets, the nodes of the template become the block of the `use`; in a target, they become its
//! own. Nodes are counted while they are written.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::words;
use crate::plan::cx::Search;
use crate::plan::include::Loaded;
use crate::syntax::document::{Document, Node, Prop, Scalar, Value, Word};

use super::circle::circles;
use super::merge::merge;
use super::{DEPTH_LIMIT, Frame, Frames, NODE_LIMIT, Templates, place};

/// The nodes of all documents, every `use` written out.
pub(in crate::plan) struct Written<'d> {
    /// Those of the main document, then those of each included one that could be loaded.
    pub documents: Vec<Cow<'d, [Node]>>,
    /// The names of the templates of each that are used.
    pub used: Vec<HashSet<String>>,
    /// All uses.
    pub frames: Frames,
    /// What is wrong with them.
    pub faults: Vec<Diagnostic>,
}

/// Writes out every `use` of a plan.
pub(in crate::plan) fn write_out(loaded: &Loaded) -> Written<'_> {
    let mut written = Written { documents: Vec::new(), used: Vec::new(), frames: Frames::default(), faults: Vec::new() };
    let mut count = 0;
    for document in [Some(&loaded.main)].into_iter().chain(loaded.included.iter().map(|included| included.document.as_ref())) {
        let (nodes, used) = document.map_or_else(Default::default, |document| one(document, &mut written, &mut count));
        written.documents.push(nodes);
        written.used.push(used);
    }
    written
}

fn one<'d>(document: &'d Document, written: &mut Written<'d>, count: &mut usize) -> (Cow<'d, [Node]>, HashSet<String>) {
    let concerned = |node: &Node| matches!(node.name.text.as_str(), "template" | "use");
    let below = |node: &Node| {
        matches!(node.name.text.as_str(), "task" | "image" | "service" | "each")
            && node.children.iter().flatten().any(|child| child.name.text == "use" || child.children.is_some() && node.name.text == "each")
    };
    if !document.nodes.iter().any(|node| concerned(node) || below(node)) {
        return (Cow::Borrowed(&document.nodes), HashSet::new());
    }
    let mut templates = Templates::new();
    for node in document.nodes.iter().filter(|node| node.name.text == "template") {
        let Some(Value { scalar: Scalar::String(name), span, .. }) = node.args.first() else { continue };
        if let Some(first) = templates.get(name.as_str()) {
            let message = format!("two templates are called `{}`", words::visible(name));
            let fault = Diagnostic::plan("plan::duplicate-name", message, span, "declared again here");
            written.faults.push(fault.label(&first.args[0].span, "first declared here").help("rename one of them"));
        } else {
            templates.insert(name, node);
        }
    }
    let (endless, faults) = circles(&templates);
    written.faults.extend(faults);
    let mut writer = Writer { templates, endless, used: HashSet::new(), search: Search::default(), written, count };
    let nodes =
        document.nodes.iter().map(|node| if node.name.text == "template" { node.clone() } else { writer.outside(node, 0) }).collect();
    (Cow::Owned(nodes), writer.used)
}

struct Writer<'w, 'd> {
    templates: Templates<'d>,
    endless: HashSet<String>,
    used: HashSet<String>,
    search: Search,
    written: &'w mut Written<'d>,
    count: &'w mut usize,
}

impl Writer<'_, '_> {
    /// A node around targets, or a target.
    fn outside(&mut self, node: &Node, depth: usize) -> Node {
        match node.name.text.as_str() {
            "use" => {
                // A block that somebody wrote is a fault of its own, found with the form of all nodes.
                if node.children.is_some() {
                    return node.clone();
                }
                let children = self.body(node, depth).map(|body| body.iter().map(|node| self.outside(node, depth + 1)).collect());
                Node { children, ..node.clone() }
            }
            "each" => {
                let inner = node.children.as_ref().map(|children| children.iter().map(|child| self.outside(child, depth)).collect());
                Node { children: inner, ..node.clone() }
            }
            "task" | "image" | "service" => self.target(node, depth),
            _ => node.clone(),
        }
    }

    fn target(&mut self, node: &Node, depth: usize) -> Node {
        if !node.children.iter().flatten().any(|child| child.name.text == "use") {
            return node.clone();
        }
        let children = self.parts(&node.name.text, node.children.as_deref().unwrap_or_default(), depth);
        Node { children: Some(children), ..node.clone() }
    }

    /// The nodes of a block in a target, those that its uses stand for before its own.
    fn parts(&mut self, kind: &str, children: &[Node], depth: usize) -> Vec<Node> {
        let (mut parts, mut own) = (Vec::new(), Vec::new());
        for child in children {
            own.push(child.clone());
            if child.name.text == "use"
                && child.children.is_none()
                && let Some(body) = self.body(child, depth)
            {
                parts.push(self.parts(kind, &body, depth + 1));
            }
        }
        parts.push(own);
        merge(kind, parts)
    }

    /// What a `use` stands for, in a frame of its own; `None` when that cannot be said, which is reported.
    fn body(&mut self, node: &Node, depth: usize) -> Option<Vec<Node>> {
        let [Value { scalar: Scalar::String(name), span, .. }] = node.args.as_slice() else { return None };
        let shown = words::shorten(&words::visible(name), 60);
        let Some(template) = self.templates.get(name.as_str()).copied() else {
            let fault = Diagnostic::plan("plan::unknown-template", format!("there is no template `{shown}`"), span, "unknown template");
            if !self.search.may(self.templates.len()) {
                self.fault(fault);
                return None;
            }
            let names: Vec<&str> = self.templates.keys().copied().collect();
            self.fault(match words::closest(name, names.iter().copied()) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None if names.is_empty() => fault.help(format!("declare it at the top of this file: `template \"{shown}\" {{ … }}`")),
                None => fault.help(format!("templates of this file are: {}", words::shorten(&names.join(", "), 200))),
            });
            return None;
        };
        self.used.insert(name.clone());
        if self.endless.contains(name) {
            return None;
        }
        let size = size(template);
        let before = *self.count;
        *self.count = before.saturating_add(size);
        if *self.count > NODE_LIMIT || depth >= DEPTH_LIMIT {
            if before <= NODE_LIMIT {
                let message = format!("templates write out more than {NODE_LIMIT} nodes, or use each other more than {DEPTH_LIMIT} deep");
                self.fault(Diagnostic::plan("plan::too-large", message, span, "reached here").help("use fewer, or smaller, templates"));
            }
            return None;
        }
        let frame = self.frame(node, template, &shown);
        Some(template.children.iter().flatten().map(|child| framed(child, frame)).collect())
    }

    /// Opens a frame: each param with what the `use` gives it, else with its default.
    fn frame(&mut self, node: &Node, template: &Node, shown: &str) -> u32 {
        let required = template.args[1..].iter().filter_map(|value| match &value.scalar {
            Scalar::String(text) => Some((text, &value.span, None)),
            _ => None,
        });
        let optional = template.props.iter().map(|prop| (&prop.name.text, &prop.name.span, Some(&prop.value)));
        let params: Vec<(&String, &Span, Option<&Value>)> = required.chain(optional).collect();
        for prop in &node.props {
            if !params.iter().any(|(name, ..)| **name == prop.name.text) {
                let name = words::shorten(&words::visible(&prop.name.text), 60);
                let message = format!("the template `{shown}` has no param `{name}`");
                let fault = Diagnostic::plan("plan::unknown-property", message, &prop.name.span, "not a param of it");
                let names: Vec<&str> = params.iter().map(|(name, ..)| name.as_str()).collect();
                let fault = fault.label(&template.args[0].span, "declared here");
                self.fault(match words::closest(&prop.name.text, names.iter().copied()) {
                    Some(near) => fault.help(format!("did you mean `{near}`?")),
                    None if names.is_empty() => fault.help(format!("write `template \"{shown}\" {name}` if it is to have one")),
                    None => fault.help(format!("its params are: {}", names.join(", "))),
                });
            }
        }
        let mut args: Vec<(String, Span, Option<Value>)> = Vec::new();
        for (name, span, default) in params {
            let given = node.props.iter().find(|prop| prop.name.text == *name).map(|prop| prop.value.clone());
            if args.iter().any(|(known, ..)| known == name) {
                let fault = Diagnostic::plan(
                    "plan::repeated",
                    format!("the template has the param `{}` twice", words::visible(name)),
                    span,
                    "again here",
                );
                self.fault(fault.help("leave one of them out"));
                continue;
            }
            let value = match (given, default) {
                (Some(given), _) => Some(given),
                (None, None) => {
                    let message = format!("the template `{shown}` needs `{}`", words::visible(name));
                    let fault = Diagnostic::plan(
                        "plan::missing-property",
                        message,
                        &node.name.span,
                        format!("no `{}=` here", words::visible(name)),
                    );
                    self.fault(
                        fault
                            .label(span, "a param without a default")
                            .help(format!("write `use \"{shown}\" {}=…`, or give it a default there", words::visible(name))),
                    );
                    None
                }
                // A default may name the params before it.
                (None, Some(default)) if matches!(&default.scalar, Scalar::String(text) if text.contains("${")) => {
                    let outer = self.written.frames.open(Frame { used: Some(node.name.span.clone()), args: args.clone() });
                    Some(value_in(default, outer))
                }
                (None, Some(default)) => Some(default.clone()),
            };
            args.push((name.clone(), span.clone(), value));
        }
        let frame = self.written.frames.open(Frame { used: Some(node.name.span.clone()), args });
        for (_, span, _) in &mut self.written.frames.all[frame as usize - 1].args {
            span.frame = frame;
        }
        self.written.frames.by_use.insert(place(&node.name.span), frame);
        frame
    }

    fn fault(&mut self, fault: Diagnostic) {
        self.written.faults.push(fault);
    }
}

fn size(node: &Node) -> usize {
    node.children.iter().flatten().map(size).sum::<usize>() + 1
}

fn span_in(span: &Span, frame: u32) -> Span {
    Span { frame, ..span.clone() }
}

fn word_in(word: &Word, frame: u32) -> Word {
    Word { text: word.text.clone(), span: span_in(&word.span, frame) }
}

fn value_in(value: &Value, frame: u32) -> Value {
    let annotation = value.annotation.as_ref().map(|word| Box::new(word_in(word, frame)));
    Value { scalar: value.scalar.clone(), annotation, span: span_in(&value.span, frame), bare: value.bare }
}

/// A copy of a node of a template for one use of it.
fn framed(node: &Node, frame: u32) -> Node {
    Node {
        name: word_in(&node.name, frame),
        args: node.args.iter().map(|value| value_in(value, frame)).collect(),
        props: node.props.iter().map(|prop| Prop { name: word_in(&prop.name, frame), value: value_in(&prop.value, frame) }).collect(),
        children: node.children.as_ref().map(|children| children.iter().map(|child| framed(child, frame)).collect()),
        span: span_in(&node.span, frame),
    }
}
