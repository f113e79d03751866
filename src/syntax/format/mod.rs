//! One form for every plan: `kiln fmt`.
//! In: the text of a file without syntax faults. Out: the same document with four spaces per level, one space between words, at
//! most one blank line in a row. Comments, `/-` parts, the order, line breaks between nodes, line continuations and the way each
//! string and number is written stay.
//! Never: another value. What was printed is read again and held against what was written before it is handed out.

mod gap;
mod lines;
mod printer;
mod strings;

use std::sync::Arc;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Source};
use crate::syntax::document::{Node, Scalar, Value};
use crate::syntax::parse::parse;
use crate::syntax::prescan;

/// The spaces of one level.
const STEP: usize = 4;

/// The file in its one form; the text itself when it has that form already.
///
/// # Errors
/// Every syntax fault of the file; `syntax::too-large` when the formatted text would be larger than a plan may be.
pub fn format(source: &Arc<Source>) -> Result<String, Diagnostics> {
    let written = parse(Arc::clone(source))?;
    let scan = prescan::scan(source);
    let Some(text) = printer::print(&source.text, &scan) else {
        let message = format!("`{}` would be too large after formatting", source.name);
        return Err(Diagnostic::new(Class::Plan, "syntax::too-large", message).help("split it with `include`").into());
    };
    if text == source.text {
        return Ok(text);
    }
    match parse(Arc::new(Source { name: source.name.clone(), text: text.clone() })) {
        Ok(printed) if same_nodes(&written.nodes, &printed.nodes) => Ok(text),
        _ => {
            let message = format!("formatting would have changed what `{}` says, so nothing was written", source.name);
            let help = "this is a bug in kiln; please report it with the file";
            Err(Diagnostic::new(Class::Internal, "syntax::format-changed", message).help(help).into())
        }
    }
}

/// Whether two documents say the same, wherever it stands.
fn same_nodes(a: &[Node], b: &[Node]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_node(a, b))
}

fn same_node(a: &Node, b: &Node) -> bool {
    let args = a.args.len() == b.args.len() && a.args.iter().zip(&b.args).all(|(a, b)| same_value(a, b));
    let props = || {
        let pairs = a.props.iter().zip(&b.props);
        a.props.len() == b.props.len() && pairs.into_iter().all(|(a, b)| a.name.text == b.name.text && same_value(&a.value, &b.value))
    };
    let children = || match (&a.children, &b.children) {
        (Some(a), Some(b)) => same_nodes(a, b),
        (None, None) => true,
        _ => false,
    };
    a.name.text == b.name.text && args && props() && children()
}

fn same_value(a: &Value, b: &Value) -> bool {
    let scalar = match (&a.scalar, &b.scalar) {
        // No number equals `#nan`, not even itself.
        (Scalar::Float(a), Scalar::Float(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    };
    let type_of = |value: &Value| value.annotation.as_ref().map(|word| word.text.clone());
    scalar && a.bare == b.bare && type_of(a) == type_of(b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::prescan::Kind;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source { name: "build.kdl".to_owned(), text: text.to_owned() })
    }

    fn formatted(text: &str) -> String {
        format(&source(text)).unwrap_or_else(|faults| panic!("{text:?}: {faults:?}"))
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(formatted(text), expected, "{text:?}");
        assert_eq!(formatted(expected), expected, "twice");
    }

    #[test]
    fn blocks_stand_four_spaces_deep_and_words_one_space_apart() {
        check(
            "kiln   1\r\ntask \"a\"{\n\tinputs  \"x\"   k = 1  ( t )2\n  group \"g\"  {a 1;b   2;}\n}\n",
            "kiln 1\ntask \"a\" {\n    inputs \"x\" k=1 (t)2\n    group \"g\" { a 1; b 2 }\n}\n",
        );
        check("a { b { c\n} }", "a {\n    b {\n        c\n    }\n}\n");
        check("a {}\nb { }\nc {\n\n}", "a {}\nb {}\nc {\n}\n");
        check("a; b;\nc", "a; b\nc\n");
        check("", "");
        check("\n\n \n", "");
    }

    #[test]
    fn one_blank_line_stays_and_none_at_the_edges_of_a_block() {
        check("\n\na\n\n\n\nb {\n\n\n  c\n\n\n}\n\n\n", "a\n\nb {\n    c\n}\n");
        check("a\n \t\nb", "a\n\nb\n");
    }

    #[test]
    fn comments_stay_where_they_stand() {
        check("// a  \n\n\n  // b\nx // c\ny{// d\n// e\n}// f", "// a\n\n// b\nx // c\ny { // d\n    // e\n} // f\n");
        check("/* a */ b /* c */ 1 /*d*/ k /*e*/ = /*f*/ 2; /* g */ h", "/* a */ b /* c */ 1 /*d*/ k /*e*/ = /*f*/ 2 /* g */; h\n");
        check("a {\n  /* x\n     y\n   z */\n  b\n}", "a {\n    /* x\n       y\n     z */\n    b\n}\n");
        check("a; // b\nc", "a // b\nc\n");
        check("a { /* b */ }", "a { /* b */ }\n");
    }

    #[test]
    fn comments_in_one_column_stay_in_one_column() {
        check("a 1      // x\nbb  22   // y\nc // z", "a 1   // x\nbb 22 // y\nc // z\n");
        check("a 1   // x\nbb 2 // y", "a 1 // x\nbb 2 // y\n");
        check("äö \"日本\"   // x\na        // y", "äö \"日本\" // x\na // y\n");
    }

    #[test]
    fn what_is_commented_out_keeps_its_form() {
        check("/-a 1 { b\n}\n/-  c\n/-\nd", "/-a 1 {\n    b\n}\n/- c\n/- d\n");
        check("a /- 1 /-k=2 /-{ b }  { c }", "a /- 1 /-k=2 /-{ b } { c }\n");
        check("/- // why\n\n a", "/- // why\n    a\n");
    }

    #[test]
    fn line_continuations_stay_inside_a_node_and_go_between_nodes() {
        check("env \\\n  A=1   \\\n  B=2 \\ // two\n C=3", "env \\\n    A=1 \\\n    B=2 \\ // two\n    C=3\n");
        check("a \\\n\\\n 1", "a \\\n    1\n");
        check("a \\\n\nb \\\n", "a\n\nb\n");
        check("a k \\\n = \\\n 1 (t) \\\n 2", "a k=1 (t)2\n");
        check("a k= \\ // x\n 1", "a k= \\ // x\n    1\n");
    }

    #[test]
    fn texts_of_several_lines_move_with_their_node_and_keep_their_form() {
        check("a {\n  run #\"\"\"\n  x\n    y \n\n  \"\"\"#\n}", "a {\n    run #\"\"\"\n        x\n          y \n\n        \"\"\"#\n}\n");
        check("a \"\"\"\r\n\tx\r\n\t\"\"\"", "a \"\"\"\n    x\n    \"\"\"\n");
        check("a \"\"\"\n  x \\\n     y\n  \"\"\"", "a \"\"\"\n  x \\\n     y\n  \"\"\"\n");
        check("a \"x \\\n   y\" #\"\\\"# \"\\u{41}\" 0x1F 1e3 1_000", "a \"x \\\n   y\" #\"\\\"# \"\\u{41}\" 0x1F 1e3 1_000\n");
        check("a { b \"\"\"\nx\n\"\"\" }", "a {\n    b \"\"\"\n        x\n        \"\"\"\n}\n");
    }

    #[test]
    fn a_file_with_faults_gives_its_faults() {
        let faults = format(&source("a b/c\n}\n")).unwrap_err();
        assert_eq!(faults.into_iter().map(|fault| fault.code).collect::<Vec<_>>(), ["syntax::unquoted-path", "syntax::unopened-block"]);
    }

    #[test]
    fn a_text_that_would_grow_beyond_the_cap_is_refused() {
        let deep = format!("{}{}{}", "a{\n".repeat(60), "b\n".repeat(150_000), "}".repeat(60));
        assert_eq!(format(&source(&deep)).unwrap_err().as_slice()[0].code, "syntax::too-large");
    }

    /// Tokens and comments as written, but for what formatting may change.
    fn parts(text: &str) -> Vec<String> {
        let source = source(text);
        let scan = prescan::scan(&source);
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let tokens = scan.tokens.iter().filter(|token| !matches!(token.kind, Kind::Newline | Kind::Semicolon));
        let tokens = tokens.map(|token| (token.start(), squeezed(&text[token.range()])));
        let comments = scan.comments.iter().map(|place| (place.start, squeezed(&text[place.clone()])));
        let mut all: Vec<(usize, String)> = tokens.chain(comments).collect();
        all.sort();
        all.into_iter().map(|(_, text)| text).collect()
    }

    fn any_of(words: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
        prop::sample::select(words).prop_map(str::to_owned)
    }

    /// Pieces that often make no document.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = any_of(&[
            "a",
            " 1",
            " \"s\"",
            " \"\"\"\n  x\n   y\n\n  \"\"\"",
            "\n",
            "\n\n\n",
            " ",
            "\t",
            " k=1",
            " l = 2",
            " {",
            " {\n",
            "}",
            "\n}\n",
            ";",
            "/-",
            " /- ",
            " /* c */ ",
            "/* c\n d */",
            " // e\n",
            "\n  // g\n",
            " \\\n",
            " \\ // h\n",
            " ( t ) 2",
            "\r\n",
            "\u{feff}",
            "\u{2028}",
            "\u{c}",
        ]);
        prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    /// Documents, with all that may stand between their words.
    fn documents() -> impl Strategy<Value = String> {
        let space = any_of(&[" ", " ", "  ", "\t", " \\\n", " /* c */ ", " /*c\n d*/\t", " \\ // e\n  ", " \\\n\\\n ", " \\ /*x*/ \r\n"]);
        let value = any_of(&[
            "1",
            "0x1F",
            "-1.50",
            "#true",
            "#null",
            "\"s\"",
            "bare",
            "#\"r\\\"#",
            "\"\"\"\n  x\n   y\n\n  \"\"\"",
            "#\"\"\"\n\tx \n \t \n\t\"\"\"#",
            "(t)2",
            "( t ) 3",
            "\"\"\"\n  x \\\n y\n  \"\"\"",
            "\"p \\\n q\"",
            "\"\"\"\r\n\r\n\"\"\"",
            "\"\u{85}\"",
            "\"// no\"",
            "日",
        ]);
        let end = any_of(&[
            "\n",
            "\n",
            "\n\n\n",
            ";",
            " ; ",
            ";\n",
            " // f\n",
            "   // far\n",
            ";// g\n",
            " /* h */\n",
            "\n // i\n\n",
            "\r\n",
            "\n /* j\n   k */\n",
            "\\\n\n",
        ]);
        let dash = any_of(&["", "", "", "", "", "/-", "/- ", "/-\n", "/- /*l*/ ", "/- // m\n "]);
        let entry = (space.clone(), dash.clone(), any_of(&["", "", "k"]), any_of(&["=", " = ", "= /*n*/ "]), value.clone());
        let entry = entry.prop_map(|(space, dash, key, equals, value)| match key.as_str() {
            "" => format!("{space}{dash}{value}"),
            key => format!("{space}/-{key}{equals}{value}"),
        });
        let entries = prop::collection::vec(entry, 0..4).prop_map(|entries| entries.concat());
        let name = any_of(&["a", "\"b c\"", "task", "-", "日本"]);
        let leaf = (dash.clone(), name.clone(), entries.clone(), end.clone())
            .prop_map(|(dash, name, entries, end)| format!("{dash}{name}{entries}{end}"));
        let nodes = leaf.prop_recursive(4, 40, 4, move |inner| {
            let block = prop::collection::vec(inner, 0..4).prop_map(|nodes| nodes.concat());
            let open = any_of(&["{", "{ ", "{\n", " {\n\n", "{ // o\n", "{ /* p */ ", " \\\n{"]);
            (dash.clone(), name.clone(), entries.clone(), open, block, any_of(&["}", "}\n", " }", " /-{ q }\n"]), end.clone()).prop_map(
                |(dash, name, entries, open, block, close, end)| {
                    let close = if close.starts_with(" /-") { format!("}}{close}") } else { close };
                    format!("{dash}{name}{entries}{open}{block}{close}{end}")
                },
            )
        });
        prop::collection::vec(nodes, 0..4).prop_map(|nodes| nodes.concat())
    }

    fn holds(text: &str) -> Result<bool, TestCaseError> {
        match format(&source(text)) {
            Ok(once) => {
                prop_assert_eq!(format(&source(&once)).unwrap(), once.as_str(), "of {:?}", text);
                prop_assert_eq!(parts(&once), parts(text), "of {:?}", text);
                prop_assert!(!once.contains("\n\n\n") || text.contains("\"\"\""), "{:?}", once);
                Ok(true)
            }
            Err(faults) => {
                prop_assert!(faults.as_slice().iter().all(|fault| fault.class == Class::Plan), "{:?} {:?}", text, faults);
                Ok(false)
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, max_global_rejects: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_refused_is_refused_for_its_faults(text in pieces()) {
            holds(&text)?;
        }

        #[test]
        fn formatting_keeps_all_that_is_written_and_is_done_after_once(text in documents()) {
            let read = holds(&text)?;
            // The generator's own slips: a block that ends with a line comment, and the like.
            prop_assume!(read);
        }
    }
}
