//! What `kiln explain CODE` says about the faults of syntax.
//! In: nothing. Out: one paragraph for every code, with a wrong and a right line. Never: a code that no check gives.

/// What a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The code, as a diagnostic carries it.
    pub code: &'static str,
    /// Why it is a fault, in a few sentences.
    pub text: &'static str,
    /// A line that has the fault; empty when the fault is of a whole file or of the machine.
    pub wrong: &'static str,
    /// The line as it is meant.
    pub right: &'static str,
}

/// The explanation of a code of this module.
#[must_use]
pub fn explanation(code: &str) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().find(|one| one.code == code)
}

const fn entry(code: &'static str, text: &'static str, wrong: &'static str, right: &'static str) -> Explanation {
    Explanation { code, text, wrong, right }
}

/// Every code that `check_file_bytes` and `parse` give, in alphabetical order.
pub const EXPLANATIONS: &[Explanation] = &[
    entry(
        "syntax::after-block",
        "The block between braces is the last part of a node. Arguments and properties stand before it; the next node begins on a new line or after `;`.",
        "push a { sign; } b",
        "push a b { sign; }",
    ),
    entry(
        "syntax::assignment",
        "A node is a name followed by values, without `=`. Only a property, which stands after the name of its node, is written `name=value`.",
        "version = \"1.2\"",
        "version \"1.2\"",
    ),
    entry(
        "syntax::bad-annotation",
        "A name between parentheses before a value is its type. It stands nowhere else and holds nothing else. A text with parentheses is quoted.",
        "weight (5",
        "weight \"(5\"",
    ),
    entry(
        "syntax::bad-escape",
        "After a backslash in a string stands one of `\\ \" b f n r t s`, `u{…}`, or white space that is to be left out. A raw string `#\"…\"#` has no escapes, which suits patterns and Windows paths.",
        "env RE=\"\\d+\"",
        "env RE=#\"\\d+\"#",
    ),
    entry(
        "syntax::bad-name",
        "Nodes and properties are named by words or strings. A number or a keyword such as `#true` names nothing; quoted, it is a string.",
        "env 1=\"a\"",
        "env \"1\"=\"a\"",
    ),
    entry(
        "syntax::bad-number",
        "A word that begins with a digit, or with a sign or point and a digit, is read as a number. What is not one must be quoted.",
        "waive until=2026-12-31",
        "waive until=\"2026-12-31\"",
    ),
    entry(
        "syntax::bare-boolean",
        "KDL 2 writes `#true`, `#false` and `#null`; the bare words are left from KDL 1 and refused. Where kiln expects a flag, its name alone turns it on.",
        "allow-failure true",
        "allow-failure #true",
    ),
    entry(
        "syntax::bare-braces",
        "`{` opens a block, also in the middle of a word. A text with braces, above all one with `${…}`, is quoted. A block has spaces inside its braces.",
        "outputs dist/${platform}",
        "outputs \"dist/${platform}\"",
    ),
    entry(
        "syntax::bare-parens",
        "`(` begins the type of a value and ends a word. A text with parentheses is quoted. kiln runs no command inside a value: use `let name command=\"…\"`.",
        "doc say(hello)",
        "doc \"say(hello)\"",
    ),
    entry(
        "syntax::block-text",
        "YAML begins a text of several lines with `|` or `>`, the shell with `<<EOF`. In KDL every text stands between quotes; one of \
         several lines between `\"\"\"`, and what stands before the closing quotes is the indentation that every line loses.",
        "run |\n    go build",
        "run #\"\"\"\n    go build\n    \"\"\"#",
    ),
    entry(
        "syntax::colon-name",
        "KDL has no `name: value`. The colon would be part of the word: `target: web` is a node named `target:`. Quote the word when its colon is meant.",
        "target: web",
        "target web",
    ),
    entry(
        "syntax::comma",
        "Values are separated by spaces. A comma is part of the word it stands in, so `a,b` is one text and `a,` another than `a`.",
        "platforms amd64, arm64",
        "platforms amd64 arm64",
    ),
    entry(
        "syntax::duplicate-property",
        "A node has each property once. KDL would keep the last one without a word; kiln shows both, because one of them is a mistake.",
        "container user=\"1\" user=\"2\"",
        "container user=\"2\"",
    ),
    entry(
        "syntax::empty-slashdash",
        "`/-` comments out the node, argument, property or block that follows it. Here nothing follows.",
        "run \"make\" /-",
        "run \"make\"",
    ),
    entry(
        "syntax::forbidden-character",
        "KDL forbids control characters, and the marks that turn the direction of text, everywhere, also in comments: a text with them does not say what it shows. Inside a string write the escape `\\u{…}`.",
        "",
        "",
    ),
    entry(
        "syntax::format-changed",
        "What `kiln fmt` printed would have said something else than the file, so the file was left as it is. This is a bug in kiln.",
        "",
        "",
    ),
    entry(
        "syntax::glued-comment",
        "`/*` and `//` begin a comment also in the middle of a word. The glob `src/**/*.go` without quotes would silently become `src` and `*.go`, and `https://host` would become `https:`.",
        "inputs src/**/*.go",
        "inputs \"src/**/*.go\"",
    ),
    entry(
        "syntax::hash-comment",
        "Comments begin with `//`, or stand between `/*` and `*/`. `#` begins keywords and raw strings.",
        "# the release plan",
        "// the release plan",
    ),
    entry(
        "syntax::hidden-newline",
        "KDL ends a line also at a lone carriage return, vertical tab, form feed, U+0085, U+2028 and U+2029, which many editors do not show. What looks like the rest of a comment would be live, so such a character must not end a `//` comment.",
        "",
        "",
    ),
    entry(
        "syntax::kdl1",
        "The file is written in KDL 1. In KDL 2 a raw string is `#\"…\"#` instead of `r\"…\"`, booleans are `#true` and `#false`, and a text of several lines stands between `\"\"\"`.",
        "run r\"grep \\d\"",
        "run #\"grep \\d\"#",
    ),
    entry(
        "syntax::missing-space",
        "Two values are parted by white space. A quote inside a string is written `\\\"`.",
        "doc \"say \"hi\"\"",
        "doc \"say \\\"hi\\\"\"",
    ),
    entry(
        "syntax::missing-value",
        "After `=`, and after a type, stands a value on the same line. An empty text is `\"\"`.",
        "env NAME=",
        "env NAME=\"\"",
    ),
    entry("syntax::more", "At most twenty faults of a file are shown. Mend those and check again.", "", ""),
    entry(
        "syntax::nameless-block",
        "A block belongs to a node and opens on the line of its name; a new line before `{` ends the node.",
        "{ run \"make\"; }",
        "task \"a\" { run \"make\"; }",
    ),
    entry("syntax::no-thread", "kiln parses on a thread of its own, with a stack of known size, and the machine gave none.", "", ""),
    entry(
        "syntax::node-annotation",
        "Types stand before values. KDL allows one before a node; kiln gives it no meaning and refuses it.",
        "(x)task \"a\"",
        "task \"a\"",
    ),
    entry(
        "syntax::not-text",
        "The file holds a NUL byte, which no text does. It may be another file than you think, or saved as UTF-16.",
        "",
        "",
    ),
    entry("syntax::not-utf8", "Plans are UTF-8. The message gives the offset of the first byte that is not.", "", ""),
    entry(
        "syntax::number-range",
        "Integers, and each run of digits of another number, fit in 128 bits with sign; a number with a point or exponent is at most about 1.8e308. Nothing is rounded or wrapped in silence.",
        "cpus 1e400",
        "cpus 1e3",
    ),
    entry(
        "syntax::operator-property",
        "KDL has no operators. `>=high` sets a property named `>` to `high`, and `a!=b` one named `a!`. Write a property with a plain name, or quote an expression.",
        "when os!=windows",
        "when \"os != windows\"",
    ),
    entry(
        "syntax::other-language",
        "The file is JSON, YAML, TOML, a Makefile or a Dockerfile from beginning to end. A plan is KDL 2 and begins with `kiln 1`.",
        "tasks:\n  build:\n    cmd: go build",
        "kiln 1\ntask \"build\" {\n    run \"go build\"\n}",
    ),
    entry("syntax::parser-stopped", "The KDL parser failed on a text that every check let pass. This is a bug in kiln.", "", ""),
    entry("syntax::refused", "The KDL parser refuses a text that the checks before it let pass; the message is the parser's.", "", ""),
    entry("syntax::second-block", "A node has one block.", "image \"web\" { } { }", "image \"web\" { }"),
    entry(
        "syntax::stray-equals",
        "`=` stands between the name of a property and its value, and nowhere else.",
        "env a=\"b\"=\"c\"",
        "env a=\"b=c\"",
    ),
    entry("syntax::stray-paren", "`)` closes the type of a value, and none is open here.", "weight 1)", "weight 1"),
    entry("syntax::stray-semicolon", "`;` ends a node, and there is none before it.", "kiln 1;;", "kiln 1;"),
    entry(
        "syntax::string-indent",
        "The white space before the closing `\"\"\"` is taken off every line of the text, so every line must begin with the very same characters. Blank lines may be empty.",
        "",
        "",
    ),
    entry(
        "syntax::string-lines",
        "A text of several lines stands between `\"\"\"`: the opening quotes end their line, the closing ones stand alone on theirs.",
        "run \"\"\"make\"\"\"",
        "run \"make\"",
    ),
    entry("syntax::too-deep", "Blocks, and comments inside comments, nest at most 64 deep.", "", ""),
    entry("syntax::too-large", "A plan file has at most 32 MiB. Split it with `include`.", "", ""),
    entry(
        "syntax::unclosed-block",
        "Every `{` needs its `}`. When the indentation of a later brace shows which one is missing, both places are marked.",
        "task \"a\" {",
        "task \"a\" { }",
    ),
    entry(
        "syntax::unclosed-comment",
        "A comment between `/*` and `*/` may hold others; each needs its own end.",
        "/* a /* b */",
        "/* a /* b */ */",
    ),
    entry(
        "syntax::unclosed-string",
        "A string ends on the line where it begins, unless it stands between `\"\"\"`.",
        "run \"make",
        "run \"make\"",
    ),
    entry(
        "syntax::unknown-keyword",
        "`#` begins one of `#true #false #null #inf #-inf #nan`, or a raw string `#\"…\"#`. Comments begin with `//`.",
        "interactive #yes",
        "interactive #true",
    ),
    entry("syntax::unopened-block", "Every `}` closes a block, and none is open here.", "task \"a\" { } }", "task \"a\" { }"),
    entry("syntax::unquoted-bracket", "`[` and `]` stand only inside quotes.", "env A=names[0]", "env A=\"names[0]\""),
    entry(
        "syntax::unquoted-duration",
        "A word that begins with a digit is read as a number, so a time with its unit is quoted.",
        "timeout 1h30m",
        "timeout \"1h30m\"",
    ),
    entry("syntax::unquoted-hash", "`#` stands only inside quotes, or before a keyword or raw string.", "doc issue#12", "doc \"issue#12\""),
    entry(
        "syntax::unquoted-path",
        "`/` and `\\` begin comments, `/-` and line joints, so a text that holds one is quoted. A platform may be written without its system: `amd64`.",
        "dir ./cmd",
        "dir \"./cmd\"",
    ),
    entry(
        "syntax::unquoted-port",
        "A word that begins with a digit is read as a number, so a port mapping is quoted.",
        "ports 8080:80",
        "ports \"8080:80\"",
    ),
    entry(
        "syntax::unquoted-size",
        "A word that begins with a digit is read as a number, so a size with its unit is quoted.",
        "memory 512MiB",
        "memory \"512MiB\"",
    ),
    entry(
        "syntax::unquoted-version",
        "A word that begins with a digit is read as a number, so a version is quoted. Quote also `\"1.20\"`: the number would be 1.2.",
        "version 1.2.3",
        "version \"1.2.3\"",
    ),
    entry(
        "syntax::wrong-quotes",
        "Strings stand between `\"`. An apostrophe, a backtick or a typographic quote would be part of a word, and the spaces after it would split the text.",
        "run 'go build'",
        "run \"go build\"",
    ),
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::diagnostic::Source;
    use crate::syntax::parse;

    fn codes(text: &str) -> Vec<&'static str> {
        let source = Arc::new(Source { name: "build.kdl".to_owned(), text: text.to_owned() });
        parse(source).map_or_else(|faults| faults.into_iter().map(|one| one.code).collect(), |_| Vec::new())
    }

    #[test]
    fn the_wrong_line_has_the_fault_and_the_right_line_has_none() {
        for one in EXPLANATIONS.iter().filter(|one| !one.wrong.is_empty()) {
            assert_eq!(codes(one.wrong), [one.code], "{}", one.wrong);
            assert_eq!(codes(one.right), Vec::<&str>::new(), "{}", one.right);
        }
    }

    #[test]
    fn codes_are_in_order_and_each_says_something() {
        assert!(EXPLANATIONS.is_sorted_by(|a, b| a.code < b.code));
        assert!(EXPLANATIONS.iter().all(|one| one.text.ends_with('.')));
        assert_eq!(explanation("syntax::comma").unwrap().right, "platforms amd64 arm64");
        assert_eq!(explanation("plan::comma"), None);
    }
}
