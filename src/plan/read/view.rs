//! How readers look at a node: only good parts, their texts resolved for one cell and platform, common forms parsed.

use std::fmt::Display;
use std::time::Duration;

use indexmap::IndexMap;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::path::{BadPath, RelPath};
use crate::base::pattern::{BadPattern, Pattern};
use crate::base::platform::{KNOWN_ARCHITECTURES, Platform};
use crate::base::size::ByteSize;
use crate::base::words;
use crate::plan::cx::Cx;
use crate::plan::target::FileSet;
use crate::plan::value::Locals;
use crate::syntax::document::{Node, Scalar, Value};

/// A resolved text with its place.
pub(in crate::plan) type Text = (String, Span);

/// Names with their values, in the order of the file.
pub(super) type Pairs = IndexMap<String, Text>;

/// One node's surroundings: what all share, and the names that hold here.
#[derive(Clone, Copy)]
pub(in crate::plan) struct View<'c, 'a> {
    /// What all readers share.
    pub cx: &'c Cx<'a>,
    /// The names that hold here.
    pub locals: &'c Locals,
}

/// The children of a node with this name whose own form is good.
pub(in crate::plan) fn children<'n>(cx: &Cx<'_>, node: &'n Node, name: &str) -> impl Iterator<Item = &'n Node> {
    node.children.iter().flatten().filter(move |child| child.name.text == name && cx.is_good(child))
}

/// Whether a child of this name was written, in whatever form.
pub(in crate::plan) fn was_written(node: &Node, name: &str) -> bool {
    node.children.iter().flatten().any(|child| child.name.text == name)
}

/// What is selected, and behind `!` what is left out.
fn sorted_out(texts: Vec<Text>, read: impl Fn(&str, &Span) -> Option<Pattern>) -> FileSet {
    let mut files = FileSet::default();
    for (text, span) in texts {
        let (list, pattern) = match text.strip_prefix('!') {
            Some(rest) => (&mut files.exclude, rest),
            None => (&mut files.include, text.as_str()),
        };
        list.extend(read(pattern, &span).map(|pattern| (pattern, span)));
    }
    // There is one of these for each task of the plan.
    files.include.shrink_to_fit();
    files.exclude.shrink_to_fit();
    files
}

/// Whether a value was written with `!` before it.
pub(super) fn is_exclusion(value: &Value) -> bool {
    matches!(&value.scalar, Scalar::String(text) if text.starts_with('!'))
}

impl View<'_, '_> {
    /// The first good child of this name.
    pub(super) fn child<'n>(&self, node: &'n Node, name: &str) -> Option<&'n Node> {
        children(self.cx, node, name).next()
    }

    /// The good value of a property.
    pub(super) fn prop<'n>(&self, node: &'n Node, name: &str) -> Option<&'n Value> {
        node.props.iter().find(|prop| prop.name.text == name).map(|prop| &prop.value).filter(|value| self.cx.is_good_value(value))
    }

    /// The text of one value.
    pub(in crate::plan) fn text(&self, value: &Value) -> Option<Text> {
        if !self.cx.is_good_value(value) {
            return None;
        }
        self.cx.text(self.locals, value).map(|text| (text, value.span.clone()))
    }

    /// The texts of all values that have one; a whole list stands for its items.
    pub(in crate::plan) fn texts(&self, values: &[Value]) -> Vec<Text> {
        values.iter().filter_map(|value| self.items(value)).flatten().collect()
    }

    /// The texts of all values, or `None` when one has none.
    pub(in crate::plan) fn all_texts(&self, values: &[Value]) -> Option<Vec<Text>> {
        let texts: Vec<Option<Vec<Text>>> = values.iter().map(|value| self.items(value)).collect();
        texts.into_iter().collect::<Option<Vec<_>>>().map(|texts| texts.into_iter().flatten().collect())
    }

    fn items(&self, value: &Value) -> Option<Vec<Text>> {
        if !self.cx.is_good_value(value) {
            return None;
        }
        let texts = self.cx.texts(self.locals, value)?;
        Some(texts.into_iter().map(|text| (text, value.span.clone())).collect())
    }

    /// All arguments of all good children of this name.
    pub(super) fn child_texts(&self, node: &Node, name: &str) -> Vec<Text> {
        children(self.cx, node, name).flat_map(|child| self.texts(&child.args)).collect()
    }

    /// The only argument of a child.
    pub(super) fn child_text(&self, node: &Node, name: &str) -> Option<Text> {
        self.text(self.child(node, name)?.args.first()?)
    }

    /// The argument of a child, parsed; a text that cannot be is a fault with this code.
    pub(super) fn child_parsed<T>(
        &self,
        node: &Node,
        name: &str,
        code: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.parsed(self.child_text(node, name)?, code, parse)
    }

    /// A text, parsed; one that cannot be is a fault with this code.
    pub(super) fn parsed<T>(&self, text: Text, code: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        parse(&text.0)
            .map_err(|why| {
                let fault = Diagnostic::plan(code, why, &text.1, "");
                self.cx.fault(match meant_time(&text.0).filter(|_| code == "plan::bad-duration") {
                    Some(time) => fault.help(format!("write `\"{time}\"`")),
                    None => fault,
                });
            })
            .ok()
    }

    /// Whether a flag is on: `read-only`, `read-only #true`.
    pub(super) fn flag(&self, node: &Node, name: &str, otherwise: bool) -> bool {
        let Some(child) = self.child(node, name) else { return otherwise };
        !matches!(child.args.first(), Some(Value { scalar: Scalar::Bool(false), .. }))
    }

    /// A flag written as a property.
    pub(super) fn flag_prop(&self, node: &Node, name: &str) -> bool {
        matches!(self.prop(node, name), Some(Value { scalar: Scalar::Bool(true), .. }))
    }

    /// Names and values of the properties of all good children of this name, each name checked, none given twice.
    pub(super) fn pairs(&self, node: &Node, name: &str, check: impl Fn(&str) -> Result<(), (String, String)>) -> Pairs {
        let mut pairs = Pairs::new();
        for child in children(self.cx, node, name) {
            for prop in &child.props {
                if let Err((why, help)) = check(&prop.name.text) {
                    let message = format!("`{}` {why}", words::visible(&prop.name.text));
                    self.cx.fault(Diagnostic::plan("plan::bad-name", message, &prop.name.span, "").help(help));
                } else if let Some(text) = self.text(&prop.value) {
                    self.pair(&mut pairs, prop.name.text.clone(), &prop.name.span, text);
                }
            }
        }
        pairs
    }

    /// Adds a named value; a name that is there already is a fault.
    pub(super) fn pair(&self, pairs: &mut Pairs, name: String, span: &Span, text: Text) {
        if let Some((_, first)) = pairs.get(&name) {
            let fault = Diagnostic::plan("plan::repeated", format!("`{}` is set twice", words::visible(&name)), span, "again here");
            self.cx.fault(fault.label(first, "first set here").help("leave one of them out"));
        } else if text.0.contains('\0') {
            self.cx.fault(Diagnostic::plan("plan::bad-value", "a value holds a NUL byte", &text.1, "").help("no program could receive it"));
        } else {
            pairs.insert(name, text);
        }
    }

    /// Warns of a whole command line in one word: `exec "go build"` looks for a program of this name.
    pub(super) fn warn_of_one_word(&self, node: &Node) {
        let [value] = node.args.as_slice() else { return };
        let Scalar::String(line) = &value.scalar else { return };
        let plain = |c: char| c.is_ascii_alphanumeric() || " -_.=:@,+".contains(c) || (c == '/' && line.starts_with('/'));
        if !line.trim().contains(' ') || !line.chars().all(plain) || !self.cx.is_good_value(value) {
            return;
        }
        let name = &node.name.text;
        let message = format!("`{name}` is given one word with spaces in it");
        let words: Vec<String> = line.split_whitespace().map(|word| format!("\"{word}\"")).collect();
        let fault = Diagnostic::plan("plan::one-word", message, &value.span, "taken for the name of a program");
        self.cx.fault(fault.help(format!("write `{name} {}`", shown(&words.join(" ")))).warning());
    }

    /// A pattern over paths of the project, relative to the folder of the document.
    pub(super) fn pattern(&self, text: &str, span: &Span) -> Option<Pattern> {
        self.good_pattern(Pattern::within(&self.cx.folder, text), text, span)
    }

    /// A pattern over paths in an image.
    pub(super) fn inner_pattern(&self, text: &str, span: &Span) -> Option<Pattern> {
        self.good_pattern(Pattern::new(text), text, span)
    }

    fn good_pattern(&self, pattern: Result<Pattern, BadPattern>, text: &str, span: &Span) -> Option<Pattern> {
        match pattern {
            Ok(pattern) => Some(pattern),
            Err(BadPattern::Empty) => {
                let fault = Diagnostic::plan("plan::bad-pattern", "an empty text is not a pattern", span, "empty");
                self.cx.fault(fault.help("name a file, a folder or a glob; `.` is the whole project"));
                None
            }
            Err(BadPattern::Path(why)) => {
                self.cx.fault(bad_path(text, why, span));
                None
            }
            Err(why) => {
                let message = format!("the pattern `{}` {why}", shown(text));
                self.cx.fault(Diagnostic::plan("plan::bad-pattern", message, span, ""));
                None
            }
        }
    }

    /// A path of the project, written relative to the folder of the document.
    pub(super) fn path(&self, text: &str, span: &Span) -> Option<RelPath> {
        self.cx.folder.join(text).map_err(|why| self.cx.fault(bad_path(text, why, span))).ok()
    }

    /// A file of this machine: an absolute path, one of the user's home, or a path of the project.
    pub(super) fn machine_path(&self, (text, span): Text) -> Option<String> {
        let elsewhere = text.starts_with('/') || text.starts_with("~/");
        if elsewhere { Some(text) } else { self.path(&text, &span).map(|path| path.to_string()) }
    }

    /// Patterns, those with `!` before them as exclusions.
    pub(super) fn file_set(&self, texts: Vec<Text>) -> FileSet {
        sorted_out(texts, |text, span| self.pattern(text, span))
    }

    /// Patterns over paths in an image, with or without the slash that such paths begin with; those with `!` as exclusions.
    pub(super) fn inner_file_set(&self, texts: Vec<Text>) -> FileSet {
        sorted_out(texts, |text, span| {
            let text = text.trim_start_matches('/');
            self.inner_pattern(if text.is_empty() { "." } else { text }, span)
        })
    }

    /// The platforms of a target, `None` when it lists none.
    pub(super) fn platforms(&self, node: &Node) -> Option<Vec<Platform>> {
        let child = self.child(node, "platforms")?;
        let mut platforms: Vec<(Platform, Span)> = Vec::new();
        for (text, span) in self.texts(&child.args) {
            let Ok(platform) = text.parse::<Platform>() else {
                self.cx.fault(bad_platform(&text, &span));
                continue;
            };
            if let Some((_, first)) = platforms.iter().find(|(known, _)| *known == platform) {
                let fault = Diagnostic::plan("plan::repeated", format!("`{platform}` is listed twice"), &span, "again here");
                self.cx.fault(fault.label(first, "first here").help("leave one of them out"));
                continue;
            }
            platforms.push((platform, span));
        }
        Some(platforms.into_iter().map(|(platform, _)| platform).collect())
    }
}

/// Parses with an error that can be shown.
pub(super) fn from_str<T: std::str::FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|why: T::Err| why.to_string())
}

/// A length of time.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    from_str::<crate::base::time::Span>(text).map(|span| span.0)
}

/// `30`, `5 minutes`, `2 hrs`: a number with the unit that was meant.
fn meant_time(text: &str) -> Option<String> {
    let number: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit = match text[number.len()..].trim().to_ascii_lowercase().trim_end_matches('s') {
        "" | "sec" | "second" => "s",
        "m" | "min" | "minute" => "m",
        "h" | "hr" | "hour" => "h",
        "d" | "day" => "d",
        "millisecond" | "msec" | "m s" => "ms",
        _ => return None,
    };
    (!number.is_empty() && number.len() < 7).then(|| format!("{number}{unit}"))
}

/// A size in bytes, at least one.
pub(super) fn size(text: &str) -> Result<u64, String> {
    match from_str::<ByteSize>(text)?.0 {
        0 => Err("a limit of 0 bytes leaves nothing".to_owned()),
        bytes => Ok(bytes),
    }
}

/// A whole number between two bounds.
pub(super) fn number(low: u32, high: u32) -> impl Fn(&str) -> Result<u32, String> {
    move |text| match text.parse() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(format!("`{}` is not a whole number from {low} to {high}", shown(text))),
    }
}

/// A text of the plan, short and harmless enough for a message.
pub(super) fn shown(text: &str) -> String {
    words::shorten(&words::visible(text), 80)
}

fn bad_path(text: &str, why: BadPath, span: &Span) -> Diagnostic {
    let fault = Diagnostic::plan("plan::bad-path", format!("`{}` {why}", shown(text)), span, "not a path of the project");
    match why {
        BadPath::Outside => fault.help("a plan reaches only files below its own folder; move the file, or the plan"),
        _ => fault,
    }
}

fn bad_platform(text: &str, span: &Span) -> Diagnostic {
    let fault = Diagnostic::plan("plan::bad-platform", format!("`{}` is not a platform", shown(text)), span, "not a platform");
    if text.contains(',') {
        let several = text.split(',').map(|one| format!("\"{}\"", shown(one.trim()))).collect::<Vec<_>>();
        return fault.help(format!("platforms stand one after the other: `platforms {}`", several.join(" ")));
    }
    let last = text.rsplit('/').next().unwrap_or(text);
    match words::closest(last, KNOWN_ARCHITECTURES.iter().copied()) {
        Some(near) => fault.help(format!("did you mean `{}{near}`?", &text[..text.len() - last.len()])),
        None => fault
            .help(format!("platforms are `os/arch[/variant]`; for Linux the architecture is enough: {}", KNOWN_ARCHITECTURES.join(", "))),
    }
}
