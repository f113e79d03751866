//! Values of a plan: parameters and profiles, files and commands, and what stands in for them where nothing may be asked.

use std::collections::BTreeSet;

use kiln::base::diagnostic::Diagnostics;
use kiln::plan::param::{ParamKind, ParamOrigin};
use kiln::plan::target::{Command, TargetKind};
use kiln::plan::{Ask, Overrides, Resolved, resolve};

use crate::plan::{Fake, load, marked};
use crate::project::Project;

fn pairs(set: &[(&str, &str)]) -> Vec<(String, String)> {
    set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn with(text: &str, facts: &Fake, overrides: &Overrides) -> Result<Resolved, Diagnostics> {
    resolve(&load("build.kdl", text), facts, overrides)
}

fn faults(result: Result<Resolved, Diagnostics>) -> Vec<String> {
    let faults = result.map(|_| ()).unwrap_err().sorted();
    faults.iter().map(|fault| format!("{}: {}", marked(fault), fault.message)).collect()
}

/// The words of the first `exec` of the task `a`.
fn exec(resolved: &Resolved) -> Vec<String> {
    let target = resolved.plan.targets.values().find(|target| target.name.as_str() == "a").unwrap();
    let TargetKind::Task(cells) = &target.kind else { panic!("{target:?}") };
    match &cells[0].commands[0] {
        Command::Exec(words) => words.clone(),
        other => panic!("{other:?}"),
    }
}

const PROFILES: &str = r#"kiln 1
param port type="int" default=8080
param tier default="dev" doc="where it runs" {
    choices dev staging prod
}
env A="top" B="top"
profile "dev" {
    doc "on a laptop"
    set port=9090
    env A="dev"
}
profile "ci" {
    set port=9191 tier="staging"
    env A="ci" C="ci"
}
task "a" { exec "${port}" "${tier}" "${profile}" "${port + 1}"; }
"#;

#[test]
fn a_value_from_nearer_by_wins_over_one_from_further_away() {
    let asked = |profiles: &[&str], env: &[(&'static str, &'static str)], set: &[(&str, &str)]| {
        let overrides = Overrides { set: pairs(set), profiles: words(profiles), ..Overrides::default() };
        exec(&with(PROFILES, &Fake::new(env), &overrides).unwrap()).join(" ")
    };
    assert_eq!(asked(&[], &[], &[]), "8080 dev  8081");
    assert_eq!(asked(&["dev"], &[], &[]), "9090 dev dev 9091");
    assert_eq!(asked(&["dev", "ci"], &[], &[]), "9191 staging dev,ci 9192");
    assert_eq!(asked(&["ci", "dev"], &[], &[]), "9090 staging ci,dev 9091");
    assert_eq!(asked(&["dev", "ci", "dev"], &[], &[]), "9090 staging ci,dev 9091");
    assert_eq!(asked(&["dev"], &[("env.KILN_PARAM_PORT", "7000")], &[]), "7000 dev dev 7001");
    assert_eq!(asked(&["dev"], &[("env.KILN_PARAM_PORT", "7000")], &[("port", "1")]), "1 dev dev 2");
}

#[test]
fn a_chosen_profile_changes_the_environment_of_every_task_unless_the_task_says_otherwise() {
    let text = PROFILES.replace("task \"a\" {", "task \"a\" {\n env B=\"own\"\n");
    let env = |profiles: &[&str]| {
        let overrides = Overrides { profiles: words(profiles), ..Overrides::default() };
        let resolved = with(&text, &Fake::new(&[]), &overrides).unwrap();
        let TargetKind::Task(cells) = &resolved.plan.targets[0].kind else { panic!() };
        cells[0].env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(env(&[]), "A=top B=own");
    assert_eq!(env(&["dev"]), "A=dev B=own");
    assert_eq!(env(&["ci", "dev"]), "A=dev B=own C=ci");
}

#[test]
fn what_is_known_of_params_and_profiles_is_data() {
    let overrides = Overrides { profiles: words(&["dev"]), ..Overrides::default() };
    let plan = with(PROFILES, &Fake::new(&[("env.KILN_PARAM_TIER", "prod")]), &overrides).unwrap().plan;
    let port = &plan.params["port"];
    assert_eq!((port.kind, port.default.as_deref(), port.value.as_deref()), (ParamKind::Int, Some("8080"), Some("9090")));
    assert_eq!(port.origin, ParamOrigin::Profile("dev".to_owned()));
    let tier = &plan.params["tier"];
    assert_eq!((tier.doc.as_deref(), tier.choices.join(" ")), (Some("where it runs"), "dev staging prod".to_owned()));
    assert_eq!(tier.origin, ParamOrigin::Environment("KILN_PARAM_TIER".to_owned()));
    let profiles: Vec<_> = plan.profiles.iter().map(|profile| (profile.name.as_str(), profile.doc.as_deref(), profile.active)).collect();
    assert_eq!(profiles, [("dev", Some("on a laptop"), true), ("ci", None, false)]);
}

#[test]
fn a_wrong_value_from_outside_names_who_gave_it() {
    let refused = |env: &[(&'static str, &'static str)], overrides: &Overrides| faults(with(PROFILES, &Fake::new(env), overrides));
    let set = |name: &str, value: &str| Overrides { set: pairs(&[(name, value)]), ..Overrides::default() };
    assert_eq!(
        refused(&[], &set("port", "http")),
        ["plan::bad-param 2:7..11: param `port` cannot be `http`, which is not a whole number (from --set)"]
    );
    assert_eq!(
        refused(&[("env.KILN_PARAM_PORT", "1e3")], &Overrides::default()),
        ["plan::bad-param 2:7..11: param `port` cannot be `1e3`, which is not a whole number (from KILN_PARAM_PORT)"]
    );
    let profile = |name: &str| Overrides { profiles: words(&[name]), ..Overrides::default() };
    let fault = with(PROFILES, &Fake::new(&[]), &profile("dve")).map(|_| ()).unwrap_err().sorted().remove(0);
    assert_eq!((marked(&fault).as_str(), fault.help.as_deref()), ("plan::unknown-profile -", Some("did you mean `dev`?")));
    assert_eq!(fault.class.exit_code(), 2);
}

#[test]
fn a_parameter_has_its_type_in_expressions() {
    let text = r#"kiln 1
param n type="int" default="9"
param x type="number" default="2.5"
param on default=#false
param v type="semver" default="1.10.0"
param w default=1.10
task "a" { exec "${n > 10}" "${n + 1}" "${x + 1}" "${'yes' if on else 'no'}" "${v}" "${w}"; }
"#;
    let resolved = with(text, &Fake::new(&[]), &Overrides::default()).unwrap();
    assert_eq!(exec(&resolved), ["false", "10", "3.5", "no", "1.10.0", "1.10"]);
    assert_eq!(resolved.plan.params["on"].kind, ParamKind::Bool);
}

const OUTSIDE: &str = r#"kiln 1
param token required
let version file="VERSION"
let server command="ask the server"
let unused command="never asked"
registry acr "${server}/app"
task "a" { exec "${server}" "${version}" "${server|upper}" "${token}" "${git.short}"; }
image "web-${version}" {
    platforms amd64
    from "${server}/base:${version|major}"
    expose "${token}"
    tag "${version}" semver="${version}"
    push acr
}
"#;

#[test]
fn a_file_and_a_command_are_asked_once_and_only_when_their_value_is_used() {
    let facts = Fake::new(&[
        ("file:VERSION", "1.4.2\n"),
        ("command:ask the server", "acme.azurecr.io\r\n\n"),
        ("env.KILN_PARAM_TOKEN", "8080"),
        ("git.short", "1a2b"),
    ]);
    let resolved = with(OUTSIDE, &facts, &Overrides::default()).unwrap();
    assert_eq!(exec(&resolved), ["acme.azurecr.io", "1.4.2", "ACME.AZURECR.IO", "8080", "1a2b"]);
    let asked: Vec<String> = facts.asked.into_inner().into_iter().filter(|name| name.contains(':')).collect();
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), asked.len(), "{asked:?}");
    assert_eq!(asked.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(["command:ask the server", "file:VERSION"]));
    let values: Vec<(&str, &str)> = resolved.plan.asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(values, [("version", "1.4.2"), ("server", "acme.azurecr.io")]);
    let read: Vec<&str> = resolved.facts_read.iter().map(|(name, _)| name.as_str()).collect();
    assert!(read.contains(&"file:VERSION") && read.contains(&"command:ask the server"), "{read:?}");
}

#[test]
fn where_nothing_may_be_asked_stand_ins_give_no_faults_and_every_step_stays() {
    let facts = Fake::new(&[]);
    let resolved = with(OUTSIDE, &facts, &Overrides { ask: Ask::Nothing, ..Overrides::default() }).unwrap();
    assert_eq!(resolved.plan.targets.len(), 2);
    assert_eq!(resolved.plan.registries.len(), 1);
    let TargetKind::Image(images) = &resolved.plan.targets[1].kind else { panic!() };
    assert_eq!((images[0].platforms.len(), images[0].tags.len(), images[0].push.len()), (1, 2, 1));
    assert_eq!((resolved.plan.params["token"].value.clone(), resolved.plan.asked.len()), (None, 0));
    let asked = facts.asked.into_inner();
    assert!(asked.iter().all(|name| name.starts_with("env.") || name.starts_with("host.")), "{asked:?}");
}

#[test]
fn a_fault_that_has_nothing_to_do_with_a_stand_in_is_given_all_the_same() {
    let text = r#"kiln 1
let server command="x"
param size type="int" min=3
task "a" {
    exec "${server|nothing}" "${server.name.other}" "${serber}"
    timeout "${server}"
    retry "${size * 1000 - 1}"
    outputs "dist/${server}" "dist/${server}" "/etc/${server}"
    dir "../x"
}
task "b" { outputs "dist/${server}"; run "true"; }
"#;
    let found = faults(with(text, &Fake::new(&[]), &Overrides { ask: Ask::Nothing, ..Overrides::default() }));
    assert_eq!(
        found,
        [
            "plan::bad-expression 5:20..27: there is no filter `nothing`",
            "plan::unknown-name 5:56..62: nothing is called `serber`",
            "plan::bad-expression 7:19..20: `*` is not part of an expression",
            "plan::bad-path 9:9..15: `../x` leads out of the project",
        ]
    );
}

#[test]
fn a_command_that_only_looks_executes_nothing_and_one_that_runs_executes_once() {
    let project = Project::new(
        r#"kiln 1
project "x" { default "a"; }
let once command="echo >> \"$HOME/touched\"; echo 1.2.3"
let never command="echo >> \"$HOME/never\""
let version file="VERSION"
registry local "oci:dist/${once}"
each name one two three {
    task "${name}" { exec "echo" "${once}" "${version}" "${once|major}"; }
}
task "a" { env V="${once}"; needs one two three; run "echo $V"; }
image "web" { from scratch; copy "VERSION" "/"; platforms amd64; tag "${once}"; push local; }
"#,
    );
    let touched = || std::fs::read_to_string(project.beside("home/touched")).unwrap_or_default().len();
    for words in [&["check"][..], &["list"], &[], &["graph"], &["graph", "--format", "mermaid"], &["list", "--json"]] {
        project.kiln(words).ends(0);
        assert_eq!(touched(), 0, "{words:?}");
    }
    project.kiln(&["plan"]).ends(3).says("the file `VERSION` does not exist");
    assert_eq!(touched(), 1, "a plan with a fault");
    project.write("VERSION", "9\n");
    project.kiln(&["plan"]).ends(0).says("once = 1.2.3").says("version = 9");
    assert_eq!(touched(), 2, "plan");
    project.kiln(&["run"]).ends(0).says("1.2.3");
    assert_eq!(touched(), 3, "run");
    assert!(!project.beside("home/never").exists());
}

#[test]
fn a_command_that_fails_hangs_or_floods_is_a_fault_with_what_it_said() {
    let plan = |command: &str| format!("kiln 1\nlet v command=\"{command}\"\ntask \"a\" {{ exec \"echo\" \"${{v}}\"; }}\n");
    let project = Project::new(&plan("echo hint: log in >&2; exit 4"));
    project.kiln(&["check"]).ends(0);
    project.kiln(&["plan", "a"]).ends(5).says("failed: exit code 4").says("it said: hint: log in");
    project.write("build.kdl", plan("yes"));
    project.kiln(&["run", "a"]).ends(5).says("printed more than 64.0 KiB");
    project.write("build.kdl", plan("no-such-program-here"));
    project.kiln(&["run", "a"]).ends(5).says("exit code 127").says("not found");
    project.write("build.kdl", plan("printf '\\\\377'"));
    project.kiln(&["run", "a"]).ends(3).says("something else than text");
    project.write("build.kdl", plan("sleep 600 & echo $!"));
    let ran = project.kiln(&["run", "a"]).ends(0);
    assert_eq!(project.processes(), Vec::<String>::new(), "{}", ran.out);
}

const ENV_FILES: &str = r#"kiln 1
env-file "top.env"
env A="top env" B="top env"
profile "dev" {
    env-file "dev.env"
    env C="profile env"
}
task "a" {
    env-file "task.env"
    env-file "more.env" optional=#true
    env E="task env"
    exec "x"
}
"#;

#[test]
fn variables_of_a_nearer_env_or_env_file_win() {
    let facts = Fake::new(&[
        ("file:top.env", "A=top file\nB=top file\nT=top file\n"),
        ("file:dev.env", "B=profile file\nC=profile file\nD=profile file"),
        ("file:task.env", "D=task file\nE=task file\n"),
    ]);
    let overrides = Overrides { profiles: words(&["dev"]), ..Overrides::default() };
    let resolved = with(ENV_FILES, &facts, &overrides).unwrap();
    let TargetKind::Task(cells) = &resolved.plan.targets[0].kind else { panic!() };
    let env: Vec<String> = cells[0].env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["A=top env", "B=profile file", "C=profile env", "D=task file", "E=task env", "T=top file"]);
}

#[test]
fn a_missing_env_file_is_told_with_its_example_and_is_not_looked_for_by_check() {
    let facts = Fake::new(&[("file:env/.env.dev.example", "A=1"), ("file:bad", "A=1\nsecret words\nB='x")]);
    let text = "kiln 1\nenv-file \"env/.env.dev\"\ntask \"a\" { env-file \"bad\"; env-file \"gone\"; exec \"x\"; }\n";
    let found = with(text, &facts, &Overrides::default()).map(|_| ()).unwrap_err().sorted();
    let told: Vec<(&str, &str)> = found.iter().map(|fault| (fault.message.as_str(), fault.help.as_deref().unwrap())).collect();
    assert_eq!(
        told,
        [
            (
                "the env-file `env/.env.dev` does not exist",
                "`env/.env.dev.example` is an example of it: copy it to `env/.env.dev` and fill it in"
            ),
            (
                "the env-file `bad` cannot be read: line 2 has no `=`; line 3 has a quote that is not closed",
                "each line is `NAME=value`; quotes may span lines"
            ),
            ("the env-file `gone` does not exist", "write the file, mend the path, or say `optional=#true`"),
        ]
    );
    assert!(with(text, &facts, &Overrides { ask: Ask::Nothing, ..Overrides::default() }).is_ok());
}

const WHEN: &str = r#"kiln 1
project "x" { default "a"; }
param publish default=#false
profile "cloud" {}
task "slow" { when "${publish}"; when "${profile == 'cloud'}"; outputs "made"; run "echo slow > made"; }
task "fast" { when "${not publish}"; outputs "made"; run "echo fast > made"; }
task "a" { needs slow; after fast; inputs "made"; run "cat made"; }
group "all" { when "${profile in ['cloud', 'lab']}"; }
group "g" slow fast
"#;

#[test]
fn a_target_whose_condition_does_not_hold_has_no_steps_and_nobody_waits_for_it() {
    let project = Project::new(&WHEN.replace("group \"all\" {", "group \"all\" fast {"));
    project.kiln(&["run"]).ends(0).says("fast").never_says("slow");
    project.kiln(&["run", "slow"]).ends(0).says("slow is left out: `when \"${publish}\"` does not hold");
    project.kiln(&["plan", "slow"]).ends(0).says("slow is left out");
    project.kiln(&["run", "g"]).ends(0).never_says("slow");
    project.kiln(&["list"]).ends(0).says("(left out: when ${publish})");
    project.kiln(&["list", "--json"]).ends(0).says(r#""left-out":"${publish}""#);
    project.kiln(&["run", "--set", "publish=true", "--profile", "cloud"]).ends(0).says("slow").never_says("fast");
    project.kiln(&["run", "fast", "--set", "publish=true", "--profile", "cloud"]).ends(0).says("`when \"${not publish}\"` does not hold");
    project.remove("made");
    project.kiln(&["run", "a", "--set", "publish=true"]).ends(3).says("`made` does not exist");
}

#[test]
fn a_condition_that_cannot_be_known_is_taken_to_hold_by_commands_that_ask_nothing() {
    let text = r#"kiln 1
task "main" { when "${git.branch == 'main'}"; outputs "x"; run "x"; }
task "other" { when "${git.branch != 'main'}"; outputs "x"; run "x"; }
image "base" { when "${git.dirty == 'false'}"; from scratch; platforms amd64; }
image "web" { from base; platforms amd64; }
"#;
    let resolved = with(text, &Fake::new(&[]), &Overrides { ask: Ask::Nothing, ..Overrides::default() }).unwrap();
    assert!(resolved.plan.targets.values().all(|target| target.left_out.is_none()));
    let facts = [("git.branch", "main"), ("git.dirty", "true")];
    let resolved = with(text, &Fake::new(&facts), &Overrides::default()).unwrap();
    let out: Vec<&str> =
        resolved.plan.targets.values().filter(|target| target.left_out.is_some()).map(|target| target.name.as_str()).collect();
    assert_eq!(out, ["other", "base"]);
    let faults = kiln::graph::lower::lower(&resolved.plan).map(|_| ()).unwrap_err().sorted();
    assert_eq!(faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>(), ["`base` is left out of this plan"]);
}

/// Every file below a folder that holds one of these texts.
fn holders(folder: &std::path::Path, needles: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let holds = |needle: &String| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            found.extend(needles.iter().filter(|needle| holds(needle)).map(|needle| format!("{}: {needle}", path.display())));
        }
    }
    found
}

fn forms(value: &str) -> Vec<String> {
    use base64::Engine as _;
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    vec![value.to_owned(), base64::engine::general_purpose::STANDARD_NO_PAD.encode(value), hex]
}

const SECRETS: &str = r##"kiln 1
secret "api-token" env="CANARY"
secret "key" file="~/key.pem"
secret "login" command="echo \"$FROM_KILN-printed\""
task "a" {
    secret "api-token"
    secret "api-token" file="TOKEN_FILE"
    secret "key" file="KEY_FILE"
    secret "login" env="PASSWORD"
    inputs "in"
    outputs "out"
    run #"""
        test "$API_TOKEN" = "$(cat ../token)"
        test "$(cat $TOKEN_FILE)" = "$(cat ../token)"
        test "$(stat -c %a $KEY_FILE)" = 600
        test "$PASSWORD" = "$(cat ../password)"
        cmp $KEY_FILE $HOME/key.pem
        case $KEY_FILE in $PWD/*) exit 9;; esac
        echo $KEY_FILE > ../where
        cat $KEY_FILE
        echo $API_TOKEN
        printf %s $API_TOKEN | base64
        printf %s $PASSWORD | od -An -v -tx1 | tr -d ' \n'
        echo $PASSWORD >&2
        echo made > out
        """#
}
task "twin" { secret "api-token" env="OTHER"; inputs "in"; run "test -n $OTHER; exit 3"; }
"##;

#[test]
fn a_secret_reaches_the_task_and_nothing_else() {
    let mut project = Project::new(SECRETS);
    project.write("in", "1");
    std::fs::write(project.beside("home/key.pem"), "canary-of-the-file\nsecond-canary-line\n").unwrap();
    // What the script compares with; in the plan it would be no secret.
    std::fs::write(project.beside("token"), "canary-in-a-variable").unwrap();
    std::fs::write(project.beside("password"), "canary-from-kiln-printed").unwrap();
    project.env("CANARY", "canary-in-a-variable").env("FROM_KILN", "canary-from-kiln");
    project.kiln(&["check"]).ends(0);
    let plan = project.kiln(&["plan", "a", "--json"]).ends(0);
    let ran = project.kiln(&["run", "a", "-v"]).ends(0).says("***");
    let failed = project.kiln(&["run", "twin"]).ends(1);
    let log = project.kiln(&["log", "a"]).ends(0).says("***");
    project.write("in", "2");
    let why = project.kiln(&["why", "a"]).ends(0);
    let values = ["canary-in-a-variable", "canary-of-the-file", "second-canary-line", "canary-from-kiln-printed"];
    let needles: Vec<String> = values.iter().flat_map(|value| forms(value)).collect();
    assert_eq!(holders(&project.cache(), &needles), Vec::<String>::new());
    for text in [&plan, &ran, &failed, &log, &why].iter().flat_map(|ran| [&ran.out, &ran.err]) {
        assert!(needles.iter().all(|needle| !text.contains(needle.as_str())), "{text}");
    }
    let place = std::fs::read_to_string(project.beside("where")).unwrap();
    assert!(!std::path::Path::new(place.trim()).exists() && !std::path::Path::new(place.trim()).parent().unwrap().exists());
}

#[test]
fn another_value_of_a_secret_is_no_reason_to_run_again_and_another_name_is() {
    let plan =
        "kiln 1\nsecret \"x\" env=\"CANARY\"\ntask \"a\" { secret \"x\"; inputs \"in\"; outputs \"out\"; run \"date +%N > out\"; }\n";
    let mut project = Project::new(plan);
    project.write("in", "1");
    project.env("CANARY", "first-value");
    project.kiln(&["run", "a"]).ends(0);
    let made = project.read("out");
    project.env("CANARY", "second-value").kiln(&["run", "a"]).ends(0);
    assert_eq!(project.read("out"), made);
    project.write("build.kdl", plan.replace("secret \"x\";", "secret \"x\" env=\"Y\";"));
    project.kiln(&["run", "a"]).ends(0);
    assert_ne!(project.read("out"), made);
}

#[test]
fn a_secret_without_a_value_stops_the_step_before_its_commands() {
    let project = Project::new(
        "kiln 1\nsecret \"x\" env=\"CANARY\"\nsecret \"f\" file=\"/no/such/file\"\nsecret \"c\" command=\"echo loud >&2; exit 7\"\nsecret \"e\" command=\"echo\"\n\
         task \"x\" { secret \"x\"; run \"touch ran\"; }\ntask \"f\" { secret \"f\"; run \"touch ran\"; }\n\
         task \"c\" { secret \"c\"; run \"touch ran\"; }\ntask \"e\" { secret \"e\"; run \"touch ran\"; }\n",
    );
    project.kiln(&["run", "x"]).ends(5).says("secret `x` has no value: CANARY is not set");
    project.kiln(&["run", "f"]).ends(5).says("secret `f` has no value").says("/no/such/file");
    project.kiln(&["run", "c"]).ends(5).says("its command failed: exit code 7").never_says("loud");
    project.kiln(&["run", "e"]).ends(5).says("what was found is empty");
    assert!(!project.has("ran"));
}
