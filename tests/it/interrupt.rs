//! What an interrupted step leaves: nothing that is ever taken for a result.

use super::project::Project;

#[test]
fn an_output_that_an_interrupted_step_had_begun_is_never_taken_for_a_result() {
    let plan = "kiln 1\ntask \"t\" {\n    inputs \"in\"\n    outputs \"o\" \"untouched\"\n    \
                run \"test -e untouched || echo kept >untouched; grep -q slow in && { echo half >o; echo >../begun; sleep 1000; }; cp in o\"\n}\n";
    let project = Project::new(plan);
    project.write("in", "first\n");
    project.kiln(&["run", "t"]).ends(0);
    project.write("in", "slow\n");
    let mut kiln = project.start(&["run", "t"]);
    project.wait_for("../begun");
    let sent = std::process::Command::new("kill").args(["-s", "INT", &kiln.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(kiln.wait().unwrap().code(), Some(130));
    project.is_left_alone();
    assert_eq!((project.read("o"), project.read("untouched")), ("half\n".to_owned(), "kept\n".to_owned()));
    // What the store has of the old input is put back over the half; the new one has no result and runs.
    project.write("in", "first\n");
    project.kiln(&["run", "t"]).ends(0).says("1 cached");
    assert_eq!(project.read("o"), "first\n");
    project.write("in", "third\n");
    project.kiln(&["run", "t"]).ends(0).says("1 ran");
    assert_eq!((project.read("o"), project.read("untouched")), ("third\n".to_owned(), "kept\n".to_owned()));
}
