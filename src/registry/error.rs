//! What can go wrong between kiln and a registry, in the user's words.
//! In: faults of the wire, the protocol and the login. Out: [`RegistryError`] with place, count and time, and its [`Diagnostic`].
//! Never: a token, a header, the query or the user part of an address.

use std::fmt::{self, Write as _};
use std::time::Duration;

use reqwest::Url;

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::digest::BlobDigest;
use crate::base::size::ByteSize;
use crate::base::time::Span;
use crate::base::words::{count, list, shorten, visible};

/// What went wrong, without the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A connection is needed, and none may be opened.
    Offline,
    /// No connection: the name, the route, the port.
    Unreachable(String),
    /// The connection is not to be trusted: certificate, TLS, CA certificates of this machine.
    Untrusted(String),
    /// No byte, or too few, for this long.
    Silent(Duration),
    /// The connection ended in the middle.
    Cut(String),
    /// A status that is not a success.
    Status(Refusal),
    /// The login was refused.
    Login(String),
    /// The credentials of this machine cannot be read.
    Credentials(String),
    /// The certificates that this machine has for the registry cannot be used.
    Certificates(String),
    /// The token server named by the registry is not to be trusted with credentials.
    Realm(String),
    /// The token server failed; its address and how.
    TokenServer(String, Box<Fault>),
    /// What was asked for does not exist.
    Missing(String),
    /// An answer that breaks the protocol, in one clause.
    Protocol(String),
    /// More bytes than are ever read of such an answer.
    TooLarge(ByteSize),
    /// Other bytes than those asked for.
    Digest {
        /// What was asked for.
        expected: String,
        /// What came.
        found: String,
    },
    /// The image has no manifest for the platform.
    Platform {
        /// What was asked for.
        wanted: String,
        /// What is there.
        offered: Vec<String>,
    },
    /// The registry does not let this tag move.
    Immutable {
        /// The tag.
        tag: String,
        /// Where it stands.
        old: BlobDigest,
        /// Where it should have gone.
        new: BlobDigest,
        /// The registry's own words.
        said: String,
    },
    /// The registry lets nobody remove anything; its own words.
    Undeletable(String),
    /// The local store failed.
    Store(String),
}

/// A status that is not a success, and what the registry said to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Pairs of code and message, both made visible and short; at most three.
    pub said: Vec<(String, String)>,
    /// How long the registry asked to wait.
    pub retry_after: Option<Duration>,
    /// How many requests it allows, and in which time.
    pub limit: Option<(u64, Option<Duration>)>,
}

impl Refusal {
    /// Whether the registry gave this error code.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        self.said.iter().any(|(given, _)| given == code)
    }

    /// Whether the registry misses what a document names, though it was sent or seen before: registries that write in several places see
    /// it a little later, and Docker's own does while another publisher sends the same.
    fn misses_parts(&self) -> bool {
        self.has_code("MANIFEST_BLOB_UNKNOWN")
    }

    /// `429 (too many requests)`.
    fn title(&self) -> String {
        let reason = reqwest::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        format!("{}{}", self.status, reason.map_or(String::new(), |reason| format!(" ({})", reason.to_lowercase())))
    }

    /// The registry's own words, or nothing.
    #[must_use]
    pub fn words(&self) -> String {
        let mut text = String::new();
        for (code, message) in &self.said {
            let _ = match (code.is_empty(), message.is_empty()) {
                (true, true) => Ok(()),
                (false, true) => write!(text, ": {code}"),
                (true, false) => write!(text, ": {message}"),
                (false, false) => write!(text, ": {code}: {message}"),
            };
        }
        text
    }
}

impl Fault {
    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Silent(_) | Self::Cut(_) => true,
            Self::Status(refusal) => match refusal.status {
                408 | 429 => true,
                _ if refusal.misses_parts() => true,
                501 | 505 => false,
                status => status >= 500,
            },
            Self::TokenServer(_, fault) => fault.is_transient(),
            _ => false,
        }
    }

    /// How often it is worth trying at all: nobody waits a minute for a host that does not exist.
    pub(super) fn attempts(&self) -> u32 {
        match self {
            Self::Unreachable(_) => 3,
            Self::Status(refusal) if refusal.misses_parts() => 4,
            Self::TokenServer(_, fault) => fault.attempts(),
            _ => u32::MAX,
        }
    }

    /// The wait that was asked for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status(refusal) => refusal.retry_after,
            Self::TokenServer(_, fault) => fault.retry_after(),
            _ => None,
        }
    }

    /// What a server did, as the end of a sentence.
    fn clause(&self) -> String {
        match self {
            Self::Unreachable(cause) => format!("cannot be reached: {cause}"),
            Self::Untrusted(cause) => format!("is not trusted: {cause}"),
            Self::Silent(limit) => format!("sent next to nothing for {}", Span(*limit)),
            Self::Cut(cause) => format!("broke the connection off: {cause}"),
            Self::Status(refusal) => format!("answered {}{}", refusal.title(), refusal.words()),
            Self::TooLarge(limit) => format!("answered more than {limit}"),
            Self::Protocol(cause) => format!("gave a wrong answer: {cause}"),
            Self::Missing(_) => "does not exist".to_owned(),
            _ => "failed".to_owned(),
        }
    }

    pub(super) fn protocol(text: impl Into<String>) -> Self {
        Self::Protocol(text.into())
    }

    pub(super) fn store(error: &std::io::Error) -> Self {
        Self::Store(error.to_string())
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Offline => "registry::offline",
            Self::Unreachable(_) => "registry::unreachable",
            Self::Untrusted(_) => "registry::untrusted",
            Self::Silent(_) => "registry::timeout",
            Self::Cut(_) => "registry::cut",
            Self::Status(refusal) if matches!(refusal.status, 401 | 403) => "registry::denied",
            Self::Status(refusal) if refusal.status == 429 => "registry::too-many-requests",
            Self::Status(_) => "registry::refused",
            Self::Login(_) => "registry::denied",
            Self::Credentials(_) => "registry::credentials",
            Self::Certificates(_) => "registry::certificates",
            Self::Realm(_) => "registry::realm",
            Self::TokenServer(..) => "registry::token-server",
            Self::Missing(_) => "registry::missing",
            Self::Protocol(_) => "registry::protocol",
            Self::TooLarge(_) => "registry::too-large",
            Self::Digest { .. } => "registry::digest",
            Self::Platform { .. } => "registry::platform",
            Self::Immutable { .. } => "registry::tag-immutable",
            Self::Undeletable(_) => "registry::undeletable",
            Self::Store(_) => "registry::store",
        }
    }
}

/// Where a fault happened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The HTTP method; empty when no request was made.
    pub method: String,
    /// The registry, as the user names it.
    pub host: String,
    /// The repository below it.
    pub repository: String,
    /// The address without user, password, query and fragment; empty when no request was made.
    pub address: String,
}

/// A registry operation that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError {
    /// What went wrong.
    pub fault: Box<Fault>,
    /// Where.
    pub place: Box<Place>,
    /// How often it was tried.
    pub attempts: u32,
    /// For how long.
    pub elapsed: Duration,
    /// Of a push: how many blobs and documents stand at the registry, and how many there are.
    pub there: Option<(usize, usize)>,
}

impl RegistryError {
    /// The status, when the registry gave one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        if let Fault::Status(refusal) = &*self.fault { Some(refusal.status) } else { None }
    }

    /// What happened, as the end of a sentence that begins with the place.
    #[must_use]
    pub fn clause(&self) -> String {
        self.fault.clause()
    }

    /// The form in which users see it.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let diagnostic = Diagnostic::new(Class::Environment, self.fault.code(), self.to_string());
        let there = self.there.map(|(there, all)| format!("{there} of {all} blobs and manifests are there"));
        let help = [self.help(), there].into_iter().flatten().reduce(|help, there| format!("{help}; {there}"));
        match help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }

    fn help(&self) -> Option<String> {
        let host = &self.place.host;
        Some(match &*self.fault {
            Fault::Offline => "run it once without `--offline`; what it fetches is kept".to_owned(),
            Fault::Unreachable(_) => format!("check the name `{host}`, the network and the proxy settings, then run it again"),
            Fault::Untrusted(_) => format!(
                "name the registry's CA in the plan (`registry … {{ ca \"ca.pem\" }}`), put it into `/etc/docker/certs.d/{host}/ca.crt`, or \
                 add it to the system certificates; a registry without TLS must be marked `insecure`: `registry … \"{host}/…\" insecure`"
            ),
            Fault::Silent(_) | Fault::Cut(_) => "run it again: what has arrived is kept".to_owned(),
            Fault::Status(refusal) => return status_help(refusal, host),
            Fault::Login(_) => format!("log in again: `kiln login {host}`"),
            Fault::Credentials(_) => {
                "repair the Docker config or the helper that it names; DOCKER_CONFIG chooses another folder".to_owned()
            }
            Fault::Certificates(_) => {
                "`ca`, `cert` and `key` of the `registry` name PEM files; without them kiln looks into `certs.d` as Docker does".to_owned()
            }
            Fault::Realm(_) => "kiln sends credentials only to https token servers, or to the registry itself".to_owned(),
            Fault::TokenServer(address, fault) => match &**fault {
                Fault::Status(refusal) => return status_help(refusal, host),
                _ => format!("check that this machine reaches `{address}`, then run it again"),
            },
            Fault::Missing(_) => format!("check the name; a private repository answers the same to strangers: `kiln login {host}`"),
            Fault::Digest { .. } => {
                "nothing of it was kept; if it happens again, a proxy or a mirror on the way changes content".to_owned()
            }
            Fault::Platform { offered, .. } if offered.is_empty() => return None,
            Fault::Platform { offered, .. } => format!("it has {}", list(&offered[..offered.len().min(12)], "and")),
            Fault::Immutable { .. } => "choose a new tag, or push what the tag already names".to_owned(),
            Fault::Undeletable(_) => {
                "its owner decides: distribution takes `storage: delete: enabled: true`, and some registries remove only \
                 through their own API or by rules of their own"
                    .to_owned()
            }
            Fault::Protocol(_) | Fault::TooLarge(_) | Fault::Store(_) => return None,
        })
    }
}

fn status_help(refusal: &Refusal, host: &str) -> Option<String> {
    Some(match refusal.status {
        401 | 403 => format!("log in with an account that may do this: `kiln login {host}`"),
        404 if refusal.has_code("NAME_UNKNOWN") => "create the repository first: this registry does not make it by itself".to_owned(),
        429 => {
            let wait = refusal.retry_after.map_or("wait a while".to_owned(), |wait| format!("the registry asks to wait {}", Span(wait)));
            let limit = refusal.limit.map_or(String::new(), |(requests, window)| {
                let window = window.map_or(String::new(), |window| format!(" in {}", Span(window)));
                format!("; it allows {}{window}", count(usize::try_from(requests).unwrap_or(usize::MAX), "request"))
            });
            format!("{wait}{limit}; logging in usually raises the limit: `kiln login {host}`")
        }
        500.. => "the registry has a problem of its own; run it again later: what has arrived is kept".to_owned(),
        _ => return None,
    })
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { method, host, repository, address } = &*self.place;
        match &*self.fault {
            Fault::Offline => write!(f, "`{host}/{repository}` is not all in the store, and `--offline` lets nobody ask for it")?,
            Fault::Unreachable(cause) => write!(f, "registry `{host}` cannot be reached: {cause}")?,
            Fault::Untrusted(cause) => write!(f, "registry `{host}` is not trusted: {cause}")?,
            Fault::Silent(limit) => write!(f, "registry `{host}` sent next to nothing for {} (`{method} {address}`)", Span(*limit))?,
            Fault::Cut(cause) => write!(f, "registry `{host}` broke the connection off (`{method} {address}`): {cause}")?,
            Fault::Status(refusal) => {
                write!(f, "registry `{host}` answered {} to `{method} {address}`{}", refusal.title(), refusal.words())?;
            }
            Fault::Login(cause) => write!(f, "registry `{host}` refused the login: {cause}")?,
            Fault::Credentials(cause) => write!(f, "no credentials for `{host}`: {cause}")?,
            Fault::Certificates(cause) => write!(f, "the certificates for registry `{host}` cannot be used: {cause}")?,
            Fault::Realm(cause) => write!(f, "registry `{host}` names a token server that is not trusted: {cause}")?,
            Fault::TokenServer(address, fault) => write!(f, "the token server `{address}` of registry `{host}` {}", fault.clause())?,
            Fault::Missing(what) => write!(f, "`{what}` does not exist")?,
            Fault::Protocol(cause) if method.is_empty() => write!(f, "registry `{host}`: {cause}")?,
            Fault::Protocol(cause) => write!(f, "registry `{host}` gave a wrong answer to `{method} {address}`: {cause}")?,
            Fault::TooLarge(limit) => write!(f, "registry `{host}` answered more than {limit} to `{method} {address}`")?,
            Fault::Digest { expected, found } => {
                write!(f, "`{host}/{repository}` sent other bytes than those asked for: expected {expected}, found {found}")?;
            }
            Fault::Platform { wanted, .. } => write!(f, "`{host}/{repository}` has no image for `{wanted}`")?,
            Fault::Immutable { tag, old, new, said } => {
                write!(f, "tag `{tag}` of `{host}/{repository}` cannot be moved from {old} to {new}{said}")?;
            }
            Fault::Undeletable(said) => write!(f, "registry `{host}` does not let anybody remove from `{repository}`{said}")?,
            Fault::Store(cause) => write!(f, "the local store failed while `{host}/{repository}` was transferred: {cause}")?,
        }
        if self.attempts > 1 {
            write!(f, "; tried {} in {}", count(self.attempts as usize, "time"), Span(self.elapsed))?;
        }
        Ok(())
    }
}

impl std::error::Error for RegistryError {}

/// An address that may be shown: no user, no password, no query, no fragment.
pub(super) fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    shorten(&visible(url.as_str()), 300)
}

/// A text of the registry's that may be shown.
pub(super) fn quoted(text: &str) -> String {
    shorten(&visible(text.trim()), 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(fault: Fault, attempts: u32) -> RegistryError {
        let place = Place {
            method: "PUT".to_owned(),
            host: "ghcr.io".to_owned(),
            repository: "acme/web".to_owned(),
            address: redacted(&"https://u:canary@ghcr.io/v2/acme/web/manifests/v1?token=canary#canary".parse().unwrap()),
        };
        RegistryError { fault: Box::new(fault), place: Box::new(place), attempts, elapsed: Duration::from_secs(31), there: None }
    }

    #[test]
    fn an_error_tells_place_cause_count_and_time_and_no_secret() {
        let said = vec![("TOOMANYREQUESTS".to_owned(), "slow down".to_owned())];
        let shown = error(
            Fault::Status(Refusal { status: 429, said, retry_after: None, limit: Some((100, Some(Duration::from_secs(21_600)))) }),
            5,
        )
        .diagnostic();
        assert_eq!(
            shown.message,
            "registry `ghcr.io` answered 429 (too many requests) to `PUT https://ghcr.io/v2/acme/web/manifests/v1`: \
             TOOMANYREQUESTS: slow down; tried 5 times in 31.0 s"
        );
        assert_eq!((shown.code, shown.class), ("registry::too-many-requests", Class::Environment));
        let help = shown.help.unwrap();
        assert!(help.contains("kiln login ghcr.io") && help.contains("allows 100 requests in 6 h"), "{help}");
    }

    #[test]
    fn a_refused_tag_names_tag_old_and_new_digest() {
        let digest = |byte| BlobDigest(crate::base::digest::Digest::from_bytes([byte; 32]));
        let (old, new) = (digest(1), digest(2));
        let shown = error(Fault::Immutable { tag: "v1".to_owned(), old, new, said: String::new() }, 1).to_string();
        assert_eq!(shown, format!("tag `v1` of `ghcr.io/acme/web` cannot be moved from {old} to {new}"));
    }

    #[test]
    fn only_faults_that_may_pass_are_transient() {
        let said = |status, code: &str| {
            let said = vec![("OTHER".to_owned(), String::new()), (code.to_owned(), String::new())];
            Fault::Status(Refusal { status, said, retry_after: None, limit: None })
        };
        let status = |status| said(status, "X");
        for (fault, expected) in [
            (said(400, "MANIFEST_BLOB_UNKNOWN"), true),
            (said(404, "MANIFEST_BLOB_UNKNOWN"), true),
            (said(400, "MANIFEST_INVALID"), false),
            (status(408), true),
            (status(429), true),
            (status(500), true),
            (status(503), true),
            (status(501), false),
            (status(400), false),
            (status(401), false),
            (status(404), false),
            (Fault::Cut(String::new()), true),
            (Fault::Untrusted(String::new()), false),
            (Fault::Protocol(String::new()), false),
        ] {
            assert_eq!(fault.is_transient(), expected, "{fault:?}");
        }
    }
}
