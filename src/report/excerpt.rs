//! The few lines of a source that a diagnostic marks, made fit to be shown.
//! In: a diagnostic and the sources that its labels point into. Out: small texts with the marks moved accordingly.
//! Never: a control character, a line of more than [`LONGEST_LINE`] bytes, a scan of a whole source per label, a panic
//! on a span that lies outside of its source.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::diagnostic::{Diagnostic, Label, Source};
use crate::base::words;

/// The longest line shown, in bytes of the source.
const LONGEST_LINE: usize = 200;
/// What is shown before the mark in a line that is longer.
const BEFORE_MARK: usize = 60;
/// A mark over more lines than this is shown on its first line alone: nobody reads a whole file under a bracket.
const MOST_LINES: usize = 6;
/// Labels of one diagnostic that are shown.
const MOST_LABELS: usize = 12;

/// Where the lines of each source begin; made once per source, whatever the number of labels. It holds on to the sources,
/// so that no other one can take the address of one that it knows.
#[derive(Debug, Default)]
pub struct LineIndex(HashMap<*const Source, (Arc<Source>, Vec<usize>)>);

impl LineIndex {
    fn starts(&mut self, source: &Arc<Source>) -> &[usize] {
        let (_, starts) = self.0.entry(Arc::as_ptr(source)).or_insert_with(|| {
            let feeds = source.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            (Arc::clone(source), std::iter::once(0).chain(feeds.map(|(at, _)| at + 1)).collect())
        });
        starts
    }

    /// The line and column of a place, counted from zero; columns count characters.
    pub fn place(&mut self, source: &Arc<Source>, at: usize) -> (usize, usize) {
        let at = source.text.floor_char_boundary(at.min(source.text.len()));
        let starts = self.starts(source);
        let line = starts.partition_point(|start| *start <= at).saturating_sub(1);
        let start = starts.get(line).copied().unwrap_or(0);
        (line, source.text.get(start..at).map_or(0, |before| before.chars().count()))
    }
}

/// Neighbouring lines of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The source's name, fit to be shown.
    pub name: String,
    /// The first line, counted from zero.
    pub first_line: usize,
    /// Whole lines, each with a line feed.
    pub text: String,
    /// What is marked in it, in order of place.
    pub marks: Vec<Mark>,
}

/// A marked range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The first byte in the excerpt's text.
    pub start: usize,
    /// The number of bytes.
    pub len: usize,
    /// A few words; may be empty.
    pub text: String,
    /// The line and the column in the source, counted from zero.
    pub place: (usize, usize),
    /// Whether it is the first label of its diagnostic.
    pub first: bool,
}

/// A label, held against its source.
struct Placed<'a> {
    label: &'a Label,
    first: bool,
    start: usize,
    end: usize,
    place: (usize, usize),
    lines: (usize, usize),
}

/// The excerpts of a diagnostic: the one with its first label first, the others in order of source and place.
#[must_use]
pub fn excerpts(diagnostic: &Diagnostic, index: &mut LineIndex) -> Vec<Excerpt> {
    let labels = diagnostic.labels.iter().take(MOST_LABELS).enumerate();
    let mut placed: Vec<Placed<'_>> = labels.map(|(n, label)| place(label, n == 0, index)).collect();
    placed.sort_by(|a, b| (&a.label.span.source.name, a.start).cmp(&(&b.label.span.source.name, b.start)));
    let mut blocks: Vec<Vec<Placed<'_>>> = Vec::new();
    for one in placed {
        match blocks.last_mut() {
            // Lines between two marks are shown when they are few enough to join their contexts.
            Some(block) if touches(block, &one) => block.push(one),
            _ => blocks.push(vec![one]),
        }
    }
    blocks.sort_by_key(|block| !block.iter().any(|one| one.first));
    blocks.iter().map(|block| excerpt(block, index)).collect()
}

fn place<'a>(label: &'a Label, first: bool, index: &mut LineIndex) -> Placed<'a> {
    let (source, text) = (&label.span.source, &label.span.source.text);
    let start = text.floor_char_boundary(label.span.start.min(text.len()));
    let mut end = text.ceil_char_boundary(label.span.start.saturating_add(label.span.len).clamp(start, text.len()));
    let place = index.place(source, start);
    // A mark that ends with a line feed does not reach into the next line.
    let mut last = index.place(source, if end > start { end - 1 } else { end }).0;
    if last - place.0 >= MOST_LINES {
        last = place.0;
        end = index.starts(source).get(place.0 + 1).map_or(text.len(), |next| next - 1).max(start);
    }
    Placed { label, first, start, end, place, lines: (place.0, last) }
}

fn touches(block: &[Placed<'_>], one: &Placed<'_>) -> bool {
    let last = block.iter().map(|held| held.lines.1).max().unwrap_or(0);
    block.iter().all(|held| Arc::ptr_eq(&held.label.span.source, &one.label.span.source)) && one.lines.0 <= last + 3
}

fn excerpt(block: &[Placed<'_>], index: &mut LineIndex) -> Excerpt {
    let source = &block[0].label.span.source;
    let first_line = block.iter().map(|one| one.lines.0).min().unwrap_or(0).saturating_sub(1);
    let last_line = block.iter().map(|one| one.lines.1).max().unwrap_or(0) + 1;
    let starts = index.starts(source);
    let mut shown = Shown::default();
    for line in first_line..=last_line {
        let Some(start) = starts.get(line).copied() else { break };
        let end = starts.get(line + 1).map_or(source.text.len(), |next| next - 1);
        // The empty line after a last line feed is shown only when it is marked.
        if start == source.text.len() && line == last_line {
            break;
        }
        let mark = block.iter().filter(|one| (start..=end).contains(&one.start)).map(|one| one.start).min();
        shown.line(&source.text, start, end, mark.unwrap_or(start));
    }
    let marks = block.iter().map(|one| {
        let (start, end) = (shown.moved(one.start), shown.moved(one.end));
        let text = visible_lines(&one.label.text);
        Mark { start, len: end.saturating_sub(start), text, place: one.place, first: one.first }
    });
    let marks = marks.collect();
    Excerpt { name: words::visible(&source.name), first_line, text: shown.text, marks }
}

/// A text that grows while it is made visible, and remembers where each byte of the source went.
#[derive(Default)]
struct Shown {
    text: String,
    /// Places in the source and in the text, both growing.
    moves: Vec<(usize, usize)>,
}

impl Shown {
    /// Shows one line, or the part of it around `mark` when it is too long.
    fn line(&mut self, source: &str, start: usize, end: usize, mark: usize) {
        let end = if source[start..end].ends_with('\r') { end - 1 } else { end };
        let (mut from, mut to) = (start, end);
        if end - start > LONGEST_LINE {
            from = source.floor_char_boundary(mark.saturating_sub(BEFORE_MARK).clamp(start, end));
            to = source.floor_char_boundary((from + LONGEST_LINE).min(end));
        }
        if from > start {
            self.moves.push((start, self.text.len()));
            self.text.push('…');
        }
        for (at, c) in source[from..to].char_indices() {
            self.moves.push((from + at, self.text.len()));
            if c != '\t' && words::is_hidden(c) {
                self.text.extend(c.escape_unicode());
            } else {
                self.text.push(c);
            }
        }
        self.moves.push((to, self.text.len()));
        self.text.push_str(if to < end { "…\n" } else { "\n" });
    }

    /// Where a byte of the source is in the text; where it was cut out, the place of the cut.
    fn moved(&self, at: usize) -> usize {
        let after = self.moves.partition_point(|(from, _)| *from <= at);
        self.moves.get(after.saturating_sub(1)).map_or(0, |(_, to)| *to)
    }
}

/// Makes a text visible and keeps its lines.
#[must_use]
pub fn visible_lines(text: &str) -> String {
    text.split('\n').map(words::visible).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::{Class, Span};
    use proptest::prelude::*;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source { name: "build.kdl".into(), text: text.into() })
    }

    fn one(text: &str, start: usize, len: usize) -> Excerpt {
        let span = Span::new(&source(text), start, len);
        excerpts(&Diagnostic::plan("a::b", "m", &span, "here"), &mut LineIndex::default()).remove(0)
    }

    fn marked(excerpt: &Excerpt) -> &str {
        &excerpt.text[excerpt.marks[0].start..][..excerpt.marks[0].len]
    }

    #[test]
    fn one_line_before_and_one_after_are_shown() {
        let excerpt = one("a\nb\nccc\nd\ne\n", 5, 1);
        assert_eq!((excerpt.first_line, excerpt.text.as_str(), marked(&excerpt)), (1, "b\nccc\nd\n", "c"));
        assert_eq!(excerpt.marks[0].place, (2, 1));
    }

    #[test]
    fn a_mark_keeps_its_bytes_when_characters_before_it_become_longer() {
        for (text, start, len, expected_text, expected_mark) in [
            ("\u{1b}[2J scna", 5, 4, "\\u{1b}[2J scna\n", "scna"),
            ("日本 x\r\n", 7, 1, "日本 x\n", "x"),
            ("\ta", 1, 1, "\ta\n", "a"),
            ("a\u{202e}b", 1, 3, "a\\u{202e}b\n", "\\u{202e}"),
            ("日本", 1, 1, "日本\n", "日"),
        ] {
            let excerpt = one(text, start, len);
            assert_eq!((excerpt.text.as_str(), marked(&excerpt)), (expected_text, expected_mark), "{text:?}");
        }
    }

    #[test]
    fn a_line_of_a_megabyte_is_shown_around_its_mark() {
        let text = format!("{}MARK{}", "x".repeat(500_000), "y".repeat(500_000));
        let excerpt = one(&text, 500_000, 4);
        assert!(excerpt.text.len() < 300 && excerpt.text.starts_with('…') && excerpt.text.ends_with("…\n"));
        assert_eq!((marked(&excerpt), excerpt.marks[0].place), ("MARK", (0, 500_000)));
    }

    #[test]
    fn a_mark_over_the_whole_file_is_shown_on_its_first_line() {
        let text = "line\n".repeat(1000);
        let excerpt = one(&text, 5, text.len() - 5);
        assert_eq!((excerpt.text.as_str(), marked(&excerpt)), ("line\nline\nline\n", "line"));
    }

    #[test]
    fn labels_of_two_files_give_two_excerpts_and_the_first_label_comes_first() {
        let (a, b) = (source("a\n"), Arc::new(Source { name: "a.kdl".into(), text: "b\n".into() }));
        let diagnostic = Diagnostic::new(Class::Plan, "a::b", "m").label(&Span::new(&a, 0, 1), "one").label(&Span::new(&b, 0, 1), "two");
        let names: Vec<String> = excerpts(&diagnostic, &mut LineIndex::default()).into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["build.kdl", "a.kdl"]);
    }

    proptest! {
        #[test]
        fn any_span_in_any_text_can_be_shown(text in "[a\u{1b}é\r\n\t]{0,60}", spans in proptest::collection::vec((0_usize..80, 0_usize..80), 1..4)) {
            let source = source(&text);
            let mut diagnostic = Diagnostic::new(Class::Plan, "a::b", "m");
            for (start, len) in spans {
                diagnostic = diagnostic.label(&Span::new(&source, start, len), "x");
            }
            for excerpt in excerpts(&diagnostic, &mut LineIndex::default()) {
                prop_assert!(excerpt.text.ends_with('\n'), "{excerpt:?}");
                for mark in &excerpt.marks {
                    prop_assert!(mark.start + mark.len <= excerpt.text.len(), "{excerpt:?}");
                    prop_assert!(excerpt.text.is_char_boundary(mark.start) && excerpt.text.is_char_boundary(mark.start + mark.len));
                }
            }
        }
    }
}
