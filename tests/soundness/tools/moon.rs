//! moon: one project at the root, tasks with inputs (files, globs, `$VARIABLE`), outputs and dependencies.

use std::path::Path;

use serde_json::{Map, json};

use super::{Cannot, Tool, glob, words};
use crate::project::{Ask, Project};

pub struct Moon;

impl Tool for Moon {
    fn name(&self) -> &'static str {
        "moon"
    }

    fn files(&self, project: &Project, _root: &Path, _ask: &Ask<'_>) -> Result<Vec<(&'static str, String)>, Cannot> {
        if project.tasks.iter().any(|task| !task.programs.is_empty()) {
            return Err("a program is no input");
        }
        let mut tasks = Map::new();
        for task in &project.tasks {
            let outputs = task.outputs("");
            let mut inputs: Vec<String> = task.reads.iter().map(glob).collect();
            inputs.extend(task.env.iter().map(|name| format!("${name}")));
            let mut options = json!({});
            if let Some(file) = &project.env_file {
                options["envFile"] = format!("/{file}").into();
                inputs.push(file.clone());
            }
            let deps: Vec<String> = project.needs_of(task).iter().map(|need| format!("~:{need}")).collect();
            let node = json!({ "script": task.script(), "inputs": inputs, "outputs": outputs, "deps": deps, "options": options });
            tasks.insert(task.name.clone(), node);
        }
        let workspace = json!({ "projects": { "app": "." }, "telemetry": false });
        let text = |value| serde_json::to_string_pretty(&value).unwrap();
        // YAML reads JSON.
        Ok(vec![(".moon/workspace.yml", text(workspace)), ("moon.yml", text(json!({ "tasks": tasks })))])
    }

    fn words(&self, ask: &Ask<'_>) -> Result<Vec<String>, Cannot> {
        if ask.dry {
            return Err("has no dry run");
        }
        let mut all = words(if ask.keep_going { &["exec", "--on-failure", "continue"] } else { &["run"] });
        all.push(format!("--concurrency={}", ask.jobs));
        all.extend(ask.targets.iter().map(|target| format!("app:{target}")));
        Ok(all)
    }

    fn env(&self, _root: &Path) -> Vec<(&'static str, String)> {
        vec![("NO_COLOR", "1".into())]
    }

    fn keeps(&self) -> Option<&'static str> {
        Some(".moon/cache/outputs")
    }

    fn why(&self, target: &str) -> Option<Vec<String>> {
        Some(vec!["run".into(), "--log".into(), "debug".into(), format!("app:{target}")])
    }
}
