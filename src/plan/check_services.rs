//! What can only be seen with all services at hand: ports of this machine that two of them open, data that two of them write.

use std::net::IpAddr;

use crate::base::diagnostic::Diagnostic;

use super::Plan;
use super::cx::Cx;
use super::isolation::{Mount, MountSource};
use super::service::{PortMap, ServiceDef};
use super::target::{Target, TargetKind};

/// Checks the services against each other.
pub(super) fn check(cx: &Cx<'_>, plan: &Plan) {
    // One that is left out opens nothing and writes nothing, and one that may be left out meets nobody.
    let part = |target: &&Target| target.left_out.is_none() && cx.taint_of(&target.span).is_none();
    let services: Vec<(&Target, &ServiceDef)> = plan.targets.values().filter(part).filter_map(of).collect();
    ports(cx, &services);
    volumes(cx, &services);
}

fn of(target: &Target) -> Option<(&Target, &ServiceDef)> {
    match &target.kind {
        TargetKind::Service(service) => Some((target, service)),
        _ => None,
    }
}

fn ports(cx: &Cx<'_>, services: &[(&Target, &ServiceDef)]) {
    let mut open: Vec<(&Target, &PortMap)> = Vec::new();
    for (target, service) in services {
        for port in &service.ports {
            if let Some((first, other, number)) = open.iter().find_map(|(first, other)| Some((first, other, clash(other, port)?))) {
                let message = if first.name == target.name {
                    format!("`{}` opens the port {number} of this machine twice", target.name)
                } else {
                    format!("`{}` and `{}` both open the port {number} of this machine", first.name, target.name)
                };
                let fault = Diagnostic::plan("plan::port-conflict", message, &port.span, "opened again here");
                cx.fault(fault.label(&other.span, "opened here").help("give one of them another one: `port … host=…`, or `host=\"any\"`"));
            }
            open.push((target, port));
        }
    }
}

/// A port of this machine that both would open.
fn clash(one: &PortMap, other: &PortMap) -> Option<u16> {
    let meet = |a: IpAddr, b: IpAddr| a == b || a.is_unspecified() || b.is_unspecified();
    if one.protocol != other.protocol || !meet(one.address, other.address) {
        return None;
    }
    one.host?.shared(other.host?)
}

/// Two writers of one volume are rarely meant, and sometimes are: worth a word, not a fault.
fn volumes(cx: &Cx<'_>, services: &[(&Target, &ServiceDef)]) {
    let mut written: Vec<(&Target, &str, &Mount)> = Vec::new();
    for (target, service) in services {
        for mount in service.isolation.mounts.iter().filter(|mount| !mount.read_only) {
            let MountSource::Volume(name) = &mount.source else { continue };
            if let Some((first, _, other)) = written.iter().find(|(first, known, _)| known == name && first.name != target.name) {
                let message = format!("`{}` and `{}` both write the volume `{name}`", first.name, target.name);
                let fault = Diagnostic::plan("plan::shared-volume", message, &mount.span, "written here too");
                let fault = fault.label(&other.span, "written here");
                cx.fault(fault.help("write `read-only` behind it where it is only read").warning());
            }
            written.push((target, name, mount));
        }
    }
}
