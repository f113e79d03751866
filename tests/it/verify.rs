//! `kiln verify`: an image that is the same twice is said to be, one that is not is told with its files; nothing else changes.

use serde_json::Value;

use super::project::Project;

const PLAN: &str = r#"kiln 1
registry "out" "oci:dist"
let stamp file="stamp"
task "compile" {
    inputs "src/**"
    outputs "made/app" "made/list"
    run "mkdir -p made; cat src/*.c >made/app; COMMAND"
}
image "web" {
    platforms amd64 arm64
    copy "made/" "/app/"
    copy "conf" "/etc/"
    entrypoint "/app/app"
}
"#;

fn project(command: &str) -> Project {
    let project = Project::new(&PLAN.replace("COMMAND", command).replace("let stamp file=\"stamp\"\n", ""));
    project.write("src/b.c", "b\n").write("src/a.c", "a\n").write("conf", "c\n").write(".gitignore", "made/\ndist/\n");
    project.commit();
    project
}

fn asked(project: &Project, code: i32) -> Value {
    let ran = project.kiln(&["verify", "web", "--json"]).ends(code);
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
}

#[test]
fn an_image_that_is_the_same_twice_is_said_to_be_and_nothing_else_changes() {
    let project = project("ls src | sort >made/list");
    project.kiln(&["list"]).ends(0);
    let (files, cache) = (project.snapshot("."), project.snapshot("../cache"));
    let view = asked(&project, 0);
    assert_eq!((&view["same"], &view["digests"][0]), (&Value::Bool(true), &view["digests"][1]));
    assert!(project.snapshot(".") == files, "the project changed");
    assert!(project.snapshot("../cache") == cache, "the project's cache changed");
    project.kiln(&["run", "web/index"]).ends(0).says(view["digests"][0].as_str().unwrap());
    project.kiln(&["verify", "web@arm64"]).ends(0).says("web@arm64 is the same twice");
    project.kiln(&["verify", "compile"]).ends(2).says("is no image");
}

#[test]
fn what_differs_is_told_with_the_step_that_makes_it_and_the_file_in_its_layer() {
    for (command, file) in [
        ("date +%s >made/list", "/app/list"),
        ("pwd >made/list", "/app/list"),
        ("id -u >made/list", "/app/list"),
        ("ls -lU --time-style=+%s src >made/list", "/app/list"),
    ] {
        let project = project(command);
        let view = asked(&project, 1);
        assert_eq!(view["same"], false, "{command}");
        assert_eq!((&view["steps"][0]["step"], &view["steps"][0]["outputs"][0]), (&"compile".into(), &"made/list".into()), "{command}");
        let places: Vec<&str> = view["differences"].as_array().unwrap().iter().map(|row| row["place"].as_str().unwrap()).collect();
        assert!(places.contains(&format!("layer 1: {file}").as_str()), "{command}: {places:?}");
        assert!(!places.iter().any(|place| place.starts_with("layer 2")), "{command}: {places:?}");
        project.kiln(&["verify", "web"]).ends(1).says("compile makes `made/list` anew each time").says("layer 1: /app/list");
    }
}

#[test]
fn a_project_without_a_repository_and_with_files_that_git_passes_over_is_verified_too() {
    let project = project("cp ignored/x made/list");
    project.write("build.kdl", project.read("build.kdl").replace("inputs \"src/**\"", "inputs \"src/**\" \"ignored/x\""));
    project.write(".gitignore", "made/\ndist/\nignored/\n").write("ignored/x", "x");
    assert_eq!(asked(&project, 0)["same"], true);
    std::fs::remove_dir_all(project.path(".git")).unwrap();
    assert_eq!(asked(&project, 0)["same"], true);
    project.remove("ignored");
    project.kiln(&["verify", "web"]).ends(3).says("ignored/x");
}
