//! kiln itself.

use std::fmt::Write as _;
use std::path::Path;

use super::{Cannot, Tool, words};
use crate::project::{Ask, Project, Reads};

pub struct Kiln;

fn text(value: &str) -> String {
    serde_json::to_string(value).unwrap()
}

impl Tool for Kiln {
    fn name(&self) -> &'static str {
        "kiln"
    }

    fn files(&self, project: &Project, _root: &Path, _ask: &Ask<'_>) -> Result<Vec<(&'static str, String)>, Cannot> {
        let mut plan = "kiln 1\n".to_owned();
        if let Some(file) = &project.env_file {
            let _ = writeln!(plan, "env-file {}", text(file));
        }
        for secret in project.tasks.iter().flat_map(|task| &task.secrets) {
            let _ = writeln!(plan, "secret {} env={}", text(&secret.to_lowercase()), text(secret));
        }
        for task in &project.tasks {
            let _ = writeln!(plan, "task {} {{", text(&task.name));
            for need in &task.needs {
                let read = project.tasks.iter().any(|other| other.name == *need && task.reads_from(other));
                if !read {
                    let _ = writeln!(plan, "    needs {}", text(need));
                }
            }
            for reads in &task.reads {
                let pattern = match reads {
                    Reads::File(file) => file.clone(),
                    Reads::Below(folder) => format!("{folder}/"),
                };
                let _ = writeln!(plan, "    inputs {}", text(&pattern));
            }
            for pattern in task.outputs("/") {
                let _ = writeln!(plan, "    outputs {}", text(&pattern));
            }
            for name in &task.env {
                let _ = writeln!(plan, "    pass-env {}", text(name));
            }
            for name in &task.secrets {
                let _ = writeln!(plan, "    secret {} env={}", text(&name.to_lowercase()), text(name));
            }
            for name in &task.programs {
                let _ = writeln!(plan, "    tools {}", text(name));
            }
            let _ = writeln!(plan, "    run {}\n}}", text(&task.script()));
        }
        Ok(vec![("build.kdl", plan)])
    }

    fn words(&self, ask: &Ask<'_>) -> Result<Vec<String>, Cannot> {
        let mut all = words(if ask.dry { &["plan"] } else { &["run"] });
        all.extend(words(ask.targets));
        if !ask.dry {
            all.push(format!("-j{}", ask.jobs));
            if ask.keep_going {
                all.push("-k".into());
            }
        }
        Ok(all)
    }

    fn env(&self, root: &Path) -> Vec<(&'static str, String)> {
        vec![("KILN_CACHE_DIR", root.parent().unwrap().join("kept").display().to_string()), ("KILN_GC", "off".into())]
    }

    fn keeps(&self) -> Option<&'static str> {
        Some("../kept/store")
    }

    fn why(&self, target: &str) -> Option<Vec<String>> {
        Some(words(&["why", target]))
    }
}
