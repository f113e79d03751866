//! Glob patterns over project paths, with the two questions that a planner asks: does it match, and can two ever meet.
//!
//! `*` and `?` stay inside one name, `**` stands for any number of folders, `[a-z]` and `[!a-z]` for one character,
//! `{a,b}` for either, `\` takes the next character as it is. A pattern without any of these names a file or a whole
//! folder; a trailing `/` says that it is a folder. A leading dot is not special.

mod within;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::path::{BadPath, RelPath};
use super::segment::{Segment, Token, alternatives, intersect, literal_of, matches, may_continue, may_end, plain, segments};

/// One parsed pattern.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    /// The path, when there is no wildcard. Most patterns of a large plan are of this kind, so they hold nothing else.
    literal: Option<RelPath>,
    /// As it was written, where that is not the literal path byte for byte.
    text: Option<Box<str>>,
    /// One list of segments per way through the braces; none when the pattern is a literal.
    ways: Vec<Vec<Segment>>,
    folder: bool,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// The path it stands for cannot lie in the project.
    #[error("{0}")]
    Path(#[from] BadPath),
    /// `[` without `]`.
    #[error("has a `[` without its `]`")]
    Class,
    /// `{` without `}`.
    #[error("has a `{{` without its `}}`")]
    Brace,
    /// More than 256 ways through its braces.
    #[error("has more than 256 alternatives")]
    TooMany,
    /// More braces than a path has names.
    #[error("has more than 64 `{{`")]
    Braces,
    /// `**` as part of a name.
    #[error("has `**` inside a name; `**` stands for whole folders, as in `src/**/*.rs`")]
    Folders,
    /// It holds nothing.
    #[error("is empty")]
    Empty,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`BadPattern`] says what cannot be read.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        if text.is_empty() {
            return Err(BadPattern::Empty);
        }
        if text.starts_with('/') {
            return Err(BadPath::Absolute.into());
        }
        if is_plain(text) {
            let literal = RelPath::new(text)?;
            let folder = text.ends_with('/') || text == ".";
            let written = (literal.as_bytes() != text.as_bytes()).then(|| text.into());
            return Ok(Self { literal: Some(literal), text: written, ways: Vec::new(), folder });
        }
        let folder = text.ends_with('/');
        let mut ways = Vec::new();
        for way in alternatives(text)? {
            ways.push(segments(&way)?);
        }
        let literal = match ways.as_slice() {
            [only] => literal_of(only)?,
            _ => None,
        };
        if literal.is_some() {
            ways.clear();
        }
        Ok(Self { literal, text: Some(text.into()), ways, folder })
    }

    /// The pattern that names exactly this file, or everything in this folder, whatever characters the path holds.
    #[must_use]
    pub fn of(path: &RelPath) -> Self {
        let escaped = path.escaped();
        let text = (escaped.as_bytes() != path.as_bytes()).then(|| escaped.into());
        Self { literal: Some(path.clone()), text, ways: Vec::new(), folder: false }
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match (&self.text, &self.literal) {
            (Some(text), _) => text,
            // Only a path that is a text is left unwritten.
            (None, Some(path)) => path.as_str().unwrap_or_default(),
            (None, None) => "",
        }
    }

    /// The path, when the pattern has no wildcard.
    #[must_use]
    pub fn literal(&self) -> Option<&RelPath> {
        self.literal.as_ref()
    }

    /// Whether the pattern was written with a trailing slash.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.folder
    }

    /// Whether the pattern selects this file: by a wildcard, by its name, or because it names a folder around it.
    #[must_use]
    pub fn selects(&self, path: &RelPath) -> bool {
        if let Some(literal) = &self.literal {
            return path.is_within(literal);
        }
        if !self.folder && !self.ways.iter().any(|way| may_end(way, path.as_bytes())) {
            return false;
        }
        let names = names(path);
        self.ways.iter().any(|way| matches(way, &names) || (self.folder && prefixes(&names).any(|prefix| matches(way, prefix))))
    }

    /// Whether the pattern, as an exclusion, covers this path or a folder around it.
    #[must_use]
    pub fn covers(&self, path: &RelPath) -> bool {
        if let Some(literal) = &self.literal {
            return if literal.is_root() { path.is_root() } else { path.is_within(literal) };
        }
        let names = names(path);
        self.ways.iter().any(|way| matches(way, &names) || prefixes(&names).any(|prefix| matches(way, prefix)))
    }

    /// Whether everything below this folder is covered, so that a walk need not enter it.
    #[must_use]
    pub fn covers_all_below(&self, folder: &RelPath) -> bool {
        self.covers(folder)
            || self.ways.iter().any(|way| match way.split_last() {
                Some((Segment::Folders, rest)) => {
                    matches(rest, &names(folder)) || prefixes(&names(folder)).any(|prefix| matches(rest, prefix))
                }
                _ => false,
            })
    }

    /// Whether something below this folder could be selected.
    #[must_use]
    pub fn may_select_below(&self, folder: &RelPath) -> bool {
        if let Some(literal) = &self.literal {
            return folder.is_within(literal) || literal.is_within(folder);
        }
        let names = names(folder);
        self.ways.iter().any(|way| {
            let mut segments = way.clone();
            if self.folder {
                segments.push(Segment::Folders);
            }
            may_continue(&segments, &names)
        })
    }

    /// The folder below which everything that the pattern selects must lie.
    #[must_use]
    pub fn base(&self) -> RelPath {
        if let Some(literal) = &self.literal {
            return literal.clone();
        }
        let mut base: Option<RelPath> = None;
        for way in &self.ways {
            let mut prefix = RelPath::root();
            for segment in way.iter().take(way.len().saturating_sub(1)) {
                let Segment::Name(tokens) = segment else { break };
                let Some(name) = plain(tokens) else { break };
                let Ok(next) = prefix.join(name) else { break };
                prefix = next;
            }
            base = Some(match base {
                None => prefix,
                Some(base) => common(&base, &prefix),
            });
        }
        base.unwrap_or_else(RelPath::root)
    }

    /// Whether some path could be selected by both. A name without a slash counts as a file where the other side has
    /// wildcards, so `outputs "dist/app"` does not meet `inputs "**/*.go"`; `outputs "dist/"` does.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        match (&self.literal, &other.literal) {
            (Some(a), Some(b)) => a.is_within(b) || b.is_within(a),
            (Some(path), None) if !self.folder => other.selects(path),
            (None, Some(path)) if !other.folder => self.selects(path),
            _ => self.reach().iter().any(|a| other.reach().iter().any(|b| intersect(a, b))),
        }
    }

    fn reach(&self) -> Vec<Vec<Segment>> {
        let mut ways = match &self.literal {
            Some(path) => vec![exactly(path)],
            None => self.ways.clone(),
        };
        if self.folder {
            for way in &mut ways {
                way.push(Segment::Folders);
            }
        }
        ways
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::words::visible(self.as_str()))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({self})")
    }
}

/// Whether no character of the text has a meaning of its own.
fn is_plain(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'{' | b'\\'))
}

fn exactly(path: &RelPath) -> Vec<Segment> {
    names(path).iter().map(|name| Segment::Name(name.iter().copied().map(Token::Byte).collect())).collect()
}

/// A pattern is written down as what makes it: a path that is taken as it is, or a text that is read again.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Pattern")]
enum Written<'a> {
    Path { literal: RelPath, folder: bool },
    Exactly(RelPath),
    Text(#[serde(borrow)] std::borrow::Cow<'a, str>),
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (&self.literal, &self.text) {
            (Some(literal), None) => Written::Path { literal: literal.clone(), folder: self.folder },
            (Some(literal), Some(text)) if Self::new(text).as_ref() != Ok(self) => Written::Exactly(literal.clone()),
            (_, text) => Written::Text(text.as_deref().unwrap_or_default().into()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Path { literal, folder } => Ok(Self { literal: Some(literal), text: None, ways: Vec::new(), folder }),
            Written::Exactly(literal) => Ok(Self::of(&literal)),
            Written::Text(text) => Self::new(&text).map_err(serde::de::Error::custom),
        }
    }
}

fn names(path: &RelPath) -> Vec<&[u8]> {
    if path.is_root() { Vec::new() } else { path.as_bytes().split(|byte| *byte == b'/').collect() }
}

fn prefixes<'a, 'b>(names: &'a [&'b [u8]]) -> impl Iterator<Item = &'a [&'b [u8]]> {
    (1..names.len()).map(move |end| &names[..end])
}

fn common(a: &RelPath, b: &RelPath) -> RelPath {
    let mut candidate = a.clone();
    while !b.is_within(&candidate) {
        match candidate.parent() {
            Some(parent) => candidate = parent,
            None => break,
        }
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_a_path_takes_no_character_for_a_wildcard() {
        for name in [&b"a[b]*{c,d}/\\x"[..], b"\xff\n", b"plain/name"] {
            let path = RelPath::new(name).unwrap();
            let pattern = Pattern::of(&path);
            assert!(pattern.selects(&path) && pattern.covers(&path.join("below").unwrap()) && pattern.meets(&Pattern::of(&path)));
            assert_eq!(pattern.literal(), Some(&path));
            assert!(!pattern.selects(&RelPath::new("a").unwrap()));
        }
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    #[test]
    fn patterns_select_what_they_say() {
        for (text, file, expected) in [
            ("src/**/*.rs", "src/a.rs", true),
            ("src/**/*.rs", "src/a/b/c.rs", true),
            ("src/**/*.rs", "src/a.txt", false),
            ("src/**/*.rs", "lib/a.rs", false),
            ("*.go", "a.go", true),
            ("*.go", "x/a.go", false),
            ("**/*.go", "a.go", true),
            ("src", "src/deep/file", true),
            ("src/", "src/deep/file", true),
            ("src", "srcs", false),
            ("a[0-9].c", "a5.c", true),
            ("a[!0-9].c", "a5.c", false),
            ("{a,b}/{c,d}", "b/c", true),
            ("{a,b}/{c,d}", "b/e", false),
            ("\\*.c", "*.c", true),
            ("\\*.c", "a.c", false),
            ("**", ".hidden/x", true),
            ("a/*/", "a/b/c", true),
            ("a/*", "a/b/c", false),
            (".", "a/b", true),
        ] {
            assert_eq!(pattern(text).selects(&path(file)), expected, "{text} on {file}");
        }
    }

    #[test]
    fn many_folders_of_any_depth_are_matched_without_trying_all_ways() {
        let deep = path(&"a/".repeat(60));
        let text = "**/a/".repeat(30);
        assert!(pattern(&format!("{text}a")).selects(&deep));
        assert!(!pattern(&format!("{text}b")).selects(&deep));
        assert!(!pattern(&format!("{text}[b]")).selects(&deep));
        assert!(pattern("**/b/**/a").selects(&path("a/b/a/b/c/a")));
        assert!(!pattern("a/**/b/**/c").selects(&path("a/c/b")));
    }

    #[test]
    fn an_exclusion_covers_the_folders_it_names() {
        for (text, file, expected) in [
            ("**/node_modules", "a/node_modules/b/c", true),
            ("target", "target/x", true),
            ("*.md", "docs/a.md", false),
            ("**/*.md", "docs/a.md", true),
        ] {
            assert_eq!(pattern(text).covers(&path(file)), expected, "{text} on {file}");
        }
        assert!(pattern("target/**").covers_all_below(&path("target")));
        assert!(!pattern("target/*.o").covers_all_below(&path("target")));
    }

    #[test]
    fn two_patterns_meet_only_when_a_path_can_be_in_both() {
        for (a, b, expected) in [
            ("dist/app", "dist/**", true),
            ("dist/app", "**/*.go", false),
            ("dist/", "**/*.go", true),
            ("dist/app", "dist", true),
            ("gen/*.go", "**/*.go", true),
            ("gen/*.c", "**/*.go", false),
            ("a*b", "*ab", true),
            ("a*b", "b*", false),
            ("[a-c]x", "[d-f]x", false),
            ("x/**/y", "x/y", true),
            ("**/a/**", "b/**/c", true),
            ("out", "outer", false),
        ] {
            assert_eq!(pattern(a).meets(&pattern(b)), expected, "{a} and {b}");
            assert_eq!(pattern(b).meets(&pattern(a)), expected, "{b} and {a}");
        }
    }

    #[test]
    fn a_walk_starts_as_deep_as_it_can() {
        for (text, base) in [("src/**/*.rs", "src"), ("*.rs", ""), ("a/b/c", "a/b/c"), ("{a/b,a/c}/*.x", "a"), ("a/*/c/d", "a")] {
            assert_eq!(pattern(text).base(), path(base), "{text}");
        }
    }

    #[test]
    fn bad_patterns_say_why() {
        for (text, why) in [
            ("", BadPattern::Empty),
            ("/a", BadPath::Absolute.into()),
            ("../a", BadPath::Outside.into()),
            ("a[", BadPattern::Class),
            ("{a", BadPattern::Brace),
            ("a**b", BadPattern::Folders),
            (&format!("{}a{}", "{".repeat(50_000), "}".repeat(50_000)), BadPattern::Braces),
            (&"{a}".repeat(65), BadPattern::Braces),
        ] {
            assert_eq!(Pattern::new(text), Err(why), "{text}");
        }
        assert_eq!(Pattern::new(&"{a}".repeat(64)).map(|pattern| pattern.selects(&path(&"a".repeat(64)))), Ok(true));
    }

    #[test]
    fn a_walk_enters_only_folders_that_can_hold_a_match() {
        assert!(pattern("src/**/*.rs").may_select_below(&path("src/a")));
        assert!(!pattern("src/*.rs").may_select_below(&path("src/a")));
        assert!(!pattern("src/**").may_select_below(&path("lib")));
        assert!(pattern("src").may_select_below(&path("src/a")));
    }
}
