//! `copy from=` an image that the plan does not make: fetched for each platform, pinned, and only what the patterns select is taken.

use serde_json::Value;

use super::layouts;
use super::project::{Project, copy_tree};
use super::real_registry::{Mode, Real};

/// Publishes an image of tools for two platforms; its program says the version and the architecture.
fn publish(push: &str, tag: &str, version: &str) -> Project {
    let project = Project::new(&format!(
        "kiln 1\nregistry out {push}\nimage tools {{\n    platforms amd64 arm64\n    copy \"tool-${{platform.arch}}\" \"/opt/bin/tool\" owner=\"7:8\"\n    \
         copy one two \"/opt/lib/\" mode=\"0600\"\n    copy current \"/\"\n    tag \"{tag}\"\n    push out\n}}\n"
    ));
    for arch in ["amd64", "arm64"] {
        project.script(&format!("tool-{arch}"), &format!("{version} for {arch}\n"));
    }
    project.write("one", "1").write("two", "2");
    std::os::unix::fs::symlink("opt/bin", project.path("current")).unwrap();
    project.kiln(&["run", "tools"]).ends(0);
    project
}

/// An image for two platforms that takes files of `from` twice.
fn web(from: &str) -> Project {
    let project = Project::new(&format!(
        "kiln 1\nproject t {{ default web; }}\nregistry out \"oci:dist\"\nimage web {{\n    platforms amd64 arm64\n    copy x \"/x\"\n    \
         copy \"/current/tool\" \"/bin/tool\" from=\"{from}\"\n    \
         copy \"/opt/lib/*\" \"!/opt/lib/two\" \"/lib/\" from=\"{from}\" owner=\"3:4\"\n    tag t\n    push out\n}}\n"
    ));
    project.write("x", "x");
    project
}

/// The files of a platform as a container sees them: path, mode, owner, layer.
fn files(project: &Project, platform: usize) -> Vec<String> {
    let answer = project.kiln(&["inspect", "oci:dist/web:t", "--files", "--json"]).ends(0).out;
    let view: Value = serde_json::from_str(&answer).unwrap();
    let files = view["platforms"][platform]["files"].as_array().unwrap();
    let line = |file: &Value| format!("{} {} {} {}", file["path"], file["mode"], file["owner"], file["layer"]).replace('"', "");
    files.iter().map(line).collect()
}

/// The bytes of the tool in the image for one platform.
fn tool(project: &Project, arch: &str) -> String {
    let answer = project.kiln(&["inspect", "oci:dist/web:t", "--json"]).ends(0).out;
    let view: Value = serde_json::from_str(&answer).unwrap();
    let platforms = view["platforms"].as_array().unwrap();
    let of = platforms.iter().find(|one| one["platform"] == format!("linux/{arch}")).unwrap();
    let packed = std::fs::File::open(project.path("dist/web").join(layouts::place(&of["layers"][1]))).unwrap();
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(packed));
    let mut found = String::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("bin/tool") {
            std::io::Read::read_to_string(&mut entry, &mut found).unwrap();
        }
    }
    found
}

#[test]
fn files_of_an_image_in_a_registry_are_copied_for_each_platform_and_follow_its_pin() {
    let Some(real) = Real::start(Mode::Open) else { return };
    let push = format!("\"{}/acme\"", real.host);
    publish(&push, "1", "old");
    let from = format!("{}/acme/tools:1", real.host);
    let project = web(&from);
    project.kiln(&["run", "--frozen"]).ends(3).says(&format!("`{from}` is not pinned in kiln.lock"));
    project.kiln(&["lock"]).ends(0).says("1 pin, 1 changed");
    assert_eq!(project.read("kiln.lock").matches(&from).count(), 3, "the index and both platforms");
    // One step fetches what two copies take.
    let ran = project.kiln(&["run", "--frozen"]).ends(0);
    assert_eq!(ran.out.matches(&format!("✓ web/stage@linux/amd64:{from}")).count(), 1, "{}", ran.out);
    let expected = ["/bin 0755 0:0 2", "/bin/tool 0755 7:8 2", "/lib 0755 3:4 3", "/lib/one 0600 3:4 3", "/x 0644 0:0 1"];
    for platform in [0, 1] {
        assert_eq!(files(&project, platform), expected);
    }
    for arch in ["amd64", "arm64"] {
        assert_eq!(tool(&project, arch), format!("old for {arch}\n"));
    }
    let image = layouts::first(&project, "dist/web");
    let digest = project.kiln(&["plan", "--digest"]).ends(0).out;

    // The tag moves; the image stays until the pin moves.
    publish(&push, "1", "new");
    project.kiln(&["run", "--frozen"]).ends(0);
    let fresh = project.beside("other-machine");
    let mut command = project.command(&["run", "--frozen"]);
    project.remove("dist");
    assert!(command.env("KILN_CACHE_DIR", fresh).status().unwrap().success());
    assert_eq!(layouts::first(&project, "dist/web"), image);
    project.kiln(&["lock", "--update", "tools"]).ends(0).says("1 changed");
    assert_ne!(project.kiln(&["plan", "--digest"]).ends(0).out, digest);
    project.kiln(&["why", "web/build@linux/amd64"]).ends(0).says(&format!("web/stage@linux/amd64:{from} runs: 1 change\n    image:"));
    project.kiln(&["run", "--frozen"]).ends(0);
    assert_eq!(tool(&project, "arm64"), "new for arm64\n");
    assert_ne!(layouts::first(&project, "dist/web"), image);
    project.kiln(&["run", "--frozen", "--offline"]).ends(0);
}

#[test]
fn files_of_an_image_in_a_layout_are_copied_and_follow_it() {
    let out = publish("\"oci:out\"", "1", "old");
    let project = web("oci:tools:1");
    copy_tree(&out.path("out/tools"), &project.path("tools"));
    project.kiln(&["run"]).ends(0).says("web/stage@linux/arm64:oci:tools:1");
    assert_eq!(tool(&project, "arm64"), "old for arm64\n");
    project.remove("tools");
    copy_tree(&publish("\"oci:out\"", "1", "new").path("out/tools"), &project.path("tools"));
    project.kiln(&["run"]).ends(0);
    assert_eq!(tool(&project, "arm64"), "new for arm64\n");
    project.remove("tools");
    project.kiln(&["check"]).ends(0);
    project.kiln(&["run"]).ends(3).says("`tools` does not exist");
}

#[test]
fn a_policy_that_denies_what_can_move_sees_the_images_that_files_come_from() {
    let Some(real) = Real::start(Mode::Open) else { return };
    publish(&format!("\"{}/acme\"", real.host), "1", "old");
    let project = web(&format!("{}/acme/tools:1", real.host));
    let plan = project.read("build.kdl").replace("    tag t\n", "    tag t\n    scan policy=strict\n");
    project.write("build.kdl", format!("{plan}policy strict {{ deny mutable-base; }}\n"));
    project.kiln(&["run"]).ends(4).says("an image that it is made from is named by a tag, which can move");
    project.kiln(&["lock"]).ends(0);
    project.kiln(&["run"]).ends(0);
}

#[test]
fn a_changed_file_of_a_layer_of_several_copies_is_named_by_why() {
    let project = Project::new("kiln 1\nimage web {\n    layer {\n        copy x \"/x\"\n        copy y \"/y\"\n    }\n}\n");
    project.write("x", "1").write("y", "1").kiln(&["run", "web"]).ends(0);
    project.write("y", "2");
    let told = project.kiln(&["why", "web/build"]).ends(0).out;
    assert!(told.contains("\n  y: content changed") && !told.contains("layer"), "{told}");
}
