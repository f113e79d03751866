//! `template` and `use`: written once, used in many places, written out before any value is known.
//! In: the documents of a plan. Out: their nodes with every `use` written out, and one [`Frame`] for each use.
//! Never: a value; a template sees its own params and the file's, not the names that hold where it is used.
//!
//! Every node that a use writes out bears the number of its frame in its spans. So a name is looked up where it was written, and a
//! fault inside a template is shown there, with the `use` beside it.

mod circle;
mod export;
mod merge;
mod params;
mod write;

pub(super) use export::exported;
pub(super) use params::check;
pub(super) use write::{Written, write_out};

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::base::diagnostic::Span;
use crate::syntax::document::{Node, Value};

/// The most nodes that the uses of a plan write out together.
const NODE_LIMIT: usize = 200_000;
/// How deep templates may use each other.
const DEPTH_LIMIT: usize = 32;

/// The templates of one document, by their names.
type Templates<'d> = IndexMap<&'d str, &'d Node>;

/// One use of a template. Frame 0 is what was written outside of templates.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// The `use`, in the frame that it stands in.
    pub used: Option<Span>,
    /// The params with their values, each in the frame that it was written in; without a value when none was given.
    pub args: Vec<(String, Span, Option<Value>)>,
}

/// The nodes that a `use` has written out; `None` where it could not, and for a block that somebody wrote himself, which is of the same
/// frame as its node.
pub(super) fn written_out(node: &Node) -> Option<&[Node]> {
    node.children.as_deref().filter(|children| children.first().is_none_or(|first| first.span.frame != node.span.frame))
}

/// All frames of a plan.
#[derive(Debug, Default)]
pub(super) struct Frames {
    all: Vec<Frame>,
    by_use: HashMap<(usize, usize, u32), u32>,
}

fn place(span: &Span) -> (usize, usize, u32) {
    (Arc::as_ptr(&span.source) as usize, span.start, span.frame)
}

impl Frames {
    /// The frame of a span; `None` for what was written outside of templates.
    pub(super) fn get(&self, frame: u32) -> Option<&Frame> {
        if frame == 0 { None } else { self.all.get(frame as usize - 1) }
    }

    /// The frame that a `use` opened.
    pub(super) fn of_use(&self, node: &Node) -> Option<&Frame> {
        self.get(*self.by_use.get(&place(&node.name.span))?)
    }

    /// The value of a param in a frame; `None` when it has no param of this name.
    pub(super) fn arg(&self, frame: u32, name: &str) -> Option<Option<&Value>> {
        self.get(frame)?.args.iter().find(|(known, ..)| known == name).map(|(.., value)| value.as_ref())
    }

    fn open(&mut self, frame: Frame) -> u32 {
        self.all.push(frame);
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }
}
