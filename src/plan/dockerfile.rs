//! Images that a Dockerfile describes: where it lies, and what its build is given.
//! In: the text of a Dockerfile. Out: the names of its stages. Never: a build, a judgement of its instructions.

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Span;
use crate::base::path::RelPath;
use crate::oci::reference::Reference;

/// A build from a Dockerfile, all texts resolved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Dockerfile {
    /// The file, in the project.
    pub path: RelPath,
    /// The folder that its `COPY` reads from.
    pub context: RelPath,
    /// The stage that is built; `None` is the last one.
    pub target: Option<String>,
    /// Build arguments, sorted by name.
    pub args: Vec<(String, String)>,
    /// Secrets that `RUN --mount=type=secret` may ask for, by name, with their places.
    pub secrets: Vec<(String, Span)>,
    /// Agents that `RUN --mount=type=ssh` may ask for.
    pub ssh: Vec<String>,
    /// Images whose layers may be taken over.
    pub cache_from: Vec<Reference>,
    /// Where the layers of every stage are kept.
    pub cache_to: Vec<Reference>,
    /// Where the file is named.
    pub span: Span,
}

/// The names that `FROM … AS name` gives, in order. Docker compares them without regard to case.
///
/// Lines that a `\` continues and comments are taken as Docker takes them; an `escape` directive is obeyed.
/// Source: Dockerfile reference, "FROM" and "Parser directives".
#[must_use]
pub fn stages(text: &str) -> Vec<&str> {
    let mut escape = '\\';
    let mut continued = false;
    let mut names = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            if at == 0
                && let Some((key, value)) = comment.split_once('=')
                && key.trim().eq_ignore_ascii_case("escape")
            {
                escape = value.trim().chars().next().unwrap_or('\\');
            }
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        if let ([from, _, r#as, name, ..], false) = (words.as_slice(), continued)
            && from.eq_ignore_ascii_case("FROM")
            && r#as.eq_ignore_ascii_case("AS")
        {
            names.push(*name);
        }
        continued = line.ends_with(escape);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_the_names_after_as() {
        for (text, expected) in [
            ("FROM alpine\n", &[][..]),
            ("FROM --platform=$BUILDPLATFORM golang:1.24 AS build\nRUN x\nfrom alpine as Run\n", &["build", "Run"]),
            ("# FROM a AS b\nRUN echo \\\nFROM c AS d\n\nFROM e AS f", &["f"]),
            ("# escape=`\nRUN dir C:\\\nFROM a AS b", &["b"]),
        ] {
            assert_eq!(stages(text), expected, "{text}");
        }
    }
}
