//! Ink, marks and columns: the few strokes that every screen is made of.
//! In: text without escape sequences. Out: text for a [`Style`]. Never: a colour as the only carrier of a meaning.

use unicode_width::UnicodeWidthChar as _;

use super::style::Style;

/// What a colour stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Went well.
    Good,
    /// Failed.
    Bad,
    /// Worth a look.
    Warn,
    /// A name, or news that is neither good nor bad.
    Name,
    /// Of less weight.
    Dim,
    /// A heading.
    Bold,
}

/// What happened, as one sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Runs, or begins.
    Running,
    /// Ran and succeeded.
    Done,
    /// Did not need to run.
    Cached,
    /// Was written back from the store.
    Restored,
    /// Failed.
    Failed,
    /// Failed, and may; or a warning.
    Warning,
    /// Did not run.
    Skipped,
    /// Was stopped.
    Stopped,
    /// Not known yet.
    Open,
}

impl Style {
    /// The text in a colour, if this stream has any.
    #[must_use]
    pub fn paint(self, ink: Ink, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Good => "32",
            Ink::Bad => "31",
            Ink::Warn => "33",
            Ink::Name => "36",
            Ink::Dim => "2",
            Ink::Bold => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The sign, painted.
    #[must_use]
    pub fn mark(self, mark: Mark) -> String {
        let (unicode, ascii, ink) = match mark {
            Mark::Running => ("▸", ">", Ink::Name),
            Mark::Done => ("✓", "+", Ink::Good),
            Mark::Cached => ("●", "=", Ink::Dim),
            Mark::Restored => ("↻", "<", Ink::Name),
            Mark::Failed => ("✗", "x", Ink::Bad),
            Mark::Warning => ("!", "!", Ink::Warn),
            Mark::Skipped => ("–", "-", Ink::Dim),
            Mark::Stopped => ("■", "#", Ink::Warn),
            Mark::Open => ("○", "?", Ink::Warn),
        };
        self.paint(ink, if self.unicode { unicode } else { ascii })
    }

    /// What stands between a step's name and its output.
    #[must_use]
    pub const fn bar(self) -> &'static str {
        if self.unicode { "│" } else { "|" }
    }

    /// Between an old value and a new one.
    #[must_use]
    pub const fn arrow(self) -> &'static str {
        if self.unicode { "→" } else { "->" }
    }

    /// What marks a cut.
    #[must_use]
    pub const fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }
}

/// The columns that a text takes on a terminal; SGR sequences in it take none.
#[must_use]
pub fn columns(text: &str) -> usize {
    pieces(text).map(|(_, width)| width).sum()
}

/// Characters and whole SGR sequences, each with its columns.
fn pieces(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let len = match first {
            '\x1b' => rest.find('m').map_or(rest.len(), |end| end + 1),
            other => other.len_utf8(),
        };
        let (piece, tail) = rest.split_at(len);
        rest = tail;
        Some((piece, if first == '\x1b' { 0 } else { first.width().unwrap_or(0) }))
    })
}

/// The text, cut to at most `limit` columns with a mark at the cut. Colours are closed where they are cut.
#[must_use]
pub fn fit(text: &str, limit: usize, style: Style) -> String {
    if columns(text) <= limit {
        return text.to_owned();
    }
    let room = limit.saturating_sub(columns(style.ellipsis()));
    let (mut shown, mut used, mut coloured) = (String::new(), 0, false);
    for (piece, width) in pieces(text) {
        if used + width > room {
            break;
        }
        coloured |= piece.starts_with('\x1b');
        used += width;
        shown.push_str(piece);
    }
    if limit >= columns(style.ellipsis()) {
        shown.push_str(style.ellipsis());
    }
    if coloured {
        shown.push_str("\x1b[0m");
    }
    shown
}

/// The text in lines of at most `width` columns, broken between words; all but the first begin with `hang`. A word that is longer than a
/// line stays whole.
#[must_use]
pub fn wrap(text: &str, width: usize, hang: &str) -> String {
    let (mut shown, mut used) = (String::new(), 0);
    for (at, word) in text.split(' ').enumerate() {
        let wide = columns(word);
        if at > 0 {
            if used + 1 + wide <= width || used <= columns(hang) {
                shown.push(' ');
                used += 1;
            } else {
                shown.push('\n');
                shown.push_str(hang);
                used = columns(hang);
            }
        }
        shown.push_str(word);
        used += wide;
    }
    shown
}

/// The text and spaces up to `width` columns.
#[must_use]
pub fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COLOUR: Style = Style { colour: true, unicode: true, width: 80 };

    #[test]
    fn wide_characters_take_two_columns_and_colours_none() {
        for (text, expected) in [("abc", 3), ("日本", 4), ("\x1b[31mred\x1b[0m", 3), ("e\u{301}", 1), ("", 0)] {
            assert_eq!(columns(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_cut_is_marked_and_closes_its_colour() {
        for (text, limit, expected) in [
            ("abcdef", 4, "abc…"),
            ("abcd", 4, "abcd"),
            ("日本語", 4, "日…"),
            ("\x1b[31mabcdef\x1b[0m", 3, "\x1b[31mab…\x1b[0m"),
            ("ab", 0, ""),
        ] {
            assert_eq!(fit(text, limit, COLOUR), expected);
        }
        assert_eq!(fit("abcdef", 5, Style { unicode: false, ..COLOUR }), "ab...");
    }

    #[test]
    fn prose_is_broken_between_words() {
        for (text, width, hang, expected) in [
            ("one two three", 20, "  ", "one two three"),
            ("one two three", 9, "  ", "one two\n  three"),
            ("one two three", 7, "", "one two\nthree"),
            ("  one two", 6, "    ", "  one\n    two"),
            ("a verylongword b", 6, "", "a\nverylongword\nb"),
            ("日本 語", 5, "", "日本\n語"),
            ("\x1b[1mone\x1b[0m two", 7, "", "\x1b[1mone\x1b[0m two"),
        ] {
            assert_eq!(wrap(text, width, hang), expected, "{text:?} {width}");
        }
    }

    proptest! {
        #[test]
        fn what_is_wrapped_has_the_same_words(text in "[a-z日 ]{0,60}", width in 1_usize..40) {
            let wrapped = wrap(&text, width, "");
            prop_assert_eq!(wrapped.replace('\n', " "), text);
            prop_assert!(wrapped.lines().all(|line| columns(line) <= width || !line.trim().contains(' ')));
        }

        #[test]
        fn what_is_fitted_fits(text in "[a-z日é \u{301}]{0,40}", limit in 0_usize..40) {
            prop_assert!(columns(&fit(&text, limit, COLOUR)) <= limit);
        }
    }
}
