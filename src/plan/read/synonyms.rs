//! What a node is called elsewhere: in compose, Taskfile, GitHub Actions, Earthly, HCL, make and just.
//! In: a word that is no node at its place. Out: what to write. Never: a guess where two things may be meant.

/// Words, the nodes that they stand in (`""`: at the top; none: anywhere), and what to write.
const WORDS: &[(&[&str], &[&str], &str)] = &[
    (
        &["depends-on", "depends_on", "dependsOn", "depends", "deps", "dependencies", "requires", "prerequisites"],
        &[],
        "write `needs \"other\"`",
    ),
    (
        &["command", "commands", "cmd", "cmds", "script", "scripts", "steps", "recipe", "shell-command", "sh", "bash"],
        &["task"],
        "write `run \"…\"`, or `exec \"program\" \"argument\"` without a shell",
    ),
    (&["environment", "envs", "vars", "variables", "ENV"], &["task", "image", "service"], "write `env NAME=\"value\"`"),
    (&["description", "desc", "help", "summary", "about"], &[], "write `doc \"…\"`"),
    (&["sources", "srcs", "src", "files", "watch"], &["task"], "write `inputs \"src/**\"`"),
    (&["generates", "artifacts", "outs", "out", "targets", "produces", "creates"], &["task"], "write `outputs \"dist/\"`"),
    (&["cwd", "workdir", "working-dir", "working_dir", "working-directory", "cd"], &["task"], "write `dir \"path\"`"),
    (&["image", "docker"], &["task"], "to run a task in an image, write `container { image \"golang:1.24\" }`"),
    (&["if", "only-if", "condition", "unless"], &[], "write `when \"${…}\"`"),
    (&["retries", "attempts"], &["task"], "write `retry 3`"),
    (&["ignore-error", "ignore_error", "continue-on-error", "ignore-errors"], &["task"], "write `allow-failure`"),
    (&["concurrency", "mutex", "semaphore"], &["task"], "write `lock \"name\"`, or `pool \"name\"` where several may run at the same time"),
    (&["cache", "cache-dir", "cache_dir"], &[""], "where results are kept is the machine's: `--cache-dir DIR`, or KILN_CACHE_DIR"),
    (
        &["cache", "cached", "no-cache", "nocache", "cacheable"],
        &["task"],
        "a task with `inputs` is kept, one without them always runs; `kiln run --force` runs it once more",
    ),
    (
        &["job", "jobs", "target", "targets", "rule", "step", "stage", "recipe", "command", "build"],
        &["", "each"],
        "write `task \"name\" { … }`",
    ),
    (
        &["variable", "var", "vars", "const", "locals", "variables"],
        &["", "each"],
        "write `let name \"value\"`, or `param \"name\" default=\"value\"` for what may be set from outside",
    ),
    (&["arg", "args", "ARG", "option", "input", "inputs"], &["", "each"], "write `param \"name\" default=\"value\"`"),
    (&["for", "foreach", "for_each", "loop"], &["", "each"], "write `each name value value { … }`"),
    (&["import", "source", "load", "require"], &[""], "write `include \"path.kdl\" as=\"name\"`"),
    (&["extends", "inherits", "uses", "inherit"], &[], "write `use \"template\"`"),
    (
        &["version", "edition", "syntax"],
        &[""],
        "the edition is written `kiln 1`, a version of the project `project \"name\" version=\"…\"`",
    ),
    (&["name"], &["", "project"], "the name stands behind the node: `project \"name\"`"),
    (&["compose", "container", "containers", "services", "daemon"], &[""], "write `service \"name\" { … }`"),
    (&["strategy"], &["task"], "write `matrix { os linux mac }` in the task itself"),
    (
        &["goos", "goarch", "GOOS", "GOARCH", "os", "arch"],
        &["task", "image"],
        "write `platforms amd64 arm64`, and use `${platform.os}`, `${platform.arch}`",
    ),
    (
        &["status", "preconditions", "precondition", "requires-file", "up-to-date", "generates-from"],
        &["task"],
        "a task is up to date while its `inputs` and `outputs` are what they were; a check of its own is a task that this one `needs`",
    ),
    (&["dotenv", "env_file", "envfile", "env-files", "dotenvs"], &[], "write `env-file \".env\"`"),
    (
        &["runs-on", "runs_on", "agent", "on", "trigger", "triggers", "schedule"],
        &[],
        "where and when a plan runs is the CI's business; a condition is written `when \"${…}\"`",
    ),
    (&["uses", "with"], &["task"], "there are no actions: write `run \"…\"`, or `use \"template\"` for parts of this plan"),
    (&["silent", "quiet", "verbose"], &["task"], "what is shown is asked for when kiln runs: `kiln run --quiet`"),
    (&["set"], &[""], "a value is written `let name \"value\"`, the shell of all tasks `shell \"bash\" \"-c\"`"),
    (&["export", "exports"], &["", "task"], "write `env NAME=\"value\"`"),
    (&[".PHONY", "phony"], &["", "task"], "leave it out: a task is never mistaken for a file, and without `inputs` it always runs"),
    (
        &["build", "dockerfile", "context"],
        &["service"],
        "declare `image \"name\" { dockerfile \"Dockerfile\" }` at the top, and name it: `image \"name\"`",
    ),
    (&["ports", "expose", "publish"], &["service"], "write `port 8080`, or `port 80 host=8080`"),
    (&["volumes", "binds"], &["service"], "write `volume \"name\" \"/path\"`, or `mount \"src/\" \"/path\"` for a folder of the project"),
    (&["networks"], &["service"], "write `network \"name\"`"),
    (
        &["privileged"],
        &["service", "container"],
        "no container has all rights: give it those that it needs with `cap-add`, or `socket docker`",
    ),
    (&["deploy", "resources", "limits"], &["service", "container"], "limits are written `memory \"512MiB\"`, `cpus 1`, `pids 100`"),
    (&["replicas", "scale"], &["service"], "a service is one container; several are written with `each`"),
    (&["hostname", "container_name", "container-name"], &["service"], "its name is the name of the service"),
    (&["output"], &["image"], "write `push name` for a `registry name \"…\"`; `registry name \"oci:dist\"` is a folder"),
    (
        &["build-arg", "build-args", "args"],
        &["image"],
        "arguments of a Dockerfile are written `dockerfile \"Dockerfile\" { arg NAME=\"value\" }`",
    ),
    (&["build", "context", "file"], &["image"], "write `dockerfile \"Dockerfile\" context=\".\"`"),
    (&["base", "FROM"], &["image"], "write `from \"alpine:3.22\"`"),
    (&["COPY", "files", "ADD", "contents"], &["image"], "write `copy \"file\" \"/path\"`"),
    (&["ports", "port", "EXPOSE"], &["image"], "write `expose 8080`"),
    (&["command", "CMD"], &["image"], "write `cmd \"argument\"`, or `entrypoint \"/program\"`"),
    (&["labels", "LABEL"], &["image"], "write `label key=\"value\"`"),
    (
        &["registry", "repository", "repo", "publish"],
        &["image"],
        "declare `registry name \"ghcr.io/acme\"` at the top, and write `push name`",
    ),
    (&["command", "cmd", "entrypoint"], &["service"], "write `exec \"program\" \"argument\"`"),
    (&["depends", "links"], &["service"], "write `needs \"other\"`"),
    (&["-", "*"], &[], "a list has no marks: its values stand behind one name, `needs a b`"),
    (&["--", "#", "rem", "REM", "%"], &[], "comments begin with `//`"),
    (&["end", "fi", "done", "EOF"], &[], "a block stands between `{` and `}`"),
];

/// What a type of values is called here that has this name elsewhere.
pub(super) fn type_meant(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "string" | "str" => Some("text"),
        "integer" | "uint" | "u16" | "u32" | "u64" | "i32" | "i64" | "port" => Some("int"),
        "float" | "double" | "f32" | "f64" | "decimal" => Some("number"),
        "boolean" | "flag" => Some("bool"),
        "file" | "dir" | "folder" | "directory" => Some("path"),
        "version" => Some("semver"),
        _ => None,
    }
}

/// What to write in place of a word that is no node in `owner`.
pub(super) fn meant(word: &str, owner: Option<&str>) -> Option<&'static str> {
    let owner = owner.unwrap_or_default();
    let fits = |(words, owners, _): &&(&[&str], &[&str], &str)| words.contains(&word) && (owners.is_empty() || owners.contains(&owner));
    WORDS.iter().find(fits).map(|(_, _, help)| *help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::spec;

    #[test]
    fn no_node_of_the_language_is_called_a_synonym_of_another_at_its_place() {
        for (words, owners, _) in WORDS {
            for word in *words {
                assert!(!owners.contains(&"") || spec::TOP.find(word).is_none(), "`{word}` is a node");
                for owner in owners.iter().filter_map(|owner| spec::TOP.find(owner)) {
                    assert!(owner.children.find(word).is_none(), "`{word}` is a node in `{}`", owner.name);
                }
            }
        }
    }
}
