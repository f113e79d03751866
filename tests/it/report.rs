//! Whole screens: a small run on a live terminal, in a CI log and as JSON; the tables at two widths, with and without
//! colour. Expected screens stand beside this file; `KILN_BLESS=1` writes them anew.
//!
//! `KILN_DEMO=out cargo test --test it report::demo -- --nocapture` plays the run on the terminal it is started in.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use kiln::base::diagnostic::{Class, Diagnostic, Source, Span};
use kiln::base::digest::{ContentDigest, Digest};
use kiln::base::id::{Cell, RunId, StepKind, StepName};
use kiln::base::time::Moment;
use kiln::event::{Ended, Event, FailureClass, Listener as _, Origin, Stream};
use kiln::key::KeyManifest;
use kiln::key::explain::differences;
use kiln::report::graph::{Edge, GraphView, Node};
use kiln::report::json::Json;
use kiln::report::list::{ListView, ListedKind, ListedParam, ListedProfile, ListedTarget};
use kiln::report::moves::{Move, PlaceMoves};
use kiln::report::plain::Plain;
use kiln::report::plan_diff::{BaseChange, DiffStep, DiffView, MovedTags, StepChange};
use kiln::report::plan_table::{PlanRow, PlanStatus, PlanView};
use kiln::report::reporter::Reporter;
use kiln::report::style::Style;
use kiln::report::terminal::Terminal;
use kiln::report::told::Told;
use kiln::report::why::{Answer, Cause, WhyView};
use kiln::report::{Options, Renderer, diagnostic, graph, list, plan_diff, plan_table, svg, why};

use super::vt::Vt;

/// A stream that a test can read while a renderer owns it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Holds a screen against the one in `tests/it/screens`. Escape characters stand there as `␛`.
fn golden(name: &str, shown: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/screens").join(format!("{name}.txt"));
    let shown = shown.replace('\x1b', "␛");
    if std::env::var_os("KILN_BLESS").is_some() {
        std::fs::write(&path, &shown).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(shown, expected, "{name}: KILN_BLESS=1 writes the screens anew; read them before you commit");
}

/// Renders for 80 and 160 columns, with and without colour.
fn at_each_style(name: &str, render: impl Fn(Style) -> String) {
    for width in [80, 160] {
        for colour in [false, true] {
            let style = Style { colour, unicode: true, width };
            golden(&format!("{name}-{width}{}", if colour { "-colour" } else { "" }), &render(style));
        }
    }
}

fn step(target: &str, kind: StepKind, platform: Option<&str>) -> StepName {
    let mut step = StepName::new(target.parse().unwrap(), kind);
    step.platform = platform.map(|platform| platform.parse().unwrap());
    step
}

fn started(step: &StepName, at_ms: u64, why: &str) -> Event {
    Event::StepStarted { step: step.clone(), at_ms, why: why.into() }
}

fn output(step: &StepName, stream: Stream, text: &str) -> Event {
    Event::Output { step: step.clone(), stream, bytes: text.as_bytes().to_vec() }
}

fn ended(step: &StepName, at_ms: u64, took_ms: u64, ended: Ended, detail: Option<&str>, asked: bool) -> Event {
    let detail = detail.map(Into::into);
    let log = matches!(ended, Ended::Failed { .. }).then(|| ContentDigest(Digest::of(b"log")));
    Event::StepEnded { step: step.clone(), at_ms, took_ms, ended, key: None, manifest: None, log, detail, asked }
}

fn run_started(targets: &[&str], steps: usize) -> Event {
    let targets = targets.iter().map(|target| (*target).to_owned()).collect();
    Event::RunStarted { run: RunId("20231114-221320-000-0042".into()), at: Moment(0), targets, steps, plan: "blake3:00".into() }
}

fn run_ended(took_ms: u64, exit: u8, saved_ms: u64) -> Event {
    Event::RunEnded { at: Moment(took_ms as i64), took_ms, exit, saved_ms }
}

/// What the demonstration runs: two compilers in parallel, a cached linter, a failing test, an image, a skipped push.
fn demonstration() -> Vec<Event> {
    let amd = step("compile", StepKind::Run, Some("amd64"));
    let mut arm = step("compile", StepKind::Run, Some("arm64"));
    arm.cell = Cell(vec![("bin".into(), "worker".into())]);
    let lint = step("lint", StepKind::Run, None);
    let generate = step("generate", StepKind::Run, None);
    let test = step("test", StepKind::Run, None);
    let image = step("web", StepKind::Build, Some("amd64"));
    let scan = step("web", StepKind::Scan, Some("amd64"));
    let mut push = step("web", StepKind::Push, None);
    push.registry = Some("ghcr".into());
    let failed = Ended::Failed {
        class: FailureClass::Step,
        reason: "exit code 2".into(),
        help: Some("run it alone with `kiln test --verbose`".into()),
        allowed: false,
    };
    vec![
        run_started(&["web"], 8),
        ended(&lint, 40, 3_100, Ended::Cached { from: Origin::InPlace }, None, false),
        ended(&generate, 60, 900, Ended::Cached { from: Origin::Restored }, None, false),
        started(&amd, 80, "src/main.rs changed"),
        started(&arm, 90, "no result is known"),
        output(&amd, Stream::Err, "   \x1b[32mCompiling\x1b[0m serde v1.0.228\n"),
        output(&arm, Stream::Err, "\x1b]0;evil title\x07 12%\r 57%\r 99%"),
        Event::Notice { step: Some(arm.clone()), text: "src/gen.rs changed while it was read; the result is not kept".into() },
        output(
            &amd,
            Stream::Err,
            "   \x1b[32mCompiling\x1b[0m web v0.1.0 (a path that is so long that it does not fit on a line of eighty columns)\n",
        ),
        ended(&amd, 4_280, 4_200, Ended::Done, None, false),
        started(&test, 4_300, "the output of compile changed"),
        output(&test, Stream::Out, "running 2 tests\ntest parse ... ok\ntest render ... \x1b[31mFAILED\x1b[0m\n"),
        output(&test, Stream::Err, "error: expected 2, found 3"),
        started(&image, 4_310, "the output of compile changed"),
        ended(&test, 5_600, 1_300, failed, None, false),
        ended(&image, 6_100, 1_790, Ended::Done, Some("sha256:4f53cda18c2b 3 layers, 4.2 MiB"), true),
        ended(&arm, 6_200, 6_110, Ended::Cancelled, None, false),
        ended(&scan, 6_210, 0, Ended::Skipped { because: test.clone() }, None, true),
        ended(&push, 6_220, 0, Ended::Skipped { because: test }, None, true),
        run_ended(6_230, 1, 4_000),
    ]
}

fn at_ms(event: &Event) -> Option<u64> {
    match event {
        Event::StepStarted { at_ms, .. } | Event::StepEnded { at_ms, .. } => Some(*at_ms),
        Event::RunEnded { took_ms, .. } => Some(*took_ms),
        _ => None,
    }
}

fn expected() -> BTreeMap<StepName, u64> {
    let mut arm = step("compile", StepKind::Run, Some("arm64"));
    arm.cell = Cell(vec![("bin".into(), "worker".into())]);
    BTreeMap::from([(arm, 30_000), (step("test", StepKind::Run, None), 4_000)])
}

/// Plays events on a terminal of `columns` × 24, drawing after each; gives the screen after every frame.
fn play(events: &[Event], style: Style, options: Options) -> (Vec<String>, Vt) {
    let shared = Shared::default();
    let columns = style.width;
    let mut vt = Vt::new(columns, 24);
    let mut frames = Vec::new();
    let mut terminal = Terminal::new(shared.clone(), style, Box::new(move || Some((columns, 24))), options);
    for event in events {
        terminal.event(event);
        if let Some(at) = at_ms(event) {
            terminal.tick(at);
        }
        vt.feed(&String::from_utf8(shared.take()).unwrap());
        frames.push(vt.screen());
    }
    terminal.finish();
    drop(terminal);
    vt.feed(&String::from_utf8(shared.take()).unwrap());
    (frames, vt)
}

#[test]
fn a_live_terminal_shows_the_run() {
    for width in [80, 160] {
        let style = Style { colour: false, unicode: true, width };
        let (frames, vt) = play(&demonstration(), style, Options { expected: expected(), jobs: 2, verbose: false });
        golden(&format!("live-{width}-middle"), &frames[14]);
        golden(&format!("live-{width}-end"), &vt.screen());
        assert!(vt.cursor_is_shown(), "the cursor is given back");
    }
    let colour = Style { colour: true, unicode: true, width: 80 };
    let (_, vt) = play(&demonstration(), colour, Options { expected: expected(), jobs: 2, verbose: false });
    assert!(vt.screen().contains("✗ test  exit code 2"), "{}", vt.screen());
}

#[test]
fn no_live_line_wraps_on_any_width() {
    for width in [1, 2, 5, 20, 33, 80] {
        let style = Style { colour: true, unicode: true, width };
        let shared = Shared::default();
        let mut terminal = Terminal::new(shared.clone(), style, Box::new(move || Some((width, 3))), Options::default());
        let mut vt = Vt::new(width, 50);
        terminal.event(&run_started(&["x"], 3));
        for at in 1..20 {
            if at % 5 == 0 {
                terminal.event(&started(&step(&format!("step-日本-{at}"), StepKind::Run, None), at * 100, "it must"));
            }
            terminal.tick(at * 100);
            vt.feed(&String::from_utf8(shared.take()).unwrap());
            assert!(!vt.has_wrapped(), "{width}: {}", vt.screen());
        }
        // The live lines are the only ones: each frame stood exactly where the one before had stood.
        assert!(vt.screen().lines().count() <= 5, "{width}: {}", vt.screen());
    }
}

#[test]
fn a_terminal_that_becomes_narrower_keeps_one_set_of_live_lines() {
    let shared = Shared::default();
    let width = Arc::new(Mutex::new(80_usize));
    let size = Arc::clone(&width);
    let style = Style { colour: false, unicode: true, width: 80 };
    let mut terminal = Terminal::new(shared.clone(), style, Box::new(move || Some((*size.lock().unwrap(), 24))), Options::default());
    let name = step("compile", StepKind::Run, None);
    terminal.event(&run_started(&["x"], 3));
    terminal.event(&started(&name, 0, "it must"));
    terminal.event(&output(&name, Stream::Out, &format!("{}\n", "word ".repeat(30))));
    terminal.tick(100);
    let mut vt = Vt::new(80, 24);
    vt.feed(&String::from_utf8(shared.take()).unwrap());
    *width.lock().unwrap() = 30;
    vt.resize(30);
    terminal.tick(200);
    vt.feed(&String::from_utf8(shared.take()).unwrap());
    assert_eq!((vt.screen().matches("compile").count(), vt.screen().matches("[0/3]").count()), (1, 1), "{}", vt.screen());
}

#[test]
fn what_the_user_named_is_shown_as_it_comes_and_only_once() {
    let test = step("test", StepKind::Run, None);
    let failed = Ended::Failed { class: FailureClass::Step, reason: "exit code 1".into(), help: None, allowed: false };
    let cases = [
        // One step named alone speaks in its own voice.
        (vec!["test"], Ended::Done, false, "hello\nlast words\n✓ test  1.0 s\n✓ 1 step: 1 ran, in 1.0 s\n"),
        (vec!["test", "lint"], Ended::Done, false, "test │ hello\ntest │ last words\n✓ test  1.0 s\n✓ 1 step: 1 ran, in 1.0 s\n"),
        // One that was not named speaks only when it fails.
        (vec!["web"], Ended::Done, false, "✓ test  1.0 s\n✓ 1 step: 1 ran, in 1.0 s\n"),
        // A member of a group that was named has been asked for, too; that is known at its end.
        (vec!["ci"], Ended::Done, false, "✓ test  1.0 s\n  hello\n  last words\n✓ 1 step: 1 ran, in 1.0 s\n"),
        (
            vec!["web"],
            failed,
            false,
            "✗ test  exit code 1  1.0 s\n  hello\n  last words\n\n✗ test  exit code 1\n  log:  kiln log test\n✗ 1 of 1 step failed, in 1.0 s\n",
        ),
        (vec!["web"], Ended::Done, true, "▸ test  it must\ntest │ hello\ntest │ last words\n✓ test  1.0 s\n✓ 1 step: 1 ran, in 1.0 s\n"),
    ];
    for (targets, how, verbose, screen) in cases {
        let exit = u8::from(!matches!(how, Ended::Done));
        let events = [
            run_started(&targets, 1),
            started(&test, 0, "it must"),
            output(&test, Stream::Out, "hel"),
            output(&test, Stream::Out, "lo\nlast words"),
            ended(&test, 1_000, 1_000, how, None, targets[0] != "web"),
            run_ended(1_000, exit, 0),
        ];
        let style = Style { colour: false, unicode: true, width: 80 };
        let (_, vt) = play(&events, style, Options { verbose, ..Options::default() });
        assert_eq!(vt.screen(), screen, "{targets:?}");
    }
}

#[test]
fn a_run_in_which_nothing_happens_is_one_line_and_the_images_that_were_asked_for() {
    let mut events = vec![run_started(&["web"], 12)];
    for n in 0..11 {
        events.push(ended(&step(&format!("s{n}"), StepKind::Run, None), n, 3_000, Ended::Cached { from: Origin::InPlace }, None, true));
    }
    let index = step("web", StepKind::Index, None);
    events.push(ended(&index, 20, 0, Ended::Cached { from: Origin::InPlace }, Some("sha256:4f53cda18c2b 2 platforms"), true));
    events.push(run_ended(30, 0, 33_000));
    let screen = "● web/index  cached  sha256:4f53cda18c2b 2 platforms\n✓ 12 steps: 12 cached, in 30 ms (saved 33.0 s)\n";
    assert_eq!(plain(&events, Style::PLAIN), screen);
    assert_eq!(play(&events, Style::PLAIN, Options::default()).1.screen(), screen);
}

fn plain(events: &[Event], style: Style) -> String {
    let mut renderer = Plain::new(Vec::new(), style, Options::default());
    events.iter().for_each(|event| renderer.event(event));
    renderer.finish();
    String::from_utf8(renderer.into_inner().unwrap()).unwrap()
}

#[test]
fn a_log_shows_the_run() {
    golden("plain", &plain(&demonstration(), Style::PLAIN));
    golden("plain-colour", &plain(&demonstration(), Style { colour: true, ..Style::PLAIN }));
    let ascii = plain(&demonstration(), Style { unicode: false, ..Style::PLAIN });
    assert!(ascii.is_ascii(), "{ascii}");
}

#[test]
fn a_silent_step_says_in_the_log_that_it_still_runs() {
    let name = step("compile", StepKind::Run, None);
    let mut renderer = Plain::new(Vec::new(), Style::PLAIN, Options::default());
    renderer.event(&run_started(&["compile"], 1));
    renderer.event(&started(&name, 0, "it must"));
    (1..1_250).for_each(|n| renderer.tick(n * 100));
    let text = String::from_utf8(renderer.into_inner().unwrap()).unwrap();
    assert_eq!(text, "▸ compile  it must\n▸ compile  still running after 1 m 00 s\n▸ compile  still running after 2 m 00 s\n");
}

#[test]
fn programs_get_one_object_per_line() {
    let mut renderer = Json::new(Vec::new());
    demonstration().iter().for_each(|event| renderer.event(event));
    let text = String::from_utf8(renderer.into_inner().unwrap()).unwrap();
    golden("events", &text);
    for line in text.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).unwrap().is_object());
    }
}

#[test]
fn a_closed_pipe_is_quiet_and_ends_nothing() {
    /// `kiln … | head -1` after the first line.
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let renderers: [Box<dyn Renderer>; 3] = [
        Box::new(Json::new(Closed)),
        Box::new(Plain::new(Closed, Style::PLAIN, Options::default())),
        Box::new(Terminal::new(Closed, Style::PLAIN, Box::new(|| None), Options::default())),
    ];
    for renderer in renderers {
        let reporter = Reporter::start(renderer).unwrap();
        demonstration().into_iter().for_each(|event| reporter.event(event));
        reporter.finish();
    }
}

#[test]
fn a_flood_of_output_takes_no_memory_and_starves_nobody() {
    let shared = Shared::default();
    let mut terminal = Terminal::new(shared.clone(), Style::PLAIN, Box::new(|| Some((80, 24))), Options::default());
    let name = step("flood", StepKind::Run, None);
    terminal.event(&run_started(&["x"], 1));
    terminal.event(&started(&name, 0, "it must"));
    let chunk = output(&name, Stream::Out, &"x".repeat(64 << 10));
    for at in 0..256 {
        terminal.event(&chunk);
        terminal.tick(at * 100);
    }
    terminal.finish();
    assert!(shared.take().len() < 256 * 400, "16 MiB of one line cost a few hundred bytes a frame");
}

#[test]
fn another_program_gets_a_clean_screen() {
    let shared = Shared::default();
    let mut vt = Vt::new(80, 24);
    let mut terminal = Terminal::new(shared.clone(), Style::PLAIN, Box::new(|| Some((80, 24))), Options::default());
    terminal.event(&run_started(&["x"], 1));
    terminal.event(&started(&step("shell", StepKind::Run, None), 0, "it must"));
    terminal.tick(100);
    terminal.pause(true);
    terminal.tick(200);
    vt.feed(&String::from_utf8(shared.take()).unwrap());
    assert_eq!((vt.screen().as_str(), vt.cursor_is_shown()), ("", true));
    terminal.pause(false);
    terminal.tick(300);
    vt.feed(&String::from_utf8(shared.take()).unwrap());
    assert!(vt.screen().contains("[0/1]"));
}

fn plan() -> PlanView {
    let row = |step: &str, status, why: &str, expected_ms| PlanRow { step: step.into(), status, why: why.into(), expected_ms };
    PlanView {
        digest: Some("blake3:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945".into()),
        values: vec![("registry".into(), "shop.example.org".into())],
        steps: vec![
            row("lint", PlanStatus::Cached, "", Some(3_000)),
            row("generate", PlanStatus::Restore("the store".into()), "gen/api.rs is missing", Some(900)),
            row("compile[bin=worker]@linux/amd64", PlanStatus::Run, "src/main.rs and 3 more files changed", Some(4_200)),
            row("web/build@linux/amd64", PlanStatus::DependsOn("compile[bin=worker]@linux/amd64".into()), "", Some(1_100)),
            row("web/push:ghcr", PlanStatus::DependsOn("web/index".into()), "", None),
        ],
        expected_ms: Some(5_300),
        tags: vec![PlaceMoves {
            step: "web/tag:ghcr".into(),
            place: "ghcr.io/acme/web".into(),
            image: None,
            made_by: "web/index".into(),
            tags: vec![
                Move { tag: "1.4.3".into(), from: None, may_not: false },
                Move { tag: "1.4".into(), from: Some(format!("sha256:{}", "ab".repeat(32))), may_not: false },
                Move { tag: "latest".into(), from: Some(format!("sha256:{}", "ab".repeat(32))), may_not: false },
            ],
            unknown: None,
        }],
    }
}

#[test]
fn the_plan_is_a_table() {
    at_each_style("plan", |style| plan_table::screen(&plan(), style));
    golden("plan-json", &plan_table::json(&plan(), &BTreeMap::new()));
}

#[test]
fn the_targets_are_listed_by_kind() {
    let target = |name: &str, kind, doc: Option<&str>, members: &[&str], default| ListedTarget {
        name: name.into(),
        kind,
        doc: doc.map(Into::into),
        members: members.iter().map(|member| (*member).to_owned()).collect(),
        args: Vec::new(),
        rest: false,
        default,
        left_out: None,
    };
    let view = ListView {
        project: "shop".into(),
        version: Some("1.4.0".into()),
        doc: Some("an example with two services".into()),
        targets: vec![
            target(
                "compile",
                ListedKind::Task,
                Some("builds both programs for every platform that the images are published for, without cgo"),
                &[],
                false,
            ),
            target("ci", ListedKind::Group, None, &["test", "lint", "api"], false),
            target("test", ListedKind::Task, Some("runs the unit tests"), &[], true),
            target("api", ListedKind::Image, Some("the public API"), &[], false),
            target("lint", ListedKind::Task, None, &[], false),
            target("ci:lint", ListedKind::Task, Some("Lints the pipeline"), &[], false),
        ],
        params: vec![
            ListedParam {
                name: "level".into(),
                sort: "text".into(),
                doc: Some("how much it says".into()),
                default: Some("info".into()),
                choices: vec!["debug".into(), "info".into()],
            },
            ListedParam { name: "port".into(), sort: "int".into(), doc: None, default: None, choices: Vec::new() },
        ],
        profiles: vec![ListedProfile { name: "dev".into(), doc: Some("On a laptop".into()) }],
    };
    at_each_style("list", |style| list::screen(&view, style));
    golden("list-json", &list::json(&view));
    assert!(list::screen(&ListView { project: String::new(), version: None, doc: None, ..view }, Style::PLAIN).starts_with("tasks\n"));
    golden("list-empty", &list::screen(&ListView { project: "empty".into(), ..ListView::default() }, Style::PLAIN));
}

#[test]
fn why_a_step_runs_is_told_in_words() {
    let digest = |digit: &str| format!("blake3:{}", digit.repeat(64));
    let script = |target: &str| format!("set -e\ncd src\nmake {target}\necho done\ntrue\n");
    let manifest = |n: usize| {
        let (digit, level, target) = [("a", "-O1", "all"), ("b", "-O2", "release")][n];
        KeyManifest(vec![
            ("kind".to_owned(), "run".to_owned()),
            ("commands › run".to_owned(), script(target)),
            ("env › CFLAGS".to_owned(), level.to_owned()),
            ("tool › go".to_owned(), digest(digit)),
            ("inputs › src/main.rs › content".to_owned(), digest(digit)),
            ("inputs › run.sh › mode".to_owned(), ["644", "755"][n].to_owned()),
            ("inputs › run.sh › content".to_owned(), digest("c")),
            ("inputs › gen/api.rs › content".to_owned(), digest(digit)),
            (["inputs › old.rs › content", "inputs › new.rs › content"][n].to_owned(), digest(["d", "e"][n])),
            (["inputs › before.rs › content", "inputs › after.rs › content"][n].to_owned(), digest("f")),
        ])
    };
    let told = |from: usize, to: usize| -> Vec<Told> {
        let maker = |name: &str| (name == "gen/api.rs").then(|| "generate".to_owned());
        let found = differences(&manifest(from), &manifest(to));
        found.iter().map(|one| Told::new(one, maker(&one.thing.name))).collect()
    };
    let since = Some("the run of 2023-11-14T22:13:20Z (20231114-221320-000-0042)".to_owned());
    let runs = Answer::Runs { because: "src/main.rs and 7 more changed".into() };
    let view = WhyView { step: "compile@linux/amd64".into(), answer: runs, since: since.clone(), failed: None, differences: told(0, 1) };
    at_each_style("why", |style| why::screen(&view, style));
    golden("why-json", &why::json(&view));
    let made_by = || "20231114-221320-000-0042".to_owned();
    let cause = Cause { step: "generate".into(), because: "api.yaml changed".into(), differences: told(0, 1)[3..4].to_vec() };
    let open = Cause { step: "fetch".into(), because: "it declares no inputs".into(), differences: Vec::new() };
    let answers = [
        (Answer::InPlace { made_by: made_by() }, since.clone(), None, vec![]),
        (Answer::InPlace { made_by: made_by() }, since.clone(), None, told(0, 1)[3..4].to_vec()),
        (Answer::Restore { made_by: made_by() }, since.clone(), None, vec![]),
        (Answer::Runs { because: "it has not run here before".into() }, None, None, vec![]),
        (Answer::Runs { because: "it declares no inputs".into() }, since.clone(), None, vec![]),
        (Answer::Runs { because: "it failed last time".into() }, since.clone(), Some("exit code 2".to_owned()), vec![]),
        (Answer::Runs { because: "src/main.rs changed".into() }, since.clone(), Some("exit code 2".to_owned()), told(0, 1)[3..4].to_vec()),
        (Answer::Waits { on: vec![cause, open] }, since, None, told(0, 1)[1..2].to_vec()),
    ];
    let screens = answers.map(|(answer, since, failed, differences)| {
        why::screen(&WhyView { step: "compile".into(), answer, since, failed, differences }, Style::PLAIN)
    });
    golden("why-answers", &screens.join("\n"));
}

#[test]
fn two_plans_are_shown_side_by_side() {
    let told = |old: &str, new: &str| {
        let manifest = |text: &str| KeyManifest(vec![("commands › run".to_owned(), text.to_owned())]);
        differences(&manifest(old), &manifest(new)).iter().map(|one| Told::new(one, None)).collect::<Vec<_>>()
    };
    let step = |step: &str, change, differences: Vec<Told>, after: &[&str]| DiffStep {
        step: step.into(),
        target: step.split(['/', '@', '[']).next().unwrap().into(),
        change,
        differences,
        after: after.iter().map(|name| (*name).to_owned()).collect(),
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let view = DiffView {
        other: "main".into(),
        commit: Some("0123456789abcdef0123456789abcdef01234567".into()),
        same: 3,
        steps: vec![
            step("compile[bin=api]@linux/amd64", StepChange::Changed, told("go build", "go build -v"), &[]),
            step("compile[bin=worker]@linux/amd64", StepChange::Changed, told("go build", "go build -v"), &[]),
            step("compile[bin=migrate]@linux/amd64", StepChange::Changed, told("go build", "go build -v"), &[]),
            step("web/build@linux/amd64", StepChange::Follows, vec![], &["compile[bin=api]@linux/amd64"]),
            step("web/push:ghcr", StepChange::Follows, vec![], &["web/build@linux/amd64"]),
            step("deploy", StepChange::Follows, vec![], &["web/push:ghcr"]),
            step("vet", StepChange::Added, vec![], &[]),
            step("lint_`all`", StepChange::Removed, vec![], &[]),
        ],
        tags: vec![MovedTags { place: "ghcr.io/acme/web".into(), old: names(&["1.2.3", "1.2"]), new: names(&["1.3.0", "1.3"]) }],
        bases: vec![BaseChange { steps: names(&["web/base@linux/amd64"]), old: "alpine:3.19".into(), new: "alpine:3.20".into() }],
    };
    at_each_style("diff", |style| plan_diff::screen(&view, style));
    golden("diff-markdown", &plan_diff::markdown(&view));
}

#[test]
fn the_graph_is_drawn_in_three_languages() {
    let node = |name: &str, kind: StepKind| {
        let target = name.split(['[', '/', '@']).next().unwrap().to_owned();
        Node { name: name.into(), target, kind: kind.word().into() }
    };
    let view = GraphView {
        nodes: vec![
            node("compile[bin=api]@linux/arm64", StepKind::Run),
            node("web/build@linux/arm64", StepKind::Build),
            node("web/scan@linux/arm64", StepKind::Scan),
            node("web/push:ghcr", StepKind::Push),
        ],
        edges: vec![Edge { from: 0, to: 1 }, Edge { from: 1, to: 2 }, Edge { from: 1, to: 3 }, Edge { from: 2, to: 3 }],
    };
    golden("graph-dot", &graph::dot(&view));
    golden("graph-mermaid", &graph::mermaid(&view));
    golden("graph-json", &graph::json(&view));
    golden("graph-svg", &svg::svg(&view));
}

fn faults() -> Vec<Diagnostic> {
    let text = "kiln 1\nproject \"shop\"\ntask \"test\" {\n\tinputs src/**/*.go\n    run \"go test ./...\"\n}\nimage \"web\" {\n    step scna { policy \"release\" }\n}\ntask \"test\" {\n}\n";
    let source = Arc::new(Source { name: "build.kdl".into(), text: text.into() });
    let at = |mark: &str| Span::new(&source, text.find(mark).unwrap(), mark.len());
    let second = Span::new(&source, text.rfind("\"test\"").unwrap(), 6);
    let third = Arc::new(Source { name: "lib/images.kdl".into(), text: "image \"web\"\n".into() });
    vec![
        Diagnostic::plan("plan::twice", "two targets are called `test`", &second, "the second")
            .label(&at("\"test\""), "the first")
            .help("rename one of them"),
        Diagnostic::plan("plan::unknown-step", "target `web` has an unknown step kind `scna`", &at("scna"), "not a step kind")
            .help("did you mean `scan`? step kinds are: build, scan, tag, push, run"),
        Diagnostic::plan("syntax::bare-glob", "the pattern is cut in two by a comment", &at("src/**/*.go"), "`/**/` is a comment here")
            .help("quote it: \"src/**/*.go\"")
            .warning(),
        Diagnostic::plan(
            "plan::twice",
            "image `web` is declared in two files, and this message is long enough to be wrapped at eighty columns",
            &at("\"web\""),
            "here",
        )
        .label(&Span::new(&third, 6, 5), "and here"),
        Diagnostic::new(Class::Environment, "registry::refused", "the registry `ghcr.io` answered 429 five times in 31 s")
            .help("nothing was tagged; run it again"),
    ]
}

#[test]
fn faults_are_shown_all_at_once() {
    at_each_style("faults", |style| diagnostic::screen(&faults(), style));
    golden("faults-plain", &diagnostic::screen(&faults(), Style { unicode: false, ..Style::PLAIN }));
    golden("faults-json", &diagnostic::json_lines(&faults()));
}

/// Plays the run in real time on the terminal that the test was started in, when it is asked to.
#[test]
fn demo() {
    if std::env::var_os("KILN_DEMO").is_none() {
        return;
    }
    let size = || kiln::sys::terminal::Screen::Out.size();
    let style = Style { colour: true, unicode: true, width: size().map_or(80, |size| size.0) };
    let options = Options { expected: expected(), jobs: 2, verbose: false };
    let reporter = Reporter::start(Box::new(Terminal::new(std::io::stdout(), style, Box::new(size), options))).unwrap();
    let clock = std::time::Instant::now();
    for event in demonstration() {
        let at = std::time::Duration::from_millis(at_ms(&event).unwrap_or(0));
        std::thread::sleep(at.saturating_sub(clock.elapsed()));
        reporter.event(event);
    }
    reporter.finish();
}
