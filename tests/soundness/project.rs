//! A project in no tool's language: what each task reads, makes and runs.

use std::collections::BTreeMap;

/// What a build file of any tool says.
#[derive(Debug, Clone, Default)]
pub struct Project {
    pub tasks: Vec<Task>,
    /// A file of lines `NAME=value` that gives variables to every task.
    pub env_file: Option<String>,
}

/// One task. Its commands are run by a POSIX shell in the project's folder.
#[derive(Debug, Clone, Default)]
pub struct Task {
    pub name: String,
    /// Tasks that must be done first, also where that follows from what is read.
    pub needs: Vec<String>,
    pub reads: Vec<Reads>,
    pub makes: Vec<Makes>,
    /// Variables of the user's environment that can change the result.
    pub env: Vec<String>,
    /// Variables of the user's environment that must not: a password.
    pub secrets: Vec<String>,
    /// Programs of `PATH` that can change the result.
    pub programs: Vec<String>,
    pub command: String,
}

/// What a task reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reads {
    File(String),
    /// Every file below a folder.
    Below(String),
}

/// What a task makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Makes {
    File(String),
    /// A folder with these files; tools that know folders are told of the folder alone.
    Files(String, Vec<String>),
    /// A folder with files whose names nobody can know before.
    Folder(String),
}

pub fn task(name: &str) -> Task {
    Task { name: name.to_owned(), ..Task::default() }
}

impl Task {
    pub fn needs(mut self, name: &str) -> Self {
        self.needs.push(name.to_owned());
        self
    }
    pub fn reads(mut self, file: &str) -> Self {
        self.reads.push(Reads::File(file.to_owned()));
        self
    }
    pub fn reads_below(mut self, folder: &str) -> Self {
        self.reads.push(Reads::Below(folder.to_owned()));
        self
    }
    pub fn makes(mut self, file: &str) -> Self {
        self.makes.push(Makes::File(file.to_owned()));
        self
    }
    pub fn makes_files(mut self, folder: &str, names: &[&str]) -> Self {
        self.makes.push(Makes::Files(folder.to_owned(), names.iter().map(|name| (*name).to_owned()).collect()));
        self
    }
    pub fn makes_folder(mut self, folder: &str) -> Self {
        self.makes.push(Makes::Folder(folder.to_owned()));
        self
    }
    pub fn env(mut self, name: &str) -> Self {
        self.env.push(name.to_owned());
        self
    }
    pub fn secret(mut self, name: &str) -> Self {
        self.secrets.push(name.to_owned());
        self
    }
    pub fn program(mut self, name: &str) -> Self {
        self.programs.push(name.to_owned());
        self
    }
    pub fn runs(mut self, command: &str) -> Self {
        self.command = command.to_owned();
        self
    }

    /// The commands with what every tool's users write themselves: folders of outputs are made. The first word is the suite's
    /// own: it notes beside the project that the task ran, in a file for each task, since not every shell writes a line at once.
    pub fn script(&self) -> String {
        let mut folders: Vec<&str> = self
            .makes
            .iter()
            .filter_map(|makes| match makes {
                Makes::File(file) => file.rsplit_once('/').map(|(folder, _)| folder),
                Makes::Files(folder, _) | Makes::Folder(folder) => Some(folder.as_str()),
            })
            .collect();
        folders.dedup();
        let made = if folders.is_empty() { String::new() } else { format!("mkdir -p {} && ", folders.join(" ")) };
        format!("echo >>../ran/{} && {made}{}", self.name, self.command)
    }

    /// What it makes, in a tool's words: `below` stands behind a folder.
    pub fn outputs(&self, below: &str) -> Vec<String> {
        let word = |makes: &Makes| match makes {
            Makes::File(file) => file.clone(),
            Makes::Files(folder, _) | Makes::Folder(folder) => format!("{folder}{below}"),
        };
        self.makes.iter().map(word).collect()
    }

    /// The files it makes by name; `None` when a folder's names are not known.
    pub fn files(&self) -> Option<Vec<String>> {
        let mut files = Vec::new();
        for makes in &self.makes {
            match makes {
                Makes::File(file) => files.push(file.clone()),
                Makes::Files(folder, names) => files.extend(names.iter().map(|name| format!("{folder}/{name}"))),
                Makes::Folder(_) => return None,
            }
        }
        if files.is_empty() { None } else { Some(files) }
    }

    /// Whether it reads something that the other one makes.
    pub fn reads_from(&self, other: &Self) -> bool {
        let below = |path: &str, folder: &str| path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.reads.iter().any(|reads| {
            other.makes.iter().any(|makes| match (reads, makes) {
                (Reads::File(file), Makes::File(made)) => file == made,
                (Reads::File(file), Makes::Files(folder, _) | Makes::Folder(folder)) => below(file, folder),
                (Reads::Below(folder), Makes::File(made)) => below(made, folder),
                (Reads::Below(folder), Makes::Files(made, _) | Makes::Folder(made)) => below(made, folder) || below(folder, made),
            })
        })
    }
}

impl Project {
    pub fn of(tasks: impl IntoIterator<Item = Task>) -> Self {
        Self { tasks: tasks.into_iter().collect(), env_file: None }
    }

    pub fn task(&mut self, name: &str) -> &mut Task {
        self.tasks.iter_mut().find(|task| task.name == name).unwrap_or_else(|| panic!("there is no task {name}"))
    }

    /// The tasks that this one waits for: named, or known by what it reads.
    pub fn needs_of(&self, task: &Task) -> Vec<String> {
        let others = self.tasks.iter().filter(|other| other.name != task.name);
        others.filter(|other| task.needs.contains(&other.name) || task.reads_from(other)).map(|other| other.name.clone()).collect()
    }
}

/// What a tool is asked to do, where, and what the user's environment holds.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    pub targets: &'a [&'a str],
    pub jobs: usize,
    pub keep_going: bool,
    /// Nothing may run; what would run is shown.
    pub dry: bool,
    pub env: &'a BTreeMap<String, String>,
}
