//! The real systems as their people run them: each plan of `plans/` with its fixture, a real compiler, real registries, and
//! the private Docker engine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use kiln::base::path::AbsPath;
use kiln::image::layout;

use super::layouts;
use super::parts::{output, part, wait};
use super::project::Project;

mod dockerutilities;
mod fastapi;
mod mgit;

/// Where what the tests download and compile is kept from run to run.
fn parts() -> PathBuf {
    std::env::var_os("KILN_TEST_PARTS").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/parts"), PathBuf::from)
}

/// An open registry on the loopback interface. The end of its standard input ends it, so nothing outlives the tests.
struct Registry {
    host: String,
    process: Child,
    _folder: tempfile::TempDir,
}

const LEASH: &str = r#""$@" </dev/null & program=$!; exec >/dev/null 2>&1; cat; kill $program"#;

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Registry {
    fn start() -> Option<Self> {
        part("docker-registry")?;
        let folder = tempfile::tempdir().unwrap();
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = folder.path().join("config.yml");
        let root = folder.path().join("data");
        fs::write(
            &config,
            format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {host}}}\n", root.display()),
        )
        .unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", LEASH, "leash", "docker-registry", "serve"]).arg(&config);
        let process = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let registry = Self { host, process, _folder: folder };
        wait("the registry", || TcpStream::connect(&registry.host).ok());
        Some(registry)
    }

    /// The head and the body of an answer.
    fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
        write!(stream, "GET {path} HTTP/1.0\r\nAccept: {accept}\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// Every tag of a repository with the digest that it names.
    fn tags(&self, repository: &str) -> BTreeMap<String, String> {
        let (_, body) = self.get(&format!("/v2/{repository}/tags/list"));
        let list: Value = serde_json::from_str(&body).unwrap();
        let names = list["tags"].as_array().cloned().unwrap_or_default();
        let digest = |name: &Value| {
            let name = name.as_str().unwrap().to_owned();
            let (head, _) = self.get(&format!("/v2/{repository}/manifests/{name}"));
            let digest = head.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: ")).unwrap().to_owned();
            (name, digest)
        };
        names.iter().map(digest).collect()
    }
}

/// The steps that a run executed, by name.
#[track_caller]
fn executed(project: &Project, args: &[&str]) -> BTreeSet<String> {
    let ran = project.kiln(&[&["--json"], args].concat()).ends(0);
    let events = ran.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let done = events.filter(|event| event["event"] == "step-ended" && event["outcome"] == "done");
    done.map(|event| event["name"].as_str().unwrap().to_owned()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Every tag of an OCI layout in the project with the digest that it names; empty when there is none.
fn tags(project: &Project, folder: &str) -> BTreeMap<String, String> {
    let root = AbsPath::new(project.path(folder)).unwrap();
    layout::tags(&root).unwrap().into_iter().map(|(tag, top)| (tag, top.digest.to_string())).collect()
}

/// The configs behind a tag of a layout, by architecture.
fn configs(project: &Project, folder: &str, tag: &str) -> BTreeMap<String, Value> {
    let top = layouts::document(project, folder, &serde_json::json!({ "digest": tags(project, folder)[tag] }));
    let manifests = match top["manifests"].as_array() {
        Some(children) => children.iter().map(|child| layouts::document(project, folder, child)).collect(),
        None => vec![top],
    };
    let configs = manifests.iter().map(|manifest| layouts::document(project, folder, &manifest["config"]));
    configs.map(|config| (config["architecture"].as_str().unwrap().to_owned(), config)).collect()
}

/// The commit of a project somewhere else, for a user with other habits.
fn elsewhere(project: &Project) -> Project {
    let mut other = Project::new("");
    fs::remove_dir_all(other.root()).unwrap();
    output(Command::new("sh").args(["-c", "umask 077; exec git clone -q \"$0\" \"$1\""]).arg(project.root()).arg(other.root()));
    other.prefix(&["sh", "-c", "umask 077; exec \"$@\"", "sh"].map(str::to_owned));
    for (name, value) in [("TZ", "Asia/Kathmandu"), ("LC_ALL", "tr_TR.UTF-8"), ("LANG", "tr_TR.UTF-8"), ("USER", "somebody")] {
        other.env(name, value);
    }
    other
}

/// Adds a line to a file, asks why a step runs again, and lists the steps that do.
#[track_caller]
fn check_edit(project: &Project, file: &str, line: &str, step: &str, expected: &BTreeSet<String>) {
    project.write(file, project.read(file) + line);
    project.kiln(&["why", step]).ends(0).says(file);
    assert_eq!(&executed(project, &["run"]), expected, "{file}");
    assert_eq!(executed(project, &["run"]), set(&[]), "{file}, again");
}
