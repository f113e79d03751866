//! The same sources on two machines: in other folders, under another user, mask, time zone and language, made in another
//! order. Plan digests and images are the same.

use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::Path;

use crate::project::{Project, copy_kiln};

/// A clone of the project, its files made anew in the opposite order.
fn cloned(from: &Project) -> Project {
    let project = Project::new("");
    std::fs::remove_dir_all(project.root()).unwrap();
    from.git(&["clone", "-q", "--no-hardlinks", ".", project.root().to_str().unwrap()]);
    let mut files = files_of(&project.root());
    files.sort();
    for path in files.iter().rev() {
        let (content, mode) = (std::fs::read(path).unwrap(), std::fs::metadata(path).unwrap().permissions());
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, content).unwrap();
        std::fs::set_permissions(path, mode).unwrap();
    }
    project
}

fn files_of(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != ".git") {
        if entry.file_type().unwrap().is_dir() { found.extend(files_of(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

/// Gives the whole folder of a project to another user, where this one may do that.
fn given_away(project: &mut Project) {
    let mut words = vec!["sh".to_owned(), "-c".to_owned(), "umask 077; exec \"$@\"".to_owned(), "sh".to_owned()];
    let folder = project.root().parent().unwrap().to_owned();
    if std::fs::metadata(&folder).unwrap().uid() == 0 {
        give(&folder);
        // The other user need not be able to reach the folder that the tests were built in.
        let program = folder.join("kiln");
        copy_kiln(&program);
        project.program(&program);
        words.splice(0..0, ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"].map(str::to_owned));
    } else {
        eprintln!("not root: the second clone is built by the same user");
    }
    project.prefix(&words);
    project.env("TZ", "Pacific/Auckland").env("LC_ALL", "tr_TR.UTF-8").env("LANG", "tr_TR.UTF-8").env("USER", "nobody");
    project.env("HOME", folder.to_str().unwrap()).env("TERM", "xterm").env("LANGUAGE", "tr");
}

fn give(path: &Path) {
    lchown(path, Some(65534), Some(65534)).unwrap();
    if std::fs::symlink_metadata(path).unwrap().is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

#[track_caller]
fn check(example: &Project, set: &[&str], made: &[&str]) {
    example.commit();
    let (one, mut two) = (cloned(example), cloned(example));
    given_away(&mut two);
    let digest = |project: &Project| project.kiln(&[&["plan", "--digest"], set].concat()).ends(0).out;
    let digests = (digest(&one), digest(&two));
    assert!(digests.0 == digests.1 && digests.0.len() > 60, "{digests:?}");
    for project in [&one, &two] {
        project.kiln(&[&["run"], set].concat()).ends(0);
    }
    for name in made {
        let (a, b) = (one.snapshot(name), two.snapshot(name));
        assert!(!a.is_empty(), "{name} was not made");
        // The mode of a folder that is no output of a task is for the user's mask to say.
        let same = |a: &(u32, Vec<u8>), b: &(u32, Vec<u8>)| a == b || (a.0 & b.0 & 0o40_000 != 0);
        let differ: Vec<_> = a.iter().filter(|(path, a)| !b.get(*path).is_some_and(|b| same(a, b))).map(|(path, _)| path).collect();
        assert!(differ.is_empty() && a.len() == b.len(), "{name}: {differ:?} differ");
    }
    assert_eq!(digest(&one), digests.0, "what a run makes is no part of the digest");
}

#[test]
fn a_multi_platform_image_is_the_same_for_another_user_elsewhere() {
    check(&Project::example("hello"), &["--set", "one=oci:dist/one", "--set", "two=oci:dist/two"], &["out", "dist/one", "dist/two"]);
}

#[test]
fn modes_owners_times_and_links_of_one_machine_are_in_no_image() {
    let project = Project::new(
        r##"
kiln 1
project "t" version="2.1.0" { default "web" "small" }
registry "dist" "oci:dist"
task "make" {
    inputs "src"
    outputs "made/"
    run #"""
        umask 077
        mkdir -p made/empty
        cp -a src/. made/
        date > /dev/null
        ln -sfn tool made/latest
        """#
}
image "small" {
    platforms amd64 arm64
    from "web"
    compress zstd
    layer {
        copy "made/" "/srv/"
        copy "src/" "/srv/src/"
    }
    tag semver
    push dist
}
image "web" {
    platforms amd64 arm64
    copy "made/" "/opt/"
    copy "src/tool" "/usr/bin/"
    user "1000"
    env GREETING="merhaba"
    tag semver
    push dist
}
"##,
    );
    project
        .script("src/tool", "#!/bin/sh\n")
        .write("src/İstanbul.txt", "i")
        .write("src/deep/a b", "")
        .write("src/I", "")
        .write("src/i", "");
    check(&project, &[], &["dist"]);
}
