//! Arguments and properties: whether each is one value, well parted from its neighbours.
//! In: the walk over the tokens, at the first token of an entry. Out: the faults of that entry; the walk stands after it.
//! Never: decides what a value means.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use crate::syntax::faults::{Fault, quoted, shown};
use crate::syntax::prescan::{Kind, Token};
use crate::syntax::repair::{self, Place};
use crate::syntax::shape::Walk;
use crate::syntax::strings;

/// How many tokens a text with braces, or a row of values without spaces, may have to be recognised as one.
const GLUED_REACH: usize = 64;

/// The names of the properties of one node, each with its place.
pub(super) type Names<'a> = HashMap<Cow<'a, str>, Range<usize>>;

impl<'a> Walk<'a> {
    pub(super) fn entry(&mut self, names: &mut Names<'a>) {
        if self.list(None) || self.colon_after_quotes() || self.block_text() {
            return;
        }
        let Some(first) = self.token() else { return };
        self.glued(first);
        let annotated = self.kind() == Some(Kind::ParenOpen);
        if annotated && !self.annotation() {
            return;
        }
        let Some(token) = self.value_token() else {
            self.no_value(first.start());
            return;
        };
        let is_key = self.tokens.get(self.next + 1).is_some_and(|next| next.kind == Kind::Equals);
        if !is_key && self.bare_braces() {
            return;
        }
        self.next += 1;
        if !is_key {
            if token.kind == Kind::Word {
                self.check_word(token, Place::Value);
                self.glued_paren(token, Place::Value);
            }
            return;
        }
        if annotated {
            self.fault(first.start()..token.end(), || {
                let help = "write the type after `=`, before the value";
                Fault::new("syntax::bad-annotation", "the name of a property has no type", "types stand before values only", help)
            });
        }
        self.property(token, names);
    }

    /// The token here, when it can be a value.
    fn value_token(&self) -> Option<Token> {
        self.token().filter(|token| matches!(token.kind, Kind::Word | Kind::Text | Kind::Bad))
    }

    /// `=` and a value, after the name of a property.
    fn property(&mut self, name: Token, names: &mut Names<'a>) {
        let equals = self.tokens[self.next];
        let good = name.kind != Kind::Word || self.check_word(name, Place::Key);
        self.next += 1;
        if let Some(second) = self.token().filter(|token| token.kind == Kind::Equals) {
            self.next += 1;
            self.fault(equals.start()..second.end(), || {
                Fault::new(
                    "syntax::operator-property",
                    "`==` is no comparison",
                    "one `=` sets a property",
                    "write `=`, or quote the whole text",
                )
            });
        } else if good
            && self.token().is_some_and(|token| !token.spaced && token.kind == Kind::Word && self.text_of(token).starts_with('>'))
        {
            self.next += 1;
            self.fault(equals.start()..self.taken_to(), || {
                Fault::new(
                    "syntax::operator-property",
                    "`=>` is no arrow: it sets a property",
                    "one `=` sets a property",
                    "write `=`, or quote the whole text",
                )
            });
            return;
        }
        if self.kind() == Some(Kind::ParenOpen) && !self.annotation() {
            return;
        }
        if self.list(Some(name)) {
            return;
        }
        let Some(value) = self.value_token() else {
            self.no_value(name.start());
            return;
        };
        if !self.bare_braces() {
            self.next += 1;
            if value.kind == Kind::Word {
                self.check_word(value, Place::Value);
                self.glued_paren(value, Place::Value);
            }
        }
        if name.kind != Kind::Bad {
            self.duplicate(name, names);
        }
    }

    fn no_value(&mut self, start: usize) {
        let end = self.taken_to().max(start);
        self.fault(start..end, || {
            Fault::new(
                "syntax::missing-value",
                "a value is missing here",
                "nothing follows it",
                "write the value on the same line; an empty text is `\"\"`",
            )
        });
    }

    /// Notes the name of a property; the second one of the same name is a fault.
    fn duplicate(&mut self, name: Token, names: &mut Names<'a>) {
        let text = self.text_of(name);
        let key = if name.kind == Kind::Word { Cow::Borrowed(text) } else { strings::meaning(text) };
        if let Some(first) = names.get(&key).cloned() {
            let message = format!("property `{}` is set twice", shown(&key));
            self.fault(name.range(), || {
                let help = "keep one of the two; a list of values is written as arguments or as a block";
                Fault::new("syntax::duplicate-property", message, "the second time", help).other(first.start, first.end, "the first time")
            });
            return;
        }
        names.insert(key, name.range());
    }

    /// Reports a value that follows another one without a space.
    fn glued(&mut self, token: Token) {
        let is_value = |token: &Token| matches!(token.kind, Kind::Word | Kind::Text);
        let follows = |at: usize| at > 0 && !self.tokens[at].spaced && is_value(&self.tokens[at - 1]);
        let begins = follows(self.next) && !follows(self.next - 1);
        // A comma has a fault of its own.
        if begins && (is_value(&token) || token.kind == Kind::ParenOpen) && !self.text_of(token).starts_with(',') {
            let start = self.tokens[self.next - 1].start();
            let chain = self.tokens[self.next..].iter().take(GLUED_REACH).take_while(|token| !token.spaced && is_value(token));
            let end = chain.last().unwrap_or(&token).end();
            self.fault(start..end, || {
                let help = "put a space between two values; inside a string write a quote as `\\\"`";
                Fault::new("syntax::missing-space", "two values without a space between them", "where does the first one end?", help)
            });
        }
    }

    /// Checks a bare word; says whether it is good.
    pub(super) fn check_word(&mut self, token: Token, place: Place) -> bool {
        let line = &self.text[token.end()..];
        let line = line.get(..line.len().min(80)).unwrap_or_default().lines().next().unwrap_or_default();
        let Some(cause) = repair::cause(self.text_of(token), place, line) else { return true };
        self.fault(token.start() + cause.start..token.start() + cause.end, || cause.fault);
        false
    }

    /// `$(date)`, `name(x)`: a parenthesis right after a word; `task("x")`, where a node is named.
    pub(super) fn glued_paren(&mut self, word: Token, place: Place) {
        if !self.token().is_some_and(|token| token.kind == Kind::ParenOpen && !token.spaced) {
            return;
        }
        while let Some(token) = self.token() {
            if matches!(token.kind, Kind::Newline | Kind::Semicolon | Kind::Close | Kind::Open) {
                break;
            }
            self.next += 1;
            if token.kind == Kind::ParenClose {
                break;
            }
        }
        let range = word.start()..self.taken_to();
        let text = &self.text[range.clone()];
        let call = text.strip_suffix(')').and_then(|call| call.split_once('(')).filter(|_| place == Place::Name);
        self.fault(range, || {
            let help = match call {
                Some((name, values)) => format!("a node takes its values without parentheses: `{}`", shown(&format!("{name} {values}"))),
                None => format!("quote it: `{}`", quoted(text)),
            };
            Fault::new("syntax::bare-parens", format!("`(` in `{}` begins the type of a value", shown(text)), "not a bare word", help)
        });
    }

    /// Takes a text such as `a{b}c`, `{b}` or `${b}`, which would open a block; says whether one stood here.
    pub(super) fn bare_braces(&mut self) -> bool {
        let Some(first) = self.token() else { return false };
        let (mut at, mut open, mut closed, mut inside) = (self.next, 0usize, false, 0usize);
        while let Some(token) = self.tokens.get(at).filter(|token| at == self.next || !token.spaced) {
            if at == self.next + GLUED_REACH {
                break;
            }
            match token.kind {
                Kind::Open => open += 1,
                Kind::Close if open == 0 => break,
                Kind::Close => {
                    open -= 1;
                    closed = true;
                }
                Kind::Newline | Kind::Semicolon | Kind::Slashdash => break,
                _ if open > 0 => inside += 1,
                _ => {}
            }
            at += 1;
        }
        if open > 0 || !closed || inside == 0 {
            return false;
        }
        self.next = at;
        let range = first.start()..self.taken_to();
        let text = &self.text[range.clone()];
        self.fault(range, || {
            let help = format!("for a text write `{}`; for a block put spaces inside the braces", quoted(text));
            Fault::new("syntax::bare-braces", format!("`{{` in `{}` opens a block", shown(text)), "not a bare word", help)
        });
        true
    }

    /// `(type)`; reports one that is not well formed and says whether it was.
    pub(super) fn annotation(&mut self) -> bool {
        let open = self.tokens[self.next];
        self.next += 1;
        let mut good = false;
        if let Some(name) = self.value_token() {
            self.next += 1;
            good = name.kind != Kind::Word || repair::cause(self.text_of(name), Place::Key, "").is_none();
        }
        // A parenthesis that closes it soon is taken with it; far ones belong to something else.
        let near = self.tokens[self.next..].iter().take(4).take_while(|token| !matches!(token.kind, Kind::Newline | Kind::ParenOpen));
        match near.map(|token| token.kind).position(|kind| kind == Kind::ParenClose) {
            Some(n) => {
                good &= n == 0;
                self.next += n + 1;
            }
            None => good = false,
        }
        if !good {
            self.fault(open.start()..self.taken_to(), || {
                let help = "a type is one name between parentheses before a value; quote a text that holds `(`";
                Fault::new("syntax::bad-annotation", "this is no type", "`(` begins the type of a value", help)
            });
        }
        good
    }
}
