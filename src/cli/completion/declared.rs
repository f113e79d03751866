//! What the text of a plan declares, read without understanding it: also where it has faults.

use crate::base::path::AbsPath;
use crate::syntax;
use crate::syntax::document::{Node, Scalar};
use crate::sys::file;

/// The kinds of targets.
const TARGETS: &[&str] = &["task", "image", "service", "group"];

/// A parameter as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// One line about it.
    pub doc: Option<String>,
    /// The values that it may have.
    pub choices: Vec<String>,
}

/// The names of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// Targets with their kinds; those whose names are made from values are left out.
    pub targets: Vec<(String, String)>,
    /// Parameters.
    pub params: Vec<Param>,
    /// Profiles.
    pub profiles: Vec<String>,
}

/// Reads a plan's file. What cannot be read declares nothing.
pub fn read(plan: &AbsPath) -> Declared {
    let bytes = file::read(plan, syntax::LIMIT as u64).unwrap_or_default();
    let mut found = Declared::default();
    match syntax::check_file_bytes("plan", &bytes).ok().and_then(|source| syntax::parse(source).ok()) {
        Some(document) => nodes(&document.nodes, &mut found),
        None => lines(&String::from_utf8_lossy(&bytes), &mut found),
    }
    found
}

fn nodes(list: &[Node], found: &mut Declared) {
    for node in list {
        let children = node.children.as_deref().unwrap_or_default();
        let name = texts(node).into_iter().next().filter(|name| !name.contains("${"));
        match (node.name.text.as_str(), name) {
            ("each", _) => nodes(children, found),
            (kind, Some(name)) if TARGETS.contains(&kind) => found.targets.push((name, kind.to_owned())),
            ("profile", Some(name)) => found.profiles.push(name),
            ("param", Some(name)) => {
                let child = |word: &str| children.iter().find(|child| child.name.text == word).map(texts);
                let doc = node.props.iter().find(|prop| prop.name.text == "doc").and_then(|prop| text(&prop.value.scalar));
                let choices = child("choices").unwrap_or_default();
                found.params.push(Param { name, doc: doc.or_else(|| child("doc")?.into_iter().next()), choices });
            }
            _ => {}
        }
    }
}

fn texts(node: &Node) -> Vec<String> {
    node.args.iter().filter_map(|value| text(&value.scalar)).collect()
}

fn text(scalar: &Scalar) -> Option<String> {
    match scalar {
        Scalar::String(text) => Some(text.clone()),
        Scalar::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Declarations that stand alone at the beginning of a line.
fn lines(text: &str, found: &mut Declared) {
    for line in text.lines() {
        let Some((kind, rest)) = line.trim_start().split_once([' ', '\t']) else { continue };
        let rest = rest.trim_start();
        let name = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => rest.split([' ', '\t', '{', ';']).next(),
        };
        let Some(name) = name.filter(|name| !name.is_empty() && !name.contains("${")).map(str::to_owned) else { continue };
        match kind {
            kind if TARGETS.contains(&kind) && !found.targets.iter().any(|(known, _)| *known == name) => {
                found.targets.push((name, kind.to_owned()));
            }
            "param" => found.params.push(Param { name, ..Param::default() }),
            "profile" => found.profiles.push(name),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_faults_still_declares_its_targets() {
        let mut found = Declared::default();
        lines("kiln 1\ntask \"a b\" {\n  image \"nested\" }}}}\ntask c{ \ngroup \"x-${y}\"\nparam port default=", &mut found);
        let targets: Vec<&str> = found.targets.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(targets, ["a b", "nested", "c"]);
        assert_eq!(found.params[0].name, "port");
    }
}
