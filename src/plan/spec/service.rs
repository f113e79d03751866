//! What may stand in a `service`, a `network` and a `volume`.

use super::container::{
    CAP_ADD, CAP_DROP, CONTAINER_IMAGE, CONTAINER_LABEL, CPUS, MEMORY, PIDS, READ_ONLY, SERVICE_MOUNT, TMPFS, VOLUME as VOLUME_USE,
};
use super::image::{HEALTHCHECK, STOP_SIGNAL};
use super::task::{AFTER, DOC, ENV, ENV_FILE, EXEC, NEEDS, RUN, SHELL, USER, WHEN};
use super::template::USE;
use super::{ArgSpec, Kind, NodeSpec, PropSpec};

pub(super) static SERVICE: NodeSpec = NodeSpec::new("service", "a container that stays, with its ports, data and health check")
    .args(&[ArgSpec::one("name", Kind::Name, "its name, which is also its host name for the other services")])
    .children(&[
        &DOC,
        &USE,
        &NEEDS,
        &AFTER,
        &CONTAINER_IMAGE,
        &RUN,
        &EXEC,
        &SHELL,
        &ENV,
        &ENV_FILE,
        &PORT,
        &NETWORK_USE,
        &SERVICE_MOUNT,
        &VOLUME_USE,
        &TMPFS,
        &SOCKET,
        &HEALTHCHECK,
        &RESTART,
        &USER,
        &READ_ONLY,
        &MEMORY,
        &CPUS,
        &PIDS,
        &CAP_DROP,
        &CAP_ADD,
        &CONTAINER_LABEL,
        &POLICY_USE,
        &STOP_SIGNAL,
        &WHEN,
        &STOP_GRACE,
    ]);

static PORT: NodeSpec = NodeSpec::new("port", "a port that this machine opens for it")
    .args(&[ArgSpec::one("port", Kind::Scalar, "in the container: `8080`, `\"53/udp\"` or `\"8000-8010\"`")])
    .props(&[
        PropSpec::new("host", Kind::Scalar, "the port of this machine; the same one unless given, `any` for a free one"),
        PropSpec::new("address", Kind::Text, "the address of this machine; `127.0.0.1` unless given, `0.0.0.0` for all"),
    ]);

static NETWORK_USE: NodeSpec = NodeSpec::single(
    "network",
    "the networks that it joins; without this node, the project's own",
    &[ArgSpec::some("network", Kind::Scalar, "a `network` of the plan; `#false` alone for none")],
);

static SOCKET: NodeSpec = NodeSpec::single(
    "socket",
    "gives it the engine's own socket, with the group that may use it",
    &[ArgSpec::one("engine", Kind::Words(&["docker"]), "which: `docker`")],
)
.props(&[PropSpec::new("path", Kind::Text, "the socket on this machine; the one that kiln uses unless given")]);

static RESTART: NodeSpec = NodeSpec::single(
    "restart",
    "when it is started again after it ended; never unless given",
    &[ArgSpec::one("when", Kind::Words(RESTARTS), "`no`, `on-failure`, `always`, or `unless-stopped`")],
)
.props(&[PropSpec::new("times", Kind::Integer, "how often in a row, for `on-failure`")]);

/// The words of `restart`.
pub(in crate::plan) const RESTARTS: &[&str] = &["no", "on-failure", "always", "unless-stopped"];

static POLICY_USE: NodeSpec = NodeSpec::single(
    "policy",
    "the policy that it is held against before it starts",
    &[ArgSpec::one("name", Kind::Text, "the name of a `policy`")],
);

static STOP_GRACE: NodeSpec =
    NodeSpec::single("stop-grace", "how long it may take to stop before it is killed", &[ArgSpec::one("time", Kind::Duration, "a time")]);

pub(super) static NETWORK: NodeSpec = NodeSpec::new("network", "a network for services, made for this project alone")
    .args(&[ArgSpec::one("name", Kind::Name, "the name used in `network` of a service")])
    .children(&[&DRIVER, &INTERNAL, &MTU, &OPTION, &CONTAINER_LABEL]);

static DRIVER: NodeSpec =
    NodeSpec::single("driver", "the engine's driver for it", &[ArgSpec::one("name", Kind::Text, "for instance `bridge` or `local`")]);

static INTERNAL: NodeSpec = NodeSpec::flag("internal", "it leads nowhere but to its members");

static MTU: NodeSpec =
    NodeSpec::single("mtu", "the largest packet", &[ArgSpec::one("bytes", Kind::Integer, "68 to 65535; 9000 for jumbo frames")]);

static OPTION: NodeSpec = NodeSpec::new("option", "options of the driver: `option key=\"value\"` or `option \"key\" \"value\"`")
    .args(&[ArgSpec::maybe("key", Kind::Text, "the key"), ArgSpec::maybe("value", Kind::Scalar, "the value")])
    .other_props("the value of the option of this name");

pub(super) static VOLUME: NodeSpec = NodeSpec::new("volume", "a place for data that outlives its services, made for this project alone")
    .args(&[ArgSpec::one("name", Kind::Name, "the name used in `volume` of a service")])
    .children(&[&DRIVER, &OPTION, &CONTAINER_LABEL, &BACKUPS]);

static BACKUPS: NodeSpec = NodeSpec::single("backups", "which backups of it stay; all unless given", &[]).props(&[
    PropSpec::new("keep", Kind::Integer, "the newest so many stay"),
    PropSpec::new("within", Kind::Duration, "those of this last time stay, for instance `\"30d\"`"),
]);
