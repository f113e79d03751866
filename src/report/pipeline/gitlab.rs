//! GitLab CI. Source: docs.gitlab.com, "CI/CD YAML syntax reference". Variables of the project are in every job's environment.

use super::text::{Text, quoted};
use super::{Login, Pipeline, STORE};

const DEFAULT: &str = "- if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH";

pub(super) fn text(pipeline: &Pipeline) -> String {
    let mut text = Text::new();
    text.comments(0, &pipeline.head("gitlab", "variables of the project"));
    let set_up = "Variables of the project, masked, and protected where only releases need them";
    text.comments(0, &pipeline.set_up(set_up, &pipeline.values, is_own));
    text.line(0, "workflow:").line(1, "rules:").line(2, "- if: $CI_PIPELINE_SOURCE == \"merge_request_event\"");
    if !pipeline.release.is_empty() {
        text.line(2, "- if: $CI_COMMIT_TAG");
    }
    text.line(2, if pipeline.branches { "- if: $CI_COMMIT_BRANCH" } else { DEFAULT });
    text.line(0, "").line(0, "variables:");
    text.line(1, "# Versions come from tags.").line(1, "GIT_DEPTH: \"0\"");
    text.line(1, "# The one folder of the project that kiln never takes for a part of it.")
        .line(1, "KILN_CACHE_DIR: $CI_PROJECT_DIR/.kiln");
    text.line(1, &format!("KILN_CACHE_MAX_SIZE: {STORE}")).line(0, "");
    text.line(0, ".kiln:").line(1, "# Any image with git, curl and the tools of the plan.").line(1, "image: buildpack-deps:bookworm");
    text.line(1, "before_script:");
    for command in pipeline.install("export PATH=\"$HOME/.kiln/bin:$PATH\"") {
        text.line(2, &format!("- {}", quoted(&command)));
    }
    text.line(1, "cache:").line(2, "key: kiln-$CI_JOB_NAME_SLUG-$CI_COMMIT_REF_SLUG");
    text.line(2, "fallback_keys:").line(3, "- kiln-$CI_JOB_NAME_SLUG-$CI_DEFAULT_BRANCH").line(3, "- kiln-checks-$CI_DEFAULT_BRANCH");
    text.line(2, "paths: [.kiln]").line(2, "when: always");
    text.line(1, "after_script:")
        .line(2, &format!("- {}", quoted(&format!("PATH=\"$HOME/.kiln/bin:$PATH\"; {}", pipeline.kiln("cache gc")))));
    text.line(0, "").line(0, "checks:").line(1, "extends: .kiln").line(1, "rules:");
    text.line(2, "- if: $CI_PIPELINE_SOURCE == \"merge_request_event\"");
    if !pipeline.branches {
        text.line(2, "# Reviews and tags begin with what the default branch left in the cache.").line(2, DEFAULT);
    }
    let mut commands = vec![
        pipeline.kiln("check"),
        pipeline.kiln("fmt --check"),
        format!("{} >kiln-plan.md", pipeline.kiln("diff \"${CI_MERGE_REQUEST_DIFF_BASE_SHA:-HEAD}\" --markdown")),
    ];
    if !pipeline.checks.is_empty() {
        commands.push(pipeline.kiln(&format!("run --keep-going --report junit=kiln-junit.xml {}", pipeline.checks.join(" "))));
    }
    script(&mut text, &commands);
    text.line(1, "artifacts:").line(2, "when: always").line(2, "expose_as: what the change does").line(2, "paths: [kiln-plan.md]");
    text.line(2, "reports:").line(3, "junit: kiln-junit.xml");
    if !pipeline.release.is_empty() {
        release(&mut text, pipeline);
    }
    text.finish()
}

fn script(text: &mut Text, commands: &[String]) {
    text.line(1, "script:");
    for command in commands {
        text.line(2, &format!("- {}", quoted(command)));
    }
}

/// GitLab's own registry takes the job's own login.
fn is_own(login: &Login) -> bool {
    login.host.as_deref() == Some("registry.gitlab.com")
}

fn release(text: &mut Text, pipeline: &Pipeline) {
    text.line(0, "").line(0, "release:").line(1, "extends: .kiln").line(1, "rules:").line(2, "- if: $CI_COMMIT_TAG");
    if pipeline.branches {
        text.line(2, "- if: $CI_COMMIT_BRANCH");
    }
    if pipeline.requests {
        text.line(2, "- if: $CI_PIPELINE_SOURCE == \"merge_request_event\"");
    }
    text.line(1, "# One at a time, and none is stopped for a newer one.")
        .line(1, "resource_group: release")
        .line(1, "interruptible: false");
    let own = pipeline.logins.iter().filter(|login| is_own(login));
    let own: Vec<(String, String)> = own
        .flat_map(|login| [(login.user(), "$CI_REGISTRY_USER".to_owned()), (login.password(), "$CI_REGISTRY_PASSWORD".to_owned())])
        .collect();
    text.variables(1, "variables", &own);
    let targets = pipeline.release.join(" ");
    let mut commands: Vec<String> = pipeline.logins.iter().map(|login| pipeline.login(login)).collect();
    commands.extend([pipeline.kiln(&format!("plan {targets}")), pipeline.kiln(&format!("run {targets}"))]);
    script(text, &commands);
}
