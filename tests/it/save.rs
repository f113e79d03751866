//! Images as files of the project: the same bytes every time, read by the tools that people have.

use std::process::Command;

use kiln::base::digest::{Digest, Sha256};

use super::parts::{output, part};
use super::project::Project;

const PLAN: &str = r#"kiln 1
image "web" {
    copy "app" "/app"
    copy "etc/" "/etc/"
    compress zstd
    entrypoint "/app"
    save "dist/web.tar" name="acme/web:1.4"
    save "dist/layout/"
}
image "both" {
    platforms amd64 arm64
    copy "app" "/app"
    save "dist/both.tar" name="acme/both:2"
}
task "sums" {
    inputs "dist/web.tar"
    outputs "dist/sums"
    run "sha256sum dist/web.tar | cut -d' ' -f1 >dist/sums"
}
"#;

fn project() -> Project {
    let project = Project::new(PLAN);
    project.script("app", "#!/bin/sh\n").write("etc/conf", "a=1\n".repeat(1000));
    project
}

fn digest(project: &Project, name: &str) -> String {
    Digest::<Sha256>::of(&std::fs::read(project.path(name)).unwrap()).hex()
}

#[test]
fn what_is_saved_is_the_same_everywhere_and_comes_back_when_it_is_removed() {
    let (one, two) = (project(), project());
    for project in [&one, &two] {
        project.kiln(&["run", "web", "both", "sums"]).ends(0);
    }
    assert_eq!(one.snapshot("dist"), two.snapshot("dist"));
    assert_eq!(one.read("dist/sums").trim(), digest(&one, "dist/web.tar"), "the task waited for the archive");
    let before = one.snapshot("dist");
    one.remove("dist").kiln(&["run", "web", "both", "sums"]).ends(0).says("restored");
    assert_eq!(one.snapshot("dist"), before);
    one.kiln(&["run", "web"]).ends(0).never_says("ran");
    // A layout holds nothing of the image that it held before.
    one.write("etc/conf", "b=2\n").kiln(&["run", "web"]).ends(0);
    two.remove("dist").write("etc/conf", "b=2\n").kiln(&["run", "web"]).ends(0);
    assert_eq!(one.snapshot("dist/layout"), two.snapshot("dist/layout"));
    assert_ne!(digest(&one, "dist/web.tar"), one.read("dist/sums").trim());
    one.kiln(&["clean", "web"]).ends(0);
    assert!(!one.has("dist/web.tar") && !one.has("dist/layout"), "what a step made is known to `clean`");
}

#[test]
fn a_saved_image_waits_for_its_scan() {
    let project = Project::new(
        "kiln 1\npolicy p { deny root-user; }\nimage web {\n    copy app \"/app\"\n    scan policy=p\n    save \"dist/web.tar\"\n}\n",
    );
    project.script("app", "#!/bin/sh\n").kiln(&["run", "web"]).ends(4).says("root-user");
    assert!(!project.has("dist"));
}

#[test]
fn skopeo_reads_what_is_saved_in_every_form() {
    let project = project();
    project.kiln(&["run", "web", "both"]).ends(0);
    let Some(skopeo) = part("skopeo") else { return };
    let config = |place: &str, more: &[&str]| {
        let mut command = Command::new(&skopeo);
        output(command.args(more).args(["inspect", "--config", place]).current_dir(project.root()).env("HOME", project.root()))
    };
    let folder = config("oci:dist/layout", &[]);
    assert!(folder.contains("/app"));
    for place in ["oci-archive:dist/web.tar", "docker-archive:dist/web.tar:docker.io/acme/web:1.4"] {
        assert_eq!(config(place, &[]), folder, "{place}");
    }
    for arch in ["amd64", "arm64"] {
        assert!(config("oci-archive:dist/both.tar", &["--override-arch", arch]).contains(arch));
    }
    let mut copy = Command::new(&skopeo);
    copy.args(["--insecure-policy", "copy", "-q", "docker-archive:dist/web.tar", "dir:copied"]);
    output(copy.current_dir(project.root()).env("HOME", project.root()));
}

#[test]
fn buildah_takes_what_is_saved_in_every_form_as_the_same_image() {
    let project = project();
    project.kiln(&["run", "web"]).ends(0);
    let Some(buildah) = part("buildah") else { return };
    let store = ["--root", "store", "--runroot", "run", "--storage-driver", "vfs"];
    let pull = |place: &str| {
        let mut command = Command::new(&buildah);
        output(command.args(store).args(["pull", "-q", place]).current_dir(project.root()).env("HOME", project.root()))
    };
    let archive = pull("oci-archive:dist/web.tar");
    assert_eq!(archive.trim().len(), 64);
    assert_eq!((pull("docker-archive:dist/web.tar"), pull("oci:dist/layout")), (archive.clone(), archive));
}
