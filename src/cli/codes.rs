//! What `kiln explain` says about the faults of the stages after the plan's own.

/// Every code outside `syntax` and `plan`'s reader, with its explanation, in alphabetical order.
pub const CODES: &[(&str, &str)] = &[
    ("clean::files", "A recorded output, or its folder, could not be looked at or removed: missing rights, or a disk that refuses."),
    ("cli::arguments", "The command line cannot be read. `kiln --help` lists the commands, `kiln COMMAND --help` their options."),
    (
        "cli::ci",
        "`kiln ci github`, `kiln ci gitlab` and `kiln ci azure` print a pipeline that runs the plan. What stands in it is taken by a shell and by the CI system, so names and \
         addresses have plain characters, and a program that is fetched has a digest.",
    ),
    (
        "cli::missing-arg",
        "A task that takes part in the run declares an `arg` without a default, and nobody typed a value. `kiln TARGET env=prod` gives it \
         one. A task that others need should have a default, since whoever runs those does not name it. Commands that run nothing \
         (`check`, `list`, `graph`) do not ask for the value.",
    ),
    (
        "cli::no-cache",
        "kiln keeps results below XDG_CACHE_HOME or HOME/.cache. When neither is set, name a folder with KILN_CACHE_DIR or --cache-dir.",
    ),
    ("cli::no-directory", "The folder that kiln was started in, or the one named with -C, is not there."),
    (
        "cli::no-plan",
        "kiln looks for build.kdl in the working directory and in the folders above it. `-f FILE` names any other plan. A plan begins with `kiln 1`.",
    ),
    (
        "cli::no-runtime",
        "The system refused threads or file handles that kiln needs to start; a limit (`ulimit -u`, `ulimit -n`) is too low.",
    ),
    ("cli::image", "The name of an image is a repository with its host, and a tag or a digest: `ghcr.io/acme/web:1.4`."),
    ("cli::no-target", "Nothing was named and the plan has no default. Write `default \"name\"` in `project`, or name a target."),
    (
        "cli::no-schema",
        "`kiln schema` alone prints the language; with plan, list, graph, query, diff, affected, why, inspect, inspect-diff or verify it prints the form of that command's `--json`, as the files of `schema/` hold it.",
    ),
    ("cli::no-watch", "The system refused the file handle that `kiln watch` waits with; a limit (`ulimit -n`) is too low."),
    ("cli::no-thread", "The system refused a thread that kiln needs to start; a limit (`ulimit -u`) is too low."),
    ("cli::set", "`--set` takes NAME=VALUE, where NAME is a `param` of the plan."),
    ("cli::unknown-code", "The code of a fault stands in front of it, for instance `plan::circle`."),
    (
        "cli::unknown-target",
        "What was typed names no target and no step. `kiln` alone lists the targets, `kiln plan` the steps: `web`, `web/scan`, `web@arm64`, `compile[bin=api]`.",
    ),
    ("cli::unreadable-plan", "The plan is not a regular file, is larger than 32 MiB, or may not be read by this user."),
    (
        "cli::unread",
        "`kiln watch` looks at the content of all that its targets read, and one of these files cannot be read: its rights forbid it, or \
         something writes to it without a pause. Nothing runs until it can be read; kiln goes on by itself then.",
    ),
    (
        "docker::daemon",
        "A container task or `kiln load` needs a Docker daemon. kiln looks where DOCKER_HOST says, else at /var/run/docker.sock. Images are built, scanned and pushed without one.",
    ),
    ("exec::schedule", "kiln's own schedule contradicted itself. This is a bug; please report it with the plan that shows it."),
    (
        "fmt::unwritable",
        "The formatted text could not be put in the place of the file: it is read-only, its folder may not be written to, or the disk is full. The file is as it was.",
    ),
    (
        "history::unknown-run",
        "`kiln history` lists the runs on record in this project. A run is named by its name, by the beginning of it, or by `last`.",
    ),
    (
        "history::unreadable",
        "The folder with the records of this project's runs cannot be read, or the record is of another version of kiln.",
    ),
    (
        "image::base",
        "The base image's manifest, config or layers are not what they should be, or do not fit the image that stands on them.",
    ),
    (
        "image::copy",
        "What a `copy` selects cannot be laid out in the image: a file onto a folder, a path that leads through something that is no folder, a name that images reserve.",
    ),
    ("image::layer", "kiln wrote a layer out of order. This is a bug; please report it with the plan that shows it."),
    ("image::source", "A file changed or vanished while its layer was written. Run it again when nothing writes to it."),
    (
        "image::store",
        "The store could not take or give a blob of an image: a full disk, missing rights, or a damaged blob that was set aside.",
    ),
    (
        "include::digest",
        "A remote plan is not the one that was pinned, in the plan with `sha256=` or in the lock. Nothing of it was kept. Find out who changed it, and why, before the pin is moved.",
    ),
    ("include::fetch", "A remote plan could not be fetched. What was pinned and fetched before is taken from the store instead."),
    (
        "inspect::archive",
        "The file is no archive of an image, or not sound: a layer or the config that it names is not in it, or is another one. `archive:FILE` \
         names the only image in it, `archive:FILE:NAME` one of several, by its tag or its whole name.",
    ),
    (
        "inspect::layout",
        "The folder is no OCI layout, holds no image of this tag, or what it lists is damaged. `oci:FOLDER` names the only image in it, `oci:FOLDER:TAG` one of several.",
    ),
    (
        "inspect::no-image",
        "`kiln inspect` takes an image of the plan as it was last built here, `oci:FOLDER[:TAG]`, or a name in a registry: `ghcr.io/acme/web:1.4`. Builds nothing: `kiln run IMAGE/build` does.",
    ),
    (
        "inspect::unsound",
        "A layer or a document of the image is not what its descriptor says, is malformed, or is larger than an honest one could be. Nothing is unpacked, so nothing was written.",
    ),
    ("load::gone", "The image was built, but its result is not in the store any more. Run it again."),
    ("load::name", "An image in the daemon is named like `web:dev`: lower-case letters and digits, and a tag."),
    ("load::no-docker", "This kiln was built without the feature `docker`."),
    ("load::no-image", "`kiln load` takes an image of the plan, not a task or a group."),
    ("load::several", "The image has a matrix: name one cell, `kiln load 'web[variant=slim]'`."),
    (
        "lock::bad-pin",
        "A line of the lock is no pin. `kiln lock` alone writes this file, one line for each thing: `image \"NAME:TAG\" digest=…`, the same with `platform=`, `include \"SOURCE\" digest=…`, `tool \"NAME\" version=…`.",
    ),
    (
        "lock::conflict",
        "The lock still holds the marks of a merge. Remove the marks and keep the lines of both sides; where one name then has two digests, keep one. `kiln lock` does the rest.",
    ),
    ("lock::disk", "The lock stands beside the plan and could not be written or read there: missing rights, or a full disk."),
    ("lock::edition", "The first line of a lock is `lock 1`, the edition of its format. A newer kiln may write a newer one."),
    ("lock::frozen", "With --frozen, or KILN_FROZEN, the lock is never written. `kiln lock --check` only looks."),
    (
        "lock::left-out",
        "What only left-out targets name, and a tool that only another profile needs, is pinned when it can be found. It could not be found here; nothing that takes part in the plan needs it, and a pin that it had stays.",
    ),
    (
        "lock::profile",
        "`kiln lock` pins what the plan names under any of its profiles. Under one of them the plan has a fault, so what it names is not known: no pin is removed.",
    ),
    ("lock::survey", "Asking a registry ended in a way that cannot be. This is a bug; please report it."),
    (
        "lock::tool",
        "A tool has another version here than the lock pins. Install the pinned one, or move the pin with `kiln lock --update NAME`. With --frozen this is a fault; without, a warning.",
    ),
    ("lock::twice", "A name is pinned to two things, as a merge of two branches may leave it. Keep one of the lines and run `kiln lock`."),
    (
        "lock::unknown-name",
        "`kiln lock --update NAME` takes what the plan names and what can move: an image (`alpine:3.20`), a repository with every tag of it (`alpine`), the name or source of a remote include, or a tool.",
    ),
    (
        "lock::unpinned",
        "An image is named by a tag that the lock does not pin, so it may be another one tomorrow. `kiln lock` pins it and changes no other pin. With --frozen this is a fault; without, a warning as long as there is a lock.",
    ),
    (
        "lock::unreadable",
        "The lock is beside the plan, but cannot be read: it is no regular file, too large, or this user may not read it.",
    ),
    ("log::none", "A step has a log when it has run on this machine and printed something."),
    ("log::store", "The log is recorded, but the store could not give it."),
    (
        "login::input",
        "kiln asks for a user and a password at the terminal. Without one, `--username` names the user and `--password-stdin` reads the \
         password from standard input; no option takes it, because every user of the machine sees command lines.",
    ),
    ("login::offline", "A login is tried at the registry before it is kept, and `--offline` opens no connection."),
    (
        "login::place",
        "Logins are kept where `docker login` keeps them: with the credential helper that Docker's config file names, else in that file. \
         It could not be read or written, or the helper failed. DOCKER_CONFIG names another folder.",
    ),
    (
        "login::registry",
        "A login is for a whole registry: `ghcr.io`, `localhost:5000`, `docker.io`. A repository or an address is no registry.",
    ),
    ("past::disk", "The texts of the other commit are kept in a folder for temporary files while it is compared, and the disk refused."),
    ("past::git", "The other side of a comparison is read with git, which refused. Its own words are in the message."),
    ("past::no-plan", "The commit has no plan where this project has one, so there is nothing to compare with."),
    (
        "past::unknown-ref",
        "`kiln diff` and `kiln affected --since` take what git can resolve: a branch, a tag, a commit, HEAD~1. A shallow clone of a CI system often lacks them; `git fetch` brings them. `NAME...` is the commit at which this branch left NAME.",
    ),
    (
        "plan::circle",
        "Steps wait for each other, so none could ever start. An edge comes from `needs`, and from an input or a `copy` that another target's output matches: leave that output out with `!pattern`, or name inputs more narrowly.",
    ),
    (
        "plan::missing-source",
        "A path without wildcards is named in `inputs`, `copy` or `from`, is not there, and no task has it as an output.",
    ),
    (
        "plan::no-such-platform",
        "An image, or a task that runs in one, needs another image of the plan for a platform or a matrix cell that it has no build for. Add the platform there, or leave it out here.",
    ),
    (
        "plan::not-fetched",
        "The plan includes a remote plan that is not in the store of this machine, and commands that only look open no connection. `kiln lock` fetches and pins it; `kiln plan` and `kiln run` fetch it, too.",
    ),
    (
        "plan::unreadable-source",
        "A file that the plan names cannot be read: rights, a special file, or a link that leads out of the project.",
    ),
    (
        "promote::immutable",
        "The plan's registry is `immutable` for this tag, and it names another image already. Nothing was copied and no tag moved. Choose a \
         new tag.",
    ),
    (
        "promote::name",
        "`kiln promote FROM TO…` takes an image with a tag or a digest, and new names with a tag: `ghcr.io/acme/web:1.2.0`, or `:1.2.0` in the \
         same repository.",
    ),
    (
        "prune::no-rule",
        "`kiln prune` removes nothing without a rule for what stays: `prune keep=10 within=\"30d\"` in a `registry` or an `image` of the plan, or \
         `--keep`, `--within`, `--untagged` on the command line. Both stay: the newest so many, and what was made lately.",
    ),
    ("prune::pattern", "`--only` takes a pattern for tags, in which `*` stands for any characters: `--only 'pr-*'`."),
    ("query::arguments", "A function of a query has a fixed number of arguments, each of one sort; docs/query.md lists them."),
    ("query::inputs", "A file or folder that a step reads cannot be listed, so the question has no whole answer."),
    ("query::kind", "The kinds of steps are run, base, build, index, scan, push, tag, up and group."),
    (
        "query::mixed",
        "A set holds steps or paths. `owner(PATH)` gives steps for a path, `inputs(X)` and `outputs(X)` give paths for steps.",
    ),
    ("query::path", "A path of a query is written as seen from the project's root, without `..`."),
    (
        "query::syntax",
        "A query is made of names, functions, `+`, `-`, `^` and parentheses. Operators stand between spaces, because names may hold `-`.",
    ),
    ("query::unknown-function", "The functions of queries are listed in docs/query.md; the nearest one is offered."),
    ("query::unknown-target", "A name in a query is a target or a step as `kiln plan` prints it; `*` in it stands for any characters."),
    (
        "registry::certificates",
        "A file of certificates for this registry cannot be read or holds none: one that `ca`, `cert` or `key` of the `registry` names, or one in `certs.d/HOST` of Docker or podman (`*.crt` are authorities, `NAME.cert` with `NAME.key` is what kiln shows).",
    ),
    (
        "registry::credentials",
        "The Docker config, or the credential helper that it names for this host, failed. kiln does not fall back to another host's credentials.",
    ),
    ("registry::cut", "The connection broke in the middle, several times. What has arrived is kept; run it again."),
    ("registry::denied", "The registry knows the account, or its absence, and refuses. Log in with an account that may do this."),
    (
        "registry::digest",
        "The registry sent other bytes than the digest says. Nothing of it was kept. A proxy or a mirror on the way may change content.",
    ),
    ("registry::missing", "The registry has no such repository, tag or digest, or hides it from strangers."),
    (
        "registry::layout",
        "A folder that an image is pushed to is no OCI layout, or a document of it is damaged. Nothing of it was changed.",
    ),
    (
        "registry::name",
        "An image of the plan that is pushed to a registry, or a repository with the name of its registry: `web`, `ghcr.io/acme/web`.",
    ),
    (
        "registry::offline",
        "With --offline no connection is opened: images must be pinned by kiln.lock or by a digest, and be in the store of this machine. One run without --offline brings them there.",
    ),
    ("registry::platform", "The image has no build for the platform that was asked for; the message lists those it has."),
    ("registry::protocol", "The registry answered with something that the distribution specification does not allow."),
    (
        "registry::realm",
        "The registry sends its clients to a token server that kiln does not trust with a password: not https, or another address than the registry's own.",
    ),
    ("registry::refused", "The registry refused the request; the message holds its own words."),
    ("registry::store", "The local store could not take or give a blob on its way: a full disk, missing rights, a damaged blob."),
    (
        "registry::tag-immutable",
        "The tag exists, names another image, and the registry lets no one move it. Choose a new tag; a push of the same image would succeed.",
    ),
    ("registry::timeout", "The registry was silent for too long. What has arrived is kept; run it again."),
    ("registry::token-server", "The server that gives tokens for this registry failed."),
    ("registry::too-large", "An answer was larger than kiln accepts for its kind, so it was not read to its end."),
    ("registry::too-many-requests", "The registry limits how often it may be asked. Wait, or log in: that usually raises the limit."),
    (
        "registry::undeletable",
        "The registry does not let images be removed through the distribution API. distribution (`registry:2`) needs `storage: delete: \
         enabled: true`; some hosts, such as GitHub's and Docker Hub, remove only through their own API or by rules of their own.",
    ),
    ("registry::unreachable", "Nobody answers at the registry's address. Check the name, the network and the proxy settings."),
    (
        "registry::untrusted",
        "The registry's certificate is not signed by an authority that this machine trusts. `ca` of the `registry` names it, or a file in Docker's `certs.d`, or SSL_CERT_FILE; a registry without TLS must be marked `insecure`.",
    ),
    (
        "run::no-key",
        "A `push` with `sign` takes part in this run, and its key, or the password of the key, is not there. So nothing was started. Set COSIGN_PRIVATE_KEY (and COSIGN_PASSWORD for a sealed key), or write where the key is: `sign key=`, `sign secret=`, `sign password=`.",
    ),
    (
        "run::not-yet",
        "The plan is sound, but it asks for something that this kiln only reads and checks: it would have to leave it out, which nobody would notice. So nothing was started. `kiln check`, `list`, `plan` and `graph` know the whole plan; the help names what works instead.",
    ),
    ("scan::document", "The image's manifest or config is unsound, so it was not judged and nothing was pushed."),
    (
        "scan::incomplete",
        "Something that the scan rests on could not be read (a layer, a package database). An image that cannot be read to its end is no clean image.",
    ),
    ("scan::store", "The store could not give a blob of the image. Run the step again: the image is built or pulled anew."),
    ("store::open", "The folder for results cannot be used: missing rights, another owner, a link in its place, or a full disk."),
    (
        "tool::check",
        "The plan declares a tool, and the script that tells its version failed here or printed none. Install the tool, or write `check=` as it likes to be asked.",
    ),
    ("tool::version", "This machine has a version of a tool that the plan does not take. Install another, or change `version=`."),
    ("verify::bad-key", "The file is no public key in PEM. Keys are ECDSA P-256 and P-384, Ed25519 and RSA."),
    (
        "verify::bad-pattern",
        "What a name or an issuer has to look like is a regular expression without look-around, which takes time linear in the text. It has to match the whole text: a part of an address can be in anybody's.",
    ),
    (
        "verify::bad-trust",
        "The file holds no certificates in PEM (`--ca-roots`, `--ca-intermediates`), none of an authority (`--timestamp-certificate-chain`), or is no `trusted_root.json` as sigstore publishes it (`--trusted-root`).",
    ),
    (
        "verify::half-identity",
        "A signer known by a certificate has a name and somebody who vouched for it: the same name at another issuer may be another person. Both have to be said, exactly or by a pattern.",
    ),
    (
        "verify::no-key",
        "`kiln verify-signature` wants the key or the identity that must have signed: an image that somebody signed is an image that anybody can have signed.",
    ),
    (
        "verify::no-log",
        "A certificate of a person or a workflow is valid for minutes, and the key is thrown away. That it was used in these minutes is what a transparency log says, whose key `--trusted-root` or `--rekor-key` names, or a time stamp (`--timestamp-certificate-chain`). `--insecure-ignore-tlog` goes without: then the certificate must be valid now, and the answer says what was not checked.",
    ),
    (
        "verify::no-root",
        "A certificate counts when a chain leads from it to a root that was named. kiln brings no roots along: name them with `--trusted-root` or `--ca-roots`.",
    ),
    (
        "verify::copy",
        "`kiln verify` makes two copies of the project, with the files that git knows or that the steps read, in the folder that TMPDIR names, builds in both, and removes them. One could not be made or looked at.",
    ),
    (
        "verify::refused",
        "Nothing beside the image is a signature, or a claim of the asked kind, of this key or identity and about this image. The message says what is there instead. Exit code 4: the image is not to be used.",
    ),
    (
        "why::against",
        "`--against` takes a run of this project on this machine (its name, or how the name begins), a file that `kiln why STEP --export` or `kiln plan --json --keys` printed, also on another machine, a commit, a plan file, or a folder with a plan. `git:NAME` is always a commit.",
    ),
    ("why::inputs", "What the step takes in cannot be read, so it cannot be compared."),
    (
        "why::not-known",
        "A step is keyed by what its needs made. When one of them must run first, the key is known after that: `kiln why` says what is known until then.",
    ),
    ("why::not-recorded", "The run or the file that was named says nothing of this step, so there is nothing to compare it with."),
];
