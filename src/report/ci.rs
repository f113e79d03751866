//! A run in the log of a CI server that folds groups and shows annotations: GitHub, GitLab, Azure.
//! In: events. Out: each step's output in one piece when it ends, folded; failures open, with an annotation. Never: output
//! of two steps mixed, a line of a step that the server would take for a command, more than a few MiB held.
//!
//! Sources: GitHub "Workflow commands", Azure Pipelines "Logging commands", GitLab "Custom collapsible sections".

use std::collections::BTreeMap;
use std::io::Write;

use crate::base::id::StepName;
use crate::event::{Ended, Event};

use super::line;
use super::paint::Mark;
use super::sanitize::Cleaner;
use super::sink::Sink;
use super::style::Style;
use super::summary::Tally;
use super::{Options, Renderer};

/// The most that is held of one step's output, in bytes of text.
const HELD: usize = 1 << 20;
/// After so many milliseconds without a line, one says what still runs.
const SILENCE_MS: u64 = 60_000;

/// A CI server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// GitHub Actions, and Gitea and Forgejo, which speak the same.
    GitHub,
    /// GitLab CI.
    GitLab,
    /// Azure Pipelines.
    Azure,
}

/// Writes for one server.
#[derive(Debug)]
pub struct Ci<W> {
    sink: Sink<W>,
    server: Server,
    style: Style,
    options: Options,
    tally: Tally,
    running: BTreeMap<StepName, Running>,
    /// Seconds since 1970 when the run began; GitLab's sections want the time.
    began_s: i64,
    sections: u64,
    now_ms: u64,
    last_line_ms: u64,
}

#[derive(Debug)]
struct Running {
    since_ms: u64,
    why: Option<String>,
    out: Cleaner,
    err: Cleaner,
    text: String,
    left_out: usize,
}

impl<W: Write> Ci<W> {
    /// Writes on `stream`.
    pub fn new(stream: W, server: Server, style: Style, options: Options) -> Self {
        Self {
            sink: Sink::new(stream),
            server,
            style,
            options,
            tally: Tally::default(),
            running: BTreeMap::new(),
            began_s: 0,
            sections: 0,
            now_ms: 0,
            last_line_ms: 0,
        }
    }

    /// Gives the stream back, unless its reader left.
    pub fn into_inner(self) -> Option<W> {
        self.sink.into_inner()
    }

    fn put(&mut self, text: &str) {
        if !text.is_empty() {
            self.last_line_ms = self.now_ms;
            self.sink.put(text);
        }
    }

    fn running(&mut self, step: &StepName) -> &mut Running {
        let (since_ms, colour) = (self.now_ms, self.style.colour);
        self.running.entry(step.clone()).or_insert_with(|| Running {
            since_ms,
            why: None,
            out: Cleaner::new(colour),
            err: Cleaner::new(colour),
            text: String::new(),
            left_out: 0,
        })
    }

    /// A title, with the lines that fold away below it.
    fn group(&mut self, title: &str, lines: &str) -> String {
        let ending = if lines.is_empty() || lines.ends_with('\n') { "" } else { "\n" };
        match self.server {
            Server::GitHub => format!("::group::{title}\n{lines}{ending}::endgroup::\n"),
            Server::Azure => format!("##[group]{title}\n{lines}{ending}##[endgroup]\n"),
            Server::GitLab => {
                self.sections += 1;
                let (name, at) = (format!("kiln_{}", self.sections), self.began_s + i64::try_from(self.now_ms / 1_000).unwrap_or(0));
                format!(
                    "\x1b[0Ksection_start:{at}:{name}[collapsed=true]\r\x1b[0K{title}\n{lines}{ending}\x1b[0Ksection_end:{at}:{name}\r\x1b[0K\n"
                )
            }
        }
    }

    /// Shows a failure where the server shows the failures of a job.
    fn annotation(&self, step: &StepName, reason: &str, warning: bool) -> String {
        let (title, reason) = (line::name(step), crate::base::words::visible(reason));
        match self.server {
            Server::GitHub => {
                let kind = if warning { "warning" } else { "error" };
                format!("::{kind} title={}::{}\n", property(&format!("kiln: {title}")), data(&format!("{title}: {reason}")))
            }
            Server::Azure => {
                let kind = if warning { "warning" } else { "error" };
                format!("##vso[task.logissue type={kind}]{}\n", data(&format!("{title}: {reason}")).replace(']', "%5D").replace(';', "%3B"))
            }
            // GitLab has no annotations in a log: the open lines and the summary say it.
            Server::GitLab => String::new(),
        }
    }

    fn ended(&mut self, step: &StepName, ended: &Ended, took_ms: u64, detail: Option<&str>, asked: bool) {
        let mut held = self.running.remove(step);
        if let Some(running) = &mut held {
            let (mut rest, server) = (String::new(), self.server);
            running.out.finish(&mut |line| push(&mut rest, server, &line));
            running.err.finish(&mut |line| push(&mut rest, server, &line));
            running.text.push_str(&rest);
        }
        let title = line::ended(self.style, step, ended, took_ms, detail);
        let lines = held.map(|running| {
            let why = running.why.map_or_else(String::new, |why| format!("{}\n", line::started(self.style, step, &why)));
            let left_out = if running.left_out > 0 {
                format!("… {} more; `kiln log {}` has all of it\n", crate::base::words::count(running.left_out, "byte"), line::quoted(step))
            } else {
                String::new()
            };
            (why, running.text + &left_out)
        });
        let text = match (ended, lines) {
            (Ended::Failed { reason, allowed, .. }, lines) => {
                let (why, lines) = lines.unwrap_or_default();
                let annotation = self.annotation(step, reason, *allowed);
                format!("{why}{lines}{title}\n{annotation}")
            }
            (_, Some((why, lines))) if !lines.is_empty() => self.group(&title, &(why + &lines)),
            _ if self.tally.is_worth_a_line(step, ended, detail, asked, self.options.verbose) => format!("{title}\n"),
            _ => String::new(),
        };
        self.put(&text);
    }
}

/// A line of a step, so that no server takes it for a command: those of GitHub begin a line, those of Azure (and old ones of
/// GitHub) may stand anywhere.
fn push(text: &mut String, server: Server, line: &str) {
    match server {
        Server::GitHub | Server::Azure => {
            if line.trim_start().starts_with("::") {
                text.push('\u{2060}');
            }
            text.push_str(&line.replace("##[", "##\u{2060}[").replace("##vso[", "##\u{2060}vso["));
        }
        Server::GitLab => text.push_str(line),
    }
    text.push('\n');
}

/// Source: actions/toolkit, `escapeData`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Source: actions/toolkit, `escapeProperty`.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

impl<W: Write + Send> Renderer for Ci<W> {
    fn in_place(&mut self, steps: usize, groups: usize) {
        self.tally.in_place(steps, groups);
    }
    fn event(&mut self, event: &Event) {
        self.tally.event(event);
        match event {
            Event::RunStarted { at, .. } => self.began_s = at.seconds(),
            Event::StepStarted { step, at_ms, why } => {
                self.now_ms = self.now_ms.max(*at_ms);
                self.running(step).why = Some(why.clone());
            }
            Event::Output { step, stream, bytes } => {
                let server = self.server;
                let running = self.running(step);
                let mut text = String::new();
                let cleaner = match stream {
                    crate::event::Stream::Out => &mut running.out,
                    crate::event::Stream::Err => &mut running.err,
                };
                cleaner.feed(bytes, &mut |line| push(&mut text, server, &line));
                if running.left_out > 0 || running.text.len() + text.len() > HELD {
                    running.left_out += text.len();
                } else {
                    running.text.push_str(&text);
                }
            }
            Event::StepEnded { step, at_ms, took_ms, ended, detail, asked, .. } => {
                self.now_ms = self.now_ms.max(*at_ms);
                self.ended(step, ended, *took_ms, detail.as_deref(), *asked);
            }
            Event::Notice { step, text } => {
                let line = line::notice(self.style, step.as_ref(), text);
                self.put(&format!("{line}\n"));
            }
            Event::RunEnded { took_ms, exit, saved_ms, .. } => {
                let lines = self.tally.end(self.style, *took_ms, *exit, *saved_ms, self.options.verbose);
                self.put(&format!("{}\n", lines.join("\n")));
                self.running.clear();
            }
        }
    }

    fn tick(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        if self.running.is_empty() || self.now_ms.saturating_sub(self.last_line_ms) < SILENCE_MS {
            return;
        }
        let mut text = String::new();
        for (step, running) in &self.running {
            let since = line::rough(self.now_ms.saturating_sub(running.since_ms));
            text.push_str(&format!("{} {}  has been running for {since}\n", self.style.mark(Mark::Running), line::name(step)));
        }
        self.put(&text);
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::StepKind;
    use crate::event::{FailureClass, Stream};

    fn step(name: &str) -> StepName {
        StepName::new(name.parse().unwrap(), StepKind::Run)
    }

    fn show(server: Server, output: &str, ended: Ended) -> String {
        let mut ci = Ci::new(Vec::new(), server, Style::PLAIN, Options::default());
        ci.event(&Event::StepStarted { step: step("web"), at_ms: 2_000, why: "a changed".into() });
        // Another step writes at the same time.
        ci.event(&Event::Output { step: step("other"), stream: Stream::Out, bytes: b"other\n".to_vec() });
        for piece in output.as_bytes().chunks(3) {
            ci.event(&Event::Output { step: step("web"), stream: Stream::Out, bytes: piece.to_vec() });
        }
        ci.event(&Event::StepEnded {
            step: step("web"),
            at_ms: 3_000,
            took_ms: 1_000,
            ended,
            key: None,
            manifest: None,
            log: None,
            detail: None,
            asked: false,
        });
        String::from_utf8(ci.into_inner().unwrap()).unwrap()
    }

    fn failed() -> Ended {
        Ended::Failed { class: FailureClass::Step, reason: "exit code 2, 50%".into(), help: None, allowed: false }
    }

    #[test]
    fn output_is_folded_and_a_failure_stands_open_with_an_annotation() {
        for (server, output, ended, expected) in [
            (Server::GitHub, "hi\n", Ended::Done, "::group::✓ web  1.0 s\n▸ web  a changed\nhi\n::endgroup::\n"),
            (Server::Azure, "hi", Ended::Done, "##[group]✓ web  1.0 s\n▸ web  a changed\nhi\n##[endgroup]\n"),
            (
                Server::GitLab,
                "hi\n",
                Ended::Done,
                "\u{1b}[0Ksection_start:3:kiln_1[collapsed=true]\r\u{1b}[0K✓ web  1.0 s\n▸ web  a changed\nhi\n\u{1b}[0Ksection_end:3:kiln_1\r\u{1b}[0K\n",
            ),
            (
                Server::GitHub,
                "bad\n",
                failed(),
                "▸ web  a changed\nbad\n✗ web  exit code 2, 50%  1.0 s\n::error title=kiln%3A web::web: exit code 2, 50%25\n",
            ),
            (
                Server::Azure,
                "bad\n",
                failed(),
                "▸ web  a changed\nbad\n✗ web  exit code 2, 50%  1.0 s\n##vso[task.logissue type=error]web: exit code 2, 50%25\n",
            ),
            (Server::GitLab, "bad\n", failed(), "▸ web  a changed\nbad\n✗ web  exit code 2, 50%  1.0 s\n"),
            (Server::GitHub, "", Ended::Done, "✓ web  1.0 s\n"),
        ] {
            assert_eq!(show(server, output, ended), expected, "{server:?}");
        }
    }

    #[test]
    fn what_a_step_writes_is_no_command_of_the_server() {
        for hostile in ["::set-env name=A::b", "  ::add-mask::x", "##[command]rm", "x ##vso[task.setvariable variable=A]b"] {
            for server in [Server::GitHub, Server::Azure] {
                let text = show(server, &format!("{hostile}\n"), Ended::Done);
                let inside: Vec<&str> =
                    text.lines().filter(|line| !line.starts_with("::group") && !line.starts_with("::endgroup")).collect();
                assert!(!inside.iter().any(|line| line.trim_start().starts_with("::")), "{text}");
                assert!(!text.replace("##[group]", "").replace("##[endgroup]", "").contains("##["), "{text}");
                assert!(!text.contains("##vso["), "{text}");
            }
        }
        // Escape sequences are shown, so that no section of GitLab can be closed from within.
        let text = show(Server::GitLab, "\u{1b}[0Ksection_end:1:kiln_1\r\u{1b}[0K\n", Ended::Done);
        assert_eq!(text.matches("\u{1b}[0Ksection_end").count(), 1, "{text:?}");
    }

    #[test]
    fn a_flood_is_held_up_to_a_limit_and_the_rest_is_counted() {
        let line = "x".repeat(1_000) + "\n";
        let text = show(Server::GitHub, &line.repeat(2_000), Ended::Done);
        assert!(text.len() < HELD + 1_000, "{}", text.len());
        assert!(text.contains("more; `kiln log web` has all of it"));
    }
}
