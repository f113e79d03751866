//! The Docker engine, through its API: images go into the daemon, tasks run in containers.
//! In: an image of the store, a task. Out: an image id, an exit code. Never: touches what it did not make.
//!
//! An image is always meant by its content: a container is made from the id under which the daemon has exactly that image,
//! whatever its names say.

pub mod container;
pub mod load;
pub mod orphans;
pub mod pull;
pub mod task;

use std::time::Duration;

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::words;
use crate::oci::reference::Reference;
use crate::sys::env;

const SOCKET: &str = "/var/run/docker.sock";
/// Loading a large image and waiting for a long task answer late; silence is bounded by the step's own timeout.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
const GREETING: Duration = Duration::from_secs(10);

/// A daemon that answered.
#[derive(Debug, Clone)]
pub struct Docker {
    api: bollard::Docker,
    host: String,
}

/// What the daemon could not do.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// Nobody listens.
    #[error("no Docker daemon answers at `{host}`: {cause}")]
    Absent {
        /// Where it was looked for.
        host: String,
        /// What came back.
        cause: String,
    },
    /// The socket is there, and not for this user.
    #[error("you may not use the Docker daemon at `{0}`: permission denied")]
    Denied(String),
    /// `DOCKER_HOST` is of a kind that this build cannot reach.
    #[error("`{0}` in DOCKER_HOST is not an address that kiln can reach")]
    Address(String),
    /// It answered with an error.
    #[error("Docker could not {act}: {cause}")]
    Refused {
        /// What was asked.
        act: &'static str,
        /// Its words.
        cause: String,
    },
    /// An image could not be had.
    #[error("Docker could not pull `{name}`: {cause}")]
    Pull {
        /// Which.
        name: String,
        /// Its registry.
        host: String,
        /// The daemon's words.
        cause: String,
    },
    /// The image could not be read from the store.
    #[error("{0}")]
    Image(String),
}

impl DockerError {
    fn refused(act: &'static str) -> impl FnOnce(bollard::errors::Error) -> Self {
        move |error| Self::Refused { act, cause: said(&error) }
    }

    fn pull(reference: &Reference, cause: &str) -> Self {
        let host = reference.repository.host().to_owned();
        Self::Pull { name: reference.to_string(), host, cause: words::shorten(&words::visible(cause), 500) }
    }

    /// The next act.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Absent { .. } => {
                "start Docker, or point DOCKER_HOST at a running daemon; images are built, scanned and pushed without one".to_owned()
            }
            Self::Denied(_) => "ask to be taken into the group `docker`, or point DOCKER_HOST at a rootless daemon of your own".to_owned(),
            Self::Address(_) => "use `unix:///path/to/docker.sock` or `tcp://host:port`".to_owned(),
            Self::Refused { .. } => "the daemon's own log says more".to_owned(),
            Self::Pull { name, host, .. } => {
                format!("see whether `docker pull {name}` works; a private registry needs `docker login {host}` first")
            }
            Self::Image(_) => "run the image's build again".to_owned(),
        }
    }

    /// As every fault is shown.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic::new(Class::Environment, "docker::daemon", self.to_string()).help(self.help())
    }
}

/// What the daemon said, without what the library puts around it.
fn said(error: &bollard::errors::Error) -> String {
    let text = match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message.clone(),
        bollard::errors::Error::DockerStreamError { error } => error.clone(),
        error => error.to_string(),
    };
    words::shorten(&words::visible(&text), 500)
}

/// The innermost cause, without what the library and the system put around it.
fn root(error: &bollard::errors::Error) -> String {
    if matches!(error, bollard::errors::Error::SocketNotFoundError(_)) {
        return "there is no such socket".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    words::shorten(&words::visible(&words::cause(&cause.to_string())), 300)
}

fn is_denied(error: &bollard::errors::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(here) = cause {
        if here.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
            return true;
        }
        cause = here.source();
    }
    false
}

impl Docker {
    /// Finds the daemon as Docker's own client does (`DOCKER_HOST`, else the usual socket) and greets it.
    ///
    /// # Errors
    /// [`DockerError::Absent`], [`DockerError::Address`].
    pub async fn connect() -> Result<Self, DockerError> {
        let host = env::var("DOCKER_HOST").unwrap_or_else(|| format!("unix://{SOCKET}"));
        let absent = |cause: String| DockerError::Absent { host: host.clone(), cause };
        let version = bollard::API_DEFAULT_VERSION;
        let seconds = PATIENCE.as_secs();
        let api = if host.starts_with("unix://") {
            bollard::Docker::connect_with_unix(&host, seconds, version)
        } else if host.starts_with("tcp://") || host.starts_with("http://") {
            bollard::Docker::connect_with_http(&host, seconds, version)
        } else {
            return Err(DockerError::Address(words::shorten(&words::visible(&host), 100)));
        };
        let api = api.map_err(|error| absent(root(&error)))?;
        match tokio::time::timeout(GREETING, api.ping()).await {
            Ok(Ok(_)) => Ok(Self { api, host }),
            Ok(Err(error)) if is_denied(&error) => Err(DockerError::Denied(host)),
            Ok(Err(error)) => Err(absent(root(&error))),
            Err(_) => Err(absent(format!("no answer within {} s", GREETING.as_secs()))),
        }
    }

    /// The address that it was found at.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}
