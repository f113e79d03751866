//! One linear pass over the bytes of a file, before any parser sees them.
//! In: text of any kind. Out: its tokens, the places of its comments, and the faults that no parser can explain: what was opened
//! and never closed, what nests too deep, characters that hide, comments that eat a glob.
//! Never: recursion, looking at a byte more than a few times, more than [`DEPTH`] open blocks or comments.

use std::ops::Range;
use std::sync::Arc;

use crate::base::diagnostic::Source;
use crate::syntax::chars;
use crate::syntax::faults::{Fault, Faults, quoted};
use crate::syntax::repair;

/// The number of blocks, and of comments, that may be open at once.
pub(super) const DEPTH: usize = 64;

/// How far the end of a text between wrong quotes is looked for, in bytes.
const QUOTE_REACH: usize = 200;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A run of characters that are no white space and no punctuation; may hold what KDL forbids in a word.
    Word,
    /// A string between quotes, of any form.
    Text,
    /// Something that stands for a value and has its fault already.
    Bad,
    Equals,
    Open,
    Close,
    ParenOpen,
    ParenClose,
    Semicolon,
    /// One or more line ends.
    Newline,
    Slashdash,
}

/// A token with its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Whether white space or a comment stands before it.
    pub(super) spaced: bool,
    // The size cap of a file keeps both within 32 bits.
    start: u32,
    end: u32,
}

impl Token {
    pub(super) const fn start(self) -> usize {
        self.start as usize
    }
    pub(super) const fn end(self) -> usize {
        self.end as usize
    }
    pub(super) const fn range(self) -> Range<usize> {
        self.start()..self.end()
    }
}

/// What the pass found.
pub(super) struct Scan {
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<Range<usize>>,
    pub(super) faults: Faults,
}

struct Block {
    open: usize,
    indent: usize,
}

/// The state of the pass; strings are read in [`crate::syntax::strings`], comments in [`crate::syntax::comments`].
pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) faults: Faults,
    /// Whether a search for the end of a string or comment ran to the end of the file: the next one would, too, and is not tried.
    pub(super) hopeless: bool,
    pub(super) comments: Vec<Range<usize>>,
    /// Whether white space or a comment stands right before `at`.
    pub(super) spaced: bool,
    tokens: Vec<Token>,
    blocks: Vec<Block>,
    /// The first block whose closing brace stood further left than the line that opened it, and that brace.
    suspect: Option<(usize, usize)>,
}

/// Reads the tokens of a file. At most 4 GiB of text, see [`crate::syntax::LIMIT`].
pub(super) fn scan(source: &Arc<Source>) -> Scan {
    let mut scanner = Scanner {
        text: &source.text,
        at: 0,
        faults: Faults::new(Arc::clone(source)),
        hopeless: false,
        tokens: Vec::new(),
        comments: Vec::new(),
        blocks: Vec::new(),
        suspect: None,
        spaced: true,
    };
    scanner.forbidden();
    scanner.run();
    scanner.unclosed_blocks();
    Scan { tokens: scanner.tokens, comments: scanner.comments, faults: scanner.faults }
}

impl Scanner<'_> {
    /// Reports runs of characters that KDL forbids everywhere.
    fn forbidden(&mut self) {
        let mut at = 0;
        while let Some(found) = self.text[at..].find(chars::is_forbidden) {
            let start = at + found;
            let end = self.text[start..].find(|c| !chars::is_forbidden(c)).map_or(self.text.len(), |n| start + n);
            let text = &self.text[start..end];
            self.faults.add(start, end, || {
                let first = text.chars().next().unwrap_or_default();
                let message = format!("forbidden character `{}` ({})", first.escape_unicode(), chars::name(first));
                let help = format!("remove it; inside a string write `{}`", first.escape_unicode());
                Fault::new("syntax::forbidden-character", message, "it is invisible, or moves the text around it", help)
            });
            at = end;
        }
    }

    fn run(&mut self) {
        while let Some(c) = self.text[self.at..].chars().next() {
            let go_on = match c {
                _ if chars::is_newline(c) => self.newline(),
                _ if chars::is_space(c) => {
                    self.at += c.len_utf8();
                    self.spaced = true;
                    true
                }
                '{' => self.open(),
                '}' => self.close(),
                '｛' | '｝' => self.wide_brace(c),
                '(' => self.one(Kind::ParenOpen),
                ')' => self.one(Kind::ParenClose),
                ';' => self.one(Kind::Semicolon),
                '=' => self.one(Kind::Equals),
                '"' => self.quoted(),
                '/' => self.slash(),
                _ => self.word_or_other(),
            };
            if !go_on {
                return;
            }
        }
    }

    /// A brace of another alphabet, taken for the one that it looks like, so that nothing else is said about the block.
    fn wide_brace(&mut self, c: char) -> bool {
        let (sign, kind) = if c == '｛' { ('{', Kind::Open) } else { ('}', Kind::Close) };
        self.faults.add(self.at, self.at + c.len_utf8(), || {
            let message = format!("`{c}` only looks like `{sign}`");
            Fault::new("syntax::bare-braces", message, "a wide character", format!("write `{sign}`; as part of a text, quote it"))
        });
        if kind == Kind::Open {
            if self.blocks.len() == DEPTH {
                return self.stop(self.at + c.len_utf8());
            }
            self.blocks.push(Block { open: self.at, indent: 0 });
        } else {
            self.blocks.pop();
        }
        self.push(kind, self.at + c.len_utf8())
    }

    fn one(&mut self, kind: Kind) -> bool {
        self.push(kind, self.at + 1)
    }

    /// Adds the token from here to `end` and goes on there.
    pub(super) fn push(&mut self, kind: Kind, end: usize) -> bool {
        let place = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.tokens.push(Token { kind, spaced: self.spaced, start: place(self.at), end: place(end) });
        self.at = end;
        self.spaced = false;
        true
    }

    /// Ends the pass: what stands here is taken for a value, so that nothing more is said about it, nor about open blocks.
    pub(super) fn stop(&mut self, end: usize) -> bool {
        self.push(Kind::Bad, end);
        self.blocks.clear();
        false
    }

    fn newline(&mut self) -> bool {
        let end = chars::skip_newline(self.text, self.at);
        if self.tokens.last().is_some_and(|token| token.kind != Kind::Newline) {
            self.push(Kind::Newline, end);
        }
        self.at = end;
        self.spaced = true;
        true
    }

    fn open(&mut self) -> bool {
        if self.blocks.len() == DEPTH {
            self.faults.add(self.at, self.at + 1, || {
                let message = format!("blocks are nested deeper than {DEPTH}");
                Fault::new("syntax::too-deep", message, "one too many", "move the inner blocks into a file of their own and `include` it")
            });
            return self.stop(self.at + 1);
        }
        let indent = self.indent(self.at).unwrap_or(0);
        self.blocks.push(Block { open: self.at, indent });
        self.one(Kind::Open)
    }

    fn close(&mut self) -> bool {
        let Some(block) = self.blocks.pop() else {
            self.faults.add(self.at, self.at + 1, || {
                Fault::new(
                    "syntax::unopened-block",
                    "this `}` closes nothing",
                    "no block is open here",
                    "remove it, or add the `{` it belongs to",
                )
            });
            self.at += 1;
            return true;
        };
        let alone = self.tokens.last().is_some_and(|token| token.kind == Kind::Newline);
        if alone && self.suspect.is_none() && self.indent(self.at).is_some_and(|indent| indent < block.indent) {
            self.suspect = Some((block.open, self.at));
        }
        self.one(Kind::Close)
    }

    /// The width of the white space at the beginning of the line of `at`, in bytes; `None` when that line is too long to look at.
    fn indent(&self, at: usize) -> Option<usize> {
        const REACH: usize = 400;
        let from = at.saturating_sub(REACH);
        let from = (from..=at).find(|n| self.text.is_char_boundary(*n))?;
        let begin = match self.text[from..at].rfind('\n') {
            Some(n) => from + n + 1,
            None if from == 0 => 0,
            None => return None,
        };
        Some(chars::skip_spaces(self.text, begin) - begin)
    }

    fn unclosed_blocks(&mut self) {
        let Some(block) = self.blocks.first() else { return };
        let (open, closer) = self.suspect.map_or((block.open, None), |(open, close)| (open, Some(close)));
        // What only looks like a brace counts as one, and is wider.
        let end = |at: usize| at + self.text[at..].chars().next().map_or(0, char::len_utf8);
        self.faults.add(open, end(open), || {
            let fault = Fault::new("syntax::unclosed-block", "this block is never closed", "opened here", "add the `}` that ends it");
            match closer {
                Some(close) => fault.other(close, end(close), "by its indentation, this one closes an outer block"),
                None => fault,
            }
        });
    }

    fn slash(&mut self) -> bool {
        let rest = &self.text[self.at..];
        if rest.starts_with("//") {
            return self.line_comment();
        }
        if let Some(after) = rest.strip_prefix("/**/")
            && after.starts_with(|c: char| !chars::is_blank(c) && !matches!(c, '{' | '}' | '(' | ')' | ';' | '=' | '"' | '/'))
        {
            return self.glob(self.at);
        }
        if rest.starts_with("/*") {
            return self.block_comment();
        }
        if rest.starts_with("/-") {
            return self.push(Kind::Slashdash, self.at + 2);
        }
        self.word()
    }

    fn word_or_other(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let begins_node = self.tokens.last().is_none_or(|token| matches!(token.kind, Kind::Newline | Kind::Semicolon | Kind::Open));
        if let Some(after) = rest.strip_prefix('\\')
            && let Some(end) = self.line_joint(self.text.len() - after.len())
        {
            self.at = end;
            self.spaced = true;
            return true;
        }
        if rest.trim_start_matches('#').starts_with('"') {
            return self.raw();
        }
        if rest.strip_prefix('r').is_some_and(|after| after.trim_start_matches('#').starts_with('"')) {
            return self.raw_of_version_1();
        }
        if let Some(after) = rest.strip_prefix('#') {
            let word = after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '-');
            let keyword = repair::KEYWORDS
                .iter()
                .any(|keyword| after.strip_prefix(keyword).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric)));
            let ends_raw = |token: &Token| token.kind == Kind::Text && !self.spaced && self.text[token.start()..].starts_with('#');
            if self.tokens.last().is_some_and(ends_raw) {
                return self.hashes_too_many();
            }
            if !word || begins_node && !keyword {
                return self.hash_comment();
            }
        }
        for (open, close) in [('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’'), ('„', '“'), ('«', '»')] {
            if rest.starts_with(open)
                && let Some(end) = self.reach(open, close)
            {
                return self.wrong_quotes(open, end);
            }
        }
        self.word()
    }

    /// The end of a text that begins here with `open`, when its `close` is near, on this line, and the text ends there.
    fn reach(&self, open: char, close: char) -> Option<usize> {
        let from = self.at + open.len_utf8();
        let to = (from + QUOTE_REACH).min(self.text.len());
        let to = (from..=to).rev().find(|n| self.text.is_char_boundary(*n))?;
        let end = from + self.text[from..to].find(|c| c == close || chars::is_newline(c))?;
        self.text[end..].starts_with(close).then(|| end + close.len_utf8())
    }

    fn wrong_quotes(&mut self, open: char, end: usize) -> bool {
        let text = &self.text[self.at + open.len_utf8()..end];
        let text = &text[..text.len() - text.chars().next_back().map_or(0, char::len_utf8)];
        self.faults.add(self.at, end, || {
            let message = if open == '`' { "a backtick does not quote".to_owned() } else { format!("`{open}` does not quote") };
            Fault::new("syntax::wrong-quotes", message, "strings stand between `\"`", format!("write `{}`", quoted(text)))
        });
        self.push(Kind::Bad, end)
    }

    /// A bare word, as far as it goes; a comment that begins in the middle of it is a fault.
    fn word(&mut self) -> bool {
        let start = self.at;
        let mut at = start;
        while let Some(c) = self.text[at..].chars().next() {
            let rest = &self.text[at..];
            match c {
                '{' | '}' | '｛' | '｝' | '(' | ')' | ';' | '=' | '"' => break,
                _ if chars::is_blank(c) => break,
                '#' => {
                    let hashes = rest.len() - rest.trim_start_matches('#').len();
                    if at > start && rest[hashes..].starts_with('"') {
                        break;
                    }
                    at += hashes;
                }
                '\\' if at > start && chars_then_newline(rest) => break,
                '/' if at > start && rest.starts_with("//") => {
                    if rest[2..].starts_with(|c| !chars::is_blank(c)) {
                        return self.address();
                    }
                    break;
                }
                '/' if at > start && rest.starts_with("/*") => return self.glued_comment(at),
                _ => at += c.len_utf8(),
            }
        }
        self.push(Kind::Word, at)
    }
}

/// Whether only white space, and perhaps a comment, stands between the `\` at the beginning of `rest` and the end of its line.
fn chars_then_newline(rest: &str) -> bool {
    let after = rest[1..].trim_start_matches(chars::is_space);
    after.is_empty() || after.starts_with(chars::is_newline) || after.starts_with("//") || after.starts_with("/*")
}
