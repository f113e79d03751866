//! GitHub Actions. Source: docs.github.com, "Workflow syntax for GitHub Actions"; actions are named by commit, since their tags can move.

use super::text::{Text, quoted};
use super::{Login, Pipeline, STORE};

const CHECKOUT: &str = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2";
const CACHE: &str = "actions/cache@5a3ec84eff668545956fd18022155c47e93e2684 # v4.2.3";
const OWN: &str = "github.event.pull_request.head.repo.full_name == github.repository";

pub(super) fn text(pipeline: &Pipeline) -> String {
    let mut text = Text::new();
    text.comments(0, &pipeline.head("github", "variables of the repository"));
    text.comments(0, &pipeline.set_up("Secrets of the repository", &[], is_own));
    text.line(0, &format!("name: {}", quoted(&pipeline.name))).line(0, "").line(0, "on:").line(1, "pull_request:");
    text.line(1, "push:").line(2, "branches: [\"**\"]");
    if !pipeline.release.is_empty() {
        text.line(2, "tags: [\"v[0-9]*\", \"[0-9]*\"]");
    }
    text.line(0, "").line(0, "permissions:").line(1, "contents: read").line(0, "");
    text.line(0, "concurrency:").line(1, "group: kiln-${{ github.ref }}");
    // A release that was stopped half way is finished by the next one, but a tag may have no next one.
    text.line(1, "cancel-in-progress: ${{ github.event_name == 'pull_request' }}").line(0, "");
    text.line(0, "env:").line(1, &format!("KILN_CACHE_MAX_SIZE: {STORE}"));
    for value in &pipeline.values {
        text.line(1, &format!("{value}: ${{{{ vars.{value} }}}}"));
    }
    text.line(0, "").line(0, "jobs:");
    checks(&mut text, pipeline);
    if !pipeline.release.is_empty() {
        release(&mut text, pipeline);
    }
    text.finish()
}

/// GitHub's own registry takes the job's own token.
fn is_own(login: &Login) -> bool {
    login.host.as_deref() == Some("ghcr.io")
}

fn from_secrets(names: &[String]) -> Vec<(String, String)> {
    names.iter().map(|name| (name.clone(), format!("${{{{ secrets.{name} }}}}"))).collect()
}

fn setup(text: &mut Text, pipeline: &Pipeline) {
    text.line(2, "runs-on: ubuntu-24.04").line(2, "timeout-minutes: 60").line(2, "steps:");
    text.line(3, &format!("- uses: {CHECKOUT}")).line(4, "with:");
    text.line(5, "# Versions come from tags, and a review is compared with the branch that it goes to.").line(5, "fetch-depth: 0");
    text.line(5, "persist-credentials: false");
    text.line(3, "- name: kiln");
    if pipeline.kiln.is_none() {
        let variables = ["KILN_URL", "KILN_SHA256"].map(|name| (name.to_owned(), format!("${{{{ vars.{name} }}}}")));
        text.variables(4, "env", &variables);
    }
    text.script(4, "run", &pipeline.install("echo \"$HOME/.kiln/bin\" >>\"$GITHUB_PATH\""));
    text.line(3, &format!("- uses: {CACHE}")).line(4, "with:").line(5, "path: ~/.cache/kiln");
    // Each run keeps what it made and begins with the newest; what is in the store is found by its content, so none of it can be stale.
    text.line(5, "key: kiln-${{ runner.os }}-${{ runner.arch }}-${{ github.job }}-${{ github.sha }}");
    text.script(
        5,
        "restore-keys",
        &["kiln-${{ runner.os }}-${{ runner.arch }}-${{ github.job }}-".to_owned(), "kiln-${{ runner.os }}-${{ runner.arch }}-".to_owned()],
    );
}

fn checks(text: &mut Text, pipeline: &Pipeline) {
    text.line(1, "checks:");
    if pipeline.branches {
        text.line(2, "if: github.event_name == 'pull_request'");
    } else {
        text.line(2, "# Reviews and tags begin with what the default branch left in the cache.");
        text.line(2, "if: github.event_name == 'pull_request' || github.ref_name == github.event.repository.default_branch");
    }
    setup(text, pipeline);
    text.line(3, "- name: what the change does")
        .line(4, "if: github.event_name == 'pull_request'")
        .line(4, "env:")
        .line(5, "BASE: ${{ github.base_ref }}");
    text.script(
        4,
        "run",
        &[
            pipeline.kiln("check"),
            pipeline.kiln("fmt --check"),
            format!("{} >>\"$GITHUB_STEP_SUMMARY\"", pipeline.kiln("diff \"origin/$BASE...\" --markdown")),
        ],
    );
    if !pipeline.checks.is_empty() {
        text.line(3, "- name: checks").variables(4, "env", &from_secrets(&pipeline.check_secrets));
        text.script(4, "run", &[pipeline.kiln(&format!("run --keep-going {}", pipeline.checks.join(" ")))]);
    }
    shrink(text, pipeline);
}

fn release(text: &mut Text, pipeline: &Pipeline) {
    text.line(0, "").line(1, "release:");
    let pushed = if pipeline.branches { "github.event_name == 'push'" } else { "startsWith(github.ref, 'refs/tags/')" };
    if pipeline.requests {
        // What comes from a fork gets no secrets, and publishes nothing.
        text.line(2, &format!("if: {pushed} || {OWN}"));
    } else {
        text.line(2, &format!("if: {pushed}"));
    }
    if pipeline.logins.iter().any(is_own) {
        text.line(2, "permissions:").line(3, "contents: read").line(3, "packages: write");
    }
    setup(text, pipeline);
    for login in &pipeline.logins {
        let (user, password) = if is_own(login) {
            ("${{ github.actor }}".to_owned(), "${{ github.token }}".to_owned())
        } else {
            (format!("${{{{ secrets.{} }}}}", login.user()), format!("${{{{ secrets.{} }}}}", login.password()))
        };
        text.line(3, &format!("- name: {}", quoted(&format!("log in at {}", login.registry))));
        text.variables(4, "env", &[(login.user(), user), (login.password(), password)]);
        text.line(4, &format!("run: {}", quoted(&pipeline.login(login))));
    }
    let targets = pipeline.release.join(" ");
    let plan = pipeline.kiln(&format!("plan {targets}"));
    text.line(3, "- name: release").variables(4, "env", &from_secrets(&pipeline.release_secrets));
    text.script(
        4,
        "run",
        &[format!("{{ echo '```'; {plan}; echo '```'; }} >>\"$GITHUB_STEP_SUMMARY\""), pipeline.kiln(&format!("run {targets}"))],
    );
    shrink(text, pipeline);
}

/// What is carried to the next run is kept small.
fn shrink(text: &mut Text, pipeline: &Pipeline) {
    text.line(3, "- name: keep the store small").line(4, "if: always()").line(4, &format!("run: {}", pipeline.kiln("cache gc")));
}
