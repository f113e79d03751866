//! Whether the tokens of a file stand in an order that makes nodes.
//! In: tokens. Out: every place where they do not, each once, and the places of what is commented out with `/-`.
//! Never: stops at the first fault; recursion deeper than the blocks that the prescan let pass.

use std::ops::Range;
use std::sync::Arc;

use crate::base::diagnostic::Source;
use crate::syntax::entry::Names;
use crate::syntax::faults::{Fault, Faults, shown};
use crate::syntax::prescan::{Kind, Token};
use crate::syntax::repair::Place;

/// What the pass found.
pub(super) struct Shape {
    pub(super) faults: Faults,
    /// Everything under `/-`, the mark and the terminator of a node included.
    pub(super) dropped: Vec<Range<usize>>,
    /// The `{` and `}` of every block that is not commented out, ordered by the first.
    pub(super) blocks: Vec<(usize, usize)>,
}

/// The state of the pass; arguments and properties are read in [`crate::syntax::entry`].
pub(super) struct Walk<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: &'a [Token],
    /// The index of the next token.
    pub(super) next: usize,
    shape: Shape,
}

/// Walks over the tokens of one file.
pub(super) fn check(source: &Arc<Source>, tokens: &[Token]) -> Shape {
    let shape = Shape { faults: Faults::new(Arc::clone(source)), dropped: Vec::new(), blocks: Vec::new() };
    let mut walk = Walk { text: &source.text, tokens, next: 0, shape };
    walk.version();
    walk.nodes();
    walk.shape.blocks.sort_unstable();
    walk.shape
}

impl<'a> Walk<'a> {
    pub(super) fn token(&self) -> Option<Token> {
        self.tokens.get(self.next).copied()
    }

    pub(super) fn kind(&self) -> Option<Kind> {
        self.token().map(|token| token.kind)
    }

    pub(super) fn text_of(&self, token: Token) -> &'a str {
        &self.text[token.range()]
    }

    /// The end of the last token taken.
    pub(super) fn taken_to(&self) -> usize {
        self.next.checked_sub(1).map_or(0, |last| self.tokens[last].end())
    }

    fn skip_newlines(&mut self) {
        while self.kind() == Some(Kind::Newline) {
            self.next += 1;
        }
    }

    pub(super) fn fault(&mut self, range: Range<usize>, make: impl FnOnce() -> Fault) {
        self.shape.faults.add(range.start, range.end, make);
    }

    /// Reports the mark of an older version: `/- kdl-version 1`. Line ends above it and in it are let pass, as formatting takes them
    /// away.
    fn version(&mut self) {
        let mut tokens = self.tokens.iter().filter(|token| token.kind != Kind::Newline);
        let (Some(dash), Some(name)) = (tokens.next(), tokens.next()) else { return };
        let number = tokens.next().unwrap_or(name);
        if dash.kind == Kind::Slashdash && self.text_of(*name) == "kdl-version" && self.text_of(*number) != "2" {
            let written = shown(self.text_of(*number));
            self.fault(number.range(), || {
                Fault::new(
                    "syntax::kdl1",
                    format!("this file says it is KDL {written}; kiln reads KDL 2"),
                    "not 2",
                    "write the plan in KDL 2, then write `2` here",
                )
            });
        }
    }

    /// Nodes up to the end of the block, or of the file.
    fn nodes(&mut self) {
        while let Some(token) = self.token() {
            match token.kind {
                Kind::Close => return,
                Kind::Newline => self.next += 1,
                Kind::Semicolon => {
                    self.next += 1;
                    self.fault(token.range(), || {
                        Fault::new(
                            "syntax::stray-semicolon",
                            "this `;` ends no node",
                            "nothing before it",
                            "remove it; comments begin with `//`",
                        )
                    });
                }
                _ => self.node(),
            }
        }
    }

    fn node(&mut self) {
        let (begin, blocks) = (self.token(), self.shape.blocks.len());
        let dashed = self.slashdash();
        if self.kind() == Some(Kind::ParenOpen) {
            self.node_annotation();
        }
        self.name();
        self.entries();
        if self.kind() == Some(Kind::Semicolon) {
            self.next += 1;
        }
        if let Some(begin) = begin.filter(|_| dashed) {
            self.drop_from(begin, blocks);
        }
    }

    /// Takes a `/-` and what may stand between it and what it comments out.
    fn slashdash(&mut self) -> bool {
        let Some(mark) = self.token().filter(|token| token.kind == Kind::Slashdash) else { return false };
        self.next += 1;
        self.skip_newlines();
        if matches!(self.kind(), None | Some(Kind::Close | Kind::Semicolon | Kind::Slashdash | Kind::Equals | Kind::ParenClose)) {
            self.fault(mark.range(), || {
                Fault::new(
                    "syntax::empty-slashdash",
                    "`/-` comments out nothing",
                    "nothing after it",
                    "remove it, or put it before what it shall comment out",
                )
            });
        }
        true
    }

    /// Notes that everything since `mark` is commented out, also the blocks found since there were `blocks` of them.
    fn drop_from(&mut self, mark: Token, blocks: usize) {
        self.shape.dropped.push(mark.start()..self.taken_to());
        self.shape.blocks.truncate(blocks);
    }

    fn node_annotation(&mut self) {
        let start = self.next;
        if self.annotation() {
            let range = self.tokens[start].start()..self.taken_to();
            self.fault(range, || {
                Fault::new("syntax::node-annotation", "a node has no type", "types stand before values only", "remove it")
            });
        }
    }

    fn name(&mut self) {
        let Some(token) = self.token() else { return };
        match token.kind {
            Kind::Word => {
                self.next += 1;
                self.check_word(token, Place::Name);
                self.glued_paren(token, Place::Name);
            }
            Kind::Text | Kind::Bad => self.next += 1,
            Kind::Open => self.nameless_block(token),
            Kind::Equals | Kind::ParenClose | Kind::ParenOpen => self.stray(token),
            Kind::Close | Kind::Newline | Kind::Semicolon | Kind::Slashdash => return,
        }
        if let Some(equals) = self.token().filter(|next| next.kind == Kind::Equals && token.kind != Kind::Equals) {
            let name = shown(self.text_of(token));
            self.next += 1;
            let list = self.list_ahead();
            let value = self.token().map_or("…", |value| self.text_of(value)).trim();
            let block = self.kind() == Some(Kind::Open);
            self.next = list.as_ref().map_or(self.next, |(next, _)| *next);
            self.fault(equals.range(), || {
                let value = list.as_ref().map_or(value, |(_, values)| values);
                let value = match value {
                    _ if block => "{ … }".to_owned(),
                    "" => "…".to_owned(),
                    value => shown(value),
                };
                Fault::new(
                    "syntax::assignment",
                    format!("`{name}` is a node: it takes its value without `=`"),
                    "no `=` here",
                    format!("write `{name} {value}`"),
                )
            });
        }
    }

    fn nameless_block(&mut self, open: Token) {
        let mut before = self.tokens[..self.next].iter().rev().filter(|token| token.kind != Kind::Newline);
        let ended = before.next().filter(|token| matches!(token.kind, Kind::Word | Kind::Text)).copied();
        self.fault(open.range(), || {
            let fault = |help| Fault::new("syntax::nameless-block", "this block belongs to no node", "a name must stand before it", help);
            match ended {
                Some(end) => fault("move `{` to the end of the line that names the node").other(
                    end.start(),
                    end.end(),
                    "this node ended with its line",
                ),
                None => fault("write the name of the node before `{`, on the same line"),
            }
        });
    }

    /// A token that cannot stand here.
    fn stray(&mut self, token: Token) {
        self.next += 1;
        let text = self.text_of(token);
        let (code, help) = match token.kind {
            Kind::Equals => ("syntax::stray-equals", "a property is written `name=value`; quote a text that holds `=`"),
            _ => ("syntax::stray-paren", "quote a text that holds parentheses"),
        };
        self.fault(token.range(), || Fault::new(code, format!("`{text}` cannot stand here"), "not expected", help));
    }

    /// Arguments, properties and blocks, up to the end of the node.
    fn entries(&mut self) {
        let (mut names, mut block, mut any_block) = (Names::new(), None, false);
        while let Some(token) = self.token() {
            match token.kind {
                Kind::Newline | Kind::Semicolon | Kind::Close => return,
                Kind::Open if self.bare_braces() => {}
                Kind::Open => {
                    let range = self.block();
                    if let Some(first) = block.replace(range.clone()) {
                        self.second_block(first, range);
                    }
                    any_block = true;
                }
                Kind::Slashdash => {
                    let blocks = self.shape.blocks.len();
                    self.slashdash();
                    match self.kind() {
                        Some(Kind::Open) => {
                            self.block();
                            any_block = true;
                        }
                        Some(Kind::Word | Kind::Text | Kind::Bad | Kind::ParenOpen) => {
                            if any_block {
                                self.after_block();
                            }
                            self.entry(&mut Names::new());
                        }
                        _ => continue,
                    }
                    self.drop_from(token, blocks);
                }
                Kind::Equals | Kind::ParenClose => self.stray(token),
                Kind::Word | Kind::Text | Kind::Bad | Kind::ParenOpen if any_block => {
                    self.after_block();
                    return;
                }
                Kind::Word | Kind::Text | Kind::Bad | Kind::ParenOpen => self.entry(&mut names),
            }
        }
    }

    fn after_block(&mut self) {
        let Some(token) = self.token() else { return };
        let text = shown(self.text_of(token));
        self.fault(token.range(), || {
            let help = "end the node before it with a new line or `;`; arguments and properties stand before the block";
            Fault::new("syntax::after-block", format!("`{text}` stands after the block of a node"), "the node has ended", help)
        });
    }

    fn second_block(&mut self, first: Range<usize>, second: Range<usize>) {
        // What only looks like a brace is wider than one.
        let end = |at: usize| at + self.text[at..].chars().next().map_or(0, char::len_utf8);
        let (first, second) = (first.start..end(first.start), second.start..end(second.start));
        self.fault(second, || {
            Fault::new("syntax::second-block", "a node has one block", "the second one", "join the two blocks").other(
                first.start,
                first.end,
                "the first one",
            )
        });
    }

    /// A block, from its `{` to its `}`.
    fn block(&mut self) -> Range<usize> {
        let start = self.tokens[self.next].start();
        self.next += 1;
        self.nodes();
        if self.kind() == Some(Kind::Close) {
            self.next += 1;
            self.shape.blocks.push((start, self.taken_to() - 1));
        }
        start..self.taken_to()
    }
}
