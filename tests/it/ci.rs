//! `kiln ci`: the pipelines that it prints are what they were, are YAML, and do what they are for when their commands are run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::parts::{output, part, there};
use super::project::Project;
use super::real_registry::{Mode, Real};

const SYSTEMS: [&str; 3] = ["github", "gitlab", "azure"];

fn read(text: &str) -> Value {
    serde_yaml_ng::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pipelines").join(name)
}

#[test]
fn the_pipelines_of_the_systems_are_what_they_were() {
    for name in ["dockerutilities", "fastapi-acr"] {
        let project = Project::example(name);
        for system in SYSTEMS {
            let text = project.kiln(&["ci", system]).ends(0).out;
            read(&text);
            let path = golden(&format!("{name}.{system}.yml"));
            if std::env::var_os("KILN_BLESS").is_some() {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &text).unwrap();
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(text, expected, "{}: KILN_BLESS=1 writes it anew", path.display());
        }
        assert!(!project.has("bin/asked"), "nothing of the plan is executed");
    }
}

const PLAN: &str = r#"kiln 1
project "shop" {
    default "web"
}
registry "main" "HOST/acme"
secret "token" env="API_TOKEN"
task "check" {
    inputs "page"
    secret "token"
    run "grep -q hello page; test \"$TOKEN\" = right"
}
image "web" {
    needs "check"
    copy "page" "/page"
    scan
    tag release prefix="v"
    push main {
        sign
    }
}
"#;

/// A runner that knows what these pipelines use of CI systems: variables, a path, a page for the summary.
struct Runner<'a> {
    project: &'a Project,
    home: PathBuf,
    /// What stands in `${{ … }}` and `$(…)`, and what is in every job's environment.
    values: BTreeMap<String, String>,
}

impl<'a> Runner<'a> {
    fn new(project: &'a Project, values: &[(&str, String)]) -> Self {
        let home = project.beside("runner");
        fs::create_dir_all(&home).unwrap();
        Self { project, home, values: values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect() }
    }

    fn value(&self, text: &str) -> String {
        let name = text.trim_start_matches("${{ ").trim_end_matches(" }}").trim_start_matches("$(").trim_end_matches(')');
        let name = name.trim_start_matches("secrets.").trim_start_matches("vars.");
        self.values.get(name).cloned().unwrap_or_else(|| if name == text { text.to_owned() } else { String::new() })
    }

    /// Runs a script as the runner's shell does, and gives what it said.
    fn run(&self, script: &str, env: &[(String, String)]) -> (bool, String) {
        let script = self.values.iter().fold(script.to_owned(), |script, (name, value)| script.replace(&format!("$({name})"), value));
        let path = fs::read_to_string(self.home.join("path")).unwrap_or_default();
        let path = path.lines().rev().map(str::to_owned).chain([std::env::var("PATH").unwrap()]).collect::<Vec<_>>().join(":");
        let mut command = Command::new("bash");
        command.args(["-eo", "pipefail", "-c", &script]).current_dir(self.project.root()).env_clear().env("PATH", path);
        command.env("HOME", &self.home).env("GITHUB_PATH", self.home.join("path")).env("GITHUB_STEP_SUMMARY", self.home.join("page"));
        command.env("KILN_CACHE_DIR", self.project.cache()).envs(env.iter().cloned());
        let ended = command.output().unwrap();
        let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
        for line in said.lines().filter_map(|line| line.strip_prefix("##vso[task.prependpath]")) {
            fs::write(self.home.join("path"), line).unwrap();
        }
        (ended.status.success(), said)
    }

    /// Runs the steps of a job one after the other until one fails.
    fn steps(&self, steps: &Value) -> (bool, String) {
        let mut all = String::new();
        for step in steps.as_array().unwrap() {
            let Some(script) = step["run"].as_str().or_else(|| step["script"].as_str()) else { continue };
            let env = step["env"].as_object().cloned().unwrap_or_default();
            let env: Vec<_> = env.iter().map(|(name, value)| (name.clone(), self.value(value.as_str().unwrap()))).collect();
            // Variables of Azure's pipelines that are not secret are in every step's environment.
            let plain = ["KILN_URL", "KILN_SHA256", "SYSTEM_PULLREQUEST_TARGETBRANCH"]
                .map(|name| (name.to_owned(), self.value(&format!("$({name})"))));
            let (good, said) = self.run(script, &[&plain[..], &env].concat());
            all += &said;
            if !good {
                return (false, all);
            }
        }
        (true, all)
    }
}

/// A job of a pipeline, run in the way of its system.
fn job(system: &str, pipeline: &Value, runner: &Runner<'_>, name: &str) -> (bool, String) {
    match system {
        "github" => runner.steps(&pipeline["jobs"][name]["steps"]),
        "azure" => {
            let jobs = pipeline["jobs"].as_array().unwrap();
            runner.steps(&jobs.iter().find(|job| job["job"].as_str() == Some(name)).unwrap()["steps"])
        }
        _ => {
            let lines = |list: &Value| list.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect::<Vec<_>>();
            let script = [lines(&pipeline[".kiln"]["before_script"]), lines(&pipeline[name]["script"])].concat().join("\n");
            let env: Vec<_> = runner.values.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            runner.run(&script, &env)
        }
    }
}

#[test]
fn a_printed_pipeline_checks_a_change_and_releases_a_tag() {
    if !there(&["bash", "curl", "git", "docker-registry"]) {
        return;
    }
    for system in SYSTEMS {
        let registry = Real::start(Mode::Password).unwrap();
        let mut project = Project::new(&PLAN.replace("HOST", &registry.host));
        project.kiln(&["fmt"]).ends(0);
        project.write("page", "hello\n").write(".gitignore", ".kiln\nkiln-*\n").commit();
        project.write("page", "hello, you\n").git(&["commit", "-qam", "kinder"]).git(&["update-ref", "refs/remotes/origin/main", "HEAD~1"]);
        project.env("API_TOKEN", "right");
        let text = project.kiln(&["ci", system]).ends(0).never_says("right").out;
        let pipeline = read(&text);
        let program = env!("CARGO_BIN_EXE_kiln");
        let sha256 = output(Command::new("sha256sum").arg(program))[..64].to_owned();
        let base = output(Command::new("git").args(["rev-parse", "HEAD~1"]).current_dir(project.root())).trim().to_owned();
        let values = |sha256: &str| {
            [
                ("KILN_URL", format!("file://{program}")),
                ("KILN_SHA256", sha256.to_owned()),
                ("API_TOKEN", "right".to_owned()),
                ("github.base_ref", "main".to_owned()),
                ("SYSTEM_PULLREQUEST_TARGETBRANCH", "refs/heads/main".to_owned()),
                ("Agent.TempDirectory", project.beside("runner").display().to_string()),
                ("CI_MERGE_REQUEST_DIFF_BASE_SHA", base.clone()),
            ]
        };
        // A program that is not the one that was meant is not run.
        let (good, said) = job(system, &pipeline, &Runner::new(&project, &values(&"0".repeat(64))), "checks");
        assert!(!good && said.contains("sha256sum") && !said.contains("is sound"), "{system}: {said}");
        // A review sees what changes, runs what can fail, and publishes nothing.
        let runner = Runner::new(&project, &values(&sha256));
        let (good, said) = job(system, &pipeline, &runner, "checks");
        assert!(good, "{system}: {said}");
        let page = ["runner/page", "runner/kiln-plan.md", "project/kiln-plan.md"]
            .map(|page| fs::read_to_string(project.beside(page)).unwrap_or_default());
        assert!(page.concat().contains("page"), "{system}: {page:?}");
        assert!(registry.seen().iter().all(|access| !access.writes()), "{system}");
        // A release logs in, signs and publishes.
        project.git(&["tag", "v1.2.0"]);
        let secrets = [
            ("MAIN_USERNAME", "kiln".to_owned()),
            ("MAIN_PASSWORD", "right".to_owned()),
            ("COSIGN_PRIVATE_KEY", include_str!("../../fixtures/keys/rfc6979.pem").to_owned()),
        ];
        let runner = Runner::new(&project, &[&values(&sha256)[..], &secrets].concat());
        let (good, said) = job(system, &pipeline, &runner, "release");
        assert!(good, "{system}: {said}");
        assert!(!said.contains("BEGIN PRIVATE"), "{system}: {said}");
        project.login(&registry.host, "right");
        project.kiln(&["tags", "web"]).ends(0).says("latest v1.2.0 v1.2 v1");
        project.write("key.pub", include_str!("../../fixtures/keys/rfc6979.pub"));
        project.kiln(&["verify-signature", &format!("{}/acme/web:v1", registry.host), "--key", "key.pub"]).ends(0);
    }
}

/// A plan with most of what decides a pipeline.
fn wide() -> Project {
    let project = Project::new(
        "kiln 1\nproject \"a: #b\" { default \"all\" }\nparam \"who\"\nregistry \"r-1\" \"ghcr.io/acme\"\nregistry \"twin\" \"ghcr.io/other\"\n\
         registry \"here\" \"oci:dist\"\nsecret \"file\" file=\"~/x\"\n\
         task \"test\" { inputs \"a\"; run \"true\" }\ntask \"lint\" { inputs \"a\"; run \"true\" }\n\
         task \"make\" { inputs \"a\"; outputs \"out\"; needs \"test\"; secret \"file\"; run \"cp a out\" }\n\
         task \"deploy\" { needs \"web\"; run \"echo $who\"; env who=\"${who}\" }\n\
         image \"web\" { copy \"out\" \"/a\"; tag branch; push r-1 twin here }\n\
         image \"local\" { copy \"a\" \"/a\"; tag \"x\"; push here }\n\
         group \"all\" \"web\" \"make\"\n",
    );
    project.write("a", "a");
    project
}

#[test]
fn a_pipeline_names_what_the_plan_asks_for_and_nothing_that_it_does_not() {
    let project = wide();
    let project_text = project.kiln(&["ci", "github"]).ends(0).out;
    let pipeline = read(&project_text);
    assert_eq!(pipeline["name"].as_str(), Some("a: #b"));
    assert_eq!(pipeline["on"]["push"]["branches"][0].as_str(), Some("**"), "a rule for branches publishes them");
    assert_eq!(pipeline["env"]["KILN_PARAM_WHO"].as_str(), Some("${{ vars.KILN_PARAM_WHO }}"));
    assert_eq!(pipeline["jobs"]["release"]["permissions"]["packages"].as_str(), Some("write"));
    assert!(pipeline["jobs"]["checks"]["permissions"].is_null());
    for (expected, count) in [
        ("kiln run --keep-going lint web/build\n", 1),
        ("kiln run web\n", 1),
        // Two names of one host need one login.
        ("kiln login r-1 ", 1),
        ("kiln login twin", 0),
        ("deploy", 0),
        ("local", 0),
        ("The secret `file` is read from the file ~/x", 1),
    ] {
        assert_eq!(project_text.matches(expected).count(), count, "{expected}\n{project_text}");
    }
    let pinned = project.kiln(&["ci", "gitlab", "local", "--url", "https://example.org/kiln", "--sha256", &"AB".repeat(32)]).ends(0).out;
    assert!(pinned.contains(&"ab".repeat(32)) && !pinned.contains("KILN_URL") && pinned.contains("kiln run local"), "{pinned}");
    for (words, said) in [
        (&["ci", "github", "--url", "http://example.org/kiln", "--sha256", "00"][..], "no address"),
        (&["ci", "github", "--url", "https://example.org/$(x)", "--sha256", "00"], "no address"),
        (&["ci", "github", "--url", "https://example.org/kiln", "--sha256", "00"], "no digest"),
        (&["ci", "github", "--url", "https://example.org/kiln"], "--sha256"),
        (&["ci", "jenkins"], "github"),
        (&["ci"], "no CI system was named"),
        (&["ci", "github", "wep"], "did you mean `web`?"),
    ] {
        project.kiln(words).ends(2).says(said);
    }
}

#[test]
fn every_pipeline_fits_the_schema_of_its_system() {
    let Some(checker) = part("check-jsonschema") else { return };
    let plans = [Project::example("dockerutilities"), Project::example("fastapi-acr"), Project::example("hello"), wide()];
    let folder = tempfile::tempdir().unwrap();
    for (system, words, right, wrong) in [
        ("github", &["vendor.github-workflows"][..], "runs-on:", "runs-in:"),
        ("gitlab", &["vendor.gitlab-ci", "--data-transform", "gitlab-ci"], "when: always", "when: sometimes"),
        // Its patterns are written for readers that know no Unicode.
        ("azure", &["vendor.azure-pipelines", "--regex-variant", "nonunicode"], "displayName:", "displayNane:"),
    ] {
        let check = |texts: &[String]| {
            let files: Vec<String> = (0..texts.len()).map(|number| format!("{system}-{number}.yml")).collect();
            files.iter().zip(texts).for_each(|(file, text)| fs::write(folder.path().join(file), text).unwrap());
            let mut command = Command::new(&checker);
            let said =
                command.arg("--builtin-schema").args(words).args(&files).current_dir(&folder).env("HOME", folder.path()).output().unwrap();
            (said.status.success(), format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr)))
        };
        let mut texts: Vec<String> = plans.iter().map(|project| project.kiln(&["ci", system]).ends(0).out).collect();
        // What is hidden in GitLab's way is held against nothing: shown, it has to fit as well.
        let shown: Vec<String> = texts.iter().map(|text| text.replace("\n.kiln:\n", "\nshown:\n  script: \"true\"\n")).collect();
        texts.splice(0..0, shown);
        let (good, said) = check(&texts);
        assert!(good, "{system}: {said}");
        // A checker that finds nothing wrong in this would find nothing anywhere.
        let broken = texts[0].replacen(right, wrong, 1);
        let (good, said) = check(std::slice::from_ref(&broken));
        assert!(broken != texts[0] && !good && said.contains("validation errors"), "{system}: {said}");
    }
}

#[test]
fn a_target_that_is_called_ci_is_run_by_its_name() {
    let project = Project::new("kiln 1\ntask \"ci\" { run \"echo it runs\" }\n");
    project.kiln(&["ci"]).ends(0).says("it runs");
    project.kiln(&["ci", "gitlab"]).ends(0).says("kiln check");
}
