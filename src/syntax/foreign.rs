//! Whole files in another language: JSON, YAML, TOML, a Makefile, a Dockerfile.
//! In: the tokens of a file that has faults. Out: one fault that names the language, where there is no doubt.
//! Never: a word about a file that says which edition of kiln it is for, or has a block: that is a plan with slips.

use std::sync::Arc;

use crate::base::diagnostic::Source;
use crate::syntax::faults::{Fault, Faults};
use crate::syntax::prescan::{Kind, Token};

const PLAN: &str = "a plan begins with `kiln 1`; a task is written `task \"build\" { run \"go build\" }`";

/// One fault for a file in another language.
pub(super) fn fault(source: &Arc<Source>, tokens: &[Token]) -> Option<Faults> {
    let (language, help) = language(&source.text, tokens)?;
    let first = tokens.iter().find(|token| token.kind != Kind::Newline)?;
    let mut faults = Faults::new(Arc::clone(source));
    faults.add(first.start(), first.end(), || {
        Fault::new("syntax::other-language", format!("this file is {language}; a plan is KDL 2"), format!("written as {language}"), help)
    });
    Some(faults)
}

fn language(text: &str, tokens: &[Token]) -> Option<(&'static str, &'static str)> {
    let words: Vec<Token> = tokens.iter().copied().filter(|token| token.kind != Kind::Newline).take(3).collect();
    let [first, second, ..] = words.as_slice() else { return None };
    let word = |token: &Token| &text[token.range()];
    let no_block = tokens.iter().all(|token| token.kind != Kind::Open);
    let third_is_colon = words.get(2).is_some_and(|token| word(token).starts_with(':'));
    match first.kind {
        Kind::Open if second.kind == Kind::Text && third_is_colon => Some(("JSON", PLAN)),
        Kind::Word if no_block => of_first_word(text, word(first), tokens),
        _ => None,
    }
}

fn of_first_word(text: &str, first: &str, tokens: &[Token]) -> Option<(&'static str, &'static str)> {
    // A line that begins with a name and a colon; one alone may be a slip.
    let begins = |at: usize| text[..at].trim_end_matches([' ', '\t', '-']).chars().next_back().is_none_or(|c| c == '\n');
    let keys = tokens.iter().filter(|token| token.kind == Kind::Word && text[token.range()].ends_with(':') && begins(token.start()));
    let keys = keys.take(2).count();
    let lower = |c: char| c.is_ascii_lowercase();
    match first {
        "kiln" | "kiln:" => None,
        "FROM" | "ARG" => Some(("a Dockerfile", "name it in a plan: `kiln 1`, then `image \"web\" { dockerfile \"Dockerfile\" }`")),
        _ if first.starts_with('[') && first.ends_with(']') => Some(("TOML", PLAN)),
        _ if keys > 0 && (text.contains(":\n\t") || text.contains("\n\t") || first.starts_with(".PHONY")) => Some(("a Makefile", PLAN)),
        "---" if keys > 0 => Some(("YAML", PLAN)),
        _ if first.ends_with(':') && first.starts_with(lower) && keys > 1 => Some(("YAML", PLAN)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::base::diagnostic::Source;
    use crate::syntax::parse;

    #[test]
    fn a_file_in_another_language_is_named_once_and_a_plan_with_slips_never() {
        for (text, language) in [
            ("{ \"kiln\": 1, \"tasks\": { \"build\": [\"a\", \"b\"] } }", "JSON"),
            ("version: '3'\ntasks:\n  a:\n    cmds:\n      - echo hi\n", "YAML"),
            ("---\ntasks:\n  a: b\n", "YAML"),
            ("[package]\nname = \"x\"\n[dependencies]\na = \"1\"\n", "TOML"),
            (".PHONY: all\nall: build\n\t./x\n", "a Makefile"),
            ("build: main.go\n\tgo build ./...\n", "a Makefile"),
            ("FROM golang:1.22 AS build\nWORKDIR /src\nCOPY . .\n", "a Dockerfile"),
            ("target: web\n", ""),
            ("kiln: 1\ntarget: web\n", ""),
            ("kiln 1\ntask: build\n  run: x\n", ""),
            ("target: web\ntask \"a\" {\n timeout: 5\n}\n", ""),
            ("from /x\n", ""),
        ] {
            let source = Arc::new(Source { name: "a".to_owned(), text: text.to_owned() });
            let faults: Vec<_> = parse(source).unwrap_err().into_iter().collect();
            if language.is_empty() {
                assert!(faults.iter().all(|fault| fault.code != "syntax::other-language"), "{text:?}");
            } else {
                assert_eq!(faults.len(), 1, "{text:?}");
                assert!(faults[0].message.contains(&format!("is {language};")), "{text:?}: {}", faults[0].message);
            }
        }
    }
}
