//! The lines of the formatted text, with the comments at their ends in a column where their writer had them in one.
//! In: words, in order. Out: the text. Never: white space at the end of a line that is printed here, two blank lines in a row.

use unicode_width::UnicodeWidthStr as _;

use crate::syntax::LIMIT;

/// A line that is complete.
struct Line<'a> {
    /// Without its comment; of several lines when a string or a comment in it is.
    text: String,
    remark: Option<Remark<'a>>,
}

/// A comment at the end of a line.
#[derive(Clone, Copy)]
pub(super) struct Remark<'a> {
    pub(super) text: &'a str,
    /// The column that it began at in the old text.
    pub(super) column: usize,
    /// Whether more than one space stood before it there.
    pub(super) apart: bool,
}

/// The lines so far.
#[derive(Default)]
pub(super) struct Lines<'a> {
    done: Vec<Line<'a>>,
    text: String,
    remark: Option<Remark<'a>>,
    size: usize,
}

impl<'a> Lines<'a> {
    /// Whether nothing stands on the current line.
    pub(super) fn is_fresh(&self) -> bool {
        self.text.is_empty() && self.remark.is_none()
    }

    /// Whether the text is larger than a plan may be.
    pub(super) const fn is_too_large(&self) -> bool {
        self.size > LIMIT
    }

    /// Adds to the current line; `indent` is used when it is the first word of it.
    pub(super) fn add(&mut self, indent: usize, space: bool, word: &str) {
        let before = self.text.len();
        if self.text.is_empty() {
            self.text.extend(std::iter::repeat_n(' ', indent));
        } else if space {
            self.text.push(' ');
        }
        self.text.push_str(word);
        self.size += self.text.len() - before;
    }

    /// Ends the current line with a comment.
    pub(super) const fn remark(&mut self, remark: Remark<'a>) {
        self.size += remark.text.len() + 1;
        self.remark = Some(remark);
    }

    /// Ends the current line, if anything stands on it.
    pub(super) fn end(&mut self) {
        if !self.is_fresh() {
            self.size += 1;
            self.done.push(Line { text: std::mem::take(&mut self.text), remark: self.remark.take() });
        }
    }

    /// Adds a blank line.
    pub(super) fn blank(&mut self) {
        self.size += 1;
        self.done.push(Line { text: String::new(), remark: None });
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        self.end();
        let mut out = String::with_capacity(self.size);
        let mut rest = self.done.as_slice();
        while let Some(first) = rest.first() {
            let column = |line: &Line<'_>| line.remark.map(|remark| remark.column);
            let neighbours = match column(first) {
                Some(at) => rest.iter().take_while(|line| column(line) == Some(at)).count(),
                None => 1,
            };
            // Neighbours whose comments were moved into one column keep a common one.
            let aligned = rest[..neighbours].iter().any(|line| line.remark.is_some_and(|remark| remark.apart));
            let together = if aligned { neighbours } else { 1 };
            let (block, after) = rest.split_at(together);
            let width = block.iter().map(|line| last_width(&line.text)).max().unwrap_or(0);
            for line in block {
                out.push_str(&line.text);
                if let Some(remark) = line.remark {
                    out.extend(std::iter::repeat_n(' ', width + 1 - last_width(&line.text)));
                    out.push_str(remark.text);
                }
                out.push('\n');
            }
            rest = after;
        }
        out
    }
}

/// The columns that the last line of a text takes.
pub(super) fn last_width(text: &str) -> usize {
    text.rsplit('\n').next().unwrap_or(text).width()
}
