//! What may stand in `scan`, `tag`, `push`, `registry` and `policy`: the way of an image to the registries.

use super::task::DOC;
use super::{ArgSpec, Kind, NodeSpec, PropSpec};
use crate::plan::policy::{Rule, Severity};

pub(super) static SCAN: NodeSpec = NodeSpec::new("scan", "every platform is scanned before anything is published")
    .props(&[
        PropSpec::new("policy", Kind::Text, "a policy of the plan; the built-in one unless given"),
        PropSpec::new("fail", Kind::Words(Severity::WORDS), "known vulnerabilities of this severity, or a graver one, stop it"),
    ])
    .once();

pub(super) static TAG: NodeSpec = NodeSpec::new("tag", "tags, moved in every registry after every push")
    .args(&[ArgSpec::any(
        "tag",
        Kind::Scalar,
        "`semver`, `release` (the same, of tagged commits alone), `branch`, `sha`, `date`, `pr` (in a pull request), or the tag itself",
    )])
    .props(&[
        PropSpec::new("semver", Kind::Scalar, "the version whose tags and shorter forms are moved"),
        PropSpec::new(
            "prefix",
            Kind::Text,
            "what stands before it: `\"v\"` gives `v1.4.2`, `v1.4`, `v1`; it takes the place of `sha-` and `pr-`",
        ),
        PropSpec::new(
            "latest",
            Kind::Scalar,
            "the versions that may lead `latest`: `highest` (unless given), `none`, or those of one major, like `1`",
        ),
    ]);

pub(super) static PUSH: NodeSpec = NodeSpec::new("push", "the registries that it is pushed to, all of them or none")
    .args(&[ArgSpec::any("registry", Kind::Text, "the name of a `registry`")])
    .children(&[&SIGN, &SBOM, &PROVENANCE]);

static SIGN: NodeSpec = NodeSpec::flag(
    "sign",
    "the image and all that goes with it are signed; the key is COSIGN_PRIVATE_KEY, its password COSIGN_PASSWORD, unless said otherwise",
)
.props(&[
    PropSpec::new("key", Kind::Text, "a file with the key: in the project, absolute, or `~/…`"),
    PropSpec::new("secret", Kind::Text, "a `secret` of the plan that is the key"),
    PropSpec::new("password", Kind::Text, "a `secret` of the plan that is the password"),
]);
static SBOM: NodeSpec = NodeSpec::flag("sbom", "the bill of materials of every platform goes with the image, in CycloneDX and SPDX");
static PROVENANCE: NodeSpec = NodeSpec::flag("provenance", "a record of what it was made of goes with the image, in SLSA's form");

pub(super) static PRUNE: NodeSpec = NodeSpec::single("prune", "what `kiln prune` keeps; nothing is removed without that command", &[])
    .props(&[
        PropSpec::new("keep", Kind::Integer, "the newest so many stay"),
        PropSpec::new("within", Kind::Duration, "those of this last time stay, for instance `\"30d\"`"),
        PropSpec::new("untagged", Kind::Flag, "images without a tag go as well"),
    ]);

pub(super) static REGISTRY: NodeSpec = NodeSpec::new("registry", "a place that images are pushed to")
    .args(&[
        ArgSpec::one("name", Kind::Name, "the name used in `push`"),
        ArgSpec::one("place", Kind::Text, "`host/path`, or `oci:folder` for an OCI layout"),
        ArgSpec::maybe("insecure", Kind::Words(&["insecure"]), "plain HTTP may be used"),
    ])
    .props(&[PropSpec::new("insecure", Kind::Flag, "plain HTTP may be used")])
    .children(&[&CA, &CERT, &KEY, &IMMUTABLE, &PRUNE]);

static CA: NodeSpec = NodeSpec::single(
    "ca",
    "authorities that its certificate may be signed by, beside those of the system",
    &[ArgSpec::some("file", Kind::Text, "a PEM file: in the project, absolute, or `~/…`")],
);
static CERT: NodeSpec = NodeSpec::single(
    "cert",
    "the certificate that kiln shows",
    &[ArgSpec::one("file", Kind::Text, "a PEM file: in the project, absolute, or `~/…`; its key may be in it")],
);
static KEY: NodeSpec = NodeSpec::single(
    "key",
    "the key of `cert`, where it lies in a file of its own",
    &[ArgSpec::one("file", Kind::Text, "a PEM file: in the project, absolute, or `~/…`")],
);

static IMMUTABLE: NodeSpec = NodeSpec::single(
    "immutable",
    "tags that stand there never move to another image; `immutable` alone is all of them",
    &[ArgSpec::any("tag", Kind::Text, "a tag, in which `*` is any text: `\"v*\"`")],
);

pub(super) static POLICY: NodeSpec = NodeSpec::new("policy", "what an image or a service must and must not be")
    .args(&[ArgSpec::one("name", Kind::Name, "the name used in `scan policy=` and in `policy` of a service")])
    .children(&[&DENY, &WARN, &MAX_SIZE, &MAX_AGE, &RULE, &ALLOW, &WAIVE]);

static DENY: NodeSpec =
    NodeSpec::new("deny", "findings of these rules stop a push").args(&[ArgSpec::some("rule", Kind::Words(RULES), "a rule")]);

static WARN: NodeSpec =
    NodeSpec::new("warn", "findings of these rules are reported").args(&[ArgSpec::some("rule", Kind::Words(RULES), "a rule")]);

/// The words of all rules.
const RULES: &[&str] = &{
    let mut words = [""; Rule::WORDS.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = Rule::WORDS[at].0;
        at += 1;
    }
    words
};

const LEVEL: ArgSpec = ArgSpec::maybe("level", Kind::Words(&["warn", "deny"]), "what happens then; `deny` unless given");

static MAX_SIZE: NodeSpec =
    NodeSpec::single("max-size", "the limit for all compressed layers together", &[ArgSpec::one("size", Kind::Size, "the limit"), LEVEL]);

static MAX_AGE: NodeSpec =
    NodeSpec::single("max-age", "how old the base image may be", &[ArgSpec::one("time", Kind::Duration, "for instance `\"90d\"`"), LEVEL]);

static RULE: NodeSpec = NodeSpec::new("rule", "a rule of your own: what fits all its conditions breaks it")
    .args(&[ArgSpec::one("name", Kind::Name, "its name"), LEVEL])
    .props(&[PropSpec::new("severity", Kind::Words(Severity::WORDS), "how grave that is")])
    .children(&[&DOC, &WHERE]);

static WHERE: NodeSpec = NodeSpec::new("where", "a condition")
    .args(&[ArgSpec::one(
        "field",
        Kind::Text,
        "`label.NAME`, `env.NAME`, `user`, `port`; of services also `image`, `address`, `network`, `mount`, `volume`, `socket`, \
         `capability`, `dropped`, `read-only`, `memory`, `cpus`, `pids`, `restart`",
    )])
    .props(&[
        PropSpec::new("is", Kind::Scalar, "it is this text"),
        PropSpec::new("not", Kind::Scalar, "it is not this text"),
        PropSpec::new("has", Kind::Scalar, "this text is in it"),
        PropSpec::new("above", Kind::Scalar, "it is a larger number or size"),
        PropSpec::new("below", Kind::Scalar, "it is a smaller number or size"),
        PropSpec::new("set", Kind::Flag, "it is there, or it is not"),
    ]);

static ALLOW: NodeSpec = NodeSpec::new("allow", "paths in the image that the file rules pass over")
    .args(&[ArgSpec::one("path", Kind::Path, "a path or glob in the image")])
    .props(&[PropSpec::required("reason", Kind::Text, "why")]);

static WAIVE: NodeSpec = NodeSpec::new("waive", "findings of a rule, or a known vulnerability, that are accepted until a day")
    .args(&[ArgSpec::some("id", Kind::Text, "a rule, or an id like `CVE-2026-1234`")])
    .props(&[
        PropSpec::required("reason", Kind::Text, "why"),
        PropSpec::required("until", Kind::Text, "the last day that it counts on, like `2026-12-31`"),
    ]);
