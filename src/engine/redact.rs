//! Secret values become `***` wherever they would be shown or kept, also across the borders of chunks.
//! In: the values, then bytes as they come. Out: the same bytes without the values, as they are or as base64, hexadecimal,
//! percent-encoded or JSON text. Never: holds more bytes back than the longest form has; shows how long a value is.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::forms;

/// What stands for a value.
const MARK: &[u8] = b"***";
/// Values shorter than this, in bytes, would mask half of every output; they are left alone.
pub const SHORTEST: usize = 4;
/// Of a longer value only this many bytes are looked for, so that the automaton stays small (about 10 MiB); each line of a
/// longer one is looked for all the same.
pub const LONGEST: usize = 16 << 10;
/// Forms shorter than this are too common by chance.
const SHORTEST_FORM: usize = 4;

/// The forms of all secret values, ready to be looked for: an automaton as Aho and Corasick have it.
#[derive(Debug, Clone)]
pub struct Needles(Arc<Automaton>);

#[derive(Default)]
struct Automaton {
    /// From the start; 0 stays there. The way of nearly every byte.
    start: Vec<u32>,
    /// From a state on a byte.
    edges: HashMap<(u32, u8), u32>,
    /// Where to go on when a state has no edge for a byte.
    fallback: Vec<u32>,
    /// How many bytes of a form have been seen in a state.
    depth: Vec<u32>,
    /// The length of the longest form that ends in a state; 0 for none.
    found: Vec<u32>,
}

impl std::fmt::Debug for Automaton {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The edges spell the secrets.
        write!(f, "Automaton({} states)", self.depth.len())
    }
}

impl Needles {
    /// Prepares for `secrets`. Values below [`SHORTEST`] bytes are ignored; each line of a value counts as a value too, since
    /// tools print keys line by line.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut forms = BTreeSet::new();
        for secret in secrets {
            let lines = secret.split(|byte| matches!(byte, b'\n' | b'\r'));
            // A line of a few characters in a longer value (a brace, `EOF`) is no secret.
            for value in [secret, secret.trim_ascii()].into_iter().chain(lines.filter(|line| line.len() >= 2 * SHORTEST)) {
                if value.len() >= SHORTEST {
                    forms.extend(forms::of(&value[..value.len().min(LONGEST)]));
                }
            }
        }
        forms.retain(|form| form.len() >= SHORTEST_FORM);
        Self(Arc::new(Automaton::of(&forms)))
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.depth.len() <= 1
    }
}

impl Automaton {
    fn of(forms: &BTreeSet<Vec<u8>>) -> Self {
        let mut new = Self { start: vec![0; 256], fallback: vec![0], depth: vec![0], found: vec![0], ..Self::default() };
        // States come in order of depth, so that fallbacks are known before those that build on them.
        let mut heads: Vec<(&[u8], u32)> = forms.iter().map(|form| (form.as_slice(), 0)).collect();
        let mut depth = 0;
        while !heads.is_empty() {
            for (form, state) in &mut heads {
                *state = new.grow(*state, form[depth], depth as u32 + 1);
                if form.len() == depth + 1 {
                    new.found[*state as usize] = depth as u32 + 1;
                }
            }
            depth += 1;
            heads.retain(|(form, _)| form.len() > depth);
        }
        new
    }

    /// The state after `from` on `byte`, made where there is none.
    fn grow(&mut self, from: u32, byte: u8, depth: u32) -> u32 {
        if let Some(there) = self.edge(from, byte) {
            return there;
        }
        let fallback = if from == 0 { 0 } else { self.step(self.fallback[from as usize], byte) };
        let state = self.depth.len() as u32;
        self.fallback.push(fallback);
        self.depth.push(depth);
        self.found.push(self.found[fallback as usize]);
        if from == 0 {
            self.start[usize::from(byte)] = state;
        } else {
            self.edges.insert((from, byte), state);
        }
        state
    }

    fn edge(&self, from: u32, byte: u8) -> Option<u32> {
        match from {
            0 => Some(self.start[usize::from(byte)]).filter(|state| *state != 0),
            _ => self.edges.get(&(from, byte)).copied(),
        }
    }

    fn step(&self, mut state: u32, byte: u8) -> u32 {
        loop {
            match self.edge(state, byte) {
                Some(next) => return next,
                None if state == 0 => return 0,
                None => state = self.fallback[state as usize],
            }
        }
    }
}

/// Redacts one stream. Two streams of one program need one each.
#[derive(Debug, Clone)]
pub struct Redactor {
    needles: Needles,
    state: u32,
    /// Bytes that may belong to a value whose end has not come.
    held: Vec<u8>,
    /// The parts of `held` that belong to a value.
    covered: Vec<Covered>,
}

#[derive(Debug, Clone, Copy)]
struct Covered {
    start: usize,
    end: usize,
    /// Whether the mark for it has been given already.
    marked: bool,
}

impl Redactor {
    /// A stream from its beginning.
    #[must_use]
    pub fn new(needles: &Needles) -> Self {
        Self { needles: needles.clone(), state: 0, held: Vec::new(), covered: Vec::new() }
    }

    /// Takes bytes in and hands on, to `sink`, all that can be told to be no part of a value.
    pub fn push(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8])) {
        if self.needles.is_empty() {
            return sink(bytes);
        }
        let automaton = Arc::clone(&self.needles.0);
        let mut rest = bytes;
        while let Some((byte, tail)) = rest.split_first() {
            if self.state == 0 {
                // Most bytes begin no form; they are taken over in runs.
                let run = rest.iter().position(|byte| automaton.start[usize::from(*byte)] != 0).unwrap_or(rest.len());
                self.held.extend_from_slice(&rest[..run]);
                if run > 0 {
                    rest = &rest[run..];
                    continue;
                }
            }
            self.held.push(*byte);
            self.state = automaton.step(self.state, *byte);
            let found = automaton.found[self.state as usize] as usize;
            if found > 0 {
                self.cover(self.held.len() - found, self.held.len());
            }
            rest = tail;
        }
        let open = automaton.depth[self.state as usize] as usize;
        self.give(self.held.len() - open, sink);
    }

    /// Hands on what is left at the end of the stream.
    pub fn finish(&mut self, sink: &mut dyn FnMut(&[u8])) {
        self.give(self.held.len(), sink);
        self.state = 0;
        self.covered.clear();
    }

    fn cover(&mut self, mut start: usize, end: usize) {
        let mut marked = false;
        // Parts that touch each other become one, so that two values side by side cannot be told from one.
        while let Some(last) = self.covered.last().filter(|last| last.end >= start) {
            start = start.min(last.start);
            marked |= last.marked;
            self.covered.pop();
        }
        self.covered.push(Covered { start, end, marked });
    }

    /// Gives the first `count` held bytes away.
    fn give(&mut self, count: usize, sink: &mut dyn FnMut(&[u8])) {
        let mut at = 0;
        for part in self.covered.iter_mut().take_while(|part| part.start < count) {
            if part.start > at {
                sink(&self.held[at..part.start]);
            }
            if !part.marked {
                sink(MARK);
                part.marked = true;
            }
            at = part.end.min(count);
        }
        if at < count {
            sink(&self.held[at..count]);
        }
        self.held.drain(..count);
        // A part that ends just here stays, so that a value right behind it gets no mark of its own.
        self.covered.retain(|part| part.end >= count);
        for part in &mut self.covered {
            (part.start, part.end) = (part.start.saturating_sub(count), part.end - count);
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;
    use proptest::prelude::*;

    fn redact<'a>(secrets: &[&[u8]], chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let needles = Needles::new(secrets.iter().copied());
        let mut redactor = Redactor::new(&needles);
        let mut out = Vec::new();
        for chunk in chunks {
            redactor.push(chunk, &mut |bytes| out.extend_from_slice(bytes));
        }
        redactor.finish(&mut |bytes| out.extend_from_slice(bytes));
        out
    }

    fn check(secrets: &[&str], input: &str, expected: &str) {
        let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.as_bytes()).collect();
        // Whole, and byte by byte: where chunks end must not matter.
        assert_eq!(String::from_utf8_lossy(&redact(&secrets, [input.as_bytes()])), expected);
        assert_eq!(String::from_utf8_lossy(&redact(&secrets, input.as_bytes().chunks(1))), expected);
    }

    #[test]
    fn values_and_their_usual_forms_are_masked() {
        let secret = "p@ss/w\"rd?1";
        for form in [
            secret.to_owned(),
            STANDARD.encode(secret),
            URL_SAFE.encode(secret),
            "7040737 32f77".replace(' ', "") + "2272643f31",
            "p%40ss%2Fw%22rd%3F1".to_owned(),
            "p%40ss%2fw%22rd%3f1".to_owned(),
            "p@ss/w\\\"rd?1".to_owned(),
        ] {
            let shown = redact(&[secret.as_bytes()], [format!("<{form}>").as_bytes()]);
            let shown = String::from_utf8(shown).unwrap();
            // In base64 the padding and a character that is shared with the neighbour may remain.
            assert!(shown.starts_with("<***") && shown.len() <= "<***xx==>".len(), "{form} became {shown}");
        }
    }

    #[test]
    fn a_value_inside_a_longer_base64_text_is_masked_wherever_it_begins() {
        for before in ["", "u", "us", "use", "user:"] {
            let text = STANDARD.encode(format!("{before}correct horse battery"));
            let shown = String::from_utf8(redact(&[b"correct horse battery"], [text.as_bytes()])).unwrap();
            assert!(shown.contains("***") && shown.len() < text.len() / 2 + 3, "{text} became {shown}");
        }
    }

    #[test]
    fn overlaps_prefixes_and_repeats_leave_no_rest() {
        check(&["secret"], "a secret b", "a *** b");
        check(&["secret"], "secre t, secr", "secre t, secr");
        check(&["secret"], "secretsecret", "***");
        check(&["secret", "cretin"], "a secretin b", "a *** b");
        check(&["abcd", "abcdefgh"], "abcdefgX abcdefgh", "***efgX ***");
        check(&["aaaa"], "aaaaaaaaaaaaaaaa", "***");
        check(&["abab"], "xababababy", "x***y");
        check(&["abc"], "abc", "abc");
        check(&[], "anything", "anything");
    }

    #[test]
    fn the_longest_value_is_looked_for_in_bounded_memory() {
        let value: Vec<u8> = (0..LONGEST * 2).map(|n| (n % 251) as u8 | 1).filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
        let needles = Needles::new([value.as_slice()]);
        assert!(needles.0.depth.len() < 32 * LONGEST, "{needles:?}");
        assert!(redact(&[&value], [value.as_slice()]).starts_with(MARK));
    }

    #[test]
    fn each_line_of_a_key_is_a_value() {
        check(&["-----BEGIN-----\nMIIEvQIBADAN\n}\n"], "log: MIIEvQIBADAN and }", "log: *** and }");
    }

    #[test]
    fn a_flood_of_a_value_holds_nothing_back() {
        let needles = Needles::new([&b"aaaa"[..]]);
        let mut redactor = Redactor::new(&needles);
        let mut given = 0;
        for _ in 0..1000 {
            redactor.push(&[b'a'; 1000], &mut |bytes| given += bytes.len());
            assert!(redactor.held.len() < 64 && redactor.covered.len() <= 1);
        }
        assert_eq!(given, MARK.len());
    }

    proptest! {
        #[test]
        fn where_chunks_end_does_not_matter(
            text in "[ab]{0,60}", secrets in proptest::collection::vec("[ab]{4,7}", 1..4), cuts in proptest::collection::vec(0_usize..60, 0..8)
        ) {
            let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.as_bytes()).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let whole = redact(&secrets, [text.as_bytes()]);
            prop_assert_eq!(&redact(&secrets, chunks), &whole);
            for secret in secrets {
                prop_assert!(!whole.windows(secret.len()).any(|window| window == secret));
            }
        }
    }
}
