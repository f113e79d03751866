//! go-task: `sources`, `generates`, the default checksum method, `deps`, every task once, output by groups.

use std::path::Path;

use serde_json::{Map, json};

use super::{Cannot, Offer, Tool, glob, words};
use crate::project::{Ask, Project};

pub struct Task;

impl Tool for Task {
    fn name(&self) -> &'static str {
        "task"
    }

    fn files(&self, project: &Project, _root: &Path, _ask: &Ask<'_>) -> Result<Vec<(&'static str, String)>, Cannot> {
        let mut tasks = Map::new();
        for task in &project.tasks {
            let generates = task.outputs("/**/*");
            let mut node = json!({ "deps": project.needs_of(task), "cmds": [task.script()] });
            let sources: Vec<String> = task.reads.iter().map(glob).chain(project.env_file.clone()).collect();
            if !sources.is_empty() {
                node["sources"] = sources.into();
            }
            if !generates.is_empty() {
                node["generates"] = generates.into();
            }
            tasks.insert(task.name.clone(), node);
        }
        let mut file = json!({ "version": "3", "output": "group", "run": "once", "set": ["errexit", "pipefail"], "tasks": tasks });
        if let Some(name) = &project.env_file {
            file["dotenv"] = json!([name]);
        }
        // YAML reads JSON.
        Ok(vec![("Taskfile.yml", serde_json::to_string_pretty(&file).unwrap())])
    }

    fn words(&self, ask: &Ask<'_>) -> Result<Vec<String>, Cannot> {
        if ask.keep_going {
            return Err("has no way to go on after a failure");
        }
        let mut all = vec![format!("--concurrency={}", ask.jobs)];
        if ask.dry {
            all.push("--dry".into());
        }
        all.extend(words(ask.targets));
        Ok(all)
    }

    fn why(&self, target: &str) -> Option<Vec<String>> {
        Some(words(&["--verbose", target]))
    }

    fn lacks(&self, what: Offer) -> Option<Cannot> {
        (what == Offer::Results).then_some("keeps no results")
    }
}
