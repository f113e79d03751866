//! One paragraph per code, for `kiln explain CODE`.

/// The paragraph about a code of the planner; `None` when the planner gives no such code.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    CODES.iter().find(|(known, _)| *known == code).map(|(_, text)| *text)
}

/// The code itself, from a text that is one.
#[must_use]
pub fn code(text: &str) -> Option<&'static str> {
    CODES.iter().map(|(known, _)| *known).find(|known| *known == text)
}

/// All codes of the planner, sorted, each with its paragraph.
pub const CODES: &[(&str, &str)] = &[
    (
        "plan::arguments",
        "A node has too few or too many values behind its name, or a value and a block where only one may stand. The help shows \
         the form of the node: `copy SOURCE… DESTINATION` takes one source or more and then one destination; what stands in \
         `[…]` may be left out.",
    ),
    (
        "plan::bad-arg",
        "What was typed behind a target cannot be its argument: a value is missing (`--env` alone, where `env=prod` or `--env=prod` is \
         meant), or two different values were given for one name. A task runs once in a run, so it has one value for each argument.",
    ),
    (
        "plan::bad-choice",
        "A `param` or `arg` with `choices` has another value. An `arg` gets its value behind its target, or from `default=`. That of a `param` may come from `--set name=value`, from the environment variable \
         KILN_PARAM_NAME, from a chosen profile, or from `default=`, in this order.",
    ),
    (
        "plan::bad-duration",
        "A length of time is a number with a unit: `250ms`, `90s`, `5m`, `1h30m`, `2d`. It is written in quotes, because KDL \
         does not take a bare word that begins with a digit.",
    ),
    (
        "plan::bad-expression",
        "The text between `${` and `}` is not an expression, or has no value. An expression names a value (`version`, `git.sha`, \
         `list[0]`), may shape it with filters (`git.branch|slug`), put texts together (`a ~ \"-\" ~ b`), compare, and choose \
         (`\"x\" if platform.arch == \"arm64\" else \"y\"`). `$${` stands for a `${` that is not an expression. Scripts in `run` are \
         never searched for expressions.",
    ),
    (
        "plan::bad-include",
        "`include` names a file of the project (relative to the folder of the file that it stands in), an address (`https://…`) or \
         an artifact (`oci:host/path:tag`), as it is written: which files make up a plan cannot be a value. The file is there, can \
         be read, and lies below the project's root, also when links on the way are followed.",
    ),
    (
        "plan::bad-name",
        "A name has characters that mean something else. Targets, registries and policies have letters, digits, `_`, `-`, `.` \
         and `:`, because they are typed on command lines and printed in step names. Values, matrix variables and environment \
         variables have letters, digits and `_`, because they are used in expressions and handed to programs.",
    ),
    (
        "plan::bad-param",
        "A `param` or `arg` has a value that its type, its limits or its pattern do not allow, or these contradict each other. `int` is a whole \
         number as `8080`, `number` any other, `bool` is `true` or `false`, `path` a path of the project, `semver` a version like \
         `1.4.2`. A pattern must match the whole text. The value may come from `--set name=value`, from KILN_PARAM_NAME, from a chosen \
         profile, or from `default=`, in this order.",
    ),
    (
        "plan::bad-path",
        "A path of the project is relative to the plan and stays below its folder; links do not change that. A path in an image \
         is absolute and has no `..`. Both are checked before anything runs.",
    ),
    (
        "plan::bad-pattern",
        "A pattern is a path with wildcards: `*` and `?` within one name, `**` for any number of folders, `[a-z]` for one \
         character, `{a,b}` for either. Without any of these it names a file or a whole folder. In `inputs` and `copy` a `!` before \
         a pattern leaves files out of what the others select.",
    ),
    (
        "plan::bad-platform",
        "A platform is `os/arch` or `os/arch/variant` in the words of OCI: `linux/amd64`, `linux/arm/v7`. For Linux the \
         architecture is enough: `amd64`, `arm64`, `arm-v7`. An image that stands on another image of the plan can be made only \
         for the platforms of that one.",
    ),
    (
        "plan::bad-reference",
        "An image is named `name:tag`, `host/path:tag` or, so that it cannot change, `name@sha256:…`. A registry is named by its \
         host and the path before the image's name: `ghcr.io/acme`. Names of repositories have no upper-case letters.",
    ),
    ("plan::bad-size", "A size is a number with a unit: `512MiB` (powers of 1024), `20MB` (powers of 1000), or a plain number of bytes."),
    (
        "plan::bad-tag",
        "A tag has at most 128 letters, digits, `_`, `.` and `-` and begins with none of the last two. `semver`, `release`, `branch`, \
         `sha`, `date` and `pr` are rules that give tags, behind a `prefix=` where the line has one; every other word is the tag itself. \
         Values from outside are made fit with `${name|slug}`. `latest=` goes with `semver`.",
    ),
    (
        "plan::bad-value",
        "A value has the right form, but nothing can be done with it: a port beyond 65535, a signal without its `SIG`, a word that \
         the node does not know. The message says what is expected.",
    ),
    (
        "plan::cycle",
        "Values that need each other have no value. The message shows the way round; every step is marked. One of them must be \
         given a value of its own.",
    ),
    (
        "plan::dockerfile",
        "An image that a Dockerfile builds says what is in it there, once: `from`, `copy`, `run`, `env`, `user` and the like do not stand beside `dockerfile`. Labels, annotations, platforms, and the way to the registries do. A `target=` is a stage that the Dockerfile names with `FROM … AS name`.",
    ),
    (
        "plan::duplicate-name",
        "A name stands for one value in the whole plan, so that `${name}` can mean only one. That holds between `let`, `param`, \
         the variables of `each` and `matrix`, and, where these are exported to a task, its environment.",
    ),
    (
        "plan::duplicate-target",
        "Tasks, images and groups are named in one space, because `kiln run NAME` and `needs NAME` do not say which kind they \
         mean. Targets in `each` get different names by having the value in the name: `task \"build-${bin}\"`.",
    ),
    (
        "plan::edition",
        "The first node of a plan is `kiln 1`: the edition of the language it is written in. A kiln that does not know the edition \
         refuses the plan instead of reading it in another sense.",
    ),
    (
        "plan::empty",
        "A target that does nothing, an image without content or an `each` without targets is most likely unfinished. A task that \
         stands for others has `needs`; a name for several targets is a `group`.",
    ),
    (
        "plan::env-file",
        "A file of variables is not there, or has lines that are none. Each line is `NAME=value`, with comments, `export` and quotes as in \
         other dotenv files; `$` stands for itself. The values are variables of tasks and part of their keys: what must stay hidden is a \
         `secret`. `optional=#true` takes a missing file for an empty one.",
    ),
    (
        "plan::epoch",
        "Images carry the time SOURCE_DATE_EPOCH, else that of the commit, so that they are the same on every machine. The \
         variable holds whole seconds since 1970, as `date +%s` prints them.",
    ),
    (
        "plan::fact",
        "A value needs something about the repository that cannot be read, although the repository is there. The message ends with \
         what git said. Where a fact may be missing, `|default('…')` says what holds then.",
    ),
    (
        "plan::include-circle",
        "A file includes itself, directly or through others, so the plan would never end. The marks show each `include` of the \
         circle. Including one file under two names is fine.",
    ),
    (
        "plan::let-command",
        "The value of a `let` is what a command prints, and the command failed, ran longer than a minute, or printed more than 64 KiB or \
         something else than text. It is run by `sh -c` in the plan's folder with the environment of a step: PATH, HOME, USER, LOGNAME, \
         TMPDIR. It runs once, only when its value is used, and never for `check`, `list`, `graph` or `fmt`.",
    ),
    (
        "plan::let-file",
        "The value of a `let` is the text of a file of the project, and there is no such file, it cannot be read, or it is larger than \
         64 KiB or something else than text. The path is taken from the plan's folder.",
    ),
    (
        "plan::lookalike",
        "Letters of other alphabets can look like those of the Latin one, so two names may look the same and be different. The \
         plan is carried out; the warning is there because names are typed and reviewed by people.",
    ),
    (
        "plan::matrix",
        "A matrix has one line per variable: its name and its values. `exclude` names values that the variables have, and leaves \
         out the cells that have all of them; `include` gives every variable a value, and adds one cell.",
    ),
    (
        "plan::matrix-size",
        "Values of several variables multiply. kiln counts the cells before it builds them and refuses a plan that could not be \
         carried out: more than 100,000 cells of a target or targets of a plan, or more than 200,000 of both with their platforms.",
    ),
    (
        "plan::missing-param",
        "A `param` without `default=` must be set, with `--set name=value`, the environment variable KILN_PARAM_NAME or a profile. \
         Commands that only look at the plan go on with a value that stands in for it.",
    ),
    (
        "plan::missing-property",
        "A node lacks a property that it cannot do without. An exception from a policy, for instance, always has a reason.",
    ),
    (
        "plan::more",
        "More faults were found than anybody reads at once. The first ones are shown and the others counted. Mend those and check again: often one mistake made many.",
    ),
    (
        "plan::not-a-service",
        "`exec-in` runs a task's commands inside a running service, so it names a `service` of the plan. A task that wants a container of its own names the image: `container { image \"…\" }`.",
    ),
    (
        "plan::not-an-image",
        "`from`, `from=` and the `image` of a container name an image: one of the plan, or one elsewhere with its tag. Something else was named instead.",
    ),
    (
        "plan::not-yet",
        "The word belongs to the language, but this version of kiln does not carry it out yet. It is refused rather than ignored, \
         because a plan that hands a secret to a task must not run it without. Leave it out, or wait for the version that knows it; \
         the change log names it. To come: secrets in containers.",
    ),
    (
        "plan::one-value",
        "The only value of an `each` or of a matrix variable has commas or spaces in it, as if it were a list. Values stand one after the \
         other, each in its own quotes: `go \"1.23\" \"1.24\"`.",
    ),
    (
        "plan::one-word",
        "Without a shell nobody splits a line into words: `exec \"go build\"` looks for a program that is called `go build`, with the \
         space. Every word stands in its own quotes: `exec \"go\" \"build\"`. For a line of shell there is `run`.",
    ),
    (
        "plan::output-conflict",
        "A file has one maker. Two targets, or two cells or platforms of one target, declare outputs that can be the same file, so the \
         last to run would win. Give each a path of its own; `${platform}` and matrix variables make paths differ.",
    ),
    (
        "plan::output-is-input",
        "A task's outputs are among its own inputs. It would change its key by running, and so run every time. Leave the outputs \
         out of the inputs with `!`: `inputs \"src/\" \"!src/gen/\"`.",
    ),
    (
        "plan::policy-broken",
        "A service names a `policy`, and what the plan says of it fits all conditions of one of the policy's rules. A rule that denies stops the \
         plan, one that warns is told. What only the image says, such as its user, is not judged before the image is at hand.",
    ),
    (
        "plan::port-conflict",
        "Two services open the same port of this machine, or one opens it twice. One of them would not start. Give one another port with `host=`, or let the engine choose with `host=\"any\"`. The port inside the container stays.",
    ),
    (
        "plan::push-without-tag",
        "An image that is pushed needs a tag, or nobody could pull it by name. `tag semver`, `tag branch`, `tag sha` and `tag \"latest\"` can be combined.",
    ),
    (
        "plan::repeated",
        "Something that has one value is given twice. kiln does not let the last one win in silence; both places are shown.",
    ),
    (
        "plan::reserved-flag",
        "A flag, or its letter, is an option of kiln itself, and kiln reads it first: `kiln build --force` is always kiln's own `--force`. \
         The flag can still be given by name, `kiln build force=true`. Rename it, so that nobody is surprised.",
    ),
    (
        "plan::same-tag",
        "Two images would be pushed under the same name, so one would replace the other. The name of an image is that of its \
         target unless `name=` says otherwise; in a matrix it must contain a variable.",
    ),
    (
        "plan::sandbox-elsewhere",
        "`sandbox` is about tasks that run on this machine. The commands of a task with `container` or `exec-in` run in a container, whose \
         walls are those that `container` and the service name. So that nobody believes in walls that do not stand, the two are not \
         allowed together: write `sandbox \"off\"` in the task, also where the sandbox is asked for at the top of the plan.",
    ),
    (
        "plan::script-name",
        "Scripts are handed to the shell as they are written, so that no value can become part of a command. The script names a \
         value of the plan with `${…}`; the shell looks for a variable of that name, and finds nothing. Declare it with `env`; the \
         variables of `each` and `matrix` are exported already.",
    ),
    (
        "plan::secret",
        "A secret has one source: a variable (`env=`), a file (`file=`) or a command (`command=`). Its value is never in the plan, since \
         plans are read by many. A task is given it in one way for each `secret` line: in a variable (`env=`), or in a file whose path is \
         in a variable (`file=`).",
    ),
    (
        "plan::shared-volume",
        "Two services write the same volume. Databases and many programs take this badly. Write `read-only` behind it where it is only read; where both must write, this is only a warning.",
    ),
    (
        "plan::taken-literally",
        "A text holds `$(…)`, `{{…}}`, `$NAME` or `~/`, which make, a shell or a template engine would look up. In a plan only `${…}` is \
         looked up, and only scripts in `run` go to a shell: this text is taken as it is. The output of a command is the value of a \
         `let name command=\"…\"`, a variable of the environment is `${env.NAME}`.",
    ),
    (
        "plan::template-circle",
        "A template uses itself, directly or through others, so writing it out would never end. The marks show each `use` of the \
         circle.",
    ),
    (
        "plan::too-large",
        "A plan holds names and paths. A value is at most 64 KiB large, all texts of a plan together 64 MiB, and at most 64 names \
         may stand for one another in a row. The limits keep a mistake, or a hostile plan, from filling the memory.",
    ),
    (
        "plan::undefined",
        "A name of the plan has no value at this place: the variable is not set, the commit has no tag, the task has no platform. An \
         empty text would hide the mistake. Where that may happen, say what holds then: `${env.TAG|default('dev')}`.",
    ),
    (
        "plan::unknown-arg",
        "A word behind a target names no `arg` and no `flag` of it, or words follow `--` and the task does not say `rest`. Words belong to \
         the target before them; kiln's own options can stand anywhere. `kiln TARGET --help` lists what a task takes. A task must say \
         `rest` because a script that never uses `\"$@\"` would drop the words in silence.",
    ),
    (
        "plan::unknown-field",
        "A condition of a policy's own rule looks at something that kiln does not know. Images and services have `label.NAME`, `env.NAME`, `user` and `port`; services also have their limits, capabilities, networks and mounts. The language reference lists all of them.",
    ),
    (
        "plan::unknown-name",
        "An expression names a value that does not exist. Values come from `let` and `param`, from the variables of `each` and \
         `matrix`, and from `git`, `host`, `project`, `profile`, `platform`, `env` and `ci`.",
    ),
    (
        "plan::unknown-network",
        "A `container` or a `service` joins a network that the plan does not declare. Networks are declared at the top of the plan: `network \"backend\"`.",
    ),
    (
        "plan::unknown-node",
        "A node has a name that means nothing at its place. Nothing is ever ignored, because it might have changed a result.",
    ),
    ("plan::unknown-param", "`--set name=value`, and `set` in a profile, set a `param` of the plan. A `let` cannot be set from outside."),
    ("plan::unknown-policy", "`scan policy=` names a `policy` of the plan. Without it the built-in policy holds."),
    (
        "plan::unknown-pool",
        "`pool` in a task names a `pool` at the top of the same file: `pool \"link\" 2`, then `pool \"link\" weight=2`.",
    ),
    (
        "plan::unknown-profile",
        "`--profile name`, or the environment variable KILN_PROFILE, names a `profile` of the plan. Several are separated by commas, or \
         by giving the option again; where two of them set the same, the later one holds.",
    ),
    (
        "plan::unknown-property",
        "A node has a property that it does not know. Nothing is ever ignored, because it might have changed a result.",
    ),
    ("plan::unknown-registry", "`push` names a `registry` of the plan, not a host: `registry ghcr \"ghcr.io/acme\"`, then `push ghcr`."),
    ("plan::unknown-rule", "`deny` and `warn` name rules about images. `max-size` has a limit and is a node of its own."),
    ("plan::unknown-secret", "`secret` in a task names a `secret` at the top of the plan: `secret \"token\" env=\"GH_TOKEN\"`."),
    (
        "plan::unknown-target",
        "A name in `needs`, `after`, `default`, `group`, `from` or a container's `image` is that of no target of the plan.",
    ),
    (
        "plan::unknown-template",
        "`use` names a `template` of the same file. Templates of an included file belong to that file; include it and use its targets.",
    ),
    (
        "plan::unknown-volume",
        "A `container` or a `service` mounts a volume that the plan does not declare. Volumes are declared at the top of the plan: `volume \"data\"`. A folder of the project is mounted with `mount`.",
    ),
    (
        "plan::waiver-ended",
        "A waiver accepts findings until a day, so that somebody looks again. That day has passed (in UTC), and the findings count again. Mend them, or decide anew and write a later day.",
    ),
    (
        "plan::when",
        "The condition of a target is neither true nor false. It is an expression, so it stands in `${…}`: `when \"${git.branch == 'main'}\"`. \
         Where the condition does not hold, the target has no steps in this plan, and what needs it does not wait for it.",
    ),
    (
        "plan::wrong-type",
        "A value has another form than its place needs: a number where a text stands, a list where one text is needed, a text where \
         `#true` or `#false` stands. Words that begin with a digit, hold `/` or stand for something in KDL are written in quotes.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_each_has_a_paragraph() {
        assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
        for (code, text) in CODES {
            assert!(text.len() > 60 && text.ends_with('.') && !text.contains("  "), "{code}: {text}");
        }
        assert_eq!(explain("plan::nothing"), None);
    }
}
