//! mise with its experimental cache of outputs: `sources`, `outputs`, `depends`, `cache.env`, `cache.command_inputs`.

use std::fmt::Write as _;
use std::path::Path;

use super::{Cannot, Tool, glob, words};
use crate::project::{Ask, Project};

pub struct Mise;

fn text(value: &str) -> String {
    serde_json::to_string(value).unwrap()
}

fn list(values: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", values.into_iter().map(|value| text(&value)).collect::<Vec<_>>().join(", "))
}

impl Tool for Mise {
    fn name(&self) -> &'static str {
        "mise"
    }

    fn files(&self, project: &Project, _root: &Path, _ask: &Ask<'_>) -> Result<Vec<(&'static str, String)>, Cannot> {
        let mut file = "[settings]\nexperimental = true\n".to_owned();
        if let Some(name) = &project.env_file {
            let _ = writeln!(file, "[env]\n_.file = {}", text(name));
        }
        for task in &project.tasks {
            let outputs = task.outputs("");
            let commands = task.programs.iter().map(|program| format!("{program} --version"));
            let _ = write!(
                file,
                "[tasks.{}]\nrun = {}\ndepends = {}\nsources = {}\noutputs = {}\ncache = {{ enabled = true, env = {}, command_inputs = {} }}\n",
                text(&task.name),
                text(&task.script()),
                list(project.needs_of(task)),
                list(task.reads.iter().map(glob).chain(project.env_file.clone())),
                list(outputs),
                list(task.env.clone()),
                list(commands),
            );
        }
        Ok(vec![("mise.toml", file)])
    }

    fn words(&self, ask: &Ask<'_>) -> Result<Vec<String>, Cannot> {
        let mut all = words(&["run"]);
        all.push(format!("--jobs={}", ask.jobs));
        if ask.keep_going {
            all.push("--continue-on-error".into());
        }
        if ask.dry {
            all.push("--dry-run".into());
        }
        for (place, target) in ask.targets.iter().enumerate() {
            if place > 0 {
                all.push(":::".into());
            }
            all.push((*target).to_owned());
        }
        Ok(all)
    }

    fn env(&self, root: &Path) -> Vec<(&'static str, String)> {
        let beside = |name: &str| root.parent().unwrap().join(name).display().to_string();
        vec![
            ("MISE_TRUSTED_CONFIG_PATHS", root.display().to_string()),
            ("MISE_YES", "1".into()),
            ("MISE_OFFLINE", "1".into()),
            ("MISE_DATA_DIR", beside("mise/data")),
            ("MISE_STATE_DIR", beside("mise/state")),
            ("MISE_CACHE_DIR", beside("mise/cache")),
            ("MISE_CONFIG_DIR", beside("mise/config")),
        ]
    }

    fn keeps(&self) -> Option<&'static str> {
        Some("../mise/cache")
    }

    fn why(&self, target: &str) -> Option<Vec<String>> {
        Some(words(&["run", "--task-cache-explain", target]))
    }
}
