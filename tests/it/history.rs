//! Runs on record: listed, checked, shown again, and written as reports that other programs read.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::project::Project;

const PLAN: &str = r##"
kiln 1
project "h" { default "all" }
task "good" { inputs "in"; outputs "out"; run #"echo "hello <&> \"you\""; printf '\033[31mred\033[0m ::error::x\n'; cp in out"# }
task "bad" { needs "good"; inputs "in"; run "echo 'no | good' >&2; exit 3" }
task "after" { needs "bad"; run "true" }
task "may" { allow-failure; run "exit 1" }
task "slow" { inputs "in"; run "sleep 0.05" }
group "all" "good" "after" "may" "slow"
"##;

fn project() -> Project {
    let project = Project::new(PLAN);
    project.write("in", "x");
    project
}

/// The files of runs, oldest first.
fn journals(project: &Project) -> Vec<PathBuf> {
    let folder = fs::read_dir(project.cache().join("projects")).unwrap().next().unwrap().unwrap().path();
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    found.sort();
    found
}

/// Times differ from run to run.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) || ["ms", "s", "s)", "(saved"].contains(&word);
    text.lines().map(|line| line.split(' ').filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn runs_are_listed_with_what_they_did() {
    let project = project();
    project.kiln(&["history"]).ends(0).says("no run is on record here");
    project.kiln(&["run", "good"]).ends(0);
    project.kiln(&["run", "-k", "all"]).ends(1);
    let ran = project.kiln(&["history", "--json"]).ends(0);
    let rows: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let brief: Vec<Value> =
        rows.iter().map(|row| serde_json::json!([row["targets"], row["ran"], row["cached"], row["failed"], row["exit"]])).collect();
    assert_eq!(brief, [serde_json::json!([["all"], 3, 1, 1, 1]), serde_json::json!([["good"], 1, 0, 0, 0])]);
    project.kiln(&["history"]).ends(0).says("1 failed, 3 ran, 1 cached");
    let one = project.kiln(&["history", "-n", "1"]).ends(0);
    assert_eq!(one.out.lines().count(), 1);
}

#[test]
fn the_first_changed_line_of_a_record_is_named() {
    let project = project();
    for _ in 0..2 {
        project.kiln(&["run", "good"]).ends(0);
    }
    project.kiln(&["history", "verify"]).ends(0).says("2 records: nothing was changed");
    let newest = journals(&project).pop().unwrap();
    let text = fs::read_to_string(&newest).unwrap();
    fs::write(&newest, text.replacen("\"exit\":0", "\"exit\":1", 1).replacen("\"good\"", "\"evil\"", 1)).unwrap();
    project.kiln(&["history", "verify"]).ends(5).says("line 2 does not follow").says("1 of 2 records cannot be trusted");
    project.kiln(&["history", "verify", "last"]).ends(5).says("1 of 1 record cannot be trusted");
    // A run that was killed has no end, and no line of it was changed.
    let lines: Vec<&str> = text.lines().collect();
    fs::write(&newest, lines[..lines.len() - 1].join("\n") + "\n").unwrap();
    project.kiln(&["history", "verify"]).ends(0).says("the run has no end");
    project.kiln(&["history"]).ends(0).says("did not end");
}

#[test]
fn a_recorded_run_is_shown_as_it_was_live() {
    let project = project();
    let live = project.kiln(&["run", "-k", "-j1", "all"]).ends(1);
    let again = project.kiln(&["replay"]).ends(0);
    // Live, a step's two streams are lines of their own; the log holds them in the order in which they came.
    assert_eq!(without_times(&again.out), without_times(&live.out));
    let live = project.kiln(&["run", "-k", "-j1", "all", "--json"]).ends(1);
    let again = project.kiln(&["replay", "last", "--json"]).ends(0);
    let kinds = |text: &str| -> Vec<String> {
        let event = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let mut kinds: Vec<String> = text.lines().map(|line| format!("{} {}", event(line)["event"], event(line)["name"])).collect();
        kinds.dedup();
        kinds
    };
    assert_eq!(kinds(&again.out), kinds(&live.out));
    project.kiln(&["replay", ""]).ends(2).says("begins the names of 2 runs");
    project.kiln(&["replay", "x"]).ends(2).says("no run `x` is on record").says("`last`");
    let beginning = journals(&project)[0].file_stem().unwrap().to_str().unwrap()[..8].to_owned();
    project.kiln(&["replay", &beginning]).ends(2).says("begins the names of 2 runs");
}

#[test]
fn a_replay_without_its_logs_says_so_and_goes_on() {
    let project = project();
    project.kiln(&["run", "good"]).ends(0);
    fs::remove_dir_all(project.cache().join("store/v1/blobs")).unwrap();
    project.kiln(&["replay"]).ends(0).says("its log is no longer in the store").says("1 ran");
    let newest = journals(&project).pop().unwrap();
    let text = fs::read_to_string(&newest).unwrap();
    fs::write(&newest, text.lines().take(2).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    project.kiln(&["replay"]).ends(0).says("ends here: it was killed");
}

#[test]
fn logs_of_any_run_on_record_can_be_read() {
    let project = project();
    project.kiln(&["run", "good"]).ends(0);
    let first = journals(&project)[0].file_stem().unwrap().to_str().unwrap().to_owned();
    project.write("build.kdl", PLAN.replace("hello", "later"));
    project.kiln(&["run", "-k", "all"]).ends(1);
    project.kiln(&["log", "good"]).ends(0).says("later").never_says("hello");
    project.kiln(&["log", "good", "--run", &first]).ends(0).says("hello").never_says("later");
    let all = project.kiln(&["log"]).ends(0).says("── good").says("── bad").says("no | good");
    assert!(!all.out.contains('\u{1b}'), "colours are for terminals");
    project.kiln(&["log", "slow", "--run", "last"]).ends(2).says("`slow` has left no log");
    let raw = project.command(&["log", "good", "--raw"]).output().unwrap().stdout;
    assert!(String::from_utf8(raw).unwrap().contains("\u{1b}[31mred"));
}

/// The attributes and elements that the schema (junit-10.xsd) has.
fn check_junit(text: &str) {
    let document = roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        let (parents, attributes): (&[&str], &[&str]) = match node.tag_name().name() {
            "testsuites" => (&[""], &["name", "tests", "failures", "errors", "skipped", "time"]),
            "testsuite" => (&["testsuites"], &["name", "tests", "failures", "errors", "skipped", "time", "timestamp"]),
            "properties" => (&["testsuite"], &[]),
            "property" => (&["properties"], &["name", "value"]),
            "testcase" => (&["testsuite"], &["classname", "name", "time"]),
            "failure" | "error" => (&["testcase"], &["type", "message"]),
            "skipped" => (&["testcase"], &["message"]),
            "system-out" | "system-err" => (&["testcase"], &[]),
            other => panic!("`{other}` is no element of JUnit"),
        };
        let parent = node.parent().map_or("", |parent| parent.tag_name().name());
        assert!(parents.contains(&parent), "{:?} in {parent}", node.tag_name());
        let found: Vec<&str> = node.attributes().map(|attribute| attribute.name()).collect();
        assert_eq!(found, attributes, "{}", node.tag_name().name());
        if let Some(time) = node.attribute("time") {
            assert!(time.parse::<f64>().unwrap() >= 0.0);
        }
    }
    let suite = document.root_element().first_element_child().unwrap();
    let count = |name: &str| suite.descendants().filter(|node| node.has_tag_name(name)).count().to_string();
    for (attribute, element) in [("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")] {
        assert_eq!(suite.attribute(attribute).unwrap(), count(element), "{attribute}");
    }
}

#[test]
fn junit_names_every_step_and_holds_what_a_failure_said() {
    let project = project();
    project.kiln(&["run", "-k", "all", "--report", "junit=live.xml", "--report", "trace=t.json", "--report", "markdown=m.md"]).ends(1);
    let live = project.read("live.xml");
    check_junit(&live);
    project.kiln(&["replay", "--report", "junit=sub/again.xml"]).ends(0);
    assert_eq!(project.read("sub/again.xml"), live);
    let document = roxmltree::Document::parse(&live).unwrap();
    let case =
        |name: &str| document.descendants().find(|node| node.has_tag_name("testcase") && node.attribute("name") == Some(name)).unwrap();
    let failure = case("bad").first_element_child().unwrap();
    assert_eq!((failure.tag_name().name(), failure.attribute("message")), ("failure", Some("exit code 3")));
    assert!(failure.text().unwrap().contains("no | good"));
    assert_eq!(case("after").first_element_child().unwrap().attribute("message"), Some("bad failed"));
    assert!(case("may").first_element_child().unwrap().attribute("message").unwrap().contains("which the plan allows"));
    assert!(
        case("good").descendants().any(|node| node.text().is_some_and(|text| text.contains("hello <&> \"you\"") && text.contains("red")))
    );
    project.kiln(&["run", "good", "--report", "html=x"]).ends(2).says("junit, trace and markdown");
    project.kiln(&["run", "good", "--report", "junit=in/x.xml"]).ends(0).says("a report could not be written");
}

#[test]
fn a_trace_has_one_lane_per_job_and_no_two_steps_at_once_in_it() {
    let project = project();
    project.kiln(&["run", "good"]).ends(0);
    project.kiln(&["run", "-k", "-j2", "all", "--report", "trace=t.json"]).ends(1);
    let trace: Value = serde_json::from_str(&project.read("t.json")).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let mut lanes: std::collections::BTreeMap<u64, Vec<(u64, u64)>> = std::collections::BTreeMap::new();
    for event in events {
        let number = |name: &str| event[name].as_u64().unwrap_or_else(|| panic!("{name} of {event}"));
        assert!(event["name"].is_string() && event["pid"] == 1 && number("tid") < 3, "{event}");
        match event["ph"].as_str().unwrap() {
            "X" => lanes.entry(number("tid")).or_default().push((number("ts"), number("ts") + number("dur"))),
            "i" => assert_eq!((event["s"].as_str(), number("tid")), (Some("p"), 0), "{}", number("ts")),
            "M" => assert!(event["args"]["name"].is_string()),
            other => panic!("{other}"),
        }
    }
    let result = |name: &str| events.iter().find(|event| event["name"] == name).unwrap()["args"]["result"].clone();
    assert_eq!(["good", "bad", "after", "slow"].map(result), ["cached", "failed", "skipped", "done"]);
    assert_eq!(lanes.values().map(Vec::len).sum::<usize>(), 3);
    for lane in lanes.values_mut() {
        lane.sort_unstable();
        assert!(lane.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{lane:?}");
    }
}

#[test]
fn the_page_of_a_github_job_gets_a_summary_and_its_log_groups() {
    let mut project = project();
    let page = project.beside("page.md");
    fs::write(&page, "# before\n").unwrap();
    project.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", page.to_str().unwrap());
    let ran = project.kiln(&["run", "-k", "all"]).ends(1);
    assert!(ran.out.contains("::group::✓ good") && ran.out.contains("::endgroup::\n"), "{}", ran.out);
    assert!(ran.out.contains("::error title=kiln%3A bad::bad: exit code 3\n"), "{}", ran.out);
    assert!(ran.out.contains("::warning title=kiln%3A may"), "{}", ran.out);
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("# before\n### ❌ kiln `all`\n"), "{text}");
    for part in ["1 failed, 4 ran", "**`bad`**: exit code 3", "```text\nno | good\n```", "| `after` | skipped: `bad` failed |"] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    project.kiln(&["replay"]).ends(0);
    assert_eq!(fs::read_to_string(&page).unwrap(), text, "a replay is no part of the job");
    project.env("GITHUB_ACTIONS", "").env("GITLAB_CI", "true");
    project.kiln(&["replay"]).ends(0).says("section_start:").never_says("::group::");
    project.env("GITLAB_CI", "").env("TF_BUILD", "True");
    project.kiln(&["replay"]).ends(0).says("##[group]").says("##vso[task.logissue type=error]bad: exit code 3");
    project.env("KILN_CI", "none");
    project.kiln(&["replay"]).ends(0).never_says("##[group]").says("bad │ no | good");
}
