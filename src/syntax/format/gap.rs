//! What stands between two tokens: line ends, comments, line continuations.
//! In: a range of the text that holds nothing else. Out: its parts in order. Never: drops a comment.

use std::ops::Range;

use crate::syntax::chars;

/// A part of a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// The end of a line.
    Newline,
    /// `// …`, up to the end of its line.
    Line(Remark<'a>),
    /// `/* … */`.
    Block(Remark<'a>),
    /// `\` and the end of its line, with the comments between them.
    Joint(Vec<Item<'a>>),
}

impl<'a> Item<'a> {
    /// What the item is between two nodes, where a line continuation is a line end.
    pub(super) fn between_nodes(self) -> Vec<Self> {
        match self {
            Self::Joint(mut inside) => {
                inside.push(Self::Newline);
                inside
            }
            other => vec![other],
        }
    }

    /// The comment, if it is one.
    pub(super) const fn remark(&self) -> Option<Remark<'a>> {
        match self {
            Self::Line(remark) | Self::Block(remark) => Some(*remark),
            Self::Newline | Self::Joint(_) => None,
        }
    }
}

/// A comment and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remark<'a> {
    /// As written, without white space at its end.
    pub(super) text: &'a str,
    /// The offset of its first byte.
    pub(super) at: usize,
}

/// Reads gaps one after the other, in the order of the text.
pub(super) struct Gaps<'a> {
    text: &'a str,
    comments: std::slice::Iter<'a, Range<usize>>,
}

impl<'a> Gaps<'a> {
    /// `comments`: the places of all comments of the text, in order.
    pub(super) fn new(text: &'a str, comments: &'a [Range<usize>]) -> Self {
        Self { text, comments: comments.iter() }
    }

    /// The parts of the next gap.
    pub(super) fn read(&mut self, gap: Range<usize>) -> Vec<Item<'a>> {
        let mut items = Vec::new();
        // The comments of a continuation that is still open.
        let mut joint: Option<Vec<Item<'a>>> = None;
        let mut at = gap.start;
        while at < gap.end {
            let rest = &self.text[at..];
            if rest.starts_with(chars::is_newline) {
                at = chars::skip_newline(self.text, at);
                items.push(joint.take().map_or(Item::Newline, Item::Joint));
            } else if rest.starts_with("//") || rest.starts_with("/*") {
                let Some(place) = self.comments.next() else { break };
                let remark = Remark { text: self.text[place.clone()].trim_end(), at };
                let item = if rest.starts_with("//") { Item::Line(remark) } else { Item::Block(remark) };
                joint.as_mut().unwrap_or(&mut items).push(item);
                at = place.end;
            } else {
                if rest.starts_with('\\') {
                    joint = Some(Vec::new());
                }
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        // A continuation at the end of the file.
        items.extend(joint.map(Item::Joint));
        items
    }
}
