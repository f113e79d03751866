//! Text → expression. Operators have one rank and are read from left to right; parentheses group.

use std::sync::Arc;

use crate::base::diagnostic::{Class, Diagnostic, Source, Span};

use super::{Expression, Operator};

/// How deep parentheses may stand in each other.
const DEEPEST: usize = 64;
/// The longest text, in bytes.
const LONGEST: usize = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Operator(Operator),
    Open,
    Close,
    Comma,
}

/// Reads an expression.
///
/// # Errors
/// The first fault of the text, with its place.
pub fn read(text: &str) -> Result<Expression, Diagnostic> {
    let source = Arc::new(Source { name: "query".to_owned(), text: text.to_owned() });
    if text.len() > LONGEST {
        return Err(Diagnostic::new(Class::Usage, "query::syntax", "the query is longer than 64 KiB").help("ask for less at once"));
    }
    let tokens = tokens(&source)?;
    let mut reader = Reader { source: &source, tokens, at: 0, depth: 0 };
    let expression = reader.expression()?;
    match reader.tokens.get(reader.at) {
        None => Ok(expression),
        Some((token, span)) => Err(match token {
            Token::Close => fault(span, "a `)` closes nothing", "no `(` before it").help("take it away"),
            Token::Comma => fault(span, "a `,` stands outside of a function", "not between arguments").help("sets are joined with `+`"),
            _ => fault(span, "two expressions stand side by side", "an operator is missing before this")
                .help("put `+`, `-` or `^` between them, with spaces around it"),
        }),
    }
}

fn fault(span: &Span, message: impl Into<String>, label: &str) -> Diagnostic {
    Diagnostic::new(Class::Usage, "query::syntax", message).label(span, label)
}

/// Names hold `-`, `/`, `@` and `:`, so an operator stands alone between spaces; inside `[…]` of a matrix cell all is part of the name.
fn tokens(source: &Arc<Source>) -> Result<Vec<(Token, Span)>, Diagnostic> {
    let text = &source.text;
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let start = at;
        at += first.len_utf8();
        let token = match first {
            c if c.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '"' | '\'' => {
                let Some(end) = text[at..].find(first) else {
                    let span = Span::new(source, start, text.len() - start);
                    return Err(fault(&span, "a quoted text is not closed", "begins here").help(format!("write `{first}` at its end")));
                };
                at += end + 1;
                Token::Quoted(text[start + 1..at - 1].to_owned())
            }
            _ => {
                at = word_end(text, start);
                let word = &text[start..at];
                match word {
                    "+" | "union" => Token::Operator(Operator::Union),
                    "-" | "except" => Token::Operator(Operator::Except),
                    "^" | "intersect" => Token::Operator(Operator::Intersect),
                    _ => Token::Word(word.to_owned()),
                }
            }
        };
        found.push((token, Span::new(source, start, at - start)));
    }
    Ok(found)
}

fn word_end(text: &str, start: usize) -> usize {
    let mut cell = false;
    for (at, c) in text[start..].char_indices() {
        match c {
            '[' => cell = true,
            ']' => cell = false,
            _ if cell => {}
            '(' | ')' | ',' | '"' | '\'' => return start + at,
            c if c.is_whitespace() => return start + at,
            _ => {}
        }
    }
    text.len()
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    tokens: Vec<(Token, Span)>,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<(Token, Span)> {
        let found = self.tokens.get(self.at).cloned();
        self.at += 1;
        found
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn end(&self) -> Span {
        Span::new(self.source, self.source.text.len(), 0)
    }

    fn expression(&mut self) -> Result<Expression, Diagnostic> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let span = self.tokens.get(self.at).map_or_else(|| self.end(), |(_, span)| span.clone());
            return Err(fault(&span, format!("the query is nested more than {DEEPEST} levels deep"), "here").help("ask in two steps"));
        }
        let first = self.term()?;
        let mut rest = Vec::new();
        while let Some(Token::Operator(operator)) = self.peek().cloned() {
            let span = self.next().map_or_else(|| self.end(), |(_, span)| span);
            rest.push((operator, span, self.term()?));
        }
        self.depth -= 1;
        Ok(if rest.is_empty() { first } else { Expression::Sets { first: Box::new(first), rest } })
    }

    fn term(&mut self) -> Result<Expression, Diagnostic> {
        let missing = |span: &Span| {
            fault(span, "a set is missing", "here").help("write a target, a step, or a function such as `deps(web)`; `*` is everything")
        };
        match self.next() {
            None => Err(missing(&self.end())),
            Some((Token::Quoted(text), span)) => Ok(Expression::Word(text, span)),
            Some((Token::Word(name), span)) if self.peek() == Some(&Token::Open) => self.call(name, span),
            Some((Token::Word(text), span)) => Ok(Expression::Word(text, span)),
            Some((Token::Open, span)) => {
                let inner = self.expression()?;
                self.close(&span)?;
                Ok(inner)
            }
            Some((_, span)) => Err(missing(&span)),
        }
    }

    fn call(&mut self, name: String, span: Span) -> Result<Expression, Diagnostic> {
        let open = self.next().map_or_else(|| self.end(), |(_, span)| span);
        let mut arguments = Vec::new();
        if self.peek() != Some(&Token::Close) {
            arguments.push(self.expression()?);
            while self.peek() == Some(&Token::Comma) {
                self.at += 1;
                arguments.push(self.expression()?);
            }
        }
        let end = self.close(&open)?;
        let whole = Span::new(self.source, span.start, end.start + end.len - span.start);
        Ok(Expression::Call { name, span, arguments, whole })
    }

    fn close(&mut self, open: &Span) -> Result<Span, Diagnostic> {
        match self.next() {
            Some((Token::Close, span)) => Ok(span),
            Some((_, span)) => {
                Err(fault(&span, "a `)` is missing", "before this").label(open, "to close this").help("operators stand between spaces"))
            }
            None => Err(fault(open, "a `(` is not closed", "opened here").help("write `)` at the end")),
        }
    }
}
