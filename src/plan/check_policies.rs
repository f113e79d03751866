//! Services against the policies that they name: the plan's own rules, as far as the plan alone says what they ask.
//! In: the targets and the policies. Out: a fault for each rule that denies and is broken, a warning for each that warns.
//! Never: a judgement on what an image decides, such as the user of one that lies in a registry.

use std::net::IpAddr;

use crate::base::diagnostic::{Class, Diagnostic, Span};
use crate::base::words;

use super::Plan;
use super::cx::Cx;
use super::isolation::{MountSource, Network};
use super::policy::{Condition, CustomRule, Field, Level, Rule, Test};
use super::service::{PortMap, Ports, ServiceDef};
use super::target::{ContainerImage, Target, TargetKind};
use super::undecided::Undecided;

/// Holds every service that is known as a whole against its policy.
pub(super) fn check(cx: &Cx<'_>, plan: &Plan, undecided: &Undecided) {
    for target in plan.targets.values().filter(|target| target.left_out.is_none() && !undecided.target(&target.name)) {
        let TargetKind::Service(service) = &target.kind else { continue };
        let Some(policy) = service.policy.as_ref().and_then(|(name, _)| plan.policies.get(name)) else { continue };
        let waived = |name: &str| policy.waivers.iter().any(|waiver| waiver.in_force && waiver.id == name);
        let runs_as_root = matches!(service.isolation.user.as_deref().and_then(|user| user.split(':').next()), Some("root" | "0"));
        let own = policy.rules.iter().filter(|(rule, ..)| *rule == Rule::RootUser && runs_as_root);
        let own = own.map(|(rule, level, span)| Broken { name: rule.word(), level: *level, doc: None, span });
        let custom = policy.custom.iter().filter(|rule| breaks(service, rule));
        let custom = custom.map(|rule| Broken { name: &rule.name, level: rule.level, doc: rule.doc.as_deref(), span: &rule.span });
        let found: Vec<Broken<'_>> = own.chain(custom).filter(|rule| !waived(rule.name)).collect();
        for level in [Level::Deny, Level::Warn] {
            tell(cx, target, service, &policy.name, found.iter().filter(|rule| rule.level == level).collect());
        }
    }
}

/// The number of broken rules that one fault names.
const SHOWN: usize = 8;

/// A rule that a service breaks.
struct Broken<'p> {
    name: &'p str,
    level: Level,
    doc: Option<&'p str>,
    span: &'p Span,
}

/// One fault for all rules of a level.
fn tell(cx: &Cx<'_>, target: &Target, service: &ServiceDef, policy: &str, rules: Vec<&Broken<'_>>) {
    let Some(first) = rules.first() else { return };
    let names: Vec<String> = rules.iter().take(SHOWN).map(|rule| words::visible(rule.name)).collect();
    let more = rules.len().checked_sub(SHOWN).filter(|more| *more > 0).map_or_else(String::new, |more| format!(" and {more} more"));
    let noun = if rules.len() == 1 { "rule" } else { "rules" };
    let message = format!("service `{}` breaks the {noun} {}{more} of policy `{policy}`", target.name, words::list(&names, "and"));
    let denied = first.level == Level::Deny;
    let held = service.policy.as_ref().map_or(&service.span, |(_, span)| span);
    // Warnings stand at another place, so that each level is told.
    let fault = Diagnostic::new(Class::Policy, "plan::policy-broken", message);
    let fault = if denied { fault.label(held, "held against it") } else { fault.label(&service.span, "warned of").warning() };
    let fault = rules.iter().take(SHOWN).fold(fault, |fault, rule| fault.label(rule.span, rule.doc.unwrap_or("this rule").to_owned()));
    cx.fault(fault.help(format!(
        "mend the service, or accept it for a while in the policy: `waive \"{}\" reason=\"…\" until=\"…\"`",
        words::visible(first.name)
    )));
}

/// Whether all conditions hold. One on something that the plan does not decide does not.
fn breaks(service: &ServiceDef, rule: &CustomRule) -> bool {
    let holds = |Condition { field, test, .. }: &Condition| values(service, field, test).is_some_and(|values| test.holds(&values));
    !rule.conditions.is_empty() && rule.conditions.iter().all(holds)
}

/// The values that a service has in a field; `None` when its image decides.
fn values(service: &ServiceDef, field: &Field, test: &Test) -> Option<Vec<String>> {
    let walls = &service.isolation;
    let of =
        |pairs: &[(String, String)], name: &str| pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect();
    let word = match field {
        Field::Label(name) => return Some(of(&walls.labels, name)),
        Field::Env(name) => return Some(of(&service.env, name)),
        Field::Plain(word) => word.as_str(),
    };
    let mounted = |pick: &dyn Fn(&MountSource) -> Option<String>| walls.mounts.iter().filter_map(|mount| pick(&mount.source)).collect();
    Some(match word {
        "user" => vec![walls.user.clone()?],
        "port" => service.ports.iter().flat_map(|port| numbers(port, test)).collect(),
        "image" => vec![match &service.image {
            ContainerImage::Target(name) => name.to_string(),
            ContainerImage::Reference(reference) => reference.to_string(),
        }],
        "address" => service.ports.iter().map(|port: &PortMap| port.address).map(|address: IpAddr| address.to_string()).collect(),
        "network" => match &walls.network {
            Network::None => vec!["none".to_owned()],
            Network::Usual => vec!["usual".to_owned()],
            Network::Named(names) => names.iter().map(|(name, _)| name.clone()).collect(),
        },
        "mount" => mounted(&|source| if let MountSource::Project(path) = source { Some(path.to_string()) } else { None }),
        "volume" => mounted(&|source| if let MountSource::Volume(name) = source { Some(name.clone()) } else { None }),
        "socket" => service.socket.iter().map(|socket| socket.path.clone().unwrap_or_else(|| "docker".to_owned())).collect(),
        "capability" => walls.cap_add.clone(),
        "dropped" => walls.cap_drop.clone(),
        "read-only" => walls.read_only.then(|| "true".to_owned()).into_iter().collect(),
        "memory" => walls.memory.map(|bytes| bytes.to_string()).into_iter().collect(),
        "cpus" => walls.cpus.map(|cpus| cpus.to_string()).into_iter().collect(),
        "pids" => walls.pids.map(|pids| pids.to_string()).into_iter().collect(),
        "restart" => vec![service.restart.word().to_owned()],
        _ => return None,
    })
}

/// The ports in the container and those of this machine. Of many in a row the ends stand for all, and the one that a condition names.
fn numbers(port: &PortMap, test: &Test) -> Vec<String> {
    let named = if let Test::Is(text) | Test::Not(text) = test { text.parse::<u16>().ok() } else { None };
    let ranges = [Some(port.inside), port.host];
    let some = |ports: Ports| [Some(ports.first), Some(ports.last), named.filter(|number| (ports.first..=ports.last).contains(number))];
    ranges.into_iter().flatten().flat_map(some).flatten().map(|number| number.to_string()).collect()
}
