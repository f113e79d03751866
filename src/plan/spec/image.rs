//! What may stand in an `image`.

use crate::plan::image::{Compression, Media, SaveForm};

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
        &LAYER,
        &ADD,
        &RUN,
        &SHELL,
        &SQUASH,
        &COMPRESS,
        &MEDIA,
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
        &AUTHOR,
        &ON_BUILD,
        &OS_VERSION,
        &OS_FEATURE,
        &PLATFORMS,
        &MATRIX,
        &WHEN,
        &SCAN,
        &SAVE,
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
        PropSpec::new(
            "from",
            Kind::Text,
            "an image whose files are copied, for the same platform: one of the plan, a reference, `oci:path[:tag]`; they keep mode and owner",
        ),
        PropSpec::new("insecure", Kind::Flag, "plain HTTP may be used for `from=`"),
        PropSpec::new("owner", Kind::Scalar, "`user:group` as numbers; `0:0` unless given"),
        PropSpec::new("mode", Kind::Scalar, "the mode of files, octal"),
    ])
    .children(&[&EXCLUDE]);

static LAYER: NodeSpec =
    NodeSpec::new("layer", "copies whose files lie in one layer; of two for one place the later one's counts").children(&[&COPY]);

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

static SAVE: NodeSpec = NodeSpec::new("save", "writes it into a file or folder of the project, after every scan")
    .args(&[ArgSpec::one("path", Kind::Path, "a file, or a folder when it ends with `/`")])
    .props(&[
        PropSpec::new(
            "format",
            Kind::Words(SaveForm::WORDS),
            "`layout` (a folder in the OCI layout), `oci` (the same as one tar archive), or `docker` (such an archive that `docker load` reads \
             too; of one platform). Unless given, a folder is a `layout`, a file `docker` for one platform and `oci` for several",
        ),
        PropSpec::new("name", Kind::Text, "the name that engines find in it; the repository with `latest` unless given"),
    ]);

static COMPRESS: NodeSpec = NodeSpec::single(
    "compress",
    "how its own layers are packed: `gzip` (level 1) unless given, or `zstd` (level 3), which engines and registries since about 2022 read",
    &[ArgSpec::one("method", Kind::Words(Compression::WORDS), "`gzip` or `zstd`")],
);

static MEDIA: NodeSpec = NodeSpec::single(
    "media",
    "whose media types its documents have: `oci` unless given, or `docker` for what knows no other",
    &[ArgSpec::one("kind", Kind::Words(Media::WORDS), "`oci` or `docker`")],
);

static AUTHOR: NodeSpec =
    NodeSpec::single("author", "who answers for it", &[ArgSpec::one("author", Kind::Text, "for instance `Ann <ann@example.com>`")]);

static ON_BUILD: NodeSpec = NodeSpec::new("onbuild", "instructions that a Dockerfile runs which stands on it (Docker)")
    .args(&[ArgSpec::some("instruction", Kind::Text, "for instance `COPY . /src`")]);

static OS_VERSION: NodeSpec = NodeSpec::single(
    "os-version",
    "the version of the operating system, which Windows images need",
    &[ArgSpec::one("version", Kind::Scalar, "for instance `10.0.20348.169`")],
);

static OS_FEATURE: NodeSpec = NodeSpec::new("os-feature", "what it needs of the operating system").args(&[ArgSpec::some(
    "feature",
    Kind::Text,
    "for instance `win32k`",
)]);

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
