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

#[test]
fn a_step_that_anothers_failure_stopped_is_cancelled_and_never_taken_from_the_store() {
    let plan = "kiln 1\ntask \"slow\" {\n    inputs \"in\"\n    outputs \"o\"\n    \
                run \"echo slow >>../ran; echo half >o; if test -e ../bad; then echo >../begun; sleep 1000; fi; echo whole >>o\"\n}\n\
                task \"bad\" { inputs \"in\"; run \"while test -e ../bad && ! test -e ../begun; do sleep 0.02; done; ! test -e ../bad\"; }\n\
                group \"all\" \"slow\" \"bad\"\n";
    let project = Project::new(plan);
    project.write("in", "").write("../bad", "");
    let ran = project.kiln(&["run", "-j", "2", "all", "--json"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let events = ran.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let ends: Vec<(String, String)> = events
        .filter(|event| event["event"] == "step-ended")
        .map(|event| (event["step"].to_string(), event.to_string()))
        .filter(|(step, _)| step.contains("slow"))
        .collect();
    assert!(matches!(ends.as_slice(), [(_, ended)] if ended.contains("cancelled")), "{ends:?}");
    project.is_left_alone();
    project.remove("../bad");
    project.kiln(&["run", "-j", "2", "all"]).ends(0).says("2 ran");
    assert_eq!((project.ran().len(), project.read("o").as_str()), (2, "half\nwhole\n"));
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_those_who_want_to_finish() {
    let project =
        Project::new("kiln 1\ntask \"t\" {\n    run \"trap 'touch ../asked' TERM; touch ../begun; while :; do sleep 0.02; done\"\n}\n");
    let mut kiln = project.start(&["run", "t"]);
    let interrupt = || {
        let sent = std::process::Command::new("kill").args(["-s", "INT", &kiln.id().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    project.wait_for("../begun");
    interrupt();
    project.wait_for("../asked");
    interrupt();
    let began = std::time::Instant::now();
    assert_eq!(kiln.wait().unwrap().code(), Some(130));
    assert!(began.elapsed() < std::time::Duration::from_millis(2_500), "it waited for its grace of 5 s: {:?}", began.elapsed());
    project.is_left_alone();
}

#[test]
fn a_run_that_is_stopped_while_it_puts_outputs_back_ends_and_leaves_whole_files() {
    let names: Vec<String> = (1..=24).map(|n| n.to_string()).collect();
    let script = r#"mkdir -p "out/$N"; i=0; while [ $i -lt 40 ]; do i=$((i+1)); seq $N 2000 > "out/$N/$i"; done"#;
    let plan = format!(
        "kiln 1\nproject \"p\" {{ default \"all\"; }}\neach n {} {{\n    task \"t-${{n}}\" {{\n        inputs \"in\"\n        \
         outputs \"out/${{n}}/\"\n        env N=\"${{n}}\"\n        run #\"{script}\"#\n    }}\n}}\ngroup \"all\" {}\n",
        names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" "),
        names.iter().map(|name| format!("\"t-{name}\"")).collect::<Vec<_>>().join(" ")
    );
    let project = Project::new(&plan);
    project.write("in", "");
    project.kiln(&["run"]).ends(0);
    let wanted = project.snapshot("out");
    let began = std::time::Instant::now();
    project.remove("out");
    project.kiln(&["run"]).ends(0).says("24 cached");
    let whole = began.elapsed();
    let mut stopped = 0;
    for round in 1..=12 {
        project.remove("out");
        let mut kiln = project.start(&["run"]);
        std::thread::sleep(whole * round / 12);
        let sent = std::process::Command::new("kill").args(["-s", "INT", &kiln.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let asked = std::time::Instant::now();
        let code = loop {
            if let Some(status) = kiln.try_wait().unwrap() {
                break status.code();
            }
            assert!(asked.elapsed() < std::time::Duration::from_secs(20), "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(2));
        };
        // Before it listens a signal ends it as it ends any program; after all is done it ends well.
        assert!(matches!(code, None | Some(0 | 130)), "{code:?}");
        let left = project.snapshot("out");
        stopped += usize::from(code == Some(130) && (2..wanted.len()).contains(&left.len()));
        let torn: Vec<_> = left.iter().filter(|(path, found)| wanted.get(*path) != Some(found)).map(|(path, _)| path).collect();
        assert!(torn.is_empty(), "round {round}: {torn:?}");
    }
    assert!(stopped > 0, "no signal came while outputs were put back");
    project.kiln(&["run"]).ends(0).says("24 cached");
    assert!(project.snapshot("out") == wanted);
}
