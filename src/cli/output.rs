//! Standard output and standard error, and how they like their text.

use std::io;

use crate::base::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::base::words::visible;
use crate::report::diagnostic;
use crate::report::paint::Mark;
use crate::report::sink::Sink;
use crate::report::style::{Colour, Facts, Style};
use crate::sys::env;
use crate::sys::terminal::Screen;

use super::args::{self, Global};

/// Where answers and faults go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// For answers.
    pub out: Style,
    /// For faults, and for the progress of a run.
    pub err: Style,
    /// Whether a program reads.
    pub json: bool,
}

impl Output {
    /// Decides once, from the command line, the environment and the two streams.
    #[must_use]
    pub fn new(global: &Global) -> Self {
        Self { out: style(global, Screen::Out), err: style(global, Screen::Err), json: global.json }
    }

    /// Writes an answer. A reader that went away is no fault.
    pub fn answer(&self, text: &str) {
        self.answer_bytes(text.as_bytes());
    }

    /// Writes bytes that were asked for as they are.
    pub fn answer_bytes(&self, bytes: &[u8]) {
        Sink::new(io::stdout().lock()).put_bytes(bytes);
    }

    /// Says what went wrong beside the answer.
    pub fn complain(&self, sentences: &[String]) {
        let mut sink = Sink::new(io::stderr().lock());
        for sentence in sentences {
            sink.put(&format!("{} {}\n", self.err.mark(Mark::Warning), visible(sentence)));
        }
    }

    /// Shows faults and gives the exit code of the gravest class: a bug, then environment, policy, plan, usage.
    #[must_use]
    pub fn faults(&self, faults: Diagnostics) -> u8 {
        let faults = faults.sorted();
        let code = faults
            .iter()
            .filter(|fault| fault.severity == Severity::Error)
            .map(|fault| fault.class)
            .max()
            .map_or(0, crate::base::diagnostic::Class::exit_code);
        self.show(&faults);
        code
    }

    /// Shows faults and warnings.
    pub fn show(&self, faults: &[Diagnostic]) {
        if faults.is_empty() {
            return;
        }
        if self.json {
            self.answer(&diagnostic::json_lines(faults));
        } else {
            Sink::new(io::stderr().lock()).put(&diagnostic::screen(faults, self.err));
        }
    }
}

fn style(global: &Global, screen: Screen) -> Style {
    let asked = match global.color {
        args::Colour::Auto => Colour::Auto,
        args::Colour::Always => Colour::Always,
        args::Colour::Never => Colour::Never,
    };
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| env::var(name));
    // A pipe is read by something newer than its locale; only a terminal that says otherwise is not given UTF-8.
    let utf8 = !screen.is_terminal() || locale.is_some_and(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"));
    Style::decide(
        asked,
        Facts {
            no_color: env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            clicolor_force: env::var("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            dumb: screen.is_terminal() && env::var("TERM").is_none_or(|term| term == "dumb"),
            terminal: screen.is_terminal(),
            utf8,
            width: screen.size().map(|(width, _)| width),
        },
    )
}
