//! Azure Pipelines. Source: learn.microsoft.com, "YAML schema reference for Azure Pipelines". Secret variables reach a step only by name.

use super::text::{Text, quoted};
use super::{Pipeline, STORE};

pub(super) fn text(pipeline: &Pipeline) -> String {
    let mut text = Text::new();
    text.comments(0, &pipeline.head("azure", "variables of the pipeline"));
    text.comments(0, &pipeline.set_up("Variables of the pipeline, secret ones as such", &pipeline.values, |_| false));
    text.line(0, "trigger:").line(1, "branches:").line(2, if pipeline.branches { "include: [\"*\"]" } else { "include: [main, master]" });
    if !pipeline.release.is_empty() {
        text.line(1, "tags:").line(2, "include: [\"v*\", \"0*\", \"1*\", \"2*\", \"3*\", \"4*\", \"5*\", \"6*\", \"7*\", \"8*\", \"9*\"]");
    }
    text.line(0, "pr:").line(1, "branches:").line(2, "include: [\"*\"]").line(0, "");
    text.line(0, "pool:").line(1, "vmImage: ubuntu-24.04").line(0, "");
    text.line(0, "variables:").line(1, "KILN_CACHE_DIR: $(Pipeline.Workspace)/kiln").line(1, &format!("KILN_CACHE_MAX_SIZE: {STORE}"));
    text.line(0, "").line(0, "jobs:");
    checks(&mut text, pipeline);
    if !pipeline.release.is_empty() {
        release(&mut text, pipeline);
    }
    text.finish()
}

fn setup(text: &mut Text, pipeline: &Pipeline) {
    // Numbers and words as texts: so the schema wants them, and readers take either.
    text.line(2, "timeoutInMinutes: \"60\"").line(2, "steps:");
    text.line(3, "- checkout: self");
    text.line(4, "# Versions come from tags, and a review is compared with the branch that it goes to.");
    text.line(4, "fetchDepth: \"0\"").line(4, "fetchTags: \"true\"");
    step(text, "kiln", &pipeline.install("echo \"##vso[task.prependpath]$HOME/.kiln/bin\""), &[]);
    text.line(3, "- task: Cache@2")
        .line(4, "inputs:")
        .line(5, "key: 'kiln | \"$(Agent.OS)\" | \"$(Agent.OSArchitecture)\" | \"$(Build.SourceVersion)\"'");
    text.script(5, "restoreKeys", &["kiln | \"$(Agent.OS)\" | \"$(Agent.OSArchitecture)\"".to_owned()]);
    text.line(5, "path: $(KILN_CACHE_DIR)");
}

fn step(text: &mut Text, name: &str, commands: &[String], secrets: &[String]) {
    text.line(3, "- script: |").line(5, "set -eu");
    for command in commands {
        text.line(5, command);
    }
    text.line(4, &format!("displayName: {}", quoted(name)));
    let mapped: Vec<(String, String)> = secrets.iter().map(|name| (name.clone(), format!("$({name})"))).collect();
    text.variables(4, "env", &mapped);
}

fn checks(text: &mut Text, pipeline: &Pipeline) {
    text.line(1, "- job: checks").line(2, "# Reviews and tags begin with what these branches left in the cache.");
    text.line(2, "condition: not(startsWith(variables['Build.SourceBranch'], 'refs/tags/'))");
    setup(text, pipeline);
    step(
        text,
        "what the change does",
        &[
            pipeline.kiln("check"),
            pipeline.kiln("fmt --check"),
            "[ -n \"${SYSTEM_PULLREQUEST_TARGETBRANCH:-}\" ] || exit 0".to_owned(),
            "page=$(Agent.TempDirectory)/kiln-plan.md".to_owned(),
            format!("{} >\"$page\"", pipeline.kiln("diff \"origin/${SYSTEM_PULLREQUEST_TARGETBRANCH#refs/heads/}...\" --markdown")),
            "echo \"##vso[task.uploadsummary]$page\"".to_owned(),
        ],
        &pipeline.values,
    );
    if !pipeline.checks.is_empty() {
        let secrets: Vec<String> = pipeline.values.iter().chain(&pipeline.check_secrets).cloned().collect();
        step(text, "checks", &[pipeline.kiln(&format!("run --keep-going {}", pipeline.checks.join(" ")))], &secrets);
    }
    shrink(text, pipeline);
}

fn release(text: &mut Text, pipeline: &Pipeline) {
    text.line(1, "- job: release");
    text.line(
        2,
        match (pipeline.branches, pipeline.requests) {
            (_, true) => "condition: ne(variables['System.PullRequest.IsFork'], 'True')",
            (true, false) => "condition: ne(variables['Build.Reason'], 'PullRequest')",
            (false, false) => "condition: startsWith(variables['Build.SourceBranch'], 'refs/tags/')",
        },
    );
    setup(text, pipeline);
    for login in &pipeline.logins {
        step(text, &format!("log in at {}", login.registry), &[pipeline.login(login)], &[login.user(), login.password()]);
    }
    let targets = pipeline.release.join(" ");
    let secrets: Vec<String> = pipeline.values.iter().chain(&pipeline.release_secrets).cloned().collect();
    let commands = [pipeline.kiln(&format!("plan {targets}")), pipeline.kiln(&format!("run {targets}"))];
    step(text, "release", &commands, &secrets);
    shrink(text, pipeline);
}

/// What is carried to the next run is kept small.
fn shrink(text: &mut Text, pipeline: &Pipeline) {
    step(text, "keep the store small", &[pipeline.kiln("cache gc")], &[]);
    text.line(4, "condition: always()");
}
