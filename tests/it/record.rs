//! The journal and the index of steps on a real disk: what a crash, a change or a neighbour leaves of them.

use std::collections::BTreeSet;

use kiln::base::digest::{ActionKey, ContentDigest, Digest};
use kiln::base::id::{Cell, RunId, StepKind, StepName};
use kiln::base::time::Moment;
use kiln::event::{Ended, Event, FailureClass, Listener as _, Origin, Stream};
use kiln::record::history::StepHistory;
use kiln::record::journal::{Journal, JournalError, KEPT};
use kiln::record::read::Verdict;
use kiln::record::recorder::Recorder;
use kiln::record::run_id;
use kiln::report::plain::Plain;
use kiln::report::style::Style;
use kiln::report::{Options, Renderer as _};

fn step(name: &str) -> StepName {
    let mut step = StepName::new(name.parse().unwrap(), StepKind::Run);
    step.cell = Cell(vec![("bin".into(), "a pi\"\n".into())]);
    step.platform = Some("arm64".parse().unwrap());
    step.registry = Some("ghcr".into());
    step
}

fn ended(name: &str, ended: Ended) -> Event {
    Event::StepEnded {
        step: step(name),
        at_ms: u64::MAX,
        took_ms: 4_200,
        ended,
        key: Some(ActionKey(Digest::of(b"key"))),
        manifest: Some(ContentDigest(Digest::of(b"manifest"))),
        log: None,
        detail: Some("3 layers".into()),
        asked: true,
    }
}

/// One of every kind.
fn events(run: &RunId) -> Vec<Event> {
    let failed = |help: Option<&str>, allowed| Ended::Failed {
        class: FailureClass::Environment,
        reason: "the registry answered 429".into(),
        help: help.map(Into::into),
        allowed,
    };
    vec![
        Event::RunStarted { run: run.clone(), at: Moment(-5), targets: vec!["web".into(), "a\u{1b}b".into()], steps: 6, plan: "p".into() },
        Event::StepStarted { step: step("web"), at_ms: 3, why: "src/main.rs changed".into() },
        Event::Notice { step: None, text: "the cache is slow".into() },
        Event::Notice { step: Some(step("web")), text: "x".into() },
        ended("a", Ended::Done),
        ended("b", Ended::Cached { from: Origin::Restored }),
        ended("c", failed(Some("try again"), false)),
        ended("d", failed(None, true)),
        ended("e", Ended::Skipped { because: step("c") }),
        ended("f", Ended::Cancelled),
        Event::RunEnded { at: Moment(9), took_ms: 14, exit: 5, saved_ms: 0 },
    ]
}

fn recorded(journal: &Journal, run: &RunId) -> Vec<Event> {
    let mut log = journal.begin(run).unwrap();
    let events = events(run);
    for event in &events {
        log.append(event).unwrap();
    }
    events
}

#[test]
fn a_run_is_read_back_as_it_happened() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path().join("deep/er")).unwrap();
    let run = run_id(Moment(1_700_000_000_000), 7);
    let events = recorded(&journal, &run);
    assert_eq!(journal.read(&run).unwrap(), events);
    assert_eq!(journal.verify(&run).unwrap(), Verdict::Whole { lines: events.len() });
    let overview = journal.overview(&run).unwrap().unwrap();
    assert_eq!((overview.steps, overview.end), (6, Some((14, 5))));
    assert!(matches!(journal.begin(&run), Err(JournalError::Exists(_))));
}

#[test]
fn a_stored_run_is_shown_by_the_same_renderer() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let run = RunId("r".into());
    let live = recorded(&journal, &run);
    let show = |events: &[Event]| {
        let mut plain = Plain::new(Vec::new(), Style::PLAIN, Options::default());
        events.iter().for_each(|event| plain.event(event));
        plain.finish();
        String::from_utf8(plain.into_inner().unwrap()).unwrap()
    };
    assert_eq!(show(&live), show(&journal.read(&run).unwrap()));
}

#[test]
fn output_stays_in_the_log_and_out_of_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let run = RunId("r".into());
    let mut log = journal.begin(&run).unwrap();
    log.append(&Event::Output { step: step("a"), stream: Stream::Out, bytes: b"secret".to_vec() }).unwrap();
    assert_eq!(std::fs::read(dir.path().join("r.jsonl")).unwrap(), b"");
}

#[test]
fn a_run_killed_at_any_byte_leaves_its_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let run = RunId("r".into());
    let events = recorded(&journal, &run);
    let path = dir.path().join("r.jsonl");
    let bytes = std::fs::read(&path).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for end in (0..bytes.len()).rev() {
        file.set_len(end as u64).unwrap();
        let whole = bytes[..end].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(journal.read(&run).unwrap(), events[..whole], "cut at {end}");
        assert_eq!(journal.verify(&run).unwrap(), Verdict::Open { lines: whole }, "cut at {end}");
    }
}

#[test]
fn every_changed_removed_or_moved_line_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let run = RunId("r".into());
    recorded(&journal, &run);
    let path = dir.path().join("r.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let verdict = |lines: &[&str]| {
        std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        journal.verify(&run).unwrap()
    };
    for at in 0..lines.len() - 1 {
        let edited = lines[at].replacen("}", ",\"more\":1}", 1);
        let mut changed = lines.clone();
        changed[at] = &edited;
        assert!(matches!(verdict(&changed), Verdict::Broken { .. }), "line {at} changed");
        let mut removed = lines.clone();
        removed.remove(at);
        assert_eq!(verdict(&removed), Verdict::Broken { line: at + 1 }, "line {at} removed");
        let mut moved = lines.clone();
        moved.swap(at, at + 1);
        assert_eq!(verdict(&moved), Verdict::Broken { line: at + 1 }, "line {at} moved");
    }
    std::fs::write(dir.path().join("other.jsonl"), &text).unwrap();
    assert_eq!(journal.verify(&RunId("other".into())).unwrap(), Verdict::Broken { line: 1 });
}

#[test]
fn damaged_foreign_and_hostile_records_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let run = RunId("r".into());
    recorded(&journal, &run);
    let path = dir.path().join("r.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"schema\":1", "\"schema\":2", 1)).unwrap();
    assert!(matches!(journal.read(&run), Err(JournalError::OtherVersion(_))));
    std::fs::write(&path, b"\xff\x00not json\n{}\n").unwrap();
    assert_eq!(journal.read(&run).unwrap(), []);
    assert_eq!(journal.overview(&run).unwrap(), None);
    assert_eq!(journal.verify(&run).unwrap(), Verdict::Broken { line: 1 });
    std::fs::write(&path, format!("{}\n", "[".repeat(100_000))).unwrap();
    assert_eq!(journal.read(&run).unwrap(), []);
    for name in ["", "../r", "r/../r", "/etc/passwd", "r\0", "é", &"a".repeat(65)] {
        assert!(matches!(journal.read(&RunId(name.into())), Err(JournalError::BadName(_))), "{name}");
    }
    assert!(matches!(journal.read(&RunId("gone".into())), Err(JournalError::Unknown(_))));
}

#[test]
fn the_newest_runs_are_kept_and_those_still_running() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let id = |n: usize| run_id(Moment(n as i64), 0);
    let still_running = journal.begin(&id(0)).unwrap();
    for n in 1..KEPT + 10 {
        recorded(&journal, &id(n));
    }
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let runs = journal.runs().unwrap();
    assert_eq!(runs.len(), KEPT + 1);
    assert_eq!((&runs[0], &runs[KEPT]), (&id(KEPT + 9), &id(0)));
    drop(still_running);
    recorded(&journal, &id(KEPT + 10));
    assert!(!journal.runs().unwrap().contains(&id(0)));
    assert!(dir.path().join("notes.txt").exists());
}

#[test]
fn a_disk_that_goes_away_is_told_at_the_end_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let recorder = Recorder::begin(&journal, &RunId("r".into()), Moment(0), std::sync::Arc::default()).unwrap();
    std::fs::remove_dir_all(dir.path()).unwrap();
    events(&RunId("r".into())).into_iter().for_each(|event| recorder.event(event));
    assert!(recorder.finish().is_err());
}

#[test]
fn a_recorded_run_leaves_the_records_of_its_steps() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let run = RunId("r".into());
    let recorder = Recorder::begin(&journal, &run, Moment(3), std::sync::Arc::default()).unwrap();
    events(&run).into_iter().for_each(|event| recorder.event(event));
    recorder.finish().unwrap();
    let history = StepHistory::load(dir.path());
    let names: BTreeSet<char> = history.iter().filter_map(|(name, _)| name.chars().next()).collect();
    // A step that did not run to its end leaves the record of the run before.
    assert_eq!(names, BTreeSet::from(['a', 'b', 'c', 'd']));
    let record = history.get(&step("a")).unwrap();
    assert_eq!((record.at, record.ended.clone(), history.expected_ms(&step("a"))), (Moment(3), Ended::Done, Some(4_200)));
    assert_eq!(history.expected_ms(&step("c")), None);
}
