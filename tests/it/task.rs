//! Tasks as child processes: environment, order, retries, limits, and a log that does not grow without bound.

use std::ffi::OsString;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kiln::base::diagnostic::{Source, Span};
use kiln::base::id::{Cell, StepKind, StepName};
use kiln::base::path::{AbsPath, RelPath};
use kiln::base::pattern::Pattern;
use kiln::engine::log::{Kept, LogLimits};
use kiln::engine::process::{TaskJob, TaskOutcome, environment, run_task};
use kiln::engine::redact::Needles;
use kiln::event::{Event, FailureClass, Listener};
use kiln::plan::retry::{Retry, RetryOn};
use kiln::plan::target::{Command, Output, TaskCell};
use kiln::sys::cancel::{Cancel, Urgency};
use kiln::sys::file;
use kiln::sys::shims::Shims;

#[derive(Default)]
struct Ear(Mutex<Vec<String>>, Mutex<usize>);

impl Listener for Ear {
    fn event(&self, event: Event) {
        match event {
            Event::Notice { text, .. } => self.0.lock().unwrap().push(text),
            Event::Output { bytes, .. } => *self.1.lock().unwrap() += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
}

fn cell(scripts: &[&str]) -> TaskCell {
    TaskCell {
        exec_in: None,
        cell: Cell::default(),
        platform: None,
        inputs: None,
        outputs: Vec::new(),
        env: Vec::new(),
        unkeyed: Vec::new(),
        pass_env: Vec::new(),
        secrets: Vec::new(),
        tools: Vec::new(),
        dir: RelPath::root(),
        shell: ["sh", "-eu", "-c"].map(str::to_owned).to_vec(),
        rest: Vec::new(),
        commands: scripts.iter().map(|script| Command::Script((*script).to_owned())).collect(),
        container: None,
        timeout: None,
        silence: None,
        retry: Retry::default(),
        cpus: 1,
        memory: None,
        jobserver: None,
        interactive: false,
        allow_failure: false,
        locks: Vec::new(),
        pools: Vec::new(),
        sandbox: None,
    }
}

/// A project and a place for logs.
struct Bench {
    folder: tempfile::TempDir,
    ear: Ear,
    cancel: Cancel,
    extra_env: Vec<(String, OsString)>,
    log_limits: LogLimits,
}

/// A task's end, with the log read.
struct Outcome {
    /// `done`, `cancelled`, or the reason of the failure.
    text: String,
    class: Option<FailureClass>,
    help: Option<String>,
    log: Vec<u8>,
    attempts: u32,
    took: Duration,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        file::create_dirs(folder.path().join("project")).unwrap();
        file::create_dirs(folder.path().join("logs")).unwrap();
        Self { folder, ear: Ear::default(), cancel: Cancel::new(), extra_env: Vec::new(), log_limits: LogLimits::default() }
    }

    fn root(&self) -> AbsPath {
        AbsPath::new(self.folder.path().join("project")).unwrap()
    }

    async fn run(&self, cell: &TaskCell) -> Outcome {
        let step = StepName::new("t".parse().unwrap(), StepKind::Run);
        let (root, needles) = (self.root(), Needles::new(self.extra_env.iter().map(|(_, value)| value.as_encoded_bytes())));
        let job = TaskJob {
            step: &step,
            cell,
            root: &root,
            extra_env: &self.extra_env,
            needles: &needles,
            log_folder: &self.folder.path().join("logs"),
            log_limits: self.log_limits,
            listener: &self.ear,
            cancel: &self.cancel,
            grace: Duration::from_secs(2),
            shims: &Shims::new(env!("CARGO_BIN_EXE_kiln")),
            claim: None,
            sandbox: None,
            jobs: None,
        };
        let (text, class, help, ran) = match run_task(&job).await {
            TaskOutcome::Done(ran) => ("done".to_owned(), None, None, ran),
            TaskOutcome::Cancelled(ran) => ("cancelled".to_owned(), None, None, ran),
            TaskOutcome::Failed { class, reason, help, ran } => (reason, Some(class), help, ran),
        };
        let log = ran.log.as_ref().map(|log| match &log.kept {
            Kept::Held(bytes) => bytes.clone(),
            Kept::File(_, path) => file::read(path, 1 << 30).unwrap(),
        });
        let log = log.unwrap_or_default();
        Outcome { text, class, help, log, attempts: ran.attempts, took: ran.took }
    }

    fn notices(&self) -> Vec<String> {
        self.ear.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn commands_run_in_order_and_the_first_failure_ends_them() {
    let bench = Bench::new();
    let outcome = bench.run(&cell(&["echo one", "echo two >&2; exit 7", "echo three"])).await;
    assert_eq!((outcome.text.as_str(), outcome.class), ("command 2 of 3: exit code 7", Some(FailureClass::Step)));
    assert_eq!(outcome.log, b"one\ntwo\n");
    let mut exec = cell(&[]);
    exec.commands = vec![Command::Exec(["printf", "%s|", "a b", "$HOME", "*"].map(str::to_owned).to_vec())];
    assert_eq!(bench.run(&exec).await.log, b"a b|$HOME|*|");
    assert_eq!(bench.run(&cell(&[])).await.text, "done");
    exec.commands = vec![Command::Exec(Vec::new())];
    assert_eq!(bench.run(&exec).await.class, Some(FailureClass::Internal));
}

#[tokio::test]
async fn a_script_is_handed_over_as_it_was_written() {
    let script = "x='$not ${a} variable'; printf '%s\\n' \"$x\" \"it's \\\"quoted\\\"\"; echo ${unset-default}";
    assert_eq!(Bench::new().run(&cell(&[script])).await.log, b"$not ${a} variable\nit's \"quoted\"\ndefault\n");
    let strict = Bench::new().run(&cell(&["false; echo not reached"])).await;
    assert_eq!((strict.text.as_str(), strict.log.as_slice()), ("exit code 1", &b""[..]));
}

#[test]
fn a_step_sees_the_fixed_variables_the_passed_ones_and_its_own() {
    let mut task = cell(&[]);
    task.pass_env = vec!["CI".into(), "ABSENT".into()];
    task.env = vec![("TZ".into(), "Asia/Tokyo".into()), ("GOARCH".into(), "arm64".into())];
    let host = |name: &str| match name {
        "HOME" => Some("/home/me".into()),
        "CI" => Some("true".into()),
        "TERM" => Some("xterm".into()),
        "SECRET" | "LANG" => Some("leak".into()),
        _ => None,
    };
    let extra = [("GOARCH".to_owned(), "stronger".into())];
    let shown = |task: &TaskCell| -> Vec<String> {
        let all = environment(task, &host, &extra);
        all.into_iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect()
    };
    let path = format!("PATH={}", kiln::sys::program::DEFAULT_PATH);
    let expected = ["CI=true", "GOARCH=stronger", "HOME=/home/me", "LC_ALL=C.UTF-8", &path, "TERM=dumb", "TZ=Asia/Tokyo"];
    assert_eq!(shown(&task), expected);
    task.interactive = true;
    assert_eq!(shown(&task)[5], "TERM=xterm");
}

#[tokio::test]
async fn a_task_is_tried_again_as_often_as_the_plan_says() {
    let bench = Bench::new();
    let mut task = cell(&["echo try >> tries; test $(wc -l < tries) -ge 3"]);
    task.retry.times = 2;
    let outcome = bench.run(&task).await;
    assert_eq!((outcome.text.as_str(), outcome.attempts), ("done", 3));
    assert_eq!(
        bench.notices(),
        [
            "attempt 1 of 3 failed: exit code 1; the next one begins in 500 ms",
            "attempt 2 of 3 failed: exit code 1; the next one begins in 1.0 s"
        ]
    );
    file::remove(bench.root().join("tries")).unwrap();
    task.retry.times = 1;
    assert_eq!(bench.run(&task).await.text, "exit code 1");
    // What is missing is not looked for twice.
    task.commands = vec![Command::Exec(vec!["no-such-tool".into()])];
    assert_eq!(bench.run(&task).await.attempts, 1);
}

#[tokio::test]
async fn a_task_is_tried_again_only_after_the_failures_that_its_plan_names() {
    let mut task = cell(&["echo try >> tries; exit 75"]);
    for (on, attempts) in [
        (vec![RetryOn::Exit(75)], 3),
        (vec![RetryOn::Exit(1), RetryOn::Timeout], 1),
        (vec![RetryOn::Signal, RetryOn::Exit(75)], 3),
        (vec![], 3),
    ] {
        let bench = Bench::new();
        task.retry = Retry { times: 2, on, delay: Some(Duration::from_millis(10)) };
        assert_eq!(bench.run(&task).await.attempts, attempts, "{:?}", task.retry);
        if attempts > 1 {
            let pauses: Vec<bool> = bench.notices().iter().zip(["10 ms", "20 ms"]).map(|(notice, pause)| notice.ends_with(pause)).collect();
            assert_eq!(pauses, [true, true], "{:?}", bench.notices());
        }
    }
    task.commands = vec![Command::Script("kill -9 $$".to_owned())];
    task.retry = Retry { times: 1, on: vec![RetryOn::Signal], delay: Some(Duration::from_millis(1)) };
    assert_eq!(Bench::new().run(&task).await.attempts, 2);
    task.commands = vec![Command::Script("sleep 60".to_owned())];
    task.timeout = Some(Duration::from_millis(50));
    assert_eq!(Bench::new().run(&task).await.attempts, 1);
    task.retry.on = vec![RetryOn::Timeout];
    assert_eq!(Bench::new().run(&task).await.attempts, 2);
}

#[tokio::test]
async fn a_command_that_falls_silent_is_stopped_and_told_apart_from_one_that_takes_too_long() {
    let mut task = cell(&["echo up", "echo on; sleep 1000"]);
    (task.timeout, task.silence) = (Some(Duration::from_secs(60)), Some(Duration::from_millis(600)));
    let outcome = Bench::new().run(&task).await;
    assert_eq!(outcome.text, "command 2 of 2: stopped after 600 ms without output, its silence");
}

#[tokio::test]
async fn a_timeout_ends_the_whole_attempt_and_says_so() {
    let mut task = cell(&["sleep 0.3", "sleep 1000"]);
    task.timeout = Some(Duration::from_millis(600));
    let outcome = Bench::new().run(&task).await;
    assert_eq!(outcome.text, "command 2 of 2: stopped after 600 ms, its timeout");
    assert!(outcome.took < Duration::from_secs(10), "{:?}", outcome.took);
}

#[test]
fn a_cancelled_task_is_no_failed_one() {
    for script in ["echo up; sleep 1000", "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"] {
        let bench = Bench::new();
        let mut task = cell(&[script, "echo not reached"]);
        task.retry.times = 5;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // A command is waited for by the thread that started it.
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| {
                let start = Instant::now();
                while *bench.ear.1.lock().unwrap() == 0 {
                    assert!(start.elapsed() < Duration::from_secs(30));
                    std::thread::sleep(Duration::from_millis(5));
                }
                bench.cancel.request(Urgency::Gentle);
            });
            runtime.block_on(bench.run(&task))
        });
        assert_eq!((outcome.text.as_str(), outcome.attempts), ("cancelled", 1), "{script}");
        // Some shells tell of the `sleep` that the signal took from them.
        assert!(outcome.log.starts_with(b"up\n") && !outcome.log.ends_with(b"not reached\n"), "{script}");
        assert_eq!(runtime.block_on(bench.run(&task)).text, "cancelled", "one that never began");
    }
}

#[tokio::test]
async fn a_wish_to_stop_ends_the_pause_before_a_retry() {
    let bench = Bench::new();
    let mut task = cell(&["exit 1"]);
    task.retry.times = 60;
    let stop = async {
        while bench.notices().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bench.cancel.request(Urgency::Gentle);
    };
    let (outcome, ()) = tokio::join!(bench.run(&task), stop);
    assert_eq!((outcome.text.as_str(), outcome.attempts), ("cancelled", 1));
}

#[tokio::test]
async fn faults_name_the_place_and_the_next_act() {
    let bench = Bench::new();
    let mut task = cell(&["true"]);
    task.dir = RelPath::new("gone").unwrap();
    let outcome = bench.run(&task).await;
    assert_eq!(outcome.text, format!("cannot run in `{}`: there is no such folder", bench.root().join("gone").as_path().display()));
    assert_eq!(outcome.help.as_deref(), Some("correct `dir`, or let a step that comes first make the folder"));
    let killed = bench.run(&cell(&["kill -9 $$"])).await;
    assert_eq!(killed.text, "killed by signal 9 (SIGKILL)");
    assert!(killed.help.unwrap().contains("memory"));
    let daemon = bench.run(&cell(&["sleep 1000 & echo x"])).await;
    assert_eq!((daemon.text.as_str(), daemon.log.as_slice()), ("done", &b"x\n"[..]));
    assert_eq!(bench.notices(), ["stopped 1 process that still ran when the command had ended"]);
}

#[tokio::test]
async fn folders_of_outputs_are_there_before_the_commands_run() {
    let bench = Bench::new();
    let source = std::sync::Arc::new(Source { name: "build.kdl".into(), text: String::new() });
    let output = |text| Output { pattern: Pattern::new(text).unwrap(), span: Span::new(&source, 0, 0) };
    let mut task = cell(&["find . -mindepth 1 | sort; mkdir site; echo new > a/b/file"]);
    task.outputs = ["a/b/file", "top", "site/", "glob/x/**/*.js"].map(output).into();
    let outcome = bench.run(&task).await;
    assert_eq!((outcome.text.as_str(), String::from_utf8_lossy(&outcome.log).as_ref()), ("done", "./a\n./a/b\n./glob\n./glob/x\n"));
}

#[tokio::test]
async fn a_secret_reaches_the_command_but_not_the_log() {
    let mut bench = Bench::new();
    bench.extra_env = vec![("TOKEN".into(), "s3cr3t-value".into())];
    let outcome = bench.run(&cell(&["echo ${#TOKEN}; echo \"<$TOKEN>\"; printf %s \"$TOKEN\" | base64"])).await;
    let log = String::from_utf8(outcome.log).unwrap();
    assert!(log.starts_with("12\n<***>\n***"), "{log}");
}

/// The largest that this process ever was, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Floods in a process of its own, so that no other test's memory is measured; does nothing unless the next test starts it.
#[tokio::test]
async fn the_stand_in_that_is_flooded_measures_itself() {
    let Ok(script) = std::env::var("KILN_FLOOD") else { return };
    let mut bench = Bench::new();
    bench.log_limits = LogLimits { disk: 8 << 20, shown: 1 << 20, ..LogLimits::default() };
    bench.extra_env = vec![("TOKEN".into(), "s3cr3t-value".into())];
    assert_eq!(bench.run(&cell(&["true"])).await.text, "done");
    let before = peak();
    let step = bench.run(&cell(&[&script])).await;
    let grown = peak() - before;
    assert_eq!(step.text, "done");
    assert!((8 << 20..(8 << 20) + 100).contains(&step.log.len()), "{} bytes in the log", step.log.len());
    // The log itself is read back here: 8 MiB, and as much again while the buffer grows.
    assert!(grown < 32 << 10, "grew by {grown} KiB");
}

#[test]
fn a_flood_keeps_memory_flat_and_the_log_at_its_limit() {
    for script in ["yes 'a line of output' | head -c 100000000", "head -c 100000000 /dev/zero; echo"] {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "task::the_stand_in_that_is_flooded_measures_itself"])
            .env("KILN_FLOOD", script)
            .status()
            .unwrap();
        assert!(status.success(), "{script}");
    }
}

/// Runs an interactive task on the terminal that the next test gives it; does nothing otherwise.
#[tokio::test]
async fn the_stand_in_on_a_terminal_runs_an_interactive_task() {
    if std::env::var_os("KILN_TERMINAL").is_none() {
        return;
    }
    let _interrupts = kiln::sys::signal::Interrupts::listen().unwrap();
    let modes = || rustix::termios::tcgetattr(std::io::stdin()).unwrap().local_modes;
    let before = modes();
    let script = "test -t 0; test -t 1; test -t 2; read line; echo got $line; stty -echo -icanon; trap 'exit 5' INT; echo ready; \
                  while :; do sleep 0.05; done";
    let mut task = cell(&[script]);
    task.interactive = true;
    let outcome = Bench::new().run(&task).await;
    println!("ended with {}, modes {}", outcome.text, if modes() == before { "restored" } else { "changed" });
}

#[test]
fn an_interactive_task_has_the_terminal_and_gives_it_back() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let command = format!(
        "{} --exact task::the_stand_in_on_a_terminal_runs_an_interactive_task --nocapture",
        std::env::current_exe().unwrap().display()
    );
    let mut terminal = std::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("KILN_TERMINAL", "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut keyboard = terminal.stdin.take().unwrap();
    keyboard.write_all(b"hello\n").unwrap();
    let mut seen = Vec::new();
    for line in BufReader::new(terminal.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.trim_end() == "ready" {
            // Ctrl-C goes to the command and to kiln alike.
            keyboard.write_all(b"\x03").unwrap();
        }
        seen.push(line.trim_end().to_owned());
    }
    terminal.wait().unwrap();
    assert!(seen.iter().any(|line| line == "got hello"), "{seen:?}");
    assert!(seen.iter().any(|line| line.ends_with("ended with exit code 5, modes restored")), "{seen:?}");
}
