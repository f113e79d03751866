//! Tokens and what stands between them → lines.
//! In: the tokens of a text without faults. Out: the formatted text.
//! Never: a token or a comment less, or in another order; only `;` at the ends of lines, `\` between nodes and white space go.

use crate::syntax::chars;
use crate::syntax::format::STEP;
use crate::syntax::format::gap::{Gaps, Item, Remark};
use crate::syntax::format::lines::{self, Lines, last_width};
use crate::syntax::format::strings;
use crate::syntax::prescan::{Kind, Scan, Token};

/// Prints a document; `None` when it would be larger than a plan may be.
pub(super) fn print(text: &str, scan: &Scan) -> Option<String> {
    let tokens: Vec<Token> = scan.tokens.iter().copied().filter(|token| token.kind != Kind::Newline).collect();
    let mut gaps = Gaps::new(text, &scan.comments);
    let mut printer = Printer { text, broken: broken_blocks(text, &tokens).into_iter(), lines: Lines::default(), blocks: Vec::new() };
    let (mut last, mut items, mut semicolon) = (None::<Token>, Vec::new(), false);
    for next in tokens.iter().copied().map(Some).chain([None]) {
        let from = last.map_or(0, Token::end);
        let to = next.map_or(text.len(), Token::start);
        let before = last.filter(|_| !semicolon);
        items.extend(gaps.read(from..to));
        if next.is_some_and(|token| token.kind == Kind::Semicolon) {
            semicolon = true;
            last = next;
            continue;
        }
        let items = std::mem::take(&mut items);
        if semicolon || ends_node(before, &items, next) {
            printer.between_nodes(before, items, semicolon, next);
        } else if let (Some(before), Some(next)) = (before, next) {
            printer.inside_node(before, items, next);
        }
        semicolon = false;
        last = next;
        if printer.lines.is_too_large() {
            return None;
        }
    }
    let text = printer.lines.finish();
    (text.len() <= crate::syntax::LIMIT).then_some(text)
}

/// Whether a node ends between two tokens, or none has begun there.
fn ends_node(before: Option<Token>, items: &[Item<'_>], next: Option<Token>) -> bool {
    match before.map(|token| token.kind) {
        None | Some(Kind::Open) => true,
        Some(Kind::Slashdash) => false,
        Some(_) => next.is_none_or(|token| token.kind == Kind::Close) || items.contains(&Item::Newline),
    }
}

/// For every token that is a `{`: whether anything up to its `}` stands on another line.
fn broken_blocks(text: &str, tokens: &[Token]) -> Vec<bool> {
    let mut broken = vec![false; tokens.len()];
    let mut open = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Open => open.push(n),
            Kind::Close => {
                if let Some(begin) = open.pop() {
                    broken[begin] = text[tokens[begin].start()..token.end()].contains(chars::is_newline);
                }
            }
            _ => {}
        }
    }
    let opens = tokens.iter().zip(broken).filter(|(token, _)| token.kind == Kind::Open);
    opens.map(|(_, broken)| broken).collect()
}

struct Printer<'a> {
    text: &'a str,
    /// For every `{` of the text, in order: whether its block takes several lines.
    broken: std::vec::IntoIter<bool>,
    lines: Lines<'a>,
    /// The open blocks: whether each takes several lines.
    blocks: Vec<bool>,
}

impl<'a> Printer<'a> {
    /// The spaces before a node here.
    fn indent(&self) -> usize {
        STEP * self.blocks.iter().filter(|broken| **broken).count()
    }

    /// Prints a token, after a space when `space` says so and something stands before it.
    fn token(&mut self, indent: usize, space: bool, token: Token) {
        let deep = self.indent() + STEP;
        self.lines.add(indent, space, &strings::token(&self.text[token.range()], deep));
    }

    /// A comment after a node, as it stood in the old text.
    fn end_remark(&self, remark: Remark<'a>) -> lines::Remark<'a> {
        let before = &self.text[..remark.at];
        let apart = before.chars().rev().take_while(|c| chars::is_space(*c)).count() > 1;
        lines::Remark { text: remark.text, column: last_width(before), apart }
    }

    /// A comment on a line of its own.
    fn own_line(&mut self, remark: Remark<'a>) {
        let line = self.text[..remark.at].rfind('\n').map_or(0, |n| n + 1);
        let before = self.text[line..remark.at].chars().take_while(|c| chars::is_space(*c)).count();
        let indent = self.indent();
        self.lines.add(indent, false, &strings::comment(remark.text, before, indent));
    }

    /// What stands between the end of one node, or the beginning of a block, and the next node, or the end of the block.
    fn between_nodes(&mut self, before: Option<Token>, items: Vec<Item<'a>>, semicolon: bool, next: Option<Token>) {
        let opened = before.is_some_and(|token| token.kind == Kind::Open);
        if opened {
            self.blocks.push(self.broken.next().unwrap_or(true));
        }
        let one_line = self.blocks.last() == Some(&false);
        // Line ends since the last thing printed; a block or a file begins without blank lines.
        let (mut line_ends, mut first) = (0, opened || before.is_none() && !semicolon);
        let mut on_new_line = self.lines.is_fresh();
        for item in items.into_iter().flat_map(Item::between_nodes) {
            let (remark, whole) = match item {
                Item::Newline | Item::Joint(_) => {
                    line_ends += 1;
                    continue;
                }
                Item::Line(remark) => (remark, true),
                Item::Block(remark) => (remark, false),
            };
            if line_ends > 0 || self.lines.is_fresh() {
                self.next_line(line_ends > 1 && !first);
                self.own_line(remark);
                (first, on_new_line) = (false, true);
                if whole {
                    self.lines.end();
                }
            } else if whole {
                let remark = self.end_remark(remark);
                self.lines.remark(remark);
            } else {
                self.lines.add(0, true, &strings::inner_comment(remark.text));
            }
            line_ends = 0;
        }
        let Some(next) = next else { return };
        if next.kind == Kind::Close {
            self.close(next, one_line, opened);
        } else if line_ends > 0 || self.lines.is_fresh() || (opened && !one_line && !on_new_line) {
            self.next_line(line_ends > 1 && !first);
            self.token(self.indent(), false, next);
        } else {
            if semicolon {
                self.lines.add(0, false, ";");
            }
            self.token(0, true, next);
        }
    }

    fn next_line(&mut self, blank: bool) {
        self.lines.end();
        if blank {
            self.lines.blank();
        }
    }

    /// The `}` of the innermost block.
    fn close(&mut self, close: Token, one_line: bool, empty: bool) {
        self.blocks.pop();
        if one_line {
            let tight = empty && self.text[..close.start()].trim_end().ends_with('{');
            self.token(0, !tight, close);
        } else {
            self.lines.end();
            self.token(self.indent(), false, close);
        }
    }

    /// What stands between two tokens of one node.
    fn inside_node(&mut self, before: Token, items: Vec<Item<'a>>, next: Token) {
        let tight = matches!(before.kind, Kind::Equals | Kind::ParenOpen | Kind::ParenClose)
            || matches!(next.kind, Kind::Equals | Kind::ParenClose)
            || before.kind == Kind::Slashdash && before.end() == next.start();
        let keeps_breaks = !tight && before.kind != Kind::Slashdash;
        let deep = self.indent() + STEP;
        let mut commented = false;
        for item in items {
            match item {
                // Only after `/-`, which reaches over line ends.
                Item::Newline => {}
                Item::Line(remark) => {
                    self.lines.add(deep, true, remark.text);
                    self.lines.end();
                }
                Item::Block(remark) => {
                    self.lines.add(deep, true, &strings::inner_comment(remark.text));
                    commented = true;
                }
                Item::Joint(inside) if inside.is_empty() && (!keeps_breaks || self.lines.is_fresh()) => {}
                Item::Joint(inside) => {
                    self.lines.add(deep, true, "\\");
                    for remark in inside.iter().filter_map(Item::remark) {
                        self.lines.add(0, true, &strings::inner_comment(remark.text));
                    }
                    self.lines.end();
                }
            }
        }
        self.token(deep, commented || !tight, next);
    }
}
