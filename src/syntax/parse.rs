//! Source → [`Document`]: the prescan, the shape check, then the nodes; the `kdl` crate stays the parser of record.
//! In: the text of one file. Out: its nodes with byte spans, or every fault.
//! Never: hands the crate a text that could exhaust its stack or its time; comments and `/-` parts are blanked before.
//!
//! The crate recurses once per block, per `*` in a comment and per error, and its time doubles with every level of `a /-{ a /-{`
//! (kdl 6.7.1: 14 levels take 6 s without optimisation). So it sees only text that the passes before it found good.

use std::ops::Range;
use std::sync::Arc;
use std::thread;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Source, Span};
use crate::syntax::document::{Document, Node, Prop, Scalar, Value, Word};
use crate::syntax::faults::{Fault, Faults, shown};
use crate::syntax::{foreign, nodes, prescan, shape, upgrade};

/// The stack of the parser's thread, in bytes. 64 levels fit in 2 MiB even without optimisation; the rest is reserve, and takes no memory.
const STACK: usize = 64 * 1024 * 1024;

/// Reads one file.
///
/// # Errors
/// Every syntax fault of the file, ordered by place: at most 20 in full, and one `syntax::more` that counts the others.
pub fn parse(source: Arc<Source>) -> Result<Document, Diagnostics> {
    if source.text.len() > super::LIMIT {
        // Texts that no file holds come here, too.
        return Err(super::check_file_bytes(&source.name, source.text.as_bytes()).err().map(Diagnostics::from).unwrap_or_default());
    }
    let scan = prescan::scan(&source);
    let shape = shape::check(&source, &scan.tokens);
    let mut faults = scan.faults;
    faults.append(shape.faults);
    if !faults.is_empty() {
        let cause = upgrade::fault_of_version_1(&source).or_else(|| foreign::fault(&source, &scan.tokens));
        return Err(cause.unwrap_or(faults).finish());
    }
    if shape.dropped.is_empty()
        && let Some(nodes) = nodes::build(&source, &scan.tokens)
    {
        return Ok(Document { source, nodes });
    }
    let text = blanked(&source.text, scan.comments.iter().chain(&shape.dropped));
    let read = |text: &str| match kdl::KdlDocument::parse_v2(text) {
        Ok(document) => Ok(Reader { source: &source, blocks: &shape.blocks }.nodes(&document)),
        Err(error) => Err(refused(&source, &error)),
    };
    let thread = thread::Builder::new().name("kdl".to_owned()).stack_size(STACK);
    let nodes = thread::scope(|scope| thread.spawn_scoped(scope, || read(&text)).map(thread::ScopedJoinHandle::join));
    match nodes {
        Ok(Ok(Ok(nodes))) => Ok(Document { source, nodes }),
        Ok(Ok(Err(faults))) => Err(faults),
        Ok(Err(_)) => Err(broken(&source).into()),
        Err(error) => {
            let message = format!("no thread to parse `{}`: {error}", source.name);
            Err(Diagnostic::new(Class::Environment, "syntax::no-thread", message).help("raise the limit of processes or of memory").into())
        }
    }
}

/// The text with some ranges turned into spaces, every other byte at its old place.
fn blanked<'a>(text: &str, ranges: impl Iterator<Item = &'a Range<usize>>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for range in ranges {
        bytes[range.clone()].fill(b' ');
    }
    // The ranges begin and end between characters, so nothing is replaced here.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What the crate still refuses: the checks before it are meant to leave nothing, so its own words are used.
fn refused(source: &Arc<Source>, error: &kdl::KdlError) -> Diagnostics {
    let mut faults = Faults::new(Arc::clone(source));
    for diagnostic in &error.diagnostics {
        let (start, len) = (diagnostic.span.offset().min(source.text.len()), diagnostic.span.len());
        let end = (start + len).min(source.text.len());
        faults.add(start, end, || {
            let message = diagnostic.message.as_deref().unwrap_or("this is no KDL");
            let help = diagnostic.help.as_deref().unwrap_or("quote what is meant as text");
            Fault::new("syntax::refused", shown(&message.to_lowercase()), diagnostic.label.as_deref().unwrap_or_default(), help)
        });
    }
    if faults.is_empty() { broken(source).into() } else { faults.finish() }
}

fn broken(source: &Source) -> Diagnostic {
    let message = format!("the KDL parser stopped in `{}`", source.name);
    Diagnostic::new(Class::Internal, "syntax::parser-stopped", message).help("this is a bug in kiln; please report it with the file")
}

/// Turns the crate's nodes into ours.
struct Reader<'a> {
    source: &'a Arc<Source>,
    blocks: &'a [(usize, usize)],
}

impl Reader<'_> {
    fn nodes(&self, document: &kdl::KdlDocument) -> Vec<Node> {
        document.nodes().iter().map(|node| self.node(node)).collect()
    }

    fn node(&self, node: &kdl::KdlNode) -> Node {
        let name = self.word(node.name());
        let mut end = name.span.start + name.span.len;
        let (mut args, mut props) = (Vec::new(), Vec::new());
        for entry in node.entries() {
            let value = self.value(entry);
            end = end.max(value.span.start + value.span.len);
            match entry.name() {
                Some(name) => props.push(Prop { name: self.word(name), value }),
                None => args.push(value),
            }
        }
        let children = node.children().map(|children| {
            // Only white space stands between the last entry and the block.
            let at = self.blocks.partition_point(|(open, _)| *open < end);
            end = self.blocks.get(at).map_or(end, |(_, close)| close + 1);
            self.nodes(children)
        });
        let span = self.span(name.span.start, end);
        Node { name, args, props, children, span }
    }

    fn value(&self, entry: &kdl::KdlEntry) -> Value {
        let whole = entry.span();
        let before = entry.name().map(|name| name.span()).zip(entry.format());
        let start =
            before.map_or(whole.offset(), |(name, format)| name.offset() + name.len() + format.after_key.len() + 1 + format.after_eq.len());
        let annotation = entry.ty().map(|name| Box::new(self.word(name)));
        let span = self.span(start, whole.offset() + whole.len());
        let scalar = scalar_of(entry.value());
        let bare = matches!(scalar, Scalar::String(_)) && !span.text().ends_with(['"', '#']);
        Value { scalar, annotation, span, bare }
    }

    fn word(&self, name: &kdl::KdlIdentifier) -> Word {
        let span = name.span();
        Word { text: name.value().to_owned(), span: self.span(span.offset(), span.offset() + span.len()) }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start, end - start)
    }
}

pub(super) fn scalar_of(value: &kdl::KdlValue) -> Scalar {
    match value {
        kdl::KdlValue::String(text) => Scalar::String(text.clone()),
        kdl::KdlValue::Integer(number) => Scalar::Integer(*number),
        kdl::KdlValue::Float(number) => Scalar::Float(*number),
        kdl::KdlValue::Bool(on) => Scalar::Bool(*on),
        kdl::KdlValue::Null => Scalar::Null,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source { name: "build.kdl".to_owned(), text: text.to_owned() })
    }

    fn read(text: &str) -> Document {
        parse(source(text)).unwrap_or_else(|faults| panic!("{text:?}: {faults:?}"))
    }

    fn codes(text: &str) -> Vec<&'static str> {
        parse(source(text)).map_or_else(|faults| faults.into_iter().map(|one| one.code).collect(), |_| Vec::new())
    }

    /// One line per part of the document: what it is, and the text that its span marks.
    fn parts(nodes: &[Node], out: &mut Vec<String>) {
        for node in nodes {
            out.push(format!("node {} `{}` in `{}`", node.name.text, node.name.span.text(), node.span.text()));
            let entries = node.args.iter().map(|value| (None, value)).chain(node.props.iter().map(|prop| (Some(&prop.name), &prop.value)));
            for (name, value) in entries {
                let name = name.map_or_else(String::new, |name| format!("{} `{}` = ", name.text, name.span.text()));
                let kind = value.annotation.as_ref().map_or_else(String::new, |word| format!("({} `{}`) ", word.text, word.span.text()));
                let bare = if value.bare { " bare" } else { "" };
                out.push(format!("  {name}{kind}{:?}{bare} `{}`", value.scalar, value.span.text()));
            }
            if let Some(children) = &node.children {
                out.push("{".to_owned());
                parts(children, out);
                out.push("}".to_owned());
            }
        }
    }

    fn check(text: &str, expected: &[&str]) {
        let mut found = Vec::new();
        parts(&read(text).nodes, &mut found);
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn every_span_marks_the_very_text_of_its_part() {
        check("a", &["node a `a` in `a`"]);
        check(
            "é ü \"ö\" ; b 1",
            &[
                "node é `é` in `é ü \"ö\"`",
                "  String(\"ü\") bare `ü`",
                "  String(\"ö\") `\"ö\"`",
                "node b `b` in `b 1`",
                "  Integer(1) `1`",
            ],
        );
        check(
            "a k = (min)5 \"x y\"=#true z=#\"r\"# \\\n  w=u // c",
            &[
                "node a `a` in `a k = (min)5 \"x y\"=#true z=#\"r\"# \\\n  w=u`",
                "  k `k` = (min `min`) Integer(5) `(min)5`",
                "  x y `\"x y\"` = Bool(true) `#true`",
                "  z `z` = String(\"r\") `#\"r\"#`",
                "  w `w` = String(\"u\") bare `u`",
            ],
        );
        check("  a /* x */ (t) 1.5  \r\n", &["node a `a` in `a /* x */ (t) 1.5`", "  (t `t`) Float(1.5) `(t) 1.5`"]);
        check(
            "a 1 /* { */ { b { c } ; }\nd",
            &[
                "node a `a` in `a 1 /* { */ { b { c } ; }`",
                "  Integer(1) `1`",
                "{",
                "node b `b` in `b { c }`",
                "{",
                "node c `c` in `c`",
                "}",
                "}",
                "node d `d` in `d`",
            ],
        );
    }

    #[test]
    fn what_is_under_a_slashdash_is_absent() {
        check("/- a 1 { b }; c", &["node c `c` in `c`"]);
        check(
            "a /-1 /-k=2 3 /-{ b } { c } /-{ d }",
            &["node a `a` in `a /-1 /-k=2 3 /-{ b } { c }`", "  Integer(3) `3`", "{", "node c `c` in `c`", "}"],
        );
        check("a /-{ b /-{ c } }", &["node a `a` in `a`"]);
        assert_eq!(codes("a /-b/c"), ["syntax::unquoted-path"], "what is commented out is still KDL");
    }

    /// What is built of the tokens, and what the crate gives for the whole text; `None` for a text with faults.
    fn both(text: &str) -> Option<(Option<Vec<String>>, Vec<String>)> {
        let source = source(text);
        let scan = prescan::scan(&source);
        let shape = shape::check(&source, &scan.tokens);
        if !(scan.faults.is_empty() && shape.faults.is_empty() && shape.dropped.is_empty()) {
            return None;
        }
        let all = |nodes: &[Node]| {
            let mut out = Vec::new();
            parts(nodes, &mut out);
            out
        };
        let document = kdl::KdlDocument::parse_v2(&blanked(text, scan.comments.iter())).unwrap();
        let theirs = all(&Reader { source: &source, blocks: &shape.blocks }.nodes(&document));
        Some((nodes::build(&source, &scan.tokens).map(|nodes| all(&nodes)), theirs))
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "it reads the repository's own plans")]
    fn nodes_that_are_built_of_tokens_are_those_of_the_crate_in_every_fixture() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let (mut open, mut seen) = (vec![root.join("fixtures"), root.join("plans")], 0);
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    open.push(entry);
                } else if let (Some("kdl"), Ok(text)) = (entry.extension().and_then(|name| name.to_str()), std::fs::read_to_string(&entry))
                    && let Some((ours, theirs)) = both(&text)
                {
                    assert_eq!(ours, Some(theirs), "{}", entry.display());
                    seen += 1;
                }
            }
        }
        assert!(seen > 150, "{seen}");
    }

    #[test]
    fn line_ends_do_not_change_a_value() {
        let unix = "a \"\"\"\n  x\n   y\n  \"\"\"\nb c\n";
        for text in [unix.to_owned(), unix.replace('\n', "\r\n")] {
            let document = read(&text);
            assert_eq!(document.nodes[0].args[0].scalar, Scalar::String("x\n y".to_owned()));
            assert_eq!(document.nodes[1].span.text(), "b c");
            assert_eq!(document.nodes[1].span.line_column(), (5, 1));
        }
    }

    #[test]
    fn a_script_in_a_raw_string_arrives_as_written() {
        let document = read("run #\"\"\"\n    echo \"$x\" \\\n      | sed 's/\\t//'\n    \"\"\"#");
        assert_eq!(document.nodes[0].args[0].scalar, Scalar::String("echo \"$x\" \\\n  | sed 's/\\t//'".to_owned()));
    }

    #[test]
    fn a_property_set_twice_shows_both_places_however_its_name_is_written() {
        for text in ["a k=1 k=2", "a k=1 \"k\"=2", "a \"\\u{6b}\"=1 k=2", "a #\"k\"#=1 \"\"\"\n  k\n  \"\"\"=2"] {
            let faults = parse(source(text)).unwrap_err();
            let fault = &faults.as_slice()[0];
            assert_eq!((fault.code, fault.labels.len()), ("syntax::duplicate-property", 2), "{text}");
            assert!(fault.labels[0].span.start > fault.labels[1].span.start);
        }
    }

    #[test]
    fn sixty_four_levels_are_read_and_one_more_is_one_fault() {
        for (open, close) in [("a{", "}"), ("a {\n", "}\n"), ("a /-{", "}"), ("/- a {", "}"), ("a /-{ b /-1 {", "}}")] {
            let levels = 64 / open.matches('{').count();
            let text = |n: usize| open.repeat(n) + " x 1 " + &close.repeat(n);
            assert_eq!(codes(&text(levels)), Vec::<&str>::new(), "{open}");
            for n in [levels + 1, 2_000, 200_000] {
                assert_eq!(codes(&text(n)), ["syntax::too-deep"], "{open} {n}");
                assert_eq!(codes(&open.repeat(n)), ["syntax::too-deep"], "{open} {n}, never closed");
            }
        }
        let comments = |n: usize| "/*".repeat(n) + &"*/".repeat(n);
        assert_eq!(codes(&comments(64)), Vec::<&str>::new());
        for n in [65, 2_000, 1_000_000] {
            assert_eq!(codes(&comments(n)), ["syntax::too-deep"], "{n}");
        }
    }

    #[test]
    fn a_comment_of_a_million_stars_is_a_comment() {
        assert_eq!(codes(&format!("a /*{}*/ b\n// {}", "*".repeat(1_000_000), "/*".repeat(1_000))), Vec::<&str>::new());
    }

    /// Repeats each piece up to `size` bytes; an optimised build takes a tenth of `limit`, what is not linear takes minutes.
    #[allow(clippy::disallowed_methods, reason = "it measures the machine, not the plan")]
    fn ends_soon(pieces: &[&str], size: usize, limit: Duration) {
        for piece in pieces {
            let text = piece.repeat(size / piece.len());
            let start = Instant::now();
            let shown = codes(&text).len();
            let took = start.elapsed();
            assert!(shown <= 21, "{piece:?}: {shown} faults");
            assert!(took < limit, "{piece:?}: {took:?}");
        }
    }

    #[test]
    fn a_megabyte_of_garbage_ends_soon_with_a_screen_of_faults() {
        ends_soon(&["=", "}", ";", "\"", "(", "{", "/*", "/-{", "=\n", "}\n"], 1_000_000, Duration::from_secs(5));
    }

    #[test]
    fn no_pattern_takes_time_that_grows_faster_than_the_file() {
        const PIECES: &[&str] = &[
            "=",
            "}",
            ";",
            "\"",
            "(",
            ")",
            "#",
            "\\",
            "'",
            ",",
            "/",
            "*",
            "/*",
            "*/",
            "/-",
            "//x",
            "a=",
            "a=1 ",
            "{",
            "{}",
            "a{}",
            "\"\"\"",
            "\"\"\"\n",
            "#\"",
            "#\"\n",
            "##\"\"\"\n",
            "r\"",
            "r#\"\n",
            "#\" x\n #",
            "a/*x ",
            "a/* ",
            "a/*\n",
            "\\/* ",
            "\\u{",
            "\"\\q\"\n",
            "\"\n",
            "a \"\n x\n",
            "=\n",
            "}\n",
            ";\n",
            "(a",
            "(a)",
            "$(",
            "${",
            "${a}",
            "“",
            "1.2.3 ",
            "a: ",
            ">=x ",
            "/-{",
            "\u{202e}",
            "\u{7f}\n",
            "\r",
            "\u{2028}",
            "//\r",
            "日",
            "\t",
            "\\ ",
            "\\\n",
            "a \\\n",
            "'a ",
            "#a\n",
            "/**/*",
            "\"\"\"a\n",
        ];
        ends_soon(PIECES, 100_000, Duration::from_secs(5));
    }

    #[test]
    fn faults_above_twenty_are_counted_not_shown() {
        let faults = parse(source(&"a b/c\n".repeat(2_000))).unwrap_err();
        let last = faults.as_slice().last().unwrap();
        assert_eq!(faults.as_slice().len(), 21);
        assert_eq!((last.code, last.message.as_str()), ("syntax::more", "1980 more faults in `build.kdl`"));
        assert_eq!(last.labels[0].span.line_column(), (21, 3));
    }

    /// Codes of faults in what KDL itself allows.
    const STRICTER: &[&str] = &[
        "syntax::block-text",
        "syntax::glued-comment",
        "syntax::colon-name",
        "syntax::comma",
        "syntax::operator-property",
        "syntax::wrong-quotes",
        "syntax::bare-braces",
        "syntax::duplicate-property",
        "syntax::node-annotation",
        "syntax::hidden-newline",
        "syntax::forbidden-character",
        "syntax::number-range",
        "syntax::too-deep",
        // Takes the place of any of them.
        "syntax::other-language",
    ];

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a", "b", "\"s\"", "\"", "\"\"\"", "\n", " ", "=", "{", "}", "(", ")", ";", "/-", "/*", "*/", "//", "\\", "#", "#true", "true",
            "1", "1.5", "0x1", "-", ".", ":", ",", "'", "/", "[", "$", "r", "é", "\\n", "\\u{41}", "\t", "k=1", "(t)", " {\n", "\n}\n",
            "\r\n",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    /// Texts that are mostly KDL.
    fn good() -> impl Strategy<Value = String> {
        let value = prop::sample::select(vec![
            "word",
            "é",
            "_x",
            "a.b",
            "a-b#c",
            "-x",
            "+",
            "..",
            ".x",
            "1",
            "0755",
            "-12",
            "+3",
            "1_000",
            "0x1F",
            "0b1",
            "1.5",
            "1e3",
            "-1.0E-2",
            "123456789012345678901234567890",
            "#true",
            "#false",
            "#null",
            "#inf",
            "#-inf",
            "#nan",
            "\"\"",
            "\"plain text\"",
            "\"tab\\t\\\"\"",
            "\"\\u{e9}\"",
            "\"a\\\n   b\"",
            "#\"raw \\n\"#",
            "##\"\"#\"##",
            "#\"\"#",
            "\"\"\"\n  two\n   lines\n  \"\"\"",
            "#\"\"\"\n x\\\n \"\"\"#",
            "\"// no comment\"",
            "\"/* none */ {\"",
        ]);
        let name = prop::sample::select(vec!["k", "é", "\"x y\"", "#\"r\"#", "-n", "\"\\u{6b}2\""]);
        let typed = (prop::option::weighted(0.2, name.clone()), value)
            .prop_map(|(name, value)| name.map_or_else(|| value.to_owned(), |name| format!("({name}){value}")));
        let entry = (prop::option::weighted(0.3, name.clone()), typed)
            .prop_map(|(name, value)| name.map_or_else(|| value.clone(), |name| format!("{name}={value}")));
        let gap = prop::sample::select(vec![" ", "  ", "\t", " /* c */ ", " \\\n  ", " \\ // c\n "]);
        let end = prop::sample::select(vec!["\n", ";", " ; ", "\r\n", " // c\n", "\n\n// c\n", " /* a\n b */\n"]);
        let flat = (name, prop::collection::vec((gap, entry), 0..4), end).prop_map(|(name, entries, end)| {
            let entries: String = entries.into_iter().map(|(gap, entry)| format!("{gap}{entry}")).collect();
            (format!("{name}{entries}"), end)
        });
        let leaf = flat.clone().prop_map(|(node, end)| format!("{node}{end}"));
        leaf.prop_recursive(4, 24, 4, move |inner| {
            (flat.clone(), prop::collection::vec(inner, 0..4))
                .prop_map(|((node, end), inner)| format!("{node} {{ {} }}{end}", inner.concat()))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn our_checks_and_the_crate_agree_on_what_is_kdl(text in pieces()) {
            let codes = codes(&text);
            prop_assert!(!codes.contains(&"syntax::refused"), "only the crate refuses {text:?}");
            let read = kdl::KdlDocument::parse_v2(&text);
            if !codes.is_empty() && codes.iter().all(|code| !STRICTER.contains(code)) {
                prop_assert!(read.is_err(), "{text:?} is KDL, and refused for {codes:?}");
            }
            // Blanking comments and what is under `/-` must not change a value or a place.
            if let (true, Ok(document)) = (codes.is_empty(), read) {
                let source = source(&text);
                let blocks = shape::check(&source, &prescan::scan(&source).tokens).blocks;
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                parts(&self::read(&text).nodes, &mut ours);
                parts(&Reader { source: &source, blocks: &blocks }.nodes(&document), &mut theirs);
                prop_assert_eq!(ours, theirs, "{:?}", text);
            }
        }

        #[test]
        fn nodes_that_are_built_of_tokens_are_those_of_the_crate(text in prop::collection::vec(good(), 1..4)) {
            let text = text.concat();
            if let Some((ours, theirs)) = both(&text) {
                prop_assert_eq!(ours, Some(theirs), "{:?}", text);
            }
        }

        #[test]
        fn every_place_lies_in_the_text_between_characters(text in pieces()) {
            if let Err(faults) = parse(source(&text)) {
                for label in faults.as_slice().iter().flat_map(|one| &one.labels) {
                    prop_assert!(text.get(label.span.start..label.span.start + label.span.len).is_some(), "{label:?} of {text:?}");
                }
            }
        }
    }
}
