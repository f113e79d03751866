//! What the tables of nodes do not say: how nodes work together, each with a whole plan as its example. Tests hold every example.
//! In: nothing. Out: chapters of the reference. Never: a rule that is also said by a node.

use std::fmt::Write as _;

use crate::plan::facts::{CiFact, GitFact};

/// A title, what is to be said, and a plan.
type Chapter = (&'static str, &'static str, &'static str);

const CHAPTERS: &[Chapter] = &[
    (
        "A first plan",
        "The edition comes first. A task names what it reads and what it makes; an image copies what tasks made. Nobody has to say that the image \
         waits for the task: the file that one makes and the other reads says it. So does `from \"name\"` of another image, and a `copy` or an \
         input with wildcards that an output can fit. `needs` adds an edge without a file, `after` an order without a need.",
        r##"kiln 1

project "shop" version="1.4.0" {
    doc "a shop"
    default "shop"
}

registry "main" "ghcr.io/acme"

task "compile" {
    doc "compiles the shop for both machines"
    platforms amd64 arm64
    inputs "go.mod" "**/*.go"
    outputs "dist/${platform}/shop"
    env GOARCH="${platform.arch}" OUT="dist/${platform}/shop"
    run #"go build -o "$OUT" ."#
}

image "shop" {
    platforms amd64 arm64
    copy "dist/${platform}/shop" "/shop"
    user "1000:1000"
    entrypoint "/shop"
    scan
    tag semver="${project.version}"
    push main
}
"##,
    ),
    (
        "Which value counts",
        "A `let` has one value. A `param` has the first of these: `--set name=value`; in an included file what the block of its `include` sets; \
         KILN_PARAM_NAME in the environment; the last chosen profile that sets it; its default. A value of another type than the param's is a fault of \
         whoever gave it. Numbers and truth values are compared as such, a `semver` that stands alone beside `<`, `>=`, `==` … by precedence.",
        r##"kiln 1

param "port" type="int" default=8080 min=1024 max=65535 doc="the port on this machine"
param "version" type="semver" default="1.9.0"
let modern "${version >= '1.10.0'}"

profile "test" {
    set port=8081
}

task "serve" {
    env PORT="${port}" MODERN="${modern}"
    run #"./serve --port "$PORT""#
}
"##,
    ),
    (
        "Which variable counts",
        "A command sees the first of these: `env` of its task; the last `env-file` there; `env` of the last chosen profile; its `env-file`; `env` at the top; \
         `env-file` at the top. Variables of `each` and `matrix`, arguments and params of templates are there under their own names unless `env` says \
         otherwise. Beside these it sees `PATH`, `HOME`, `USER`, `LOGNAME`, `TMPDIR`, and what `pass-env` names; nothing else of kiln's environment. A \
         service sees what it names itself, and nothing of the top.",
        r##"kiln 1

env LOG="info"
env-file ".env" optional=#true

profile "dev" {
    env LOG="debug"
}

task "test" {
    env-file "test.env" optional=#true
    env CI="true"
    pass-env "CARGO_HOME"
    run "cargo test"
}
"##,
    ),
    (
        "Templates",
        "Around targets, a template is written out where it is used. In a target it gives parts: what may stand once (`dir`, `timeout`, `container`, \
         `scan` …) is the target's own, else that of the last `use`; lists (`inputs`, `outputs`, `tools`, `needs`, `copy`, `run` …) are put together, in \
         the order of the uses and the target's own part last; `env`, `label`, `annotation`, `arg`, `flag`, `secret` and `pool` go by name, by the same \
         precedence. A template sees its own params and the file's values, and not the variables around its use.",
        r##"kiln 1

template "go" {
    tools "go"
    env CGO_ENABLED="0" GOFLAGS="-trimpath"
    timeout "10m"
}

template "program" name {
    task "compile-${name}" {
        use "go"
        inputs "**/*.go"
        outputs "dist/${name}"
        env GOFLAGS="-trimpath -mod=readonly"
        run #"go build -o "dist/$name" "./cmd/$name""#
    }
}

use "program" name="api"
use "program" name="worker"
"##,
    ),
    (
        "Cells of a matrix",
        "`exclude` and `include` name some variables and leave the others open. Here `include` adds one cell on bsd, and gives the cells on mac an `sdk`; \
         cells without it need a default wherever they use it. `each` around targets makes several targets, `matrix` in one makes several cells of it, \
         `test[os=mac,go=1.24]`; the target alone stands for all of them.",
        r##"kiln 1

task "test" {
    matrix {
        os linux mac
        go "1.23" "1.24"
        exclude os=mac go="1.23"
        include os=bsd go="1.24"
        include os=mac sdk="15"
    }
    env TARGET="${os}" SDK="${sdk|default('none')}"
    run "go test ./..."
}
"##,
    ),
];

/// The chapters, and the facts that expressions may name.
pub(super) fn write(text: &mut String) {
    for (title, about, example) in CHAPTERS {
        let _ = write!(text, "\n## {title}\n\n{about}\n\n```kdl\n{example}```\n");
    }
    text.push_str("\n## Facts\n\nA fact is asked for when a value needs it.\n\n| name | what it is |\n| --- | --- |\n");
    let git = GitFact::ALL.iter().map(|(_, word, doc)| ("git", *word, *doc));
    let ci = CiFact::ALL.iter().map(|(_, word, doc)| ("ci", *word, *doc));
    for (root, word, doc) in git.chain(ci).chain(OTHERS.iter().copied()) {
        let _ = writeln!(text, "| `{root}{}{word}` | {doc} |", if word.is_empty() { "" } else { "." });
    }
}

/// Facts that are neither git's nor the CI system's.
const OTHERS: &[(&str, &str, &str)] = &[
    ("host", "os", "the operating system of this machine, `linux`"),
    ("host", "arch", "its architecture, `amd64`"),
    ("project", "name", "the name in `project`"),
    ("project", "version", "its `version=`"),
    ("platform", "", "the platform of a step: `linux-arm-v7` as a text, so that it is one folder"),
    ("platform", "os", "its operating system"),
    ("platform", "arch", "its architecture"),
    ("platform", "variant", "its variant, `v7`, where it has one"),
    ("profile", "", "the name of the chosen profile; empty where none is"),
    ("env", "NAME", "a variable of kiln's environment; reading it makes it part of the plan"),
];
