//! `service`, `network` and `volume` nodes: containers that stay, what they speak over, and where their data lies.
//! In: nothing. Out: types that readers fill. Never: a port that is open to other machines unless the plan says so.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Span;

use super::image::Health;
use super::isolation::Isolation;
use super::target::{Command, ContainerImage};

/// A container that stays: started by `kiln up`, stopped by `kiln down`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceDef {
    /// The image.
    pub image: ContainerImage,
    /// Where the image is named.
    pub image_span: Span,
    /// What it runs; `None` is what the image says.
    pub command: Option<Command>,
    /// The shell for a script, ready to have it appended.
    pub shell: Vec<String>,
    /// Environment, sorted by name.
    pub env: Vec<(String, String)>,
    /// Ports that this machine opens for it, in order of declaration.
    pub ports: Vec<PortMap>,
    /// What it may see and use.
    pub isolation: Isolation,
    /// `None` is the image's.
    pub healthcheck: Option<Health>,
    /// When it is started again.
    pub restart: Restart,
    /// The engine's own socket, where the service gets it.
    pub socket: Option<Socket>,
    /// The policy that it is held against before it starts.
    pub policy: Option<(String, Span)>,
    /// For instance `SIGINT`; `None` is the image's.
    pub stop_signal: Option<String>,
    /// How long it may take to stop before it is killed.
    pub stop_grace: Option<Duration>,
    /// The name in the source.
    pub span: Span,
}

/// Ports of this machine that lead into a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMap {
    /// The ports in the container.
    pub inside: Ports,
    /// The ports of this machine, as many; `None` lets the engine choose a free one.
    pub host: Option<Ports>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The address of this machine that they are open on: the loopback one unless the plan says otherwise.
    pub address: IpAddr,
    /// The node.
    pub span: Span,
}

/// One port, or several in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last; the first again for a single one.
    pub last: u16,
}

impl Ports {
    /// How many they are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }
    /// A port that both have.
    #[must_use]
    pub fn shared(self, other: Self) -> Option<u16> {
        let first = self.first.max(other.first);
        (first <= self.last.min(other.last)).then_some(first)
    }
}

impl std::fmt::Display for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// When a service that ended is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// Never.
    #[default]
    No,
    /// After a failure, at most so many times in a row.
    OnFailure(Option<u32>),
    /// Always, until it is taken down; also after the machine started again.
    Always,
    /// Always, unless it was stopped by hand.
    UnlessStopped,
}

impl Restart {
    /// The word in the plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }
}

/// The engine's socket, mounted with its group granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Its path on this machine; `None` is the one that kiln itself uses.
    pub path: Option<String>,
    /// The node.
    pub span: Span,
}

/// A network of the plan; made for the project by `kiln up`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NetworkDef {
    /// The name used in `network`.
    pub name: String,
    /// The driver; `None` is the engine's usual one.
    pub driver: Option<String>,
    /// Whether it leads nowhere but to its members.
    pub internal: bool,
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
    /// Options of the driver, sorted by name.
    pub options: Vec<(String, String)>,
    /// Labels, sorted by name.
    pub labels: Vec<(String, String)>,
    /// The name in the source.
    pub span: Span,
}

/// A volume of the plan; made for the project by `kiln up`, kept by `kiln down`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VolumeDef {
    /// The name used in `volume`.
    pub name: String,
    /// The driver; `None` is the engine's usual one.
    pub driver: Option<String>,
    /// Options of the driver, sorted by name.
    pub options: Vec<(String, String)>,
    /// Labels, sorted by name.
    pub labels: Vec<(String, String)>,
    /// Which backups stay; `None` keeps all.
    pub backups: Option<Retention>,
    /// The name in the source.
    pub span: Span,
}

/// What stays when the rest is cleared away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The newest so many stay.
    pub keep: Option<u32>,
    /// What is not older than this stays.
    pub within: Option<Duration>,
    /// Whether images without a tag go as well.
    pub untagged: bool,
    /// The node.
    pub span: Span,
}
