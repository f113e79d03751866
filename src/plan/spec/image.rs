//! What may stand in an `image`.

use super::release::{PRUNE, PUSH, SCAN, TAG};
use super::task::{AFTER, DOC, ENV, HEALTH_PROPS, MATRIX, NEEDS, PLATFORMS, RUN, SHELL, USER, WHEN};
use super::template::USE;
use super::{ArgSpec, Kind, NodeSpec, PropSpec};

pub(super) static IMAGE: NodeSpec = NodeSpec::new("image", "a container image and its way to the registries")
    .args(&[ArgSpec::one("name", Kind::Name, "its name")])
    .props(&[PropSpec::new("name", Kind::Text, "the last part of the repository; the target's name unless given")])
    .children(&[
        &DOC,
        &USE,
        &NEEDS,
        &AFTER,
        &FROM,
        &COPY,
        &ADD,
        &RUN,
        &SHELL,
        &SQUASH,
        &DOCKERFILE,
        &ENV,
        &USER,
        &WORKDIR,
        &EXPOSE,
        &VOLUME,
        &LABEL,
        &ANNOTATION,
        &HEALTHCHECK,
        &STOP_SIGNAL,
        &ENTRYPOINT,
        &CMD,
        &PLATFORMS,
        &MATRIX,
        &WHEN,
        &SCAN,
        &TAG,
        &PUSH,
        &PRUNE,
    ]);

static FROM: NodeSpec = NodeSpec::single(
    "from",
    "what it stands on; `scratch` unless given",
    &[ArgSpec::one("base", Kind::Text, "`scratch`, a reference, `oci:path[:tag]`, or an image of the plan")],
)
.props(&[PropSpec::new("insecure", Kind::Flag, "plain HTTP may be used")]);

pub(super) static COPY: NodeSpec = NodeSpec::new("copy", "files that become one layer")
    .args(&[
        ArgSpec::some("source", Kind::Path, "a path or glob of the project; `!` before it leaves files out"),
        ArgSpec::one("destination", Kind::Text, "an absolute path in the image; a folder when it ends with `/`"),
    ])
    .props(&[
        PropSpec::new("owner", Kind::Scalar, "`user:group` as numbers; `0:0` unless given"),
        PropSpec::new("mode", Kind::Scalar, "the mode of files, octal"),
    ])
    .children(&[&EXCLUDE]);

static EXCLUDE: NodeSpec =
    NodeSpec::new("exclude", "files that are left out").args(&[ArgSpec::some("pattern", Kind::Path, "a path or glob of the project")]);

static WORKDIR: NodeSpec =
    NodeSpec::single("workdir", "the working directory", &[ArgSpec::one("path", Kind::Text, "an absolute path in the image")]);

static EXPOSE: NodeSpec =
    NodeSpec::new("expose", "ports that it listens on").args(&[ArgSpec::some("port", Kind::Scalar, "`8080` or `\"53/udp\"`")]);

static VOLUME: NodeSpec =
    NodeSpec::new("volume", "paths that hold data").args(&[ArgSpec::some("path", Kind::Text, "an absolute path in the image")]);

static LABEL: NodeSpec = NodeSpec::new("label", "labels in the config: `label key=\"value\"` or `label \"key\" \"value\"`")
    .args(&[ArgSpec::maybe("key", Kind::Text, "the key"), ArgSpec::maybe("value", Kind::Scalar, "the value")])
    .other_props("the value of the label of this name");

static ANNOTATION: NodeSpec = NodeSpec::new("annotation", "annotations of the manifest and the index, written like labels")
    .args(&[ArgSpec::maybe("key", Kind::Text, "the key"), ArgSpec::maybe("value", Kind::Scalar, "the value")])
    .other_props("the value of the annotation of this name");

pub(super) static HEALTHCHECK: NodeSpec =
    NodeSpec::new("healthcheck", "how its health is checked: `exec \"/app\" \"check\"`, `run \"script\"` or `none`")
        .args(&[
            ArgSpec::one("form", Kind::Words(&["exec", "run", "none"]), "a program, a script, or no check"),
            ArgSpec::any("word", Kind::Scalar, "the program and its arguments, or the script"),
        ])
        .props(HEALTH_PROPS)
        .once();

pub(super) static STOP_SIGNAL: NodeSpec =
    NodeSpec::single("stop-signal", "the signal that stops it", &[ArgSpec::one("signal", Kind::Scalar, "for instance `SIGINT`")]);

static ENTRYPOINT: NodeSpec = NodeSpec::single(
    "entrypoint",
    "the program; drops the base's `cmd`",
    &[ArgSpec::one("program", Kind::Scalar, "the program"), ArgSpec::any("argument", Kind::Scalar, "its arguments")],
);

static CMD: NodeSpec =
    NodeSpec::single("cmd", "default arguments; none at all clears the base's", &[ArgSpec::any("argument", Kind::Scalar, "an argument")]);

static ADD: NodeSpec = NodeSpec::new("add", "an archive, unpacked, or a file from elsewhere, as one layer")
    .args(&[
        ArgSpec::one("source", Kind::Text, "an archive of the project (`.tar`, `.tar.gz`, `.tgz`, `.tar.zst`), or `https://…`"),
        ArgSpec::one("destination", Kind::Text, "an absolute path in the image; a folder when it ends with `/`"),
    ])
    .props(&[
        PropSpec::new("sha256", Kind::Text, "the digest of what an address gives; needed there"),
        PropSpec::new("owner", Kind::Scalar, "`user:group` as numbers; `0:0` unless given"),
    ]);

static SQUASH: NodeSpec = NodeSpec::flag("squash", "its own layers become one");

static DOCKERFILE: NodeSpec = NodeSpec::single(
    "dockerfile",
    "builds it from a Dockerfile, which then says all that is in it",
    &[ArgSpec::one("path", Kind::Path, "the file")],
)
.props(&[
    PropSpec::new("context", Kind::Path, "the folder that its `COPY` reads; the project unless given"),
    PropSpec::new("target", Kind::Text, "the stage that is built; the last one unless given"),
])
.children(&[&BUILD_ARG, &BUILD_SECRET, &SSH, &CACHE_FROM, &CACHE_TO]);

static BUILD_ARG: NodeSpec = NodeSpec::new("arg", "build arguments").other_props("the value of the `ARG` of this name");

static BUILD_SECRET: NodeSpec = NodeSpec::new("secret", "secrets that `RUN --mount=type=secret` may read").args(&[ArgSpec::some(
    "name",
    Kind::Text,
    "the name of a `secret` of the plan",
)]);

static SSH: NodeSpec = NodeSpec::new("ssh", "agents that `RUN --mount=type=ssh` may ask").args(&[ArgSpec::some(
    "id",
    Kind::Text,
    "`default`, or the id that the Dockerfile names",
)]);

static CACHE_FROM: NodeSpec =
    NodeSpec::new("cache-from", "images whose layers may be taken over").args(&[ArgSpec::some("image", Kind::Text, "a reference")]);

static CACHE_TO: NodeSpec = NodeSpec::new("cache-to", "where the layers of every stage are kept for the next build")
    .args(&[ArgSpec::some("image", Kind::Text, "a reference")]);
