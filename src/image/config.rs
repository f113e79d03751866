//! Image configs: a base's config and a recipe's settings become one, by Docker's rules.
//! In: the base's config, settings, layers, the epoch. Out: a config. Never: an author, a host name, the real time.
//!
//! The rules: a name in `env` replaces the base's value in its place, new names follow in the order of the plan. Labels
//! replace by name; ports and volumes are added. An `entrypoint` drops the base's `cmd`, because the old arguments belong
//! to the old program. `healthcheck none` is written as `["NONE"]`. Labels, user, working directory and the rest of the
//! base stay. What Docker wrote about the machine that built the base (`container`, `docker_version`, `Hostname`, …) does not.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::base::digest::DiffId;
use crate::base::platform::Platform;
use crate::base::time::Moment;
use crate::base::words;
use crate::oci::config::{Config, Execution, Healthcheck, History, RootFs};
use crate::oci::descriptor::PlatformObject;
use crate::plan::image::{Copy, Health, HealthCommand, Recipe, Settings};

/// Fields of a config that tell of the machine that built it.
const OF_THE_BUILDER: &[&str] =
    &["author", "container", "container_config", "docker_version", "id", "moby.buildkit.buildinfo.v1", "moby.buildkit.cache.v0", "parent"];
/// The same in its `config` object.
const OF_THE_CONTAINER: &[&str] = &[
    "AttachStderr",
    "AttachStdin",
    "AttachStdout",
    "Domainname",
    "Hostname",
    "Image",
    "MacAddress",
    "NetworkDisabled",
    "OnBuild",
    "OpenStdin",
    "StdinOnce",
    "Tty",
];

/// Fields that Windows images need. Source: image-spec, config.md.
const OS_VERSION: &str = "os.version";
const OS_FEATURES: &str = "os.features";

/// Why a base's config cannot carry the recipe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The base is for other machines.
    #[error("the base image is for `{found}`, but `{wanted}` is wanted")]
    Platform {
        /// The base's platform, made visible.
        found: String,
        /// The recipe's.
        wanted: Platform,
    },
    /// It has `ONBUILD` triggers, which are build commands.
    #[error("the base image has `ONBUILD` triggers, which run commands; kiln's builder runs none")]
    OnBuild,
}

/// A layer that stands on the base's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its digest before compression.
    pub diff_id: DiffId,
    /// What made it, for the history.
    pub by: String,
}

/// Makes the config of an image. `epoch` is in seconds since 1970.
///
/// # Errors
/// [`ConfigError`].
pub fn compose(
    base: Option<&Config>,
    settings: &Settings,
    platform: &Platform,
    layers: &[Made],
    epoch: i64,
) -> Result<Config, ConfigError> {
    let created = Some(Moment::from_seconds(epoch).to_string());
    let mut config = match base {
        Some(base) => base.clone(),
        None => empty(platform),
    };
    check_platform(&config, platform)?;
    if config.config.more.get("OnBuild").and_then(Value::as_array).is_some_and(|triggers| !triggers.is_empty()) {
        return Err(ConfigError::OnBuild);
    }
    config.more.retain(|name, _| !OF_THE_BUILDER.contains(&name.as_str()));
    config.config.more.retain(|name, _| !OF_THE_CONTAINER.contains(&name.as_str()));
    config.created.clone_from(&created);
    for Made { diff_id, by } in layers {
        config.rootfs.diff_ids.push(*diff_id);
        config.history.push(History { created: created.clone(), created_by: Some(by.clone()), ..History::default() });
    }
    apply(&mut config.config, settings);
    let top = [("author", &settings.author), (OS_VERSION, &settings.os_version)];
    for (name, value) in top.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))) {
        config.more.insert(name.to_owned(), Value::String(value));
    }
    if !settings.os_features.is_empty() {
        let words = settings.os_features.iter().cloned().map(Value::String).collect();
        config.more.insert(OS_FEATURES.to_owned(), Value::Array(words));
    }
    if let Some(by) = words_of_settings(settings) {
        config.history.push(History { created, created_by: Some(by), empty_layer: true, ..History::default() });
    }
    Ok(config)
}

/// What the index says of an image's platform: the plan's words, and what the config says of the operating system.
#[must_use]
pub fn platform_of(platform: &Platform, config: &Config) -> PlatformObject {
    PlatformObject {
        os_version: config.more.get(OS_VERSION).and_then(Value::as_str).map(str::to_owned),
        more: config.more.get(OS_FEATURES).map(|features| (OS_FEATURES.to_owned(), features.clone())).into_iter().collect(),
        ..PlatformObject::from(platform)
    }
}

fn empty(platform: &Platform) -> Config {
    Config {
        created: None,
        architecture: platform.arch().to_owned(),
        variant: platform.variant().map(str::to_owned),
        os: platform.os().to_owned(),
        config: Execution::default(),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
        history: Vec::new(),
        more: BTreeMap::new(),
    }
}

/// Compares in the normal form, where `arm64/v8` is `arm64`.
fn check_platform(config: &Config, wanted: &Platform) -> Result<(), ConfigError> {
    let found = PlatformObject {
        architecture: config.architecture.clone(),
        os: config.os.clone(),
        os_version: None,
        variant: config.variant.clone().filter(|variant| !variant.is_empty()),
        more: BTreeMap::new(),
    };
    let near = |found: &Platform| {
        // Many configs of 32-bit ARM leave the variant to the index that names them.
        (found.os(), found.arch()) == (wanted.os(), wanted.arch()) && (config.variant.is_none() || found == wanted)
    };
    if found.to_platform().as_ref().is_some_and(near) {
        return Ok(());
    }
    let variant = config.variant.as_ref().map_or(String::new(), |variant| format!("/{variant}"));
    let found = words::shorten(&words::visible(&format!("{}/{}{variant}", config.os, config.architecture)), 100);
    Err(ConfigError::Platform { found, wanted: wanted.clone() })
}

fn apply(config: &mut Execution, settings: &Settings) {
    for (name, value) in &settings.env {
        let line = format!("{name}={value}");
        match config.env.iter_mut().find(|old| old.split('=').next() == Some(name)) {
            Some(old) => *old = line,
            None => config.env.push(line),
        }
    }
    let nothing = || Value::Object(serde_json::Map::new());
    config.exposed_ports.extend(settings.expose.iter().map(|port| (port_of(port), nothing())));
    config.volumes.extend(settings.volumes.iter().map(|path| (path.clone(), nothing())));
    config.labels.extend(settings.labels.iter().cloned());
    set(&mut config.user, &settings.user);
    set(&mut config.stop_signal, &settings.stop_signal);
    let strings = |words: &[String]| Value::Array(words.iter().cloned().map(Value::String).collect());
    if let Some(shell) = &settings.shell {
        config.more.insert("Shell".to_owned(), strings(shell));
    }
    if !settings.on_build.is_empty() {
        config.more.insert("OnBuild".to_owned(), strings(&settings.on_build));
    }
    if let Some(folder) = &settings.workdir {
        config.working_dir = Some(folder_in(config.working_dir.as_deref(), folder));
    }
    if let Some(entrypoint) = &settings.entrypoint {
        config.entrypoint.clone_from(entrypoint);
        config.cmd.clear();
    }
    if let Some(cmd) = &settings.cmd {
        config.cmd.clone_from(cmd);
    }
    if let Some(health) = &settings.healthcheck {
        config.healthcheck = Some(healthcheck(health));
    }
}

fn set(place: &mut Option<String>, value: &Option<String>) {
    if value.is_some() {
        place.clone_from(value);
    }
}

/// A port with its protocol, as the specification has it.
fn port_of(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// An absolute path as it is, a relative one below the base's; without `.` and `..`.
fn folder_in(base: Option<&str>, folder: &str) -> String {
    let base = if folder.starts_with('/') { "" } else { base.unwrap_or_default() };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(folder.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn healthcheck(health: &Health) -> Healthcheck {
    let Health::Check { command, interval, timeout, start_period, retries } = health else {
        return Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() };
    };
    let test = match command {
        HealthCommand::Exec(argv) => [&["CMD".to_owned()], argv.as_slice()].concat(),
        HealthCommand::Shell(script) => vec!["CMD-SHELL".to_owned(), script.clone()],
    };
    let nanos = |time: &Option<Duration>| time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    Healthcheck {
        test,
        interval: nanos(interval),
        timeout: nanos(timeout),
        start_period: nanos(start_period),
        retries: retries.unwrap_or(0).into(),
        more: BTreeMap::new(),
    }
}

/// The lines of the history for the layers of a recipe, each with the words of all its copies.
#[must_use]
pub fn words_of_layers(recipe: &Recipe) -> Vec<String> {
    let words = |copies: &[Copy]| copies.iter().map(words_of_copy).collect::<Vec<_>>().join(", ");
    let layers: Vec<String> = recipe.groups().map(words).collect();
    if recipe.squash { vec![layers.join(", ")] } else { layers }
}

/// The words for one copy: `copy dist/app /app`.
fn words_of_copy(copy: &Copy) -> String {
    let mut text = copy.image.as_ref().map_or_else(|| "copy".to_owned(), |image| format!("copy from={}", image.shown()));
    for (pattern, _) in &copy.from.include {
        text.push_str(&format!(" {pattern}"));
    }
    for (pattern, _) in &copy.from.exclude {
        text.push_str(&format!(" !{pattern}"));
    }
    format!("{text} {}", words::visible(&copy.to))
}

/// The line of the history for all settings, without values that could be long or private; `None` when there are none.
fn words_of_settings(settings: &Settings) -> Option<String> {
    let mut all: Vec<String> = settings.env.iter().map(|(name, _)| format!("env {name}")).collect();
    all.extend(settings.user.iter().map(|user| format!("user {user}")));
    all.extend(settings.workdir.iter().map(|folder| format!("workdir {folder}")));
    all.extend(settings.expose.iter().map(|port| format!("expose {}", port_of(port))));
    all.extend(settings.volumes.iter().map(|path| format!("volume {path}")));
    all.extend(settings.labels.iter().map(|(name, _)| format!("label {name}")));
    all.extend(settings.healthcheck.iter().map(|_| "healthcheck".to_owned()));
    all.extend(settings.stop_signal.iter().map(|signal| format!("stop-signal {signal}")));
    all.extend(settings.author.iter().map(|_| "author".to_owned()));
    all.extend(settings.shell.iter().map(|_| "shell".to_owned()));
    all.extend(settings.on_build.iter().map(|_| "onbuild".to_owned()));
    all.extend(settings.os_version.iter().map(|version| format!("os-version {version}")));
    all.extend(settings.os_features.iter().map(|feature| format!("os-feature {feature}")));
    all.extend(settings.entrypoint.iter().map(|_| "entrypoint".to_owned()));
    all.extend(settings.cmd.iter().map(|_| "cmd".to_owned()));
    if all.is_empty() { None } else { Some(words::visible(&all.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::manifest;

    fn amd64() -> Platform {
        "linux/amd64".parse().unwrap()
    }

    fn base(text: &str) -> Config {
        serde_json::from_str(&format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},"container":"b0","docker_version":"20","config":{text}}}"#
        ))
        .unwrap()
    }

    fn composed(base: &Config, settings: &Settings) -> String {
        let config = compose(Some(base), settings, &amd64(), &[], 0).unwrap();
        String::from_utf8(manifest::bytes(&config.config)).unwrap()
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn settings_change_a_base_as_docker_does() {
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings
        };
        for (config, settings, expected) in [
            (r#"{"Entrypoint":["/a"],"Cmd":["x"]}"#, with(|s| s.entrypoint = Some(strings(&["/b"]))), r#"{"Entrypoint":["/b"]}"#),
            (r#"{"Entrypoint":["/a"],"Cmd":["x"]}"#, with(|s| s.cmd = Some(strings(&["y"]))), r#"{"Entrypoint":["/a"],"Cmd":["y"]}"#),
            (r#"{"Entrypoint":["/a"],"Cmd":["x"]}"#, with(|s| s.entrypoint = Some(Vec::new())), "{}"),
            (
                r#"{"Env":["A=1","AB=2","C=3"]}"#,
                with(|s| s.env = vec![("AB".into(), "x=y".into()), ("D".into(), String::new())]),
                r#"{"Env":["A=1","AB=x=y","C=3","D="]}"#,
            ),
            (
                r#"{"Labels":{"a":"1","b":"2"},"ExposedPorts":{"80/tcp":{}},"Volumes":{"/v":{}}}"#,
                with(|s| {
                    s.labels = vec![("b".into(), "3".into())];
                    s.expose = strings(&["53/udp", "8080"]);
                    s.volumes = strings(&["/u"]);
                }),
                r#"{"ExposedPorts":{"53/udp":{},"80/tcp":{},"8080/tcp":{}},"Volumes":{"/u":{},"/v":{}},"Labels":{"a":"1","b":"3"}}"#,
            ),
            (r#"{"WorkingDir":"/a"}"#, with(|s| s.workdir = Some("b/../c".into())), r#"{"WorkingDir":"/a/c"}"#),
            (r#"{"WorkingDir":"/a"}"#, with(|s| s.workdir = Some("/b".into())), r#"{"WorkingDir":"/b"}"#),
            (
                r#"{"Healthcheck":{"Test":["CMD","x"],"StartInterval":5}}"#,
                Settings::default(),
                r#"{"Healthcheck":{"Test":["CMD","x"],"StartInterval":5}}"#,
            ),
            (
                r#"{"Healthcheck":{"Test":["CMD","x"]}}"#,
                with(|s| s.healthcheck = Some(Health::None)),
                r#"{"Healthcheck":{"Test":["NONE"]}}"#,
            ),
            (
                "null",
                with(|s| {
                    s.healthcheck = Some(Health::Check {
                        command: HealthCommand::Exec(strings(&["/app", "check"])),
                        interval: Some(Duration::from_millis(1_500)),
                        timeout: None,
                        start_period: Some(Duration::from_secs(2)),
                        retries: Some(3),
                    });
                }),
                r#"{"Healthcheck":{"Test":["CMD","/app","check"],"Interval":1500000000,"StartPeriod":2000000000,"Retries":3}}"#,
            ),
            (r#"{"User":"a","StopSignal":"SIGINT"}"#, with(|s| s.user = Some("10:20".into())), r#"{"User":"10:20","StopSignal":"SIGINT"}"#),
            (
                r#"{"Shell":["/bin/bash"]}"#,
                with(|s| {
                    s.shell = Some(strings(&["/bin/ash", "-ec"]));
                    s.on_build = strings(&["COPY . /src"]);
                }),
                r#"{"OnBuild":["COPY . /src"],"Shell":["/bin/ash","-ec"]}"#,
            ),
            (
                r#"{"Hostname":"build7","Image":"x","OnBuild":null,"Shell":["/bin/bash"]}"#,
                Settings::default(),
                r#"{"Shell":["/bin/bash"]}"#,
            ),
        ] {
            assert_eq!(composed(&base(config), &settings), expected, "{config}");
        }
    }

    #[test]
    fn a_config_of_scratch_says_what_was_done_and_nothing_of_the_machine() {
        let settings =
            Settings { entrypoint: Some(strings(&["/app"])), env: vec![("TOKEN".into(), "private".into())], ..Settings::default() };
        let made = Made { diff_id: DiffId(crate::base::digest::Digest::of(b"")), by: "copy dist/app /app".into() };
        let config = compose(None, &settings, &"arm-v7".parse().unwrap(), &[made], 1_700_000_000).unwrap();
        let expected = concat!(
            r#"{"created":"2023-11-14T22:13:20Z","architecture":"arm","variant":"v7","os":"linux","#,
            r#""config":{"Env":["TOKEN=private"],"Entrypoint":["/app"]},"#,
            r#""rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"#,
            r#""history":[{"created":"2023-11-14T22:13:20Z","created_by":"copy dist/app /app"},"#,
            r#"{"created":"2023-11-14T22:13:20Z","created_by":"env TOKEN, entrypoint","empty_layer":true}]}"#,
        );
        assert_eq!(String::from_utf8(manifest::bytes(&config)).unwrap(), expected);
    }

    #[test]
    fn what_the_machine_of_a_base_left_behind_is_dropped() {
        let config = compose(Some(&base("{}")), &Settings::default(), &amd64(), &[], 0).unwrap();
        assert_eq!(config.more, BTreeMap::new());
    }

    #[test]
    fn bases_that_cannot_carry_the_image_are_refused() {
        let check = |base: &Config, platform: &str| compose(Some(base), &Settings::default(), &platform.parse().unwrap(), &[], 0).map(drop);
        assert_eq!(check(&base(r#"{"OnBuild":["RUN x"]}"#), "amd64"), Err(ConfigError::OnBuild));
        let other = Err(ConfigError::Platform { found: "linux/amd64".into(), wanted: "arm64".parse().unwrap() });
        assert_eq!(check(&base("{}"), "arm64"), other);
        let mut arm = base("{}");
        (arm.architecture, arm.variant) = ("arm64".into(), Some("v8".into()));
        assert_eq!(check(&arm, "arm64"), Ok(()));
        (arm.architecture, arm.variant) = ("arm".into(), Some("v6".into()));
        assert!(check(&arm, "arm-v7").is_err());
        arm.variant = None;
        assert_eq!(check(&arm, "arm-v6"), Ok(()));
    }
}
