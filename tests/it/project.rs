//! A project in a temporary folder, and kiln run in it as a user would.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A project with a cache of its own. Gone when dropped.
pub struct Project {
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
    prefix: Vec<String>,
    program: PathBuf,
}

/// Every path below a folder, with its mode and its content or target.
pub type Snapshot = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// How a run of kiln ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out:\n{}\nerr:\n{}", self.out, self.err);
        self
    }
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text) || self.err.contains(text), "`{text}` is not in\nout:\n{}\nerr:\n{}", self.out, self.err);
        self
    }
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(!self.out.contains(text) && !self.err.contains(text), "`{text}` is in\nout:\n{}\nerr:\n{}", self.out, self.err);
        self
    }
}

impl Project {
    /// An empty project with this plan.
    pub fn new(plan: &str) -> Self {
        let project = Self {
            folder: tempfile::Builder::new().prefix("kiln-").tempdir().unwrap(),
            env: BTreeMap::new(),
            prefix: Vec::new(),
            program: env!("CARGO_BIN_EXE_kiln").into(),
        };
        fs::create_dir_all(project.root()).unwrap();
        fs::create_dir_all(project.folder.path().join("home")).unwrap();
        project.write("build.kdl", plan);
        project
    }

    /// A plan of `plans/` with its fixture.
    pub fn example(name: &str) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let project = Self::new(&fs::read_to_string(here.join("plans").join(format!("{name}.kdl"))).unwrap());
        copy_tree(&here.join("fixtures").join(name), &project.root());
        project
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("project")
    }
    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }
    /// Sets a variable of kiln's environment.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }
    /// Puts a command before kiln's: `nsenter …`.
    pub fn prefix(&mut self, words: &[String]) -> &mut Self {
        self.prefix = words.to_vec();
        self
    }
    /// Runs a copy of kiln that lies elsewhere.
    pub fn program(&mut self, path: &Path) -> &mut Self {
        self.program = path.to_owned();
        self
    }
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }
    pub fn script(&self, name: &str, text: &str) -> &Self {
        self.write(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        self
    }
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
    pub fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }
    pub fn remove(&self, name: &str) -> &Self {
        let path = self.path(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        self
    }
    /// The lines that steps appended to `ran`, which lies beside the project; they are taken away.
    pub fn ran(&self) -> Vec<String> {
        let path = self.folder.path().join("ran");
        let mut lines: Vec<String> = fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect();
        let _ = fs::remove_file(path);
        lines.sort();
        lines
    }

    /// A command with the environment of a user who has nothing else.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut words: Vec<String> = self.prefix.clone();
        words.push(self.program.to_str().unwrap().to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(args).current_dir(self.root()).env_clear().stdin(Stdio::null());
        command
            .env("PATH", std::env::var("PATH").unwrap())
            .env("HOME", self.folder.path().join("home"))
            .env("KILN_CACHE_DIR", self.cache());
        command.env("DOCKER_CONFIG", self.docker_config()).envs(&self.env);
        command
    }

    /// Gives the user a password for a registry, as `docker login` stores it.
    pub fn login(&self, host: &str, password: &str) -> &Self {
        use base64::Engine as _;
        let folder = self.docker_config();
        let path = folder.join("config.json");
        let mut config: serde_json::Value =
            fs::read(&path).map_or_else(|_| serde_json::json!({}), |text| serde_json::from_slice(&text).unwrap());
        config["auths"][host]["auth"] = base64::engine::general_purpose::STANDARD.encode(format!("kiln:{password}")).into();
        fs::create_dir_all(folder).unwrap();
        fs::write(path, config.to_string()).unwrap();
        self
    }
    /// Where Docker's clients look for passwords.
    pub fn docker_config(&self) -> PathBuf {
        self.folder.path().join("home/.docker")
    }
    /// A place beside the project.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs kiln to its end.
    pub fn kiln(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts kiln with its output thrown away; the caller waits for it.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The processes that work in the project: kiln, its helpers and what they started. Zombies do not count.
    pub fn processes(&self) -> Vec<String> {
        let root = self.root().canonicalize().unwrap();
        let inside = |folder: &Path| fs::read_link(folder.join("cwd")).is_ok_and(|at| at.starts_with(&root));
        let folders = fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
        let words = |folder: PathBuf| String::from_utf8_lossy(&fs::read(folder.join("cmdline")).unwrap_or_default()).replace('\0', " ");
        folders.filter(|folder| inside(folder)).map(words).collect()
    }

    /// Everything below a folder of the project; empty when there is none.
    pub fn snapshot(&self, folder: &str) -> Snapshot {
        let mut found = BTreeMap::new();
        let mut open = vec![self.path(folder)];
        while let Some(path) = open.pop() {
            let Ok(status) = fs::symlink_metadata(&path) else { continue };
            let content = if status.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                Vec::new()
            } else if status.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            found.insert(path.strip_prefix(self.root()).unwrap().to_owned(), (status.permissions().mode(), content));
        }
        found
    }

    /// Waits until nothing works in the project any more, at most two seconds.
    #[track_caller]
    pub fn is_left_alone(&self) {
        let began = std::time::Instant::now();
        while !self.processes().is_empty() {
            assert!(began.elapsed() < std::time::Duration::from_secs(2), "still there: {:?}", self.processes());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Waits until a step has made this file.
    #[track_caller]
    pub fn wait_for(&self, name: &str) {
        let began = std::time::Instant::now();
        while !self.has(name) {
            assert!(began.elapsed() < std::time::Duration::from_secs(30), "{name} never came");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Makes the project a repository with one commit at a fixed time.
    pub fn commit(&self) -> &Self {
        for args in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "x"]] {
            self.git(args);
        }
        self
    }
    pub fn git(&self, args: &[&str]) -> &Self {
        let status = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(args)
            .current_dir(self.root())
            .env("GIT_AUTHOR_DATE", "1700000000 +0000")
            .env("GIT_COMMITTER_DATE", "1700000000 +0000")
            .status()
            .unwrap();
        assert!(status.success());
        self
    }
}

pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Copies kiln to a place where it is run. A process of its own writes the copy: a child of another test, between its fork and its exec,
/// would hold a file open that this process writes, and what is open to write cannot be run.
pub fn copy_kiln(place: &Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_kiln")).arg(place).status();
    assert!(copied.unwrap().success());
}
