//! Text with `${…}` → its pieces, each expression compiled, its names known with their places before anything is asked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use minijinja::{Environment, Expression};

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::words;
use crate::syntax::document::Value;

use super::engine::{EXPRESSION_LIMIT, FILTERS, TESTS};
use super::habits;

/// Expressions by their text, each compiled once, also where a template is written out a thousand times.
pub(in crate::plan) type Known<'e> = RefCell<HashMap<String, Rc<Expression<'e, 'static>>>>;

/// A text, taken apart once and resolved as often as its place is repeated.
pub(in crate::plan) struct Template<'e> {
    /// Its pieces, in order.
    pub pieces: Vec<Piece<'e>>,
}

/// A part of a template.
pub(in crate::plan) enum Piece<'e> {
    /// Stands for itself.
    Text(String),
    /// Stands for its value.
    Expression(Compiled<'e>),
}

/// What stands in `${…}`.
pub(in crate::plan) struct Compiled<'e> {
    /// Ready to be asked.
    pub expression: Rc<Expression<'e, 'static>>,
    /// The names that it needs, as `git.sha`, in order of place.
    pub names: Vec<Dotted>,
    /// Its text, where it compares.
    pub compares: Option<String>,
    /// Between the braces.
    pub span: Span,
}

/// A name with the attributes that follow it.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Dotted {
    /// For instance `git.sha`.
    pub text: String,
    /// Its place.
    pub span: Span,
}

impl Dotted {
    /// `git` of `git.sha`.
    pub(in crate::plan) fn root(&self) -> &str {
        self.text.split('.').next().unwrap_or_default()
    }
    /// `sha` of `git.sha` and of `git.sha.x`.
    pub(in crate::plan) fn second(&self) -> Option<&str> {
        self.text.split('.').nth(1)
    }
}

impl<'e> Template<'e> {
    /// Takes `text`, the unescaped text of `value`, apart.
    ///
    /// # Errors
    /// One fault per expression that cannot be read.
    pub(in crate::plan) fn new(
        engine: &'e Environment<'static>,
        known: &Known<'e>,
        value: &Value,
        text: &str,
    ) -> Result<Self, Vec<Diagnostic>> {
        let place = Place::new(value, text);
        let (mut pieces, mut faults, mut literal) = (Vec::new(), Vec::new(), String::new());
        let mut rest = 0;
        while let Some(dollar) = text[rest..].find('$').map(|at| rest + at) {
            literal.push_str(&text[rest..dollar]);
            if text[dollar..].starts_with("$${") {
                literal.push_str("${");
                rest = dollar + 3;
            } else if text[dollar..].starts_with("${") {
                let Some(end) = closing(text, dollar + 2) else {
                    let span = place.at(dollar..dollar + 2);
                    let fault = Diagnostic::plan("plan::bad-expression", "`${` has no `}`", &span, "begins here");
                    faults.push(fault.help("close it, or write `$${` for a `${` that stands for itself"));
                    return Err(faults);
                };
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                match compile(engine, known, &place, dollar + 2..end) {
                    Ok(compiled) => pieces.push(Piece::Expression(compiled)),
                    Err(fault) => faults.push(*fault),
                }
                rest = end + 1;
            } else {
                literal.push('$');
                rest = dollar + 1;
            }
        }
        literal.push_str(&text[rest..]);
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        if faults.is_empty() { Ok(Self { pieces }) } else { Err(faults) }
    }

    /// The names that its expressions need.
    pub(in crate::plan) fn names(&self) -> impl Iterator<Item = &Dotted> {
        self.pieces.iter().flat_map(|piece| match piece {
            Piece::Text(_) => &[][..],
            Piece::Expression(compiled) => &compiled.names,
        })
    }
}

fn compile<'e>(
    engine: &'e Environment<'static>,
    known: &Known<'e>,
    place: &Place<'_>,
    range: Range<usize>,
) -> Result<Compiled<'e>, Box<Diagnostic>> {
    let text = &place.text[range.clone()];
    let span = place.at(range.clone());
    let fault = |message: String, span: &Span, label: &str| Diagnostic::plan("plan::bad-expression", message, span, label);
    let outer = place.at(range.start - 2..range.end + 1);
    if text.trim().is_empty() {
        return Err(fault("`${}` names nothing".to_owned(), &outer, "").help("name a value: `${name}`").into());
    }
    if text.len() > EXPRESSION_LIMIT {
        let message = format!("an expression has {}; at most {EXPRESSION_LIMIT} are read", words::count(text.len(), "byte"));
        return Err(fault(message, &outer, "").help("give its parts names with `let`").into());
    }
    let survey = Survey::new(text);
    let inner = |part: &Range<usize>| place.at(range.start + part.start..range.start + part.end);
    if let Some(habit) = habits::of(text) {
        return Err(fault(habit.message, &inner(&habit.part), "").help(words::shorten(&words::visible(&habit.help), 200)).into());
    }
    for (filter, part) in &survey.filters {
        let names: Vec<&str> = FILTERS.iter().map(|filter| filter.name).collect();
        if !names.contains(&filter.as_str()) {
            return Err(fault(format!("there is no filter `{filter}`"), &inner(part), "not a filter")
                .help(offer(filter, &names, "filters"))
                .into());
        }
    }
    for (test, part) in &survey.tests {
        let names: Vec<&str> = TESTS.iter().map(|(name, _)| *name).collect();
        if !names.contains(&test.as_str()) {
            let help = format!("{}; to compare, write `==`", offer(test, &names, "tests"));
            return Err(fault(format!("there is no test `{test}`"), &inner(part), "not a test").help(help).into());
        }
    }
    let there = known.borrow().get(text).cloned();
    let made = there.map_or_else(|| engine.compile_expression_owned(text.to_owned()).map(Rc::new), Ok);
    let expression = made.map_err(|error| {
        let detail = error.detail().map_or_else(|| error.to_string(), str::to_owned);
        let fault = fault(format!("`${{{}}}` cannot be read: {}", words::visible(text), words::visible(&detail)), &span, "");
        fault.help(if text.contains(" = ") { "to compare, write `==`" } else { "write `$${` for a `${` that stands for itself" })
    })?;
    known.borrow_mut().insert(text.to_owned(), Rc::clone(&expression));
    let needed = expression.undeclared_variables(true);
    let mut names: Vec<Dotted> = Vec::new();
    for (name, part) in survey.names.into_iter().filter(|(name, _)| needed.contains(name)) {
        if !names.iter().any(|known| known.text == name) {
            names.push(Dotted { text: name, span: inner(&part) });
        }
    }
    // A name written with spaces around its dots is not found by the survey; it gets the place of the whole expression.
    let mut others: Vec<&String> = needed.iter().filter(|name| !names.iter().any(|known| known.text == **name)).collect();
    others.sort();
    names.extend(others.into_iter().map(|name| Dotted { text: name.clone(), span: span.clone() }));
    let compares = text.contains(['<', '>', '=']).then(|| text.to_owned());
    Ok(Compiled { expression, names, compares, span })
}

fn offer(word: &str, names: &[&str], noun: &str) -> String {
    words::closest(word, names.iter().copied())
        .map_or_else(|| format!("{noun} are: {}", names.join(", ")), |near| format!("did you mean `{near}`?"))
}

/// The end of an expression: the `}` that is not inside quotes or inner braces.
fn closing(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (from, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"') => at = after_quote(bytes, at, quote)?,
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

fn after_quote(bytes: &[u8], open: usize, quote: u8) -> Option<usize> {
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if byte == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The words of an expression outside its quotes, with their places.
struct Survey {
    names: Vec<(String, Range<usize>)>,
    filters: Vec<(String, Range<usize>)>,
    /// What follows `is` or `is not`.
    tests: Vec<(String, Range<usize>)>,
}

impl Survey {
    fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut survey = Self { names: Vec::new(), filters: Vec::new(), tests: Vec::new() };
        let mut after_is = false;
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let (mut at, mut before) = (0, b' ');
        while at < bytes.len() {
            let start = at;
            match bytes[at] {
                quote @ (b'\'' | b'"') => at = after_quote(bytes, at, quote).unwrap_or(bytes.len()),
                byte if word(byte) => {
                    let filter = before == b'|';
                    while at < bytes.len() && (word(bytes[at]) || (!filter && bytes[at] == b'.')) {
                        at += 1;
                    }
                    let found = text[start..at].trim_end_matches('.').to_owned();
                    let range = start..start + found.len();
                    let (tested, word) = (after_is, found.as_str());
                    after_is = (before != b'|' && word == "is") || (tested && word == "not");
                    match before {
                        _ if tested && word != "not" => survey.tests.push((found, range)),
                        b'|' => survey.filters.push((found, range)),
                        b'.' => {}
                        _ => survey.names.push((found, range)),
                    }
                    at -= 1;
                }
                _ => {}
            }
            if !bytes[start].is_ascii_whitespace() {
                before = bytes[start];
            }
            at += 1;
        }
        survey
    }
}

/// Where the unescaped text of a value stands in the source.
pub(in crate::plan) struct Place<'v> {
    value: &'v Value,
    text: &'v str,
    offset: Option<usize>,
}

impl<'v> Place<'v> {
    pub(in crate::plan) fn new(value: &'v Value, text: &'v str) -> Self {
        Self { value, text, offset: value.span.text().find(text) }
    }

    /// The place of a part of the text; where escapes hide it, the same words nearest to the front, else the whole value.
    pub(in crate::plan) fn at(&self, range: Range<usize>) -> Span {
        let span = &self.value.span;
        let offset = match self.offset {
            Some(offset) => Some(offset + range.start),
            None => span.text().find(&self.text[range.clone()]),
        };
        offset.map_or_else(|| span.clone(), |offset| span.part(span.start + offset, range.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::Source;
    use crate::plan::value::engine::engine;
    use crate::syntax::document::Scalar;
    use std::sync::Arc;

    fn pieces(raw: &str, text: &str) -> Result<String, String> {
        let source = Arc::new(Source { name: "build.kdl".into(), text: raw.to_owned() });
        let value = Value { scalar: Scalar::String(text.into()), annotation: None, span: Span::new(&source, 0, raw.len()), bare: false };
        let engine = engine();
        let template = Template::new(&engine, &Known::default(), &value, text)
            .map_err(|faults| faults.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>().join("; "))?;
        let shown = template.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => format!("{text:?}"),
            Piece::Expression(compiled) => {
                let names: Vec<String> = compiled.names.iter().map(|name| format!("{}@{}", name.text, name.span.start)).collect();
                format!("<{}>{}", compiled.span.text(), names.join(","))
            }
        });
        Ok(shown.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn texts_are_taken_apart_with_the_places_of_their_names() {
        for (text, expected) in [
            ("plain $HOME $(x) $$", r#""plain $HOME $(x) $$""#),
            ("", r#""""#),
            ("a${b}c", r#""a" <b>b@4 "c""#),
            ("$${b}", r#""${b}""#),
            ("${git.branch|slug}", "<git.branch|slug>git.branch@3"),
            ("${env.A|default('}')}", "<env.A|default('}')>env.A@3"),
            ("${x['git'] ~ y . z}", "<x['git'] ~ y . z>x@3,y.z@3"),
            ("${a if b.c else d}", "<a if b.c else d>a@3,b.c@8,d@17"),
        ] {
            assert_eq!(pieces(&format!("\"{text}\""), text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn escapes_before_a_name_do_not_move_its_mark() {
        assert_eq!(pieces("\"\\t${name}\"", "\t${name}").as_deref(), Ok("\"\\t\" <name>name@5"));
    }

    #[test]
    fn what_is_not_an_expression_is_refused() {
        for (text, part) in [
            ("${", "has no `}`"),
            ("${'}", "has no `}`"),
            ("${}", "names nothing"),
            ("${a b}", "cannot be read"),
            ("${'x' * 999999}", "`*` is not part"),
            ("${a|slgu}", "no filter `slgu`"),
            (&format!("${{{}}}", "x~".repeat(600)), "at most 1024"),
            (&format!("${{{}}}", "(".repeat(1000)), "cannot be read"),
        ] {
            let answer = pieces(&format!("\"{text}\""), text);
            assert!(answer.as_ref().is_err_and(|message| message.contains(part)), "{text}: {answer:?}");
        }
    }
}
