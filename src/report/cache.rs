//! `kiln cache`: what the store holds, what a collection took away, what a check found, what the doctor says.
//! In: plain views. Out: text for people or one JSON value for programs. Never: looks at the store itself.

use serde::Serialize;

use crate::base::size::ByteSize;
use crate::base::words::{count, visible};

use super::line;
use super::paint::{Ink, Mark};
use super::style::Style;
use super::table::Table;

/// What `kiln cache stats` says.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StatsView {
    /// The store's folder.
    pub store: String,
    /// Results.
    pub results: u64,
    /// Their bytes.
    pub result_bytes: u64,
    /// Outputs, logs and documents.
    pub contents: u64,
    /// Their bytes.
    pub content_bytes: u64,
    /// Layers, configs and manifests.
    pub image_blobs: u64,
    /// Their bytes.
    pub image_bytes: u64,
    /// Damaged files that were set aside.
    pub damaged: u64,
    /// Seconds since the result that was not used for longest was used.
    pub oldest_s: Option<u64>,
    /// Seconds since the last collection.
    pub collected_s: Option<u64>,
    /// Bytes that the store may hold.
    pub max_bytes: u64,
    /// Seconds that something may be unused.
    pub max_age_s: u64,
    /// Bytes that a collection would take away now.
    pub collectable_bytes: u64,
    /// Projects with a record on this machine.
    pub projects: u64,
    /// Those whose folder is gone.
    pub gone_projects: u64,
    /// Runs on record.
    pub runs: u64,
    /// Steps in them that ran.
    pub ran: u64,
    /// Steps in them that did not have to.
    pub cached: u64,
    /// What those took when they ran, in milliseconds.
    pub saved_ms: u64,
}

/// What `kiln cache gc` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GcView {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// Results that went.
    pub results: u64,
    /// Blobs that went.
    pub blobs: u64,
    /// Bytes that went.
    pub bytes: u64,
    /// Bytes that stay.
    pub left_bytes: u64,
    /// Bytes beyond the limit that stay because a kiln that runs may use them.
    pub held_bytes: u64,
    /// Records of projects that went.
    pub projects: u64,
    /// Kilns that run.
    pub running: usize,
}

/// What `kiln cache verify` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyView {
    /// Blobs that were read.
    pub blobs: u64,
    /// Results that were read.
    pub results: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Blobs that were damaged and are set aside now.
    pub damaged_blobs: Vec<String>,
    /// Results that were damaged and are set aside now.
    pub damaged_results: Vec<String>,
    /// Results that name a blob which is not there.
    pub incomplete: Vec<String>,
    /// Steps that run again when they are needed next.
    pub steps: Vec<String>,
}

/// One line of the doctor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub state: Health,
    /// What was found.
    pub found: String,
    /// The next act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// As it should be.
    Good,
    /// Works, but could be better.
    Warn,
    /// Keeps the store from working.
    Bad,
}

/// What `kiln cache doctor` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DoctorView {
    /// The store's folder.
    pub store: String,
    /// In the order in which they were looked at.
    pub findings: Vec<Finding>,
}

/// `3 days`, `5 hours`, `12 minutes`: one unit, rounded down.
#[must_use]
pub fn age(seconds: u64) -> String {
    let n = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    match seconds {
        0..=119 => count(n(seconds), "second"),
        120..=7_199 => count(n(seconds / 60), "minute"),
        7_200..=172_799 => count(n(seconds / 3_600), "hour"),
        _ => count(n(seconds / 86_400), "day"),
    }
}

fn of(number: u64, noun: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), noun)
}

/// What the store holds.
#[must_use]
pub fn stats(view: &StatsView, style: Style) -> String {
    let mut table = Table::new(&[1], &[]);
    let mut row = |name: &str, text: String| table.row([style.paint(Ink::Name, name), text]);
    let used = view.result_bytes + view.content_bytes + view.image_bytes;
    row("store", visible(&view.store));
    let oldest = view.oldest_s.map_or_else(String::new, |s| format!(", the oldest used {} ago", age(s)));
    row("results", format!("{}, {}{oldest}", of(view.results, "result"), ByteSize(view.result_bytes)));
    row("contents", format!("{} of outputs, logs and documents, {}", of(view.contents, "blob"), ByteSize(view.content_bytes)));
    row("images", format!("{} of layers, configs and manifests, {}", of(view.image_blobs, "blob"), ByteSize(view.image_bytes)));
    if view.damaged > 0 {
        row("damaged", style.paint(Ink::Warn, &format!("{} set aside; removed after a week", of(view.damaged, "file"))));
    }
    let share = used.saturating_mul(100).checked_div(view.max_bytes).unwrap_or(100);
    row("room", format!("{} of {} ({share} %), unused things go after {}", ByteSize(used), ByteSize(view.max_bytes), age(view.max_age_s)));
    let all = view.ran + view.cached;
    if let Some(rate) = (view.cached * 100).checked_div(all) {
        let saved = line::time(view.saved_ms);
        row("hits", format!("{} of {} in {} ({rate} %), {saved} saved", view.cached, of(all, "step"), of(view.runs, "run")));
    }
    let gone = if view.gone_projects > 0 { format!(", {} no longer where it was", view.gone_projects) } else { String::new() };
    row("projects", format!("{}{gone}", of(view.projects, "project")));
    let last = view.collected_s.map_or_else(|| "never".to_owned(), |s| format!("{} ago", age(s)));
    row("collected", last);
    let mut lines = table.lines(style, "");
    if view.collectable_bytes > 0 {
        lines.push(String::new());
        lines.push(format!("`kiln cache gc` would free {} now", ByteSize(view.collectable_bytes)));
    }
    lines.join("\n") + "\n"
}

/// What went.
#[must_use]
pub fn gc(view: &GcView, style: Style) -> String {
    let verb = if view.dry_run { "would free" } else { "freed" };
    let what = format!("{} and {}", of(view.results, "result"), of(view.blobs, "blob"));
    let mut lines = vec![format!(
        "{} {verb} {}: {what}; {} stay{}",
        style.mark(Mark::Done),
        ByteSize(view.bytes),
        ByteSize(view.left_bytes),
        if view.dry_run { "" } else { " in the store" }
    )];
    if view.projects > 0 {
        let were = if view.dry_run { "would be" } else { "are" };
        lines.push(format!("  the records of {} that was not run for so long {were} gone, too", of(view.projects, "project")));
    }
    if view.held_bytes > 0 {
        let why = if view.running > 0 {
            format!(
                "{} now, and may use them",
                if view.running == 1 { "a kiln runs".to_owned() } else { format!("{} kilns run", view.running) }
            )
        } else {
            "they are newer than this collection".to_owned()
        };
        lines.push(format!("{} {} beyond the limit stay: {why}", style.mark(Mark::Warning), ByteSize(view.held_bytes)));
    }
    lines.join("\n") + "\n"
}

/// What was found.
#[must_use]
pub fn verify(view: &VerifyView, style: Style) -> String {
    let mut lines = Vec::new();
    for (names, what) in [
        (&view.damaged_blobs, "was damaged and is set aside"),
        (&view.damaged_results, "is a damaged result and is set aside"),
        (&view.incomplete, "is a result without all its blobs"),
    ] {
        lines.extend(names.iter().map(|name| format!("{} {name} {what}", style.mark(Mark::Failed))));
    }
    for step in &view.steps {
        lines.push(format!("{} {} runs again when it is needed next", style.mark(Mark::Open), visible(step)));
    }
    let read = format!("{} and {} were read, {}", of(view.blobs, "blob"), of(view.results, "result"), ByteSize(view.bytes));
    let bad = view.damaged_blobs.len() + view.damaged_results.len();
    let (mark, end) = match (bad, view.incomplete.len()) {
        (0, 0) => (Mark::Done, "every byte is right".to_owned()),
        (0, some) => (Mark::Warning, format!("every byte is right, {} cannot be used", count(some, "result"))),
        (bad, _) => (
            Mark::Failed,
            format!("{} damaged; nothing wrong can be used", if bad == 1 { "1 was".to_owned() } else { format!("{bad} were") }),
        ),
    };
    lines.push(format!("{} {read}: {end}", style.mark(mark)));
    lines.join("\n") + "\n"
}

/// What the doctor says.
#[must_use]
pub fn doctor(view: &DoctorView, style: Style) -> String {
    let mut lines = vec![visible(&view.store)];
    let width = view.findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    for finding in &view.findings {
        let (mark, ink) = match finding.state {
            Health::Good => (Mark::Done, None),
            Health::Warn => (Mark::Warning, Some(Ink::Warn)),
            Health::Bad => (Mark::Failed, Some(Ink::Bad)),
        };
        let found = visible(&finding.found);
        let found = ink.map_or_else(|| found.clone(), |ink| style.paint(ink, &found));
        lines.push(format!("{} {:width$}  {found}", style.mark(mark), finding.what));
        if let Some(help) = &finding.help {
            lines.push(format!("  {:width$}  {} {}", "", style.paint(Ink::Name, "help:"), visible(help)));
        }
    }
    let worst = view.findings.iter().filter(|finding| finding.state != Health::Good).count();
    lines.push(if worst == 0 { "nothing is wrong".to_owned() } else { format!("{} to look at", count(worst, "thing")) });
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        for (seconds, expected) in
            [(0, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (7_200, "2 hours"), (172_800, "2 days")]
        {
            assert_eq!(age(seconds), expected);
        }
    }

    #[test]
    fn a_store_that_holds_nothing_divides_by_nothing() {
        let text = stats(&StatsView { store: "/s".into(), max_bytes: 0, ..StatsView::default() }, Style::PLAIN);
        assert!(text.contains("0 results") && !text.contains("hits") && !text.contains("would free"), "{text}");
    }

    #[test]
    fn what_a_running_kiln_holds_is_said() {
        let view = GcView { results: 1, blobs: 2, bytes: 3 << 20, held_bytes: 1 << 20, running: 1, ..GcView::default() };
        let text = gc(&view, Style::PLAIN);
        assert_eq!(
            text,
            "✓ freed 3.0 MiB: 1 result and 2 blobs; 0 B stay in the store\n! 1.0 MiB beyond the limit stay: a kiln runs now, and may use them\n"
        );
    }

    #[test]
    fn a_check_names_what_is_damaged_and_what_runs_again() {
        let view = VerifyView {
            blobs: 2,
            results: 1,
            bytes: 10,
            damaged_blobs: vec!["blake3:ab".into()],
            incomplete: vec!["cd".into()],
            steps: vec!["web (/p)".into()],
            ..VerifyView::default()
        };
        let text = verify(&view, Style::PLAIN);
        assert!(
            text.contains("✗ blake3:ab was damaged")
                && text.contains("web (/p) runs again")
                && text.ends_with("nothing wrong can be used\n"),
            "{text}"
        );
    }
}
