//! Makes what a child wrote harmless: lines of text that can be shown on any terminal.
//! In: bytes as they come, cut anywhere. Out: whole lines; on a colour terminal with their colours.
//! Never: a control character, a cursor movement, a title, a clipboard write, a turned direction, an unbounded line.
//!
//! A carriage return without a line feed begins the line anew, so a progress bar is shown in its last state. Bytes that
//! are not UTF-8 are shown as `\xff`; everything else that could act on a terminal is shown as `\u{1b}`. The log in the
//! store keeps every byte.

use std::fmt::Write as _;

use crate::base::words;

/// The longest line shown, in bytes; the rest of it is in the log.
const LONGEST_LINE: usize = 8 << 10;
/// The longest control sequence, in bytes.
const LONGEST_CSI: usize = 64;
/// The longest operating system command that is looked at, in bytes.
const LONGEST_OSC: usize = 2 << 10;
/// The colours that may be in force at once, in bytes of SGR.
const LONGEST_COLOURS: usize = 128;
const RESET: &str = "\x1b[0m";

/// Where in a sequence the bytes seen so far end.
#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After `ESC [`.
    Csi(String),
    /// After `ESC ]`.
    Osc(String),
    /// After `ESC ] … ESC`.
    OscEnd(String),
}

/// Cleans one stream of one child.
#[derive(Debug, Default)]
pub struct Cleaner {
    colour: bool,
    state: State,
    /// The beginning of a character whose end has not come yet.
    partial: Vec<u8>,
    line: String,
    columns: usize,
    /// A carriage return came; the next character overwrites the line.
    returned: bool,
    /// The line is longer than can be shown.
    cut: bool,
    /// The SGR sequences in force, as they came.
    colours: String,
}

impl Cleaner {
    /// With `colour`, harmless SGR sequences are kept; without, they are dropped.
    #[must_use]
    pub fn new(colour: bool) -> Self {
        Self { colour, ..Self::default() }
    }

    /// Takes bytes in and hands each finished line on, without its line feed.
    pub fn feed(&mut self, bytes: &[u8], emit: &mut dyn FnMut(String)) {
        let joined;
        let mut rest = if self.partial.is_empty() {
            bytes
        } else {
            self.partial.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.partial);
            &joined[..]
        };
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.text(text, emit);
                    return;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    self.text(std::str::from_utf8(good).unwrap_or_default(), emit);
                    let Some(len) = error.error_len() else {
                        self.partial = bad.to_vec();
                        return;
                    };
                    self.bytes(&bad[..len], emit);
                    rest = &bad[len..];
                }
            }
        }
    }

    /// Hands on what stands after the last line feed.
    pub fn finish(&mut self, emit: &mut dyn FnMut(String)) {
        let partial = std::mem::take(&mut self.partial);
        self.bytes(&partial, emit);
        self.abandon();
        if self.columns > 0 {
            self.end_line(emit);
        }
    }

    /// The line that is being written.
    #[must_use]
    pub fn current(&self) -> &str {
        if self.columns > 0 { &self.line } else { "" }
    }

    /// Shows bytes that are no text.
    fn bytes(&mut self, bytes: &[u8], emit: &mut dyn FnMut(String)) {
        for byte in bytes {
            self.text(&format!("\\x{byte:02x}"), emit);
        }
    }

    fn text(&mut self, text: &str, emit: &mut dyn FnMut(String)) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if matches!(self.state, State::Text) {
                let printable = rest.bytes().position(|byte| !(0x20..0x7f).contains(&byte)).unwrap_or(rest.len());
                if printable > 0 {
                    self.push(&rest[..printable], printable);
                    rest = &rest[printable..];
                    continue;
                }
            }
            rest = &rest[c.len_utf8()..];
            self.character(c, emit);
        }
    }

    /// Moves the state by one character.
    fn character(&mut self, c: char, emit: &mut dyn FnMut(String)) {
        match (std::mem::take(&mut self.state), c) {
            (State::Text, c) => self.plain(c, emit),
            (State::Escape, '[') => self.state = State::Csi(String::new()),
            (State::Escape, ']') => self.state = State::Osc(String::new()),
            (State::Csi(mut held), '\x20'..='\x3f') if held.len() < LONGEST_CSI => {
                held.push(c);
                self.state = State::Csi(held);
            }
            (State::Csi(held), '\x40'..='\x7e') => self.control(&held, c),
            (State::Osc(held), '\x07') => self.command(&held),
            (State::Osc(held), '\x1b') => self.state = State::OscEnd(held),
            (State::OscEnd(held), '\\') => self.command(&held),
            (State::Osc(mut held), c) if c != '\n' && held.len() < LONGEST_OSC => {
                held.push(c);
                self.state = State::Osc(held);
            }
            (broken, c) => {
                self.state = broken;
                self.abandon();
                self.character(c, emit);
            }
        }
    }

    /// A character outside of any sequence.
    fn plain(&mut self, c: char, emit: &mut dyn FnMut(String)) {
        match c {
            '\n' => self.end_line(emit),
            '\r' => self.returned = true,
            '\t' => {
                let width = 8 - self.columns_now() % 8;
                self.push(&"        "[..width], width);
            }
            '\x1b' => self.state = State::Escape,
            c if words::is_hidden(c) => {
                let shown = c.escape_unicode().to_string();
                self.push(&shown, shown.len());
            }
            c => {
                let mut buffer = [0; 4];
                self.push(c.encode_utf8(&mut buffer), 1);
            }
        }
    }

    /// Shows a sequence that broke off as the text it is.
    fn abandon(&mut self) {
        let shown = match std::mem::take(&mut self.state) {
            State::Text => return,
            State::Escape => "\x1b".to_owned(),
            State::Csi(held) => format!("\x1b[{held}"),
            State::Osc(held) => format!("\x1b]{held}"),
            State::OscEnd(held) => format!("\x1b]{held}\x1b"),
        };
        self.show(&shown);
    }

    fn show(&mut self, sequence: &str) {
        let shown = words::shorten(&words::visible(sequence), 60);
        self.push(&shown, shown.chars().count());
    }

    /// A whole control sequence. Erasing is what progress bars and compilers do at a line's ends.
    fn control(&mut self, parameters: &str, end: char) {
        match (parameters, end) {
            (_, 'm') if parameters.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':')) => self.sgr(parameters),
            ("" | "0", 'K') => {
                if self.returned {
                    self.clear();
                }
            }
            ("2", 'K') => self.clear(),
            _ => self.show(&format!("\x1b[{parameters}{end}")),
        }
    }

    /// A whole operating system command: a link keeps its text, everything else is shown.
    fn command(&mut self, held: &str) {
        if !held.starts_with("8;") {
            self.show(&format!("\x1b]{held}\x07"));
        }
    }

    fn sgr(&mut self, parameters: &str) {
        if !self.colour {
            return;
        }
        for kept in harmless(parameters) {
            if kept == "0" {
                self.colours.clear();
            } else if self.colours.len() + kept.len() + 3 <= LONGEST_COLOURS {
                let _ = write!(self.colours, "\x1b[{kept}m");
            }
            if !self.cut && !self.returned && self.line.len() < LONGEST_LINE {
                let _ = write!(self.line, "\x1b[{kept}m");
            }
        }
    }

    const fn columns_now(&self) -> usize {
        if self.returned { 0 } else { self.columns }
    }

    fn push(&mut self, text: &str, columns: usize) {
        if self.returned {
            self.clear();
        }
        if self.cut {
            return;
        }
        let mut room = LONGEST_LINE.saturating_sub(self.line.len()).min(text.len());
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        self.line.push_str(&text[..room]);
        self.columns += columns;
        self.cut = room < text.len();
    }

    fn clear(&mut self) {
        self.line.clear();
        self.line.push_str(&self.colours);
        self.columns = 0;
        self.returned = false;
        self.cut = false;
    }

    fn end_line(&mut self, emit: &mut dyn FnMut(String)) {
        let mut line = if self.columns > 0 { std::mem::take(&mut self.line) } else { String::new() };
        if self.cut {
            line.push_str(" … (the log has the whole line)");
        }
        if line.contains('\x1b') && !line.ends_with(RESET) {
            line.push_str(RESET);
        }
        self.clear();
        emit(line);
    }
}

/// The parameters of an SGR sequence that only colour: no blinking, no concealing, no other fonts.
/// Source: ECMA-48, 8.3.117; ITU-T T.416 for 38 and 48.
fn harmless(parameters: &str) -> Vec<String> {
    let mut kept = Vec::new();
    let mut rest = parameters.split(';');
    while let Some(one) = rest.next() {
        if one.contains(':') {
            if ["38:", "48:", "58:", "4:"].iter().any(|start| one.starts_with(start)) {
                kept.push(one.to_owned());
            }
            continue;
        }
        match one.parse::<u16>() {
            _ if one.is_empty() => kept.push("0".to_owned()),
            Ok(code @ (38 | 48 | 58)) => {
                let kind = rest.next().unwrap_or_default();
                let count = match kind {
                    "5" => 1,
                    "2" => 3,
                    _ => return kept,
                };
                let values: Vec<&str> = rest.by_ref().take(count).collect();
                if values.len() == count && values.iter().all(|value| value.parse::<u8>().is_ok()) {
                    kept.push(format!("{code};{kind};{}", values.join(";")));
                }
            }
            Ok(code @ (0..=4 | 7 | 9 | 21..=24 | 27 | 29..=37 | 39..=47 | 49 | 53 | 55 | 59 | 90..=97 | 100..=107)) => {
                kept.push(code.to_string());
            }
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(colour: bool, chunks: &[&[u8]]) -> Vec<String> {
        let mut cleaner = Cleaner::new(colour);
        let mut lines = Vec::new();
        for chunk in chunks {
            cleaner.feed(chunk, &mut |line| lines.push(line));
        }
        cleaner.finish(&mut |line| lines.push(line));
        lines
    }

    #[test]
    fn what_could_act_on_a_terminal_is_shown_instead() {
        for (bytes, expected) in [
            (&b"plain\n"[..], vec!["plain"]),
            (b"a\nb", vec!["a", "b"]),
            (b"a\r\n\r\nb\r\n", vec!["a", "", "b"]),
            (b"10%\r50%\r100%\n", vec!["100%"]),
            (b"10%\r\x1b[K100%\n", vec!["100%"]),
            (b"10%\x1b[2K\r100%\r", vec!["100%"]),
            (b"\x1b]52;c;aGk=\x07ok\n", vec!["\\u{1b}]52;c;aGk=\\u{7}ok"]),
            (b"\x1b]0;title\x1b\\x\n", vec!["\\u{1b}]0;title\\u{7}x"]),
            (b"\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\\n", vec!["link"]),
            (b"\x1b[2J\x1b[3Aup\n", vec!["\\u{1b}[2J\\u{1b}[3Aup"]),
            (b"\x1bc\x1b(0\n", vec!["\\u{1b}c\\u{1b}(0"]),
            (b"bell\x07 back\x08 null\0\n", vec!["bell\\u{7} back\\u{8} null\\u{0}"]),
            ("left\u{202e}right\u{9b}31m\n".as_bytes(), vec!["left\\u{202e}right\\u{9b}31m"]),
            (b"bad \xff\xfe \x9b31m\n", vec!["bad \\xff\\xfe \\x9b31m"]),
            (b"a\tb\n", vec!["a       b"]),
            (b"\x1b[31mred\x1b[0m\n", vec!["red"]),
            (b"cut \x1b[3", vec!["cut \\u{1b}[3"]),
            (b"cut \xe6\x97", vec!["cut \\xe6\\x97"]),
            (b"open \x1b]52;c;\nnext\n", vec!["open \\u{1b}]52;c;", "next"]),
        ] {
            assert_eq!(lines(false, &[bytes]), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn colours_stay_on_a_colour_terminal_and_never_leak_out_of_their_line() {
        for (bytes, expected) in [
            (&b"\x1b[31mred\x1b[0m\n"[..], vec!["\x1b[31mred\x1b[0m"]),
            (b"\x1b[1;31mred\nstill\x1b[m no\n", vec!["\x1b[1m\x1b[31mred\x1b[0m", "\x1b[1m\x1b[31mstill\x1b[0m no\x1b[0m"]),
            (b"\x1b[8mhidden\x1b[5mblink\n", vec!["hiddenblink"]),
            (b"\x1b[38;5;200mx\x1b[48;2;1;2;3my\n", vec!["\x1b[38;5;200mx\x1b[48;2;1;2;3my\x1b[0m"]),
            (b"\x1b[38;5mx\x1b[>4mx\n", vec!["x\\u{1b}[>4mx"]),
            (b"\x1b[01m\x1b[Kerror:\x1b[m\x1b[K no\n", vec!["\x1b[1merror:\x1b[0m no\x1b[0m"]),
        ] {
            assert_eq!(lines(true, &[bytes]), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_line_without_end_is_cut_and_its_successor_is_whole() {
        let mut bytes = vec![b'x'; 1 << 20];
        bytes.extend_from_slice(b"\nnext\n");
        let lines = lines(false, &[&bytes]);
        assert!(lines[0].len() < LONGEST_LINE + 100, "{}", lines[0].len());
        assert_eq!(lines[1], "next");
    }

    #[test]
    fn sequences_without_end_do_not_gather_memory() {
        let mut cleaner = Cleaner::new(true);
        for _ in 0..1000 {
            cleaner.feed(b"\x1b]52;c;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &mut |_| {});
            cleaner.feed(b"\x1b[38;5;1;38;5;2;38;5;3m\x1b[111111111111111", &mut |_| {});
        }
        assert!(cleaner.line.len() < 2 * LONGEST_LINE, "{}", cleaner.line.len());
        assert!(cleaner.colours.len() <= LONGEST_COLOURS);
    }

    proptest! {
        #[test]
        fn the_cuts_between_chunks_change_nothing(bytes in hostile(), cut in 0_usize..60) {
            let cut = cut.min(bytes.len());
            for colour in [true, false] {
                prop_assert_eq!(lines(colour, &[&bytes]), lines(colour, &[&bytes[..cut], &bytes[cut..]]));
            }
        }

        #[test]
        fn nothing_that_comes_out_can_act(bytes in hostile()) {
            for line in lines(false, &[&bytes]) {
                prop_assert!(!line.chars().any(words::is_hidden), "{line:?}");
            }
            for line in lines(true, &[&bytes]) {
                let mut rest = line.as_str();
                while let Some(at) = rest.find('\x1b') {
                    let end = rest[at..].find('m').map(|end| at + end);
                    prop_assert!(end.is_some(), "{line:?}");
                    let sequence = &rest[at + 1..end.unwrap_or(at)];
                    prop_assert!(sequence.starts_with('[') && sequence[1..].bytes().all(|b| b.is_ascii_digit() || b";:".contains(&b)), "{line:?}");
                    rest = &rest[end.unwrap_or(at) + 1..];
                }
                prop_assert!(!rest.chars().any(words::is_hidden), "{line:?}");
            }
        }
    }

    /// Bytes rich in what matters here.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\x1b[".to_vec()),
            Just(b"\x1b]".to_vec()),
            Just(b"\x1b".to_vec()),
            Just(b"31m".to_vec()),
            Just(b"8;;".to_vec()),
            Just(b"2K".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\x07".to_vec()),
            Just("é日\u{202e}".as_bytes().to_vec()),
            any::<u8>().prop_map(|byte| vec![byte]),
            "[a-z0-9;:]{0,5}".prop_map(String::into_bytes),
        ];
        proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }
}
