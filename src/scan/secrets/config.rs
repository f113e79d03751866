//! Secrets outside the layers: environment, labels, commands, history and annotations travel in the clear with every pull.
//! In: an image's config and manifest. Out: hits, each with its place. Never: a build argument that has a name but no value.

use crate::oci::config::Config;
use crate::oci::manifest::Manifest;

use super::name::{given, is_secret, password_of_address};
use super::{Hit, redacted, text};

/// Finds secrets; the place is what an `allow` of a policy names after `config:`, for instance `env/NPM_TOKEN`.
#[must_use]
pub fn find(config: &Config, manifest: &Manifest) -> Vec<(String, Hit)> {
    let mut found = Vec::new();
    let execution = &config.config;
    for variable in &execution.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        pair(&mut found, "env", name, value);
    }
    for (name, value) in &execution.labels {
        pair(&mut found, "label", name, value);
    }
    for (name, value) in manifest.annotations.iter().chain(manifest.layers.iter().flat_map(|layer| &layer.annotations)) {
        pair(&mut found, "annotation", name, value);
    }
    let check = execution.healthcheck.as_ref().map(|check| check.test.as_slice()).unwrap_or_default();
    for (what, argv) in [("entrypoint", execution.entrypoint.as_slice()), ("cmd", &execution.cmd), ("healthcheck", check)] {
        line(&mut found, what.to_owned(), &argv.join(" "));
    }
    for (index, entry) in config.history.iter().enumerate() {
        for text in [&entry.created_by, &entry.comment].into_iter().flatten() {
            line(&mut found, format!("history/{index}"), text);
        }
    }
    found.sort();
    found.dedup();
    found
}

/// A value with a name of its own.
fn pair(found: &mut Vec<(String, Hit)>, what: &str, name: &str, value: &str) {
    let place = format!("{what}/{name}");
    if let Some(secret) = is_secret(name).then(|| given(value)).flatten() {
        found.push((place, Hit::new(format!("has a name that says secret and holds a value ({})", redacted(secret)))));
    } else if password_of_address(value).is_some() {
        found.push((place, Hit::new("holds an address with a password")));
    } else {
        found.extend(text::find(value.as_bytes()).into_iter().map(|hit| (place.clone(), hit)));
    }
}

/// A command line: each `NAME=value` and `--name=value` in it, addresses, and tokens by their form.
fn line(found: &mut Vec<(String, Hit)>, place: String, text: &str) {
    let mut hits = text::find(text.as_bytes());
    for word in text.split([' ', '\t', '\n', ';', '&', '|', '(', ')']).take(10_000) {
        let Some((name, value)) = word.trim_matches(['"', '\'']).split_once('=') else { continue };
        let name = name.trim_start_matches('-');
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if let Some(secret) = (plain && is_secret(name)).then(|| given(value)).flatten() {
            hits.push(Hit::new(format!("gives `{name}` a value ({})", redacted(secret))));
        }
    }
    if password_of_address(text).is_some() {
        hits.push(Hit::new("holds an address with a password"));
    }
    hits.truncate(text::MOST);
    found.extend(hits.into_iter().map(|hit| (place.clone(), hit)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::descriptor::Descriptor;
    use serde_json::{Value, json};

    fn check(changes: Value, expected: &[(&str, &str)]) {
        let mut config = json!({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}});
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        let manifest = Manifest::new(Descriptor::of("x", b""), Vec::new());
        let found = find(&serde_json::from_value(config).unwrap(), &manifest);
        let found: Vec<(&str, &str)> = found.iter().map(|(place, hit)| (place.as_str(), hit.message.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_environment_and_labels_are_searched() {
        check(
            json!({"config":{"Env":["PATH=/bin","NPM_TOKEN=abcdefghijklmnopqrst","DB=postgres://a:hunter2@db/x","PW_FILE=/x","A_TOKEN="],
                "Labels":{"org.acme.password":"hunter2","org.acme.team":"x"}}}),
            &[
                ("env/DB", "holds an address with a password"),
                ("env/NPM_TOKEN", "has a name that says secret and holds a value (`abcd…`)"),
                ("label/org.acme.password", "has a name that says secret and holds a value (`…`)"),
            ],
        );
    }

    #[test]
    fn build_arguments_and_options_in_the_history_are_searched() {
        check(
            json!({"history":[{"created_by":"|1 NPM_TOKEN=hunter2 /bin/sh -c npm ci"},{"created_by":"ARG NPM_TOKEN"},
                {"created_by":"RUN --mount=type=secret,id=NPM_TOKEN TOKEN=$(cat /run/secrets/x) login --password=\"$TOKEN\""},
                {"created_by":"RUN login --password=hunter2"}]}),
            &[("history/0", "gives `NPM_TOKEN` a value (`…`)"), ("history/3", "gives `password` a value (`…`)")],
        );
    }

    #[test]
    fn commands_are_searched() {
        check(
            json!({"config":{"Cmd":["serve","--api-key=hunter2"],"Healthcheck":{"Test":["CMD","curl","https://a:hunter2@localhost"]}}}),
            &[("cmd", "gives `api-key` a value (`…`)"), ("healthcheck", "holds an address with a password")],
        );
    }
}
