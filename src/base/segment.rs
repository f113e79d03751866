//! What patterns are made of: read from a text, held against names, and against each other.
//! In: one way through the braces of a pattern. Out: its segments; whether they match, and whether two lists ever meet.
//! Never: a path on a disk.

use super::path::{BadPath, RelPath};
use super::pattern::BadPattern;

/// One part of a pattern, between slashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Segment {
    Folders,
    Name(Vec<Token>),
}

/// One part of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Token {
    Byte(u8),
    One,
    Many,
    Class { negated: bool, ranges: Vec<(u8, u8)> },
}

/// The most braces of one pattern: each is a step down while they are written out.
const BRACES: usize = 64;

/// Writes out every way through `{a,b}`, also nested.
pub(super) fn alternatives(text: &str) -> Result<Vec<String>, BadPattern> {
    if text.bytes().filter(|byte| *byte == b'{').count() > BRACES {
        return Err(BadPattern::Braces);
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut in_class = false;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'{' if !in_class => {
                let (end, commas) = closing(bytes, at)?;
                let mut all = Vec::new();
                let mut from = at + 1;
                for to in commas.into_iter().chain([end]) {
                    for tail in alternatives(&format!("{}{}", &text[from..to], &text[end + 1..]))? {
                        all.push(format!("{}{tail}", &text[..at]));
                        if all.len() > 256 {
                            return Err(BadPattern::TooMany);
                        }
                    }
                    from = to + 1;
                }
                return Ok(all);
            }
            _ => {}
        }
        at += 1;
    }
    Ok(vec![text.to_owned()])
}

fn closing(bytes: &[u8], open: usize) -> Result<(usize, Vec<usize>), BadPattern> {
    let (mut depth, mut commas, mut at) = (0_usize, Vec::new(), open);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'{' => depth += 1,
            b',' if depth == 1 => commas.push(at),
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Ok((at, commas));
                }
            }
            _ => {}
        }
        at += 1;
    }
    Err(BadPattern::Brace)
}

pub(super) fn segments(text: &str) -> Result<Vec<Segment>, BadPattern> {
    let mut found: Vec<Segment> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if found.pop().is_none() {
                    return Err(BadPath::Outside.into());
                }
            }
            "**" => {
                if found.last() != Some(&Segment::Folders) {
                    found.push(Segment::Folders);
                }
            }
            name => found.push(Segment::Name(tokens(name)?)),
        }
    }
    Ok(found)
}

fn tokens(name: &str) -> Result<Vec<Token>, BadPattern> {
    let bytes = name.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            0 => return Err(BadPath::Nul.into()),
            b'\\' if at + 1 < bytes.len() => {
                at += 1;
                found.push(Token::Byte(bytes[at]));
            }
            b'?' => found.push(Token::One),
            b'*' => {
                if bytes.get(at + 1) == Some(&b'*') {
                    return Err(BadPattern::Folders);
                }
                found.push(Token::Many);
            }
            b'[' => {
                let (class, end) = class(bytes, at)?;
                found.push(class);
                at = end;
            }
            byte => found.push(Token::Byte(byte)),
        }
        at += 1;
    }
    Ok(found)
}

fn class(bytes: &[u8], open: usize) -> Result<(Token, usize), BadPattern> {
    let mut at = open + 1;
    let negated = matches!(bytes.get(at), Some(b'!' | b'^'));
    if negated {
        at += 1;
    }
    let first = at;
    let mut ranges = Vec::new();
    loop {
        let byte = *bytes.get(at).ok_or(BadPattern::Class)?;
        if byte == b']' && at > first {
            return Ok((Token::Class { negated, ranges }, at));
        }
        match (bytes.get(at + 1), bytes.get(at + 2)) {
            (Some(b'-'), Some(end)) if *end != b']' => {
                ranges.push((byte, *end));
                at += 3;
            }
            _ => {
                ranges.push((byte, byte));
                at += 1;
            }
        }
    }
}

pub(super) fn plain(tokens: &[Token]) -> Option<Vec<u8>> {
    tokens.iter().map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None }).collect()
}

pub(super) fn literal_of(way: &[Segment]) -> Result<Option<RelPath>, BadPattern> {
    let mut path = RelPath::root();
    for segment in way {
        let Segment::Name(tokens) = segment else { return Ok(None) };
        let Some(name) = plain(tokens) else { return Ok(None) };
        path = path.join(name)?;
    }
    Ok(Some(path))
}

/// Whether a way selects these names.
pub(super) fn matches(way: &[Segment], names: &[&[u8]]) -> bool {
    let one = |segment: &Segment, name: &&[u8]| matches!(segment, Segment::Name(tokens) if matches_name(tokens, name));
    fits(way, names, |segment| *segment == Segment::Folders, one)
}

/// Whether a path could end as a way does, from its last bytes alone: nearly all paths are told from a `**/*.go` by this.
pub(super) fn may_end(way: &[Segment], path: &[u8]) -> bool {
    let Some(Segment::Name(tokens)) = way.last() else { return true };
    for (n, token) in tokens.iter().rev().enumerate() {
        match token {
            Token::Byte(byte) if path.iter().nth_back(n) != Some(byte) => return false,
            Token::Byte(_) => {}
            _ => return true,
        }
    }
    true
}

pub(super) fn may_continue(way: &[Segment], names: &[&[u8]]) -> bool {
    match (way.split_first(), names.split_first()) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some((Segment::Folders, _)), Some(_)) => true,
        (Some((Segment::Name(tokens), rest)), Some((name, others))) => matches_name(tokens, name) && may_continue(rest, others),
    }
}

fn matches_name(tokens: &[Token], name: &[u8]) -> bool {
    fits(tokens, name, |token| *token == Token::Many, |token, byte| takes(token, *byte))
}

/// Matches with one saved position per part that takes any number of items, so the time is bounded by the product of the lengths.
fn fits<P, T>(parts: &[P], items: &[T], any: impl Fn(&P) -> bool, one: impl Fn(&P, &T) -> bool) -> bool {
    let (mut p, mut i) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while i < items.len() {
        if parts.get(p).is_some_and(&any) {
            back = Some((p, i));
            p += 1;
        } else if parts.get(p).is_some_and(|part| one(part, &items[i])) {
            p += 1;
            i += 1;
        } else if let Some((star, from)) = back {
            back = Some((star, from + 1));
            p = star + 1;
            i = from + 1;
        } else {
            return false;
        }
    }
    parts[p..].iter().all(any)
}

fn takes(token: &Token, byte: u8) -> bool {
    match token {
        Token::Byte(own) => *own == byte,
        Token::One | Token::Many => true,
        Token::Class { negated, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *negated,
    }
}

/// Whether two lists of segments share a path: the product of both automata, one row at a time.
pub(super) fn intersect(a: &[Segment], b: &[Segment]) -> bool {
    meet(
        a,
        b,
        |x, y| match (x, y) {
            (Segment::Name(x), Segment::Name(y)) => meet(x, y, one_byte, |token| *token == Token::Many),
            _ => true,
        },
        |segment| *segment == Segment::Folders,
    )
}

/// Whether one byte of a name could be taken by both.
fn one_byte(a: &Token, b: &Token) -> bool {
    if let (Token::Byte(byte), other) | (other, Token::Byte(byte)) = (a, b) {
        return takes(other, *byte);
    }
    (1..=u8::MAX).filter(|byte| *byte != b'/').any(|byte| takes(a, byte) && takes(b, byte))
}

fn meet<T>(a: &[T], b: &[T], one: impl Fn(&T, &T) -> bool, any: impl Fn(&T) -> bool) -> bool {
    let mut reached = vec![vec![false; b.len() + 1]; a.len() + 1];
    reached[0][0] = true;
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if !reached[i][j] {
                continue;
            }
            let (x, y) = (a.get(i), b.get(j));
            if x.is_some_and(&any) {
                reached[i + 1][j] = true;
                if j < b.len() {
                    reached[i][j + 1] = true;
                }
            }
            if y.is_some_and(&any) {
                reached[i][j + 1] = true;
                if i < a.len() {
                    reached[i + 1][j] = true;
                }
            }
            if let (Some(x), Some(y)) = (x, y)
                && !any(x)
                && !any(y)
                && one(x, y)
            {
                reached[i + 1][j + 1] = true;
            }
        }
    }
    reached[a.len()][b.len()]
}
