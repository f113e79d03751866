//! Scopes: every document of a plan with the names that hold in it alone.
//! In: the loaded documents. Out: one [`Scope`] for each way to a document, the main one first, with its values declared.
//! Never: a name of one document that means something in another; what an `include` sets is all that is handed over.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::path::RelPath;
use crate::base::words;
use crate::syntax::document::{Document, Node, Scalar, Value};

use super::cx::Cx;
use super::include::{FILE_LIMIT, Include, IncludeSource, Loaded, include};
use super::read::view::{View, children};
use super::read::{profile, shape};
use super::value::{Locals, bindings};
use super::{Overrides, spec, template};

/// One document under one name.
pub(super) struct Scope<'a> {
    /// What it is read with.
    pub cx: Cx<'a>,
    /// Its nodes.
    pub nodes: &'a [Node],
    /// What stands before names that are not known because a file is missing.
    pub missing: Vec<String>,
}

/// All scopes of a plan. None when the main document is in another edition, whose rules are not known here.
pub(super) fn scopes<'a>(
    plan: &Cx<'a>,
    documents: &'a Loaded,
    nodes: &'a [Cow<'a, [Node]>],
    used: &'a [HashSet<String>],
    overrides: &Overrides,
) -> Vec<Scope<'a>> {
    let mut opening = Opening { documents, nodes, used, scopes: Vec::new(), way: Vec::new() };
    opening.open(plan.document(String::new(), RelPath::root()), 0, &documents.main, None, overrides);
    opening.scopes
}

struct Opening<'a> {
    documents: &'a Loaded,
    /// The nodes of the main document and of each included one, every `use` written out.
    nodes: &'a [Cow<'a, [Node]>],
    /// The templates of each that are used.
    used: &'a [HashSet<String>],
    scopes: Vec<Scope<'a>>,
    /// The included documents that are open now. Circles were told when they were loaded.
    way: Vec<usize>,
}

impl<'a> Opening<'a> {
    /// Opens a document and those that it includes; false when it cannot be read.
    fn open(&mut self, cx: Cx<'a>, at: usize, document: &'a Document, from: Option<&IncludeSource>, overrides: &Overrides) -> bool {
        if !edition(&cx, document) {
            return false;
        }
        let nodes: &[Node] = &self.nodes[at];
        shape::check(&cx, nodes, &spec::TOP, None);
        let includes = includes(&cx, nodes, from);
        let inner = |name: &str| name.split_once(':').is_some_and(|(first, _)| includes.iter().any(|(_, include)| include.name == first));
        let own = overrides.set.iter().filter(|(name, _)| !inner(name)).cloned().collect();
        let profiles = profile::declared(&cx, nodes);
        cx.profiles.get_or_init(|| profile::chosen(&cx, &profiles, &overrides.profiles));
        bindings::declare(&cx, nodes, &profiles, &Overrides { set: own, ..overrides.clone() });
        template::check(&cx, nodes, &self.used[at]);
        let index = self.scopes.len();
        let unnamed = includes.len() < nodes.iter().filter(|node| node.name.text == "include").count();
        let missing = unnamed.then(|| cx.prefix.clone());
        self.scopes.push(Scope { cx, nodes, missing: missing.into_iter().collect() });
        for (node, include) in includes {
            if !self.enter(index, node, &include, overrides) {
                let Scope { cx, missing, .. } = &mut self.scopes[index];
                missing.push(cx.full(include.name) + ":");
            }
        }
        true
    }

    /// Opens what an `include` of an open scope names. False when that is not there.
    fn enter(&mut self, outer: usize, node: &'a Node, include: &Include<'_>, overrides: &Overrides) -> bool {
        let Some(at) = self.documents.included.iter().position(|known| known.place == include.place) else { return false };
        let Some(document) = &self.documents.included[at].document else { return false };
        if self.way.contains(&at) || self.scopes.len() > FILE_LIMIT {
            return false;
        }
        let cx = &self.scopes[outer].cx;
        let folder = match &include.place {
            IncludeSource::Local(path) => path.parent().unwrap_or_else(RelPath::root),
            // What a remote plan names lies beside the file that includes it.
            IncludeSource::Https { .. } | IncludeSource::Oci(_) => cx.folder.clone(),
        };
        let mut set = settings(cx, node, document);
        let typed = overrides.set.iter().filter_map(|(name, value)| {
            let (first, rest) = name.split_once(':')?;
            (first == include.name).then(|| (rest.to_owned(), value.clone()))
        });
        set.extend(typed);
        let inner = cx.document(format!("{}{}:", cx.prefix, include.name), folder);
        for prop in children(cx, node, "set").flat_map(|child| &child.props) {
            let met = cx.taint_of(&prop.value.span).unwrap_or_default();
            inner.handed.borrow_mut().insert(prop.name.text.clone(), (prop.value.span.clone(), met));
        }
        self.way.push(at);
        let opened = self.open(inner, at + 1, document, Some(&include.place), &Overrides { set, ..overrides.clone() });
        self.way.pop();
        opened
    }
}

/// The good `include` nodes, no name twice. What is wrong with their paths was told when the documents were loaded.
fn includes<'a>(cx: &Cx<'_>, nodes: &'a [Node], from: Option<&IncludeSource>) -> Vec<(&'a Node, Include<'a>)> {
    let mut found: Vec<(&Node, Include<'_>)> = Vec::new();
    for node in nodes.iter().filter(|node| node.name.text == "include" && cx.is_good(node)) {
        let Ok(one) = include(node, from) else { continue };
        if let Some((_, first)) = found.iter().find(|(_, known)| known.name == one.name) {
            let fault =
                Diagnostic::plan("plan::duplicate-name", format!("two files are included as `{}`", one.name), one.name_span, "again here");
            cx.fault(fault.label(first.name_span, "first here").help("give one of them another name"));
        } else {
            found.push((node, one));
        }
    }
    found
}

/// What an `include` sets, each a param of the document that it names. Values are those of the including document.
fn settings(cx: &Cx<'_>, node: &Node, document: &Document) -> Vec<(String, String)> {
    let locals = Locals::top();
    let view = View { cx, locals: &locals };
    let declared = |word: &str| {
        let nodes = document.nodes.iter().filter(|node| node.name.text == word);
        nodes.filter_map(|node| first_text(node)).collect::<Vec<_>>()
    };
    let params = declared("param");
    let mut found: Vec<(String, String, &Span)> = Vec::new();
    for prop in children(cx, node, "set").flat_map(|child| &child.props) {
        let (name, span) = (&prop.name.text, &prop.name.span);
        if !params.contains(&name.as_str()) {
            let shown = words::shorten(&words::visible(name), 60);
            let file = words::visible(&document.source.name);
            let fault = Diagnostic::plan("plan::unknown-param", format!("`{file}` has no param `{shown}`"), span, "not a param of it");
            cx.fault(match cx.near(name, params.iter().copied()) {
                _ if declared("let").contains(&name.as_str()) => {
                    fault.help(format!("`{shown}` is a `let` there, which cannot be set from outside; make it a `param`"))
                }
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None if params.is_empty() => fault.help("it takes values with `param name default=\"…\"`"),
                None => fault.help(format!("its params are: {}", params.join(", "))),
            });
        } else if let Some((_, _, first)) = found.iter().find(|(known, ..)| known == name) {
            let fault = Diagnostic::plan("plan::repeated", format!("`{name}` is set twice"), span, "again here");
            cx.fault(fault.label(first, "first set here").help("leave one of them out"));
        } else if let Some((text, _)) = view.text(&prop.value) {
            found.push((name.clone(), text, span));
        }
    }
    found.into_iter().map(|(name, text, _)| (name, text)).collect()
}

/// The first argument of a node, when it is a text.
pub(super) fn first_text(node: &Node) -> Option<&str> {
    match &node.args.first()?.scalar {
        Scalar::String(text) => Some(text),
        _ => None,
    }
}

/// Checks the first node. False when the plan is in another edition, whose rules are not known here.
fn edition(cx: &Cx<'_>, document: &Document) -> bool {
    let found = document.nodes.iter().position(|node| node.name.text == "kiln");
    match found.map(|index| (index, &document.nodes[index])) {
        Some((0, node)) => match node.args.as_slice() {
            [Value { scalar: Scalar::Integer(1), .. }] | [] => {}
            [value, ..] => {
                let message = format!("this kiln reads edition 1, not {}", words::visible(value.span.text()));
                let fault = Diagnostic::plan("plan::edition", message, &value.span, "another edition");
                cx.fault(fault.help("write `kiln 1`, or use a kiln that knows this edition"));
                return false;
            }
        },
        Some((_, node)) => {
            let fault = Diagnostic::plan("plan::edition", "`kiln` is not the first node", &node.name.span, "move it to the top");
            cx.fault(fault.help("the edition says how all the rest is read"));
        }
        // Its name is misspelt, which is told there.
        None if document.nodes.first().is_some_and(|node| words::closest(&node.name.text, ["kiln"]).is_some()) => {}
        None => {
            let first = document.nodes.first().map_or_else(|| Span::new(&document.source, 0, 0), |node| node.name.span.clone());
            let fault = Diagnostic::plan("plan::edition", "the plan does not say its edition", &first, "comes first");
            cx.fault(fault.help("write `kiln 1` as the first line"));
        }
    }
    true
}
