//! Changes of a seed: of bytes, of words, of lines, and between two seeds.

use std::collections::BTreeSet;
use std::sync::OnceLock;

/// The largest case, in bytes; large plans have tests of their own.
const LARGEST: usize = 16 << 10;

/// Numbers from a seed, the same on every machine. Source: `SplitMix64`, Steele, Lea and Flood 2014.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `n`, which is not zero.
    pub const fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// What breaks parsers, and what the language is made of.
const WORDS: &[&str] = &[
    "\"",
    "\"\"\"",
    "#\"",
    "\"#",
    "#\"\"\"\n",
    "\n\"\"\"#",
    "{",
    "}",
    "(",
    ")",
    ";",
    "=",
    "\\",
    "\\\n",
    "/-",
    "/*",
    "*/",
    "//",
    "\n",
    "\r\n",
    " ",
    "\t",
    "#true",
    "#null",
    "#nan",
    "#inf",
    "true",
    "0",
    "-1",
    "1e400",
    "0x",
    "99999999999999999999999999999999999999999",
    "1.2.3",
    "1h",
    "512MiB",
    "${",
    "}",
    "${a}",
    "${a.b[0]}",
    "${a|default(\"x\")}",
    "${'x' * 99}",
    "${a ~ a}",
    "$${",
    "\u{0}",
    "\u{7f}",
    "\u{202e}",
    "\u{feff}",
    "\u{e9}",
    "e\u{301}",
    "\u{1f600}",
    "\u{430}",
    "**",
    "!",
    "..",
    "../x",
    "/x",
    "-",
    "--",
    "each x a b {",
    "matrix { x a b }",
    "include \"x.kdl\" as=\"x\"",
    "template \"t\" {",
    "use \"t\"",
    "when \"${x}\"",
    "exclude",
    "\u{2028}",
    "\r",
];

/// Every word of the language, from its schema.
fn language() -> &'static Vec<String> {
    static ALL: OnceLock<Vec<String>> = OnceLock::new();
    ALL.get_or_init(|| {
        let schema = kiln::plan::spec::schema_json();
        let words: BTreeSet<&str> =
            schema.split('"').filter(|word| word.len() > 1 && word.len() < 30 && !word.contains([' ', ':', ','])).collect();
        words.into_iter().map(str::to_owned).collect()
    })
}

/// A new case from one or two seeds.
pub fn case(random: &mut Random, seeds: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = random.pick(seeds).1.clone();
    for _ in 0..1 + random.below(6) {
        change(random, &mut bytes, seeds);
        bytes.truncate(LARGEST);
    }
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, seeds: &[(String, Vec<u8>)]) {
    let at = random.below(bytes.len() + 1);
    let part = part(random, bytes);
    match random.below(10) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.next() as u8;
            }
        }
        1 => drop(bytes.drain(part)),
        2 => {
            let copy = bytes[part].to_vec();
            bytes.splice(at..at, copy);
        }
        3 | 4 => drop(bytes.splice(at..at, random.pick(WORDS).bytes())),
        5 => drop(bytes.splice(part, random.pick(WORDS).bytes())),
        6 => {
            let word = random.pick(language()).clone();
            let word = if random.below(3) == 0 { format!("\n{word} \"${{x}}\" {{\n") } else { format!(" {word} ") };
            bytes.splice(at..at, word.bytes());
        }
        7 => {
            let word = random.pick(language()).clone();
            let place = word_at(bytes, at);
            bytes.splice(place, word.bytes());
        }
        8 => {
            let other = &random.pick(seeds).1;
            let lines = self::part(random, other);
            bytes.splice(at..at, other[lines].to_vec());
        }
        _ => {
            let times = 1 + random.below(80);
            let copy = bytes[part].repeat(times);
            bytes.splice(at..at, copy);
        }
    }
}

/// A few bytes, a line, or some lines.
fn part(random: &mut Random, bytes: &[u8]) -> std::ops::Range<usize> {
    let at = random.below(bytes.len() + 1);
    if random.below(2) == 0 {
        return at..bytes.len().min(at + random.below(12));
    }
    let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |n| n + 1);
    let mut end = at;
    for _ in 0..1 + random.below(4) {
        end = bytes[end..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |n| end + n + 1);
    }
    start..end
}

/// The word around a byte.
fn word_at(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let start = bytes[..at].iter().rposition(|byte| !inside(byte)).map_or(0, |n| n + 1);
    let end = bytes[at..].iter().position(|byte| !inside(byte)).map_or(bytes.len(), |n| at + n);
    start..end
}
