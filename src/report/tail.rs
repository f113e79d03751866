//! The end of a step's output, kept until it is known whether anybody wants to see it.
//! In: clean lines. Out: the last of them. Never: more memory than [`BYTES`], whatever a step writes.

use std::collections::VecDeque;

/// Lines that are kept.
const LINES: usize = 400;
/// Bytes that are kept.
const BYTES: usize = 256 << 10;

/// The last lines, and how many came before them.
#[derive(Debug, Clone, Default)]
pub struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    dropped: usize,
}

impl Tail {
    /// Takes one line more, and drops the oldest ones where that is too much.
    pub fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > LINES || self.bytes > BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len();
            self.dropped += 1;
        }
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// How many lines were dropped.
    #[must_use]
    pub const fn dropped(&self) -> usize {
        self.dropped
    }

    /// The newest line that is not blank, without blanks around it.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.lines.iter().rev().take(4).map(|line| line.trim()).find(|line| !line.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_stay_and_the_others_are_counted() {
        let mut tail = Tail::default();
        for n in 0..1000 {
            tail.push(n.to_string());
        }
        assert_eq!((tail.lines().next(), tail.dropped(), tail.last()), (Some("600"), 600, Some("999")));
    }

    #[test]
    fn long_lines_do_not_gather_memory() {
        let mut tail = Tail::default();
        for _ in 0..200 {
            tail.push("x".repeat(8 << 10));
        }
        assert!(tail.lines().map(str::len).sum::<usize>() <= BYTES);
    }
}
