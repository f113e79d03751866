//! Images and tasks with a real Docker engine, which runs in network, mount and process namespaces of its own: nothing of the
//! machine's Docker is seen or touched. What must reach its 127.0.0.1 is started inside with `nsenter`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::parts::{missing, output, part, there, wait};
use super::project::Project;
use super::real_registry::{Mode, Real};

/// The engine of this process. It ends, and its folder goes, when this process does, however that happens: both are left to a
/// shell that waits for the end of its standard input.
pub struct Engine {
    folder: PathBuf,
    /// A process in the engine's namespaces.
    inside: u32,
    /// Its standard input is never closed, and so ends with this process.
    _leash: std::process::Child,
}

/// Outside: waits for everything to end, then removes the folder. Inside: the first process of its own process namespace,
/// whose end is the end of all others. `$0` is the folder.
const OUTSIDE: &str = r#"exec 3<&0; unshare -n -m -p --fork --kill-child --mount-proc --propagation private sh -c "$1" "$0" <&3 3<&- &
echo $! >"$0/inside"; wait; rm -rf "$0""#;
const INSIDE: &str = r#"ip link set lo up; mkdir -p /var/run/docker; mount -t tmpfs t /var/run/docker
dockerd -H "unix://$0/d.sock" --data-root "$0/data" --exec-root "$0/exec" --pidfile "$0/d.pid" & cat >/dev/null"#;

impl Engine {
    /// The engine; `None` where it cannot be had, which is reported.
    pub fn get() -> Option<&'static Self> {
        static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
        ENGINE.get_or_init(Self::start).as_ref()
    }

    fn start() -> Option<Self> {
        if !there(&["dockerd", "docker", "unshare", "nsenter", "ip", "busybox"]) {
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            missing("dockerd", "a private engine needs root");
            return None;
        }
        // Short: the name of a socket has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("kd-").tempdir_in("/tmp").unwrap().keep();
        let log = fs::File::create(folder.join("log")).unwrap();
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
        let leash = Command::new("sh")
            .args(["-c", OUTSIDE])
            .arg(&folder)
            .arg(INSIDE)
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let inside = wait("the engine's namespaces", || fs::read_to_string(folder.join("inside")).ok()?.trim().parse().ok());
        let engine = Self { folder, inside, _leash: leash };
        let answers = wait("the private engine", || {
            let text = fs::read_to_string(engine.folder.join("log")).unwrap_or_default();
            if engine.docker(&["version"]).status.success() {
                return Some(Ok(()));
            }
            // Whatever stops it stops it at once, and it says why in its last line.
            let ended = !Path::new(&format!("/proc/{inside}")).exists() || text.contains("failed to start daemon");
            ended.then(|| Err(text.lines().last().unwrap_or_default().to_owned()))
        });
        if let Err(why) = answers {
            missing("dockerd", &why);
            return None;
        }
        Some(engine)
    }

    /// What DOCKER_HOST must be.
    pub fn host(&self) -> String {
        format!("unix://{}/d.sock", self.folder.display())
    }

    /// The words that run a command where the engine's 127.0.0.1 is.
    pub fn enter(&self) -> Vec<String> {
        ["nsenter", "-t", &self.inside.to_string(), "-n", "--"].map(str::to_owned).to_vec()
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let words = self.enter();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program);
        command
    }

    fn docker(&self, args: &[&str]) -> Output {
        self.client(args).output().unwrap()
    }
    fn client(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(args).env("DOCKER_HOST", self.host()).env("DOCKER_CONFIG", self.folder.join("client")).stdin(Stdio::null());
        command
    }

    /// Lets a project use the engine and reach what is inside.
    fn open(&self, mut project: Project) -> Project {
        project.prefix(&self.enter()).env("DOCKER_HOST", &self.host());
        project
    }

    /// Containers that kiln made for this project, running or not.
    fn containers(&self, project: &Project) -> Vec<String> {
        let filter = format!("label=dev.kiln.project={}", project.root().canonicalize().unwrap().display());
        let text = output(&mut self.client(&["ps", "-a", "--no-trunc", "--filter", &filter, "--format", "{{.ID}} {{.State}}"]));
        text.lines().map(str::to_owned).collect()
    }
}

/// The digest of what a registry serves under a name, as skopeo sees it.
fn remote(engine: &Engine, project: &Project, name: &str) -> (String, serde_json::Value) {
    let mut skopeo = engine.command(part("skopeo").unwrap());
    skopeo.args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")]);
    let raw = output(skopeo.env("HOME", project.beside("home")).env("DOCKER_CONFIG", project.docker_config()));
    let digest = kiln::base::digest::Digest::<kiln::base::digest::Sha256>::of(raw.as_bytes()).to_string();
    (digest, serde_json::from_str(&raw).unwrap())
}

fn this_machine() -> String {
    kiln::base::platform::Platform::host().to_string().split('/').nth(1).unwrap().to_owned()
}

/// `plans/hello` with two registries beside the engine, the second one with a password.
fn hello(engine: &Engine) -> Option<(Project, Real, Real)> {
    let (one, two) = (Real::start_in(Mode::Open, &engine.enter())?, Real::start_in(Mode::Password, &engine.enter())?);
    let mut project = engine.open(Project::example("hello"));
    project.env("KILN_PARAM_ONE", &one.host).env("KILN_PARAM_TWO", &two.host);
    project.login(&two.host, "right");
    Some((project, one, two))
}

#[test]
fn docker_hello_has_one_digest_in_two_registries_and_runs_from_both() {
    let Some(engine) = Engine::get().filter(|_| there(&["skopeo"])) else { return };
    let Some((project, one, two)) = hello(engine) else { return };
    project.kiln(&["run"]).ends(0);

    let (digest, index) = remote(engine, &project, &format!("{}/hello:1.0.0", one.host));
    let platforms: Vec<String> =
        index["manifests"].as_array().unwrap().iter().map(|entry| entry["platform"]["architecture"].as_str().unwrap().to_owned()).collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    for name in [format!("{}/hello:latest", one.host), format!("{}/hello:1.0.0", two.host), format!("{}/hello:latest", two.host)] {
        assert_eq!(remote(engine, &project, &name).0, digest, "{name}");
    }
    for host in [&one.host, &two.host] {
        let name = format!("{host}/hello@{digest}");
        output(engine.client(&["pull", "-q", &name]).env("DOCKER_CONFIG", project.docker_config()));
        let said = output(&mut engine.client(&["run", "--rm", &name]));
        assert_eq!(said, format!("hello from {}\n", this_machine()));
        output(&mut engine.client(&["rmi", "-f", &name]));
    }

    let (_, _) = (one.seen(), two.seen());
    project.kiln(&["run"]).ends(0).says("cached");
    for registry in [&one, &two] {
        let seen = registry.seen();
        assert!(!seen.is_empty() && seen.iter().all(|access| !access.writes() && access.method == "HEAD"), "{seen:?}");
    }
}

#[test]
fn docker_a_loaded_image_runs_and_is_loaded_once() {
    let Some(engine) = Engine::get() else { return };
    let project = engine.open(Project::example("hello"));
    project.kiln(&["load", "hello"]).ends(0).says("loaded hello:kiln");
    assert_eq!(output(&mut engine.client(&["run", "--rm", "hello:kiln"])), format!("hello from {}\n", this_machine()));
    project.kiln(&["load", "hello"]).ends(0).says("has hello:kiln");
    // A name that was moved to another image is put right.
    project.kiln(&["load", "hello", "--name", "hello:second"]).ends(0).says("loaded hello:second");
    project.kiln(&["load", "helo"]).ends(2).says("there is no image `helo`").says("did you mean `hello`");
    project.kiln(&["load", "assemble"]).ends(2).says("`assemble` is a task, not an image");
    project.kiln(&["load", "hello@linux/s390x"]).ends(2).says("s390x");
}

#[test]
fn docker_a_saved_image_is_loaded_and_runs_whatever_packed_its_layers() {
    let Some(engine) = Engine::get() else { return };
    for form in ["compress gzip", "compress zstd", "media docker"] {
        let plan = format!(
            "kiln 1\nimage tool {{\n    copy busybox \"/bin/busybox\"\n    {form}\n    entrypoint \"/bin/busybox\" \"echo\" \"{form}\"\n    \
             save \"dist/tool.tar\" name=\"kiln/saved:1\"\n}}\n"
        );
        let project = tool(engine, &plan);
        project.kiln(&["run", "tool"]).ends(0);
        let archive = project.path("dist/tool.tar");
        let loaded = output(&mut engine.client(&["load", "-q", "-i", archive.to_str().unwrap()]));
        assert!(loaded.contains("kiln/saved:1"), "{form}: {loaded}");
        assert_eq!(output(&mut engine.client(&["run", "--rm", "kiln/saved:1"])), format!("{form}\n"));
        // What Docker saves of it again is the same image.
        let again = project.path("again.tar");
        output(&mut engine.client(&["save", "-o", again.to_str().unwrap(), "kiln/saved:1"]));
        project.kiln(&["inspect", "diff", "tool", "again.tar"]).ends(0).says("are the same image");
        project.kiln(&["load", "tool"]).ends(0).says("loaded tool:kiln");
        assert_eq!(output(&mut engine.client(&["run", "--rm", "tool:kiln"])), format!("{form}\n"));
    }
}

/// An image of busybox alone, with a shell.
const TOOL: &str = r##"
kiln 1
project "t" { default "shout" }
param "label" default="one"
image "tool" {
    copy "busybox" "/bin/busybox"
    copy "busybox" "/bin/sh"
    env PATH="/bin"
    label "variant" "${label}"
}
task "shout" {
    container { image "tool" }
    inputs "in.txt"
    outputs "out.txt"
    env WORD="there"
    run #"""
        busybox tr a-z A-Z <in.txt >out.txt
        echo $WORD >>out.txt
        echo shout >>ran.log
        """#
}
"##;

fn tool(engine: &Engine, plan: &str) -> Project {
    let project = Project::new(plan);
    fs::copy(part("busybox").unwrap(), project.path("busybox")).unwrap();
    project.write("in.txt", "hello\n");
    engine.open(project)
}

#[test]
fn docker_a_task_runs_in_an_image_just_built_and_is_cached_on_its_digest() {
    let Some(engine) = Engine::get() else { return };
    let project = tool(engine, TOOL);
    project.kiln(&["run"]).ends(0);
    assert_eq!(project.read("out.txt"), "HELLO\nthere\n");
    project.kiln(&["run"]).ends(0).says("cached");
    assert_eq!(project.read("ran.log"), "shout\n");
    project.remove("out.txt").kiln(&["run"]).ends(0);
    assert_eq!((project.read("out.txt").as_str(), project.read("ran.log").as_str()), ("HELLO\nthere\n", "shout\n"));
    // Another image, the same files and commands.
    project.kiln(&["run", "--set", "label=two"]).ends(0);
    assert_eq!(project.read("ran.log"), "shout\nshout\n");
    assert_eq!(engine.containers(&project), [""; 0]);
}

#[test]
fn docker_a_task_runs_in_exactly_the_image_that_was_built_although_its_name_was_taken() {
    let Some(engine) = Engine::get() else { return };
    let project = tool(engine, TOOL);
    project.kiln(&["run"]).ends(0);
    let names = output(&mut engine.client(&["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "label=variant=one"]));
    let name = names.lines().find(|name| name.starts_with("kiln.invalid/tool:")).unwrap();
    let mut import = engine.client(&["import", "-", name]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(&[0; 10240]).unwrap();
    assert!(import.wait().unwrap().success());
    project.write("in.txt", "again\n").kiln(&["run"]).ends(0);
    assert_eq!(project.read("out.txt"), "AGAIN\nthere\n");
}

#[test]
fn docker_a_failing_command_in_a_container_shows_its_log_and_leaves_nothing() {
    let Some(engine) = Engine::get() else { return };
    let project = tool(engine, &TOOL.replace("echo shout", "echo the-reason >&2; exit 7; echo shout"));
    let ran = project.kiln(&["run"]).ends(1).says("exit code 7");
    assert_eq!(format!("{}{}", ran.out, ran.err).matches("the-reason").count(), 1, "{ran:?}");
    assert_eq!(engine.containers(&project), [""; 0]);
    // A program that is not in the image is the plan's fault, not the engine's.
    project.write("build.kdl", TOOL.replace("copy \"busybox\" \"/bin/sh\"", ""));
    project.kiln(&["run"]).ends(1).says("exit code 127").says("the image must have `sh`");
    assert_eq!(engine.containers(&project), [""; 0]);
}

#[test]
fn docker_a_container_is_as_the_plan_says() {
    let Some(engine) = Engine::get() else { return };
    let limits = "container { image \"tool\"; user \"1234:1234\"; read-only; memory \"64MiB\"; cpus 0.5; cap-drop \"ALL\"; mount #false }";
    let script = r#"busybox id -u; busybox ls /sys/class/net; busybox touch /x || echo read-only; busybox cat /proc/self/status; exit 3"#;
    let plan = TOOL.split("task \"shout\"").next().unwrap().replace("default \"shout\"", "default \"look\"");
    let project = tool(engine, &format!("{plan}task \"look\" {{\n    {limits}\n    run \"{script}\"\n}}\n"));
    let ran = project.kiln(&["run"]).ends(1).says("1234\n").says("read-only\n").never_says("eth0");
    let facts: Vec<Vec<&str>> = ran.out.lines().map(|line| line.split_whitespace().skip(2).collect()).collect();
    for fact in [["CapBnd:", "0000000000000000"], ["NoNewPrivs:", "1"]] {
        assert!(facts.contains(&fact.to_vec()), "{fact:?} in {ran:?}");
    }
}

/// A kiln in the background, which does not outlive a test that panics.
struct Running(std::process::Child);

impl Running {
    fn start(project: &Project, args: &[&str]) -> Self {
        Self(project.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
    fn signal(&self, name: &str) {
        output(Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already where the test got as far as that.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn docker_a_stopped_run_leaves_no_container() {
    let Some(engine) = Engine::get() else { return };
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let project = tool(engine, &TOOL.replace("echo shout", "busybox sleep 600; echo shout"));
        let mut kiln = Running::start(&project, &["run"]);
        wait("the container", || engine.containers(&project).iter().any(|line| line.ends_with("running")).then_some(()));
        let start = Instant::now();
        kiln.signal(signal);
        assert_eq!(kiln.0.wait().unwrap().code(), Some(code));
        // Nothing waits for the grace to end: a shell without a trap ends at once.
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert_eq!(engine.containers(&project), [""; 0]);
        assert!(!project.has("ran.log"));
    }
}

#[test]
fn docker_a_stopped_command_may_put_its_things_in_order_and_a_second_signal_does_not_wait() {
    let Some(engine) = Engine::get() else { return };
    for (trap, signals, expected) in
        [("echo orderly >>ran.log; exit 0", 1, "orderly\n"), ("echo stubborn >>ran.log; busybox sleep 600", 2, "stubborn\n")]
    {
        let script = format!("trap '{trap}' TERM; echo >ready; busybox sleep 600 & wait; echo shout");
        let project = tool(engine, &TOOL.replace("echo shout", &script));
        let mut kiln = Running::start(&project, &["run"]);
        wait("the command", || project.has("ready").then_some(()));
        let start = Instant::now();
        kiln.signal("INT");
        wait("the trap", || project.has("ran.log").then_some(()));
        if signals == 2 {
            kiln.signal("INT");
        }
        assert_eq!(kiln.0.wait().unwrap().code(), Some(130));
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert_eq!((project.read("ran.log").as_str(), engine.containers(&project)), (expected, vec![]));
    }
}

#[test]
fn docker_the_next_run_removes_the_container_of_a_killed_one_and_no_other() {
    let Some(engine) = Engine::get() else { return };
    let slow = TOOL.replace("echo shout", "busybox sleep 600; echo shout");
    let (project, other) = (tool(engine, &slow), tool(engine, &slow));
    let (mut kiln, _alive) = (Running::start(&project, &["run"]), Running::start(&other, &["run"]));
    for project in [&project, &other] {
        wait("the container", || engine.containers(project).iter().any(|line| line.ends_with("running")).then_some(()));
    }
    kiln.signal("KILL");
    kiln.0.wait().unwrap();
    assert_eq!(engine.containers(&project).len(), 1);
    project.write("build.kdl", TOOL).kiln(&["run"]).ends(0).says("removed 1 container of a run that was killed");
    assert_eq!(engine.containers(&project), [""; 0]);
    assert_eq!(project.read("out.txt"), "HELLO\nthere\n");
    // A second kiln in the same project does not take the first one's container away.
    other.write("build.kdl", TOOL.replace("echo shout", "echo second")).kiln(&["run"]).ends(0).never_says("removed");
    assert_eq!(engine.containers(&other).len(), 1);
}

#[test]
fn docker_a_container_that_takes_too_long_is_stopped() {
    let Some(engine) = Engine::get() else { return };
    let project =
        tool(engine, &TOOL.replace("echo shout", "busybox sleep 600; echo shout").replace("env WORD", "timeout \"1s\"\n    env WORD"));
    project.kiln(&["run"]).ends(1).says("timeout of 1");
    assert_eq!(engine.containers(&project), [""; 0]);
}

#[test]
fn docker_an_image_that_the_engine_does_not_have_is_pulled_with_the_users_password() {
    let Some(engine) = Engine::get() else { return };
    let Some(registry) = Real::start_in(Mode::Password, &engine.enter()) else { return };
    let push = format!("registry \"r\" \"{}\"\nimage \"tool\" {{\n    tag \"1\"\n    push \"r\"", registry.host);
    let name = format!("{}/tool:1", registry.host);
    let project = tool(engine, &TOOL.replace("image \"tool\" {", &push).replace("image \"tool\" }", &format!("image \"{name}\" }}")));
    project.login(&registry.host, "right").kiln(&["run", "tool"]).ends(0);
    project.kiln(&["run", "shout"]).ends(0).says("pulls");
    assert_eq!(project.read("out.txt"), "HELLO\nthere\n");
    output(&mut engine.client(&["rmi", "-f", &name]));
    project.write("in.txt", "again").login(&registry.host, "wrong");
    project.kiln(&["run", "shout"]).ends(5).says(&name).says(&format!("docker login {}", registry.host));
}

#[test]
fn docker_a_missing_daemon_is_an_environment_fault_with_the_next_act() {
    let mut project = Project::new(&TOOL.replace("image \"tool\" }", "image \"alpine:3\" }"));
    project.write("in.txt", "").write("busybox", "");
    for (host, words) in [
        ("unix:///nonexistent/docker.sock", "there is no such socket"),
        ("tcp://127.0.0.1:1", "connection refused"),
        ("ssh://x", "unix:///"),
    ] {
        project.env("DOCKER_HOST", host);
        for args in [&["run"][..], &["load", "tool"]] {
            project.kiln(args).ends(5).says(host).says(words);
        }
    }
}

#[test]
fn docker_cosign_signs_and_verifies_what_was_pushed() {
    let Some(engine) = Engine::get().filter(|_| there(&["skopeo", "cosign"])) else { return };
    let Some((project, one, _two)) = hello(engine) else { return };
    project.kiln(&["run"]).ends(0);
    let (digest, _) = remote(engine, &project, &format!("{}/hello:1.0.0", one.host));
    let name = format!("{}/hello@{digest}", one.host);
    let cosign = |args: &[&str]| {
        let mut command = engine.command(part("cosign").unwrap());
        command.args(args).current_dir(project.root()).env("COSIGN_PASSWORD", "").env("HOME", project.beside("home"));
        command
    };
    output(&mut cosign(&["generate-key-pair"]));
    let modern = output(&mut cosign(&["sign", "--help"])).contains("--use-signing-config");
    let mut sign = vec!["sign", "--key", "cosign.key", "--tlog-upload=false", "-y"];
    sign.extend(modern.then_some("--use-signing-config=false"));
    output(&mut cosign(&[&sign[..], &[&name]].concat()));
    output(&mut cosign(&["verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", &name]));
    // The digest did not change, and a tag that kiln moves on does not carry the signature with it.
    project.kiln(&["run"]).ends(0);
    assert_eq!(remote(engine, &project, &format!("{}/hello:1.0.0", one.host)).0, digest);
    project.write("assemble.sh", project.read("assemble.sh").replace("set -eu", "set -e"));
    project.write("build.kdl", project.read("build.kdl").replace("hello from", "hi from"));
    project.kiln(&["run"]).ends(0).says("moved from");
    let moved = remote(engine, &project, &format!("{}/hello:1.0.0", one.host)).0;
    let other =
        cosign(&["verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", &format!("{}/hello@{moved}", one.host)]).output().unwrap();
    assert!(moved != digest && !other.status.success());
}
