//! The part of the walk that containers and services share, and services whole.

use crate::base::canon::Sink;
use crate::graph::action::UpAction;
use crate::plan::isolation::{Isolation, MountSource, Network};
use crate::plan::service::{NetworkDef, Restart, VolumeDef};
use crate::plan::target::ContainerImage;

use super::walk::{commands, health, pairs, rules};

pub fn image<S: Sink>(image: &ContainerImage, sink: &mut S) {
    match image {
        ContainerImage::Target(name) => sink.text("target", name.as_str()),
        ContainerImage::Reference(reference) => sink.text("image", &reference.to_string()),
    }
}

pub fn isolation<S: Sink>(walls: &Isolation, sink: &mut S) {
    sink.maybe("user", walls.user.as_deref());
    sink.flag("read-only", walls.read_only);
    match &walls.network {
        Network::None => sink.text("network", "none"),
        Network::Usual => sink.text("network", "usual"),
        Network::Named(names) => sink.list("networks", &names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>()),
    }
    sink.maybe("memory", walls.memory.map(|bytes| bytes.to_string()).as_deref());
    sink.maybe("cpus", walls.cpus.map(|cpus| cpus.to_string()).as_deref());
    sink.maybe("pids", walls.pids.map(|pids| pids.to_string()).as_deref());
    sink.list("cap-drop", &walls.cap_drop);
    sink.list("cap-add", &walls.cap_add);
    pairs("labels", &walls.labels, sink);
    for mount in &walls.mounts {
        sink.open("mount");
        match &mount.source {
            MountSource::Project(path) => sink.field("project", path.as_bytes()),
            MountSource::Volume(name) => sink.text("volume", name),
            MountSource::Memory(size) => sink.text("memory", &size.map(|bytes| bytes.to_string()).unwrap_or_default()),
        }
        sink.text("at", &mount.at);
        sink.flag("read-only", mount.read_only);
        sink.close();
    }
}

pub fn up<S: Sink>(up: &UpAction, sink: &mut S) {
    let service = &up.service;
    image(&service.image, sink);
    sink.list("shell", &service.shell);
    commands(service.command.as_slice(), sink);
    pairs("env", &service.env, sink);
    for port in &service.ports {
        sink.open("port");
        sink.text("inside", &format!("{}/{}", port.inside, port.protocol));
        sink.maybe("host", port.host.map(|ports| ports.to_string()).as_deref());
        sink.text("address", &port.address.to_string());
        sink.close();
    }
    isolation(&service.isolation, sink);
    health(service.healthcheck.as_ref(), sink);
    sink.text("restart", service.restart.word());
    if let Restart::OnFailure(Some(times)) = service.restart {
        sink.text("restart-times", &times.to_string());
    }
    if let Some(socket) = &service.socket {
        sink.open("socket");
        sink.maybe("path", socket.path.as_deref());
        sink.close();
    }
    sink.maybe("stop-signal", service.stop_signal.as_deref());
    sink.maybe("stop-grace", service.stop_grace.map(|time| time.as_millis().to_string()).as_deref());
    up.networks.iter().for_each(|def| network(def, sink));
    up.volumes.iter().for_each(|def| volume(def, sink));
    if let Some(policy) = &up.policy {
        sink.open("policy");
        rules(policy, sink);
        sink.close();
    }
}

fn network<S: Sink>(def: &NetworkDef, sink: &mut S) {
    sink.open("network");
    sink.text("name", &def.name);
    sink.maybe("driver", def.driver.as_deref());
    sink.flag("internal", def.internal);
    sink.maybe("mtu", def.mtu.map(|bytes| bytes.to_string()).as_deref());
    pairs("options", &def.options, sink);
    pairs("labels", &def.labels, sink);
    sink.close();
}

/// Which backups stay says nothing about the service, so it is not in here.
fn volume<S: Sink>(def: &VolumeDef, sink: &mut S) {
    sink.open("volume");
    sink.text("name", &def.name);
    sink.maybe("driver", def.driver.as_deref());
    pairs("options", &def.options, sink);
    pairs("labels", &def.labels, sink);
    sink.close();
}
