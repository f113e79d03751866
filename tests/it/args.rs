//! Arguments of tasks, typed behind them, through the program itself.

use crate::project::Project;

const PLAN: &str = r##"
kiln 1
project "p" { default "build" }
task "build" {
    doc "builds it"
    arg "mode" default="fast" doc="how hard to try" { choices fast small }
    arg "level" type="int" default=2 min=0 max=9
    flag "release" short="r" doc="with everything"
    flag "dry_run"
    inputs "src"
    outputs "out/${mode}-${'r' if release else 'd'}-${level + 1}"
    run "echo \"$mode $level $release $dry_run\" >>../ran; mkdir -p out; echo x >\"out/$mode-$( [ \"$release\" = true ] && echo r || echo d )-$((level + 1))\""
}
task "deploy" {
    arg "env" doc="where to" { choices dev prod }
    run "echo \"deploy $env\" >>../ran"
}
task "after-deploy" { needs "deploy"; run "true"; }
task "test" {
    rest doc="for the test program"
    run "printf '%s\\0' \"$0\" \"$@\" >../words"
}
task "direct" { rest; exec "sh" "-c" "printf '%s\\0' \"$@\" >../words" "sh" "first"; }
group "all" "build"
"##;

fn project() -> Project {
    let project = Project::new(PLAN);
    project.write("src", "x");
    project
}

#[test]
fn what_is_typed_behind_a_task_is_a_variable_and_a_typed_value() {
    let project = project();
    for (words, ran) in [
        (&["build"][..], "fast 2 false false"),
        (&["build", "mode=small", "--release"], "small 2 true false"),
        (&["run", "build", "-r", "--level=7", "--dry-run"], "fast 7 true true"),
        (&["build", "release=true", "--no-dry-run", "-j2"], "fast 2 true false"),
    ] {
        project.kiln(words).ends(0);
        assert_eq!(project.ran().last().map(String::as_str), Some(ran), "{words:?}");
    }
    assert!(project.has("out/small-r-3") && project.has("out/fast-r-8"));
}

#[test]
fn an_argument_named_like_facts_leaves_the_facts_alone() {
    let mut project =
        Project::new("kiln 1\ntask \"t\" {\n  arg \"env\"\n  exec \"sh\" \"-c\" \"echo ${env} ${env.WHO} $env >>../ran\"\n}\n");
    project.env("WHO", "me");
    project.kiln(&["t", "env=prod"]).ends(0);
    assert_eq!(project.ran(), ["prod me prod"]);
    let both = Project::new("kiln 1\ntask \"t\" {\n  arg \"env\"\n  exec \"echo\" \"${env ~ env.HOME}\"\n}\n");
    both.kiln(&["check"]).ends(3).says("`env` is an argument and `env.…` a fact");
}

#[test]
fn each_set_of_values_has_a_result_of_its_own() {
    let project = project();
    for words in [&["build"][..], &["build", "-r"], &["build"], &["build", "-r"], &["build", "release=false"], &["build", "mode=fast"]] {
        project.kiln(words).ends(0);
    }
    assert_eq!(project.ran(), ["fast 2 false false", "fast 2 true false"]);
    project.kiln(&["build", "level=3"]).ends(0);
    assert_eq!(project.ran(), ["fast 3 false false"]);
    project.kiln(&["plan", "build", "level=3"]).ends(0).says("cached");
}

#[test]
fn what_stands_behind_two_dashes_reaches_the_commands_byte_by_byte() {
    let project = project();
    let hostile = ["--nocapture", "", "a b", "'\"`$(touch pwned)", "${mode}", "x\ny\n", "ä*", "; touch pwned", "--", "-r", "k=v"];
    let expected = |first: &str| [first].iter().chain(&hostile).map(|word| format!("{word}\0")).collect::<String>();
    for (task, first) in [("test", "sh"), ("direct", "first")] {
        project.kiln(&[&[task, "--"][..], &hostile].concat()).ends(0);
        assert_eq!(std::fs::read_to_string(project.beside("words")).unwrap(), expected(first), "{task}");
    }
    assert!(!project.has("pwned"));
    project.kiln(&["test"]).ends(0);
    assert_eq!(std::fs::read_to_string(project.beside("words")).unwrap(), "sh\0");
}

#[test]
fn a_text_that_looks_like_a_script_stays_a_value() {
    let project = Project::new("kiln 1\ntask \"t\" {\n  arg \"text\"\n  run \"printf %s \\\"$text\\\" >../words\"\n}\n");
    let hostile = "$(touch pwned) ${text} '; touch pwned #\n\"";
    project.kiln(&["t", &format!("text={hostile}")]).ends(0);
    assert_eq!(std::fs::read_to_string(project.beside("words")).unwrap(), hostile);
    assert!(!project.has("pwned"));
}

#[test]
fn a_missing_argument_is_a_fault_only_where_the_task_takes_part() {
    let project = project();
    for words in [&["check"][..], &["list"], &["graph"], &["build"], &["plan", "--digest"]] {
        project.kiln(words).ends(0);
    }
    for words in [&["deploy"][..], &["plan", "deploy"], &["why", "deploy"]] {
        project.kiln(words).ends(2).says("cli::missing-arg").says("kiln deploy env=dev|prod");
    }
    project.kiln(&["after-deploy"]).ends(2).says("cli::missing-arg").says("`after-deploy` needs `deploy`");
    project.kiln(&["after-deploy", "deploy", "env=dev"]).ends(0);
    assert!(project.ran().contains(&"deploy dev".to_owned()));
}

#[test]
fn a_word_that_means_nothing_is_refused_and_nothing_runs() {
    let project = project();
    for (words, text) in [
        (&["build", "mdoe=fast"][..], "did you mean `mode=fast|small`?"),
        (&["build", "--relaese"], "did you mean `--release`?"),
        (&["build", "--forec"], "did you mean kiln's own `--force`?"),
        (&["build", "-x"], "`build` takes no `-x`"),
        (&["build", "mode=smal"], "did you mean `small`?"),
        (&["build", "level=10"], "it is at most 9"),
        (&["build", "level=x"], "is not a whole number"),
        (&["build", "--level"], "needs a value"),
        (&["build", "--release=yes"], "write `true`"),
        (&["build", "level=1", "level=2"], "is given twice"),
        (&["build", "--", "x"], "takes no words behind `--`"),
        (&["all", "mode=fast"], "`all` takes no `mode=fast`"),
        (&["run", "mode=fast", "build"], "stands before every target"),
    ] {
        project.kiln(words).ends(2).says(text);
    }
    project.kiln(&["build", "--mode"]).ends(2).says("plan::bad-arg");
    assert_eq!(project.ran(), Vec::<String>::new());
}

#[test]
fn words_belong_to_the_target_before_them() {
    let project = project();
    project.kiln(&["run", "-j1", "deploy", "env=prod", "build", "-r"]).ends(0);
    let mut ran = project.ran();
    ran.sort();
    assert_eq!(ran, ["deploy prod", "fast 2 true false"]);
    project.kiln(&["run", "build", "env=prod", "deploy"]).ends(2).says("plan::unknown-arg").says("`build` takes no `env=prod`");
}

#[test]
fn help_behind_a_target_tells_what_it_takes() {
    let project = project();
    let help = project.kiln(&["build", "--help"]).ends(0).says("builds it").says("[--release]").says("-r, --release");
    help.says("mode=fast|small").says("[default: fast]").says("with everything");
    project.kiln(&["test", "-h"]).ends(0).says("[-- WORD…]").says("for the test program");
    project.kiln(&["deploy", "--help"]).ends(0).says("(must be given)");
    project.kiln(&["all", "--help"]).ends(0).says("It takes no arguments.");
    project.kiln(&["biuld", "--help"]).ends(2).says("did you mean `build`?");
    project.kiln(&["run", "--help"]).ends(0).says("--keep-going");
    project.kiln(&["list"]).ends(0).says("env=dev|prod");
}

#[test]
fn an_argument_of_a_template_is_that_of_the_task_which_uses_it() {
    let plan = "kiln 1\ntemplate \"base\" {\n  arg \"mode\" default=\"fast\"\n  flag \"loud\"\n}\n\
                task \"t\" {\n  use \"base\"\n  arg \"mode\" default=\"slow\"\n  exec \"sh\" \"-c\" \"echo ${mode} $loud >>../ran\"\n}\n";
    let project = Project::new(plan);
    project.kiln(&["t"]).ends(0);
    project.kiln(&["t", "mode=x", "--loud"]).ends(0);
    assert_eq!(project.ran(), ["slow false", "x true"]);
}
