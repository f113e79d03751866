//! One case of one tool: a project in a folder of its own, what happens to it, and what must be true afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::project::{Ask, Project};
use crate::tools::{Cannot, Offer, Tool};

/// How a case ends that does not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A wrong result stands there as if it were right; the word says which kind.
    Wrong(&'static str, String),
    /// The result is right; more was done than had to be.
    Costs(&'static str, String),
    /// The tool cannot be asked this.
    Cannot(Cannot),
    /// The case itself could not be set up: no verdict.
    Broken(String),
}

pub type Check = Result<(), End>;

/// How a call of the tool ended.
#[derive(Debug)]
pub struct Ran {
    pub ok: bool,
    pub text: String,
}

/// The longest that one call may take.
const LONG: Duration = Duration::from_secs(120);

/// Longer than the clock of any file system here stands still.
const TICK: Duration = Duration::from_millis(12);

/// A time long ago.
pub fn long_ago() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

/// A time to come.
pub fn to_come() -> SystemTime {
    SystemTime::now() + Duration::from_secs(30 * 86_400)
}

pub struct World<'t> {
    tool: &'t dyn Tool,
    program: &'t Path,
    folder: tempfile::TempDir,
    /// Where the project lies in it.
    place: String,
    pub project: Project,
    pub env: BTreeMap<String, String>,
    pub jobs: usize,
    pub keep_going: bool,
}

impl<'t> World<'t> {
    pub fn new(tool: &'t dyn Tool, program: &'t Path, project: Project) -> Self {
        let folder = tempfile::Builder::new().prefix("kiln-sound-").tempdir().unwrap();
        for name in ["project", "home", "bin", "ran"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let path = format!("{}:{}", folder.path().join("bin").display(), std::env::var("PATH").unwrap());
        let env = BTreeMap::from([
            ("PATH".to_owned(), path),
            ("HOME".to_owned(), folder.path().join("home").display().to_string()),
            ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
        ]);
        // A project is a repository: some tools keep no results elsewhere.
        fs::write(folder.path().join("project/.gitignore"), "/out\n/gen\n/other\n/.*/\n").unwrap();
        for words in [
            &["init", "-q"][..],
            &["add", ".gitignore"],
            &["-c", "user.name=s", "-c", "user.email=s@example.org", "commit", "-qm", "begins"],
        ] {
            let status = Command::new("git").args(words).current_dir(folder.path().join("project")).status().unwrap();
            assert!(status.success());
        }
        Self { tool, program, folder, place: "project".into(), project, env, jobs: 2, keep_going: false }
    }

    /// Ends the case for tools that do not offer this.
    pub fn wants(&self, what: Offer) -> Check {
        self.tool.lacks(what).map_or(Ok(()), |why| Err(End::Cannot(why)))
    }

    // What happens to the project.

    pub fn root(&self) -> PathBuf {
        self.folder.path().join(&self.place)
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }
    /// Moves the project to another folder; what was kept beside it stays the tool's.
    pub fn move_to(&mut self, name: &str) {
        let root = self.folder.path().join(name);
        fs::rename(self.root(), &root).unwrap();
        self.place = name.to_owned();
    }
    /// A place beside the project, which no tool watches.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    /// New content with the time of the old one: `cp -p`, `rsync -t`, an unpacked archive.
    pub fn write_unseen(&self, name: &str, text: &str) {
        let time = fs::metadata(self.path(name)).unwrap().modified().unwrap();
        self.write(name, text);
        self.set_time(name, time);
    }
    /// New content that is older than all that was made.
    pub fn write_old(&self, name: &str, text: &str) {
        self.write(name, text);
        self.set_time(name, long_ago());
    }
    pub fn set_time(&self, name: &str, time: SystemTime) {
        fs::File::options().read(true).open(self.path(name)).unwrap().set_modified(time).unwrap();
    }
    pub fn touch(&self, name: &str) {
        // A moment later than all that was made, also where the clock of files is coarse.
        self.set_time(name, SystemTime::now() + Duration::from_millis(1));
    }
    pub fn remove(&self, name: &str) {
        let path = self.path(name);
        if fs::symlink_metadata(&path).unwrap().is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    pub fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
    pub fn link(&self, name: &str, target: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        symlink(target, path).unwrap();
    }
    pub fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    pub fn mode(&self, name: &str) -> u32 {
        fs::symlink_metadata(self.path(name)).map_or(0, |status| status.permissions().mode() & 0o777)
    }
    pub fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }
    pub fn read(&self, name: &str) -> Option<String> {
        fs::read(self.path(name)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }
    /// Installs a program as a package manager does: its file has the time of the package.
    pub fn install(&self, name: &str, text: &str) {
        let path = self.folder.path().join("bin").join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::File::options().read(true).open(&path).unwrap().set_modified(long_ago()).unwrap();
    }
    /// The files in which the tool keeps results.
    pub fn kept(&self) -> Vec<PathBuf> {
        let mut open: Vec<PathBuf> = self.tool.keeps().map(|place| self.path(place)).into_iter().collect();
        let mut files = Vec::new();
        while let Some(at) = open.pop() {
            for entry in fs::read_dir(at).into_iter().flatten().filter_map(Result::ok) {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    open.push(entry.path())
                } else if kind.is_file() {
                    files.push(entry.path())
                }
            }
        }
        files
    }

    // The tool.

    fn ask<'a>(&'a self, targets: &'a [&'a str], dry: bool) -> Ask<'a> {
        Ask { targets, jobs: self.jobs, keep_going: self.keep_going, dry, env: &self.env }
    }

    /// Writes the build files where they differ from what stands there.
    fn prepare(&self, ask: &Ask<'_>) -> Check {
        for (name, text) in self.tool.files(&self.project, &self.root(), ask).map_err(End::Cannot)? {
            if self.read(name).as_ref() != Some(&text) {
                self.write(name, &text);
            }
        }
        Ok(())
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(self.program);
        command.args(words).current_dir(self.root()).env_clear().envs(&self.env).envs(self.tool.env(&self.root()));
        command.stdin(Stdio::null());
        command
    }

    fn finish(&self, mut command: Command) -> Result<Ran, End> {
        let log = self.folder.path().join("log");
        let file = fs::File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        let mut child = command.spawn().map_err(|error| End::Broken(error.to_string()))?;
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                // Clocks of files are coarse: what follows must not bear the same time, since no person edits that fast.
                std::thread::sleep(TICK);
                return Ok(Ran {
                    ok: status.success(),
                    text: fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap(),
                });
            }
            if began.elapsed() > LONG {
                signal("KILL", &child);
                return Err(End::Wrong("hangs", format!("still busy after {LONG:?}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Runs targets, however that ends.
    pub fn run(&self, targets: &[&str]) -> Result<Ran, End> {
        let ask = self.ask(targets, false);
        self.prepare(&ask)?;
        self.finish(self.command(&self.tool.words(&ask).map_err(End::Cannot)?))
    }

    /// Builds targets for the first time; that they cannot be built is no verdict.
    pub fn set_up(&self, targets: &[&str]) -> Check {
        let ran = self.run(targets)?;
        if ran.ok { Ok(()) } else { Err(End::Broken(ran.text)) }
    }

    /// Builds targets; a failure is wrong.
    pub fn build(&self, targets: &[&str]) -> Check {
        let ran = self.run(targets)?;
        if ran.ok { Ok(()) } else { Err(End::Wrong("fails", ran.text)) }
    }

    /// Builds targets that cannot be built: whoever says that all went well is wrong.
    pub fn refuses(&self, targets: &[&str]) -> Result<Ran, End> {
        let ran = self.run(targets)?;
        if ran.ok { Err(End::Wrong("accepts", ran.text)) } else { Ok(ran) }
    }

    /// Asks what would run.
    pub fn dry_run(&self, targets: &[&str]) -> Result<Ran, End> {
        let ask = self.ask(targets, true);
        self.prepare(&ask)?;
        self.finish(self.command(&self.tool.words(&ask).map_err(End::Cannot)?))
    }

    /// Asks why a target runs.
    pub fn why(&self, target: &str) -> Result<Ran, End> {
        let words = self.tool.why(target).ok_or(End::Cannot("has no such question"))?;
        self.prepare(&self.ask(&[target], false))?;
        self.finish(self.command(&words))
    }

    /// Starts a build and goes on; the tool leads a process group.
    pub fn start(&self, targets: &[&str]) -> Result<Child, End> {
        let ask = self.ask(targets, false);
        self.prepare(&ask)?;
        let mut command = self.command(&self.tool.words(&ask).map_err(End::Cannot)?);
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        command.spawn().map_err(|error| End::Broken(error.to_string()))
    }

    /// Waits until a file is there.
    pub fn wait_for(&self, name: &str) -> Check {
        let began = Instant::now();
        while !self.has(name) {
            if began.elapsed() > LONG {
                return Err(End::Broken(format!("{name} never came")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Waits until no process works in the project any more, at most ten seconds.
    pub fn rests(&self) {
        let root = self.root().canonicalize().unwrap();
        let began = Instant::now();
        let inside = |entry: fs::DirEntry| fs::read_link(entry.path().join("cwd")).is_ok_and(|at| at.starts_with(&root));
        while fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(inside) && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    // What must be true.

    /// The tasks that ran since the last question, sorted.
    pub fn ran(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in fs::read_dir(self.folder.path().join("ran")).unwrap().map(Result::unwrap) {
            let times = fs::read_to_string(entry.path()).unwrap().lines().count();
            lines.extend(std::iter::repeat_n(entry.file_name().into_string().unwrap(), times));
            fs::remove_file(entry.path()).unwrap();
        }
        lines.sort();
        lines
    }

    /// Exactly these ran. One that is missing has left something stale, one too many cost time.
    pub fn ran_exactly(&self, wanted: &[&str]) -> Check {
        let ran = self.ran();
        let missing: Vec<&&str> = wanted.iter().filter(|name| !ran.iter().any(|done| done == **name)).collect();
        if !missing.is_empty() {
            return Err(End::Wrong("stale", format!("{missing:?} did not run, only {ran:?}")));
        }
        if ran.len() > wanted.len() {
            return Err(End::Costs("reruns", format!("{ran:?} ran, {wanted:?} had to")));
        }
        Ok(())
    }

    /// A file has this content; anything else is stale.
    pub fn holds(&self, name: &str, text: &str) -> Check {
        self.holds_or(name, text, "stale")
    }

    pub fn holds_or(&self, name: &str, text: &str, word: &'static str) -> Check {
        let found = self.read(name);
        if found.as_deref() == Some(text) { Ok(()) } else { Err(End::Wrong(word, format!("{name} holds {found:?}, not {text:?}"))) }
    }

    pub fn is(&self, holds: bool, word: &'static str, what: &str) -> Check {
        if holds { Ok(()) } else { Err(End::Wrong(word, what.to_owned())) }
    }
}

/// Sends a signal to the process group of a child.
pub fn signal(name: &str, child: &Child) {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-s", name, "--", &group]).stderr(Stdio::null()).status();
}
