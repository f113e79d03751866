//! Tokens → nodes, for a file whose tokens stand in good order.
//! In: what the prescan and the shape check found good, with nothing under `/-`. Out: the very nodes that the `kdl` crate gives for
//! the whole file, or nothing where only the crate can tell. Never: the meaning of a number, an escape or a text of several lines:
//! the crate gives it, for that value alone.
//!
//! The crate takes about 4,000 instructions for each byte of a file; most of a plan is names, plain strings and braces.

use std::sync::Arc;

use crate::base::diagnostic::{Source, Span};
use crate::syntax::document::{Node, Prop, Scalar, Value, Word};
use crate::syntax::parse::scalar_of;
use crate::syntax::prescan::{Kind, Token};

/// Builds the nodes of a file.
pub(super) fn build(source: &Arc<Source>, tokens: &[Token]) -> Option<Vec<Node>> {
    let mut builder = Builder { source, tokens, next: 0 };
    let nodes = builder.nodes()?;
    builder.token().is_none().then_some(nodes)
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    tokens: &'a [Token],
    next: usize,
}

impl<'a> Builder<'a> {
    fn token(&self) -> Option<Token> {
        self.tokens.get(self.next).copied()
    }

    fn take(&mut self, kind: Kind) -> Option<Token> {
        let token = self.token().filter(|token| token.kind == kind)?;
        self.next += 1;
        Some(token)
    }

    /// Takes a name or a value.
    fn written(&mut self) -> Option<Token> {
        self.take(Kind::Word).or_else(|| self.take(Kind::Text))
    }

    fn text(&self, token: Token) -> &'a str {
        &self.source.text[token.range()]
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start, end - start)
    }

    /// The nodes up to a closing brace, or the end.
    fn nodes(&mut self) -> Option<Vec<Node>> {
        let mut nodes = Vec::new();
        while let Some(token) = self.token() {
            match token.kind {
                Kind::Close => break,
                Kind::Newline | Kind::Semicolon => self.next += 1,
                _ => nodes.push(self.node()?),
            }
        }
        nodes.shrink_to_fit();
        Some(nodes)
    }

    fn node(&mut self) -> Option<Node> {
        let name = self.word()?;
        let (start, mut end) = (name.span.start, name.span.start + name.span.len);
        let (mut args, mut props, mut children) = (Vec::new(), Vec::new(), None);
        while let Some(token) = self.token() {
            match token.kind {
                Kind::Newline | Kind::Semicolon | Kind::Close => break,
                // Nothing but its end follows the block of a node.
                _ if children.is_some() => return None,
                Kind::Open => {
                    self.next += 1;
                    children = Some(self.nodes()?);
                    end = self.take(Kind::Close)?.end();
                }
                _ => {
                    let is_name = self.tokens.get(self.next + 1).is_some_and(|next| next.kind == Kind::Equals);
                    let name = if is_name { Some(self.word()?) } else { None };
                    self.next += usize::from(is_name);
                    let value = self.value()?;
                    end = value.span.start + value.span.len;
                    match name {
                        Some(name) => props.push(Prop { name, value }),
                        None => args.push(value),
                    }
                }
            }
        }
        // Room for what may follow is a third of a large plan's memory.
        args.shrink_to_fit();
        props.shrink_to_fit();
        Some(Node { name, args, props, children, span: self.span(start, end) })
    }

    fn word(&mut self) -> Option<Word> {
        let token = self.written()?;
        let written = self.text(token);
        let text = match token.kind {
            Kind::Word if begins_as_name(written) => written.to_owned(),
            Kind::Text => string(written)?,
            _ => kdl::KdlIdentifier::parse(written).ok()?.value().to_owned(),
        };
        Some(Word { text, span: self.span(token.start(), token.end()) })
    }

    fn value(&mut self) -> Option<Value> {
        let start = self.token()?.start();
        let annotation = match self.take(Kind::ParenOpen) {
            Some(_) => {
                let name = self.word()?;
                self.take(Kind::ParenClose)?;
                Some(Box::new(name))
            }
            None => None,
        };
        let token = self.written()?;
        let written = self.text(token);
        let scalar = if token.kind == Kind::Text { Scalar::String(string(written)?) } else { scalar(written)? };
        let bare = matches!(scalar, Scalar::String(_)) && !written.ends_with(['"', '#']);
        Some(Value { scalar, annotation, span: self.span(start, token.end()), bare })
    }
}

/// Whether a bare word is no number and no keyword, whatever follows.
fn begins_as_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii())
}

fn scalar(word: &str) -> Option<Scalar> {
    match word {
        "#true" => return Some(Scalar::Bool(true)),
        "#false" => return Some(Scalar::Bool(false)),
        "#null" => return Some(Scalar::Null),
        _ if begins_as_name(word) => return Some(Scalar::String(word.to_owned())),
        _ => {}
    }
    // Up to 18 digits fit whatever they are.
    if word.len() <= 18 && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return word.parse().ok().map(Scalar::Integer);
    }
    Some(scalar_of(kdl::KdlEntry::parse(word).ok()?.value()))
}

/// What a string stands for.
fn string(written: &str) -> Option<String> {
    let hashes = written.len() - written.trim_start_matches('#').len();
    let inside = written.get(hashes..written.len().checked_sub(hashes)?)?;
    let one_line = !inside.starts_with("\"\"\"") && (hashes > 0 || !inside.contains('\\'));
    match inside.strip_prefix('"').and_then(|inside| inside.strip_suffix('"')) {
        Some(text) if one_line => Some(text.to_owned()),
        _ => Some(kdl::KdlIdentifier::parse(written).ok()?.value().to_owned()),
    }
}
