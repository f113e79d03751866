//! How a stream may be written on: colours, characters, width.
//! In: what the user asked for and what the stream is. Out: a [`Style`]. Never: reads the environment itself.

/// What a stream can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether SGR sequences are understood and wanted.
    pub colour: bool,
    /// Whether characters outside ASCII are shown as they are.
    pub unicode: bool,
    /// Columns, at least 20. Where nobody sees columns, [`Style::UNCUT`].
    pub width: usize,
}

/// The value of `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colour {
    /// As the stream and the environment say.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What is known about a stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts {
    /// `NO_COLOR` is set and not empty. Source: no-color.org.
    pub no_color: bool,
    /// `CLICOLOR_FORCE` is set, and not to `0`. Source: bixense.com/clicolors.
    pub clicolor_force: bool,
    /// `TERM` is `dumb`.
    pub dumb: bool,
    /// The stream is a terminal.
    pub terminal: bool,
    /// The locale names UTF-8, or names nothing at all.
    pub utf8: bool,
    /// The terminal's columns, or `COLUMNS`.
    pub width: Option<usize>,
}

impl Style {
    /// The width of a stream that is no terminal: a program that reads a table wants whole cells.
    pub const UNCUT: usize = 1_000;
    /// No colour, all characters, 80 columns: what a file or a CI log gets.
    pub const PLAIN: Self = Self { colour: false, unicode: true, width: 80 };

    /// Decides. `--color` wins over the environment; `NO_COLOR` wins over `CLICOLOR_FORCE`.
    #[must_use]
    pub fn decide(asked: Colour, facts: Facts) -> Self {
        let colour = match asked {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => !facts.no_color && (facts.clicolor_force || (facts.terminal && !facts.dumb)),
        };
        let width = facts.width.unwrap_or(if facts.terminal { 80 } else { Self::UNCUT });
        Self { colour, unicode: facts.utf8 && !facts.dumb, width: width.max(20) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_need_a_terminal_or_a_wish() {
        let tty = Facts { terminal: true, utf8: true, ..Facts::default() };
        for (asked, facts, expected) in [
            (Colour::Auto, tty, true),
            (Colour::Auto, Facts { terminal: false, ..tty }, false),
            (Colour::Auto, Facts { dumb: true, ..tty }, false),
            (Colour::Auto, Facts { no_color: true, ..tty }, false),
            (Colour::Auto, Facts { terminal: false, clicolor_force: true, ..tty }, true),
            (Colour::Auto, Facts { no_color: true, clicolor_force: true, ..tty }, false),
            (Colour::Always, Facts { no_color: true, ..Facts::default() }, true),
            (Colour::Never, Facts { clicolor_force: true, ..tty }, false),
        ] {
            assert_eq!(Style::decide(asked, facts).colour, expected, "{asked:?} {facts:?}");
        }
    }

    #[test]
    fn a_dumb_terminal_gets_ascii_and_a_tiny_one_a_usable_width() {
        let style = Style::decide(Colour::Auto, Facts { dumb: true, utf8: true, width: Some(3), ..Facts::default() });
        assert_eq!((style.unicode, style.width), (false, 20));
    }
}
