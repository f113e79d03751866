//! turborepo: a single package, scripts in `package.json`, `turbo.json` with inputs, outputs, `env` and `passThroughEnv`.

use std::path::Path;

use serde_json::{Map, json};

use super::{Cannot, Tool, glob, words};
use crate::project::{Ask, Project};

pub struct Turbo;

impl Tool for Turbo {
    fn name(&self) -> &'static str {
        "turbo"
    }

    fn files(&self, project: &Project, _root: &Path, _ask: &Ask<'_>) -> Result<Vec<(&'static str, String)>, Cannot> {
        if project.tasks.iter().any(|task| !task.programs.is_empty()) {
            return Err("a program is no input");
        }
        let mut tasks = Map::new();
        let mut scripts = Map::new();
        for task in &project.tasks {
            let outputs = task.outputs("/**");
            let mut inputs: Vec<String> = task.reads.iter().map(glob).collect();
            inputs.extend(project.env_file.clone());
            let node = json!({
                "dependsOn": project.needs_of(task),
                "inputs": inputs,
                "outputs": outputs,
                "env": task.env,
                "passThroughEnv": task.secrets,
            });
            let command =
                project.env_file.as_ref().map_or_else(|| task.script(), |file| format!("set -a && . ./{file} && {}", task.script()));
            tasks.insert(task.name.clone(), node);
            scripts.insert(task.name.clone(), command.into());
        }
        let package = json!({ "name": "project", "version": "1.0.0", "private": true, "packageManager": "npm@10.0.0", "scripts": scripts });
        let turbo = json!({ "tasks": tasks });
        let lock = json!({ "name": "project", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {} });
        let text = |value| serde_json::to_string_pretty(&value).unwrap();
        Ok(vec![("package.json", text(package)), ("turbo.json", text(turbo)), ("package-lock.json", text(lock))])
    }

    fn words(&self, ask: &Ask<'_>) -> Result<Vec<String>, Cannot> {
        let mut all = words(&["run", "--ui=stream", "--no-color"]);
        all.push(format!("--concurrency={}", ask.jobs));
        if ask.keep_going {
            all.push("--continue=dependencies-successful".into());
        }
        if ask.dry {
            all.push("--dry=text".into());
        }
        all.extend(words(ask.targets));
        Ok(all)
    }

    fn env(&self, _root: &Path) -> Vec<(&'static str, String)> {
        vec![("TURBO_TELEMETRY_DISABLED", "1".into()), ("DO_NOT_TRACK", "1".into()), ("NO_UPDATE_NOTIFIER", "1".into())]
    }

    fn keeps(&self) -> Option<&'static str> {
        Some(".turbo/cache")
    }

    fn why(&self, target: &str) -> Option<Vec<String>> {
        Some(words(&["run", "--ui=stream", "--no-color", "--summarize", target]))
    }
}
