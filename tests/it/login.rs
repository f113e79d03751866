//! Logging in and out: at a real registry, with a helper, and where nobody can be asked.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use super::project::{Project, Ran};
use super::real_registry::{Mode, Real};

const SECRET: &str = "canary-7f3a";

fn with_input(project: &Project, args: &[&str], input: &str) -> Ran {
    let mut child = project.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A login that is refused before the password is read closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_login_is_tried_kept_used_and_removed() {
    let Some(registry) = Real::start(Mode::Password) else { return };
    let project = Project::new("kiln 1\n");
    let host = registry.host.as_str();
    let login = ["login", host, "--username", "kiln", "--password-stdin"];
    with_input(&project, &login, "wrong-word\n").ends(5).says("password is wrong").never_says("wrong-word");
    assert!(!project.docker_config().exists(), "a refused login is not kept");
    with_input(&project, &login, "right\n").ends(0).says("logged in as kiln").says("credential helper keeps it safer");
    let file = project.docker_config().join("config.json");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&project.docker_config())), (0o600, 0o700));
    project.kiln(&["tags", &format!("{host}/nothing/here")]).ends(0);
    project.kiln(&["logout", host, "--json"]).ends(0).says("config.json");
    project.kiln(&["logout", host]).ends(0).says("there was no login");
    project.kiln(&["tags", &format!("{host}/nothing/here")]).ends(5).says(&format!("kiln login {host}"));
}

#[test]
fn a_helper_gets_the_password_on_its_standard_input_alone() {
    let Some(registry) = Real::start(Mode::Password) else { return };
    let mut project = Project::new("kiln 1\n");
    let script =
        "#!/bin/sh\nd=$(dirname \"$0\"); echo \"$@\" >> $d/words; case $1 in store|erase) cat > $d/$1;; get) cat $d/store;; esac\n";
    project.script("tools/docker-credential-test", script);
    std::fs::create_dir_all(project.docker_config()).unwrap();
    std::fs::write(project.docker_config().join("config.json"), r#"{"credsStore":"test"}"#).unwrap();
    let path = format!("{}:{}", project.path("tools").display(), std::env::var("PATH").unwrap());
    project.env("PATH", &path);
    let host = registry.host.as_str();
    with_input(&project, &["login", host, "-u", "kiln", "--password-stdin"], "right").ends(0).says("credential helper `test`");
    project.kiln(&["tags", &format!("{host}/nothing/here")]).ends(0);
    project.kiln(&["logout", host]).ends(0).says("credential helper `test`");
    let kept: serde_json::Value = serde_json::from_str(&project.read("tools/store")).unwrap();
    assert_eq!(kept, serde_json::json!({ "ServerURL": host, "Username": "kiln", "Secret": "right" }));
    assert_eq!((project.read("tools/erase").as_str(), project.read("tools/words").as_str()), (host, "store\nget\nerase\n"));
    assert_eq!(std::fs::read_to_string(project.docker_config().join("config.json")).unwrap(), r#"{"credsStore":"test"}"#);
}

#[test]
fn what_is_no_login_is_refused_before_anybody_is_asked() {
    let mut project = Project::new("kiln 1\n");
    let login = |project: &Project, args: &[&str], input| with_input(project, &[&["login"], args].concat(), input);
    for registry in ["ghcr.io/acme", "http://ghcr.io", "a b", "ghcr"] {
        login(&project, &[registry, "-u", "a", "--password-stdin"], SECRET).ends(2).says("is not a registry").never_says(SECRET);
    }
    login(&project, &["127.0.0.1:1", "-u", "a", "--password-stdin"], "").ends(2).says("the password is empty");
    login(&project, &["127.0.0.1:1", "-u", "a", "--password-stdin"], SECRET).ends(5).says("cannot be reached").never_says(SECRET);
    login(&project, &["--offline", "ghcr.io", "-u", "a", "--password-stdin"], SECRET).ends(2).says("--offline");
    // Without a terminal nobody can be asked.
    project.prefix(&["setsid".to_owned(), "-w".to_owned()]);
    login(&project, &["127.0.0.1:1"], "").ends(2).says("--username");
    login(&project, &["127.0.0.1:1", "-u", "a"], "").ends(2).says("--password-stdin");
    assert!(!project.docker_config().exists());
}
