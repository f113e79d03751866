//! The client: one state per registry, and requests that are authorised and tried again.
//! In: a repository, a path below it, the rights that it needs. Out: an answer with one of the wanted statuses.
//! Never: plain http to a host that is neither this machine nor named insecure.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use tokio::sync::{OnceCell, Semaphore};

use crate::base::digest::BlobDigest;
use crate::oci::reference::Repository;

use super::auth::challenge::is_loopback;
use super::auth::credentials::CredentialSource;
use super::auth::token::{Auth, Scope};
use super::error::{Fault, Place, RegistryError, redacted};
use super::pace::{Pace, RealTime};
use super::retry::{Patience, Retry};
use super::transport::{Answer, Follow, NO_TLS, Payload, Request, Transport};
use super::trust::Trust;

/// How a [`Client`] is made.
pub struct Options {
    /// Hosts (`host[:port]`) that may be spoken to without TLS.
    pub insecure_hosts: Vec<String>,
    /// Certificates for single hosts.
    pub trust: Trust,
    /// Where copies of what a host has may be read: a host, and the place that stands for it.
    pub mirrors: Vec<(String, String)>,
    /// Where credentials come from.
    pub auth: Arc<dyn CredentialSource>,
    /// What kiln calls itself.
    pub user_agent: String,
    /// Time limits and the budget for attempts.
    pub patience: Patience,
    /// How time passes between attempts.
    pub pace: Arc<dyn Pace>,
    /// How many blobs travel at the same time.
    pub parallel: usize,
    /// Whether no connection may be opened: what the store has is all there is.
    pub offline: bool,
}

impl Options {
    /// The usual limits, with these credentials.
    #[must_use]
    pub fn new(auth: Arc<dyn CredentialSource>) -> Self {
        Self {
            insecure_hosts: Vec::new(),
            trust: Trust::default(),
            mirrors: Vec::new(),
            auth,
            user_agent: concat!("kiln/", env!("CARGO_PKG_VERSION")).to_owned(),
            patience: Patience::default(),
            pace: Arc::new(RealTime::default()),
            parallel: 4,
            offline: false,
        }
    }
}

/// A distribution client. Cheap to clone; clones share connections, tokens and the limit on parallel transfers.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    wire: Transport,
    options: Options,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    transfers: Semaphore,
    downloads: Mutex<HashMap<BlobDigest, Weak<tokio::sync::Mutex<()>>>>,
}

/// What is known of one registry.
struct Host {
    name: String,
    auth: Auth,
    origin: OnceCell<Url>,
    /// As a mirror it was asked, and failed: it is not asked again.
    is_down: AtomicBool,
    /// Whether it keeps lists of referrers itself.
    lists: OnceCell<bool>,
}

impl Client {
    /// Makes a client; nothing is connected yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Shared {
            wire: Transport::new(
                options.user_agent.clone(),
                options.patience,
                Arc::clone(&options.pace),
                options.trust.clone(),
                options.offline,
            ),
            transfers: Semaphore::new(options.parallel.max(1)),
            hosts: Mutex::default(),
            downloads: Mutex::default(),
            options,
        }))
    }

    pub(super) fn wire(&self) -> &Transport {
        &self.0.wire
    }

    /// The repository at its registry, ready for requests.
    pub(super) async fn site(&self, repository: &Repository) -> Result<Site, RegistryError> {
        Ok(self.site_as(repository, false, None).await?.0)
    }

    /// The repository at its registry, and whether it has a document, where finding out how to speak to the registry has told that.
    pub(super) async fn site_and(&self, repository: &Repository, document: BlobDigest) -> Result<(Site, Option<bool>), RegistryError> {
        self.site_as(repository, false, Some(document)).await
    }

    /// What is known of a host.
    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            let auth = Auth::new(name, Arc::clone(&self.0.options.auth));
            Arc::new(Host { name: name.to_owned(), auth, origin: OnceCell::new(), is_down: AtomicBool::new(false), lists: OnceCell::new() })
        };
        Arc::clone(hosts.entry(name.to_owned()).or_insert_with(fresh))
    }

    async fn site_as(
        &self,
        repository: &Repository,
        is_mirror: bool,
        document: Option<BlobDigest>,
    ) -> Result<(Site, Option<bool>), RegistryError> {
        let host = self.host(repository.host());
        let place = Place { host: host.name.clone(), repository: repository.name().to_owned(), ..Place::default() };
        let mut retry = self.0.wire.retry(place);
        if is_mirror {
            retry = retry.only();
        }
        let first = document.map(|document| format!("{}/manifests/{document}", repository.name()));
        loop {
            let mut told = None;
            match host.origin.get_or_try_init(|| self.origin(&host.name, first.as_deref(), &mut told)).await {
                Ok(origin) => {
                    let origin = origin.clone();
                    return Ok((Site { client: self.clone(), host, origin, repository: repository.clone(), is_mirror }, told));
                }
                Err(fault) => retry.again(fault).await?,
            }
        }
    }

    /// Decides the scheme of a registry: https, but plain http where this machine or the user's word allows it and the port speaks it.
    /// `first` is the document that is asked for first: when that takes no login, whether it is there is `told`.
    async fn origin(&self, host: &str, first: Option<&str>, told: &mut Option<bool>) -> Result<Url, Fault> {
        let place = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let address = |scheme: &str| Url::parse(&format!("{scheme}://{place}/v2/")).map_err(|_| Fault::protocol("its name is not a host"));
        let (https, http) = (address("https")?, address("http")?);
        if self.0.options.offline || !is_loopback(&http) && !self.0.options.insecure_hosts.iter().any(|insecure| insecure == host) {
            return Ok(https);
        }
        match self.probe(&http, first).await {
            Ok(answer) if answer.status() == 400 && self.refuses_all(&http, first.is_some()).await? => Ok(https),
            Ok(answer) => {
                *told = first.and(match answer.status() {
                    200 => Some(true),
                    404 => Some(false),
                    _ => None,
                });
                Ok(http)
            }
            Err(fault @ (Fault::Unreachable(_) | Fault::Silent(_))) => Err(fault),
            Err(cut) => match self.probe(&https, None).await {
                // Nor does it speak TLS, so the connection was broken off by mischance.
                Err(Fault::Untrusted(why)) if why == NO_TLS => Err(cut),
                Err(Fault::Unreachable(_) | Fault::Silent(_) | Fault::Cut(_)) => Err(cut),
                _ => Ok(https),
            },
        }
    }

    /// Whether a host answers 400 to what any registry answers, too: so do TLS servers to plain http, be it Go's, nginx or Apache. A registry
    /// may answer 400 to a name that it does not like, and `had_name` says that the question before had one.
    async fn refuses_all(&self, origin: &Url, had_name: bool) -> Result<bool, Fault> {
        Ok(!had_name || self.probe(origin, None).await?.status() == 400)
    }

    /// Asks what any registry answers, or whether a document is there; without a login.
    async fn probe(&self, origin: &Url, document: Option<&str>) -> Result<Answer, Fault> {
        let (mut url, mut headers) = (origin.clone(), HeaderMap::new());
        if let Some(document) = document {
            url.set_path(&format!("/v2/{document}"));
            headers.insert(ACCEPT, HeaderValue::from_static(super::pull::ACCEPT));
        }
        let method = if document.is_some() { &Method::HEAD } else { &Method::GET };
        let (payload, follow) = (&Payload::Empty, Follow::Never);
        self.0.wire.send(&Request { method, url: &url, headers: &headers, authorization: None, home: origin, payload, follow }).await
    }
}

/// A repository at its registry.
#[derive(Clone)]
pub(super) struct Site {
    client: Client,
    host: Arc<Host>,
    origin: Url,
    pub(super) repository: Repository,
    is_mirror: bool,
}

/// One request to a [`Site`].
pub(super) struct Call<'a> {
    pub method: Method,
    pub url: Url,
    pub scope: &'a Scope,
    pub headers: HeaderMap,
    pub payload: Payload,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, url: Url, scope: &'a Scope) -> Self {
        Self { method, url, scope, headers: HeaderMap::new(), payload: Payload::Empty }
    }

    pub(super) fn accept(self, types: &'static str) -> Self {
        self.header(ACCEPT, types)
    }

    pub(super) fn content_type(self, media_type: &str) -> Self {
        self.header(CONTENT_TYPE, media_type)
    }

    /// Adds a header; a value that cannot be one is left out, and the registry will say what it misses.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(super) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }
}

impl Site {
    /// The address of something below the repository, for instance `manifests/v1`.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.origin.clone();
        url.set_path(&format!("/v2/{}/{path}", self.repository.name()));
        url
    }

    /// Whether the registry keeps lists of referrers itself; asked for once.
    pub(super) fn lists(&self) -> &OnceCell<bool> {
        &self.host.lists
    }

    /// A turn among the parallel transfers of this process.
    pub(super) async fn turn(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.client.0.transfers.acquire().await.ok()
    }

    /// The lock of one blob: who waits for it finds the blob in the store.
    pub(super) fn lane(&self, digest: BlobDigest) -> Arc<tokio::sync::Mutex<()>> {
        let mut lanes = self.client.0.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|_, lane| lane.strong_count() > 0);
        if let Some(lane) = lanes.get(&digest).and_then(Weak::upgrade) {
            return lane;
        }
        let lane = Arc::default();
        lanes.insert(digest, Arc::downgrade(&lane));
        lane
    }

    /// Whether the registry has asked for a login.
    pub(super) fn was_asked(&self) -> bool {
        self.host.auth.was_asked()
    }

    /// The address that every registry answers at. Source: distribution-spec 1.1, "Determining Support".
    pub(super) fn top(&self) -> Url {
        self.origin.clone()
    }

    /// How many transfers may run at the same time.
    pub(super) fn parallel(&self) -> usize {
        self.client.0.options.parallel.max(1)
    }

    /// Where a request's errors happen.
    pub(super) fn place(&self, method: &Method, url: &Url) -> Place {
        Place { method: method.to_string(), address: redacted(url), ..self.here() }
    }

    fn here(&self) -> Place {
        Place { host: self.host.name.clone(), repository: self.repository.name().to_owned(), ..Place::default() }
    }

    pub(super) fn retry(&self, method: &Method, url: &Url) -> Retry {
        let retry = self.client.0.wire.retry(self.place(method, url));
        if self.is_mirror { retry.only() } else { retry }
    }

    /// The mirrors of this repository that may have what it has, in the order in which they were named.
    pub(super) async fn mirrors(&self) -> Vec<Self> {
        let mut found = Vec::new();
        let named = self.client.0.options.mirrors.iter().filter(|(host, _)| !self.is_mirror && *host == self.host.name);
        for repository in named.filter_map(|(_, place)| format!("{place}/{}", self.repository.name()).parse::<Repository>().ok()) {
            let host = self.client.host(repository.host());
            if host.is_down.load(Ordering::Relaxed) {
                continue;
            }
            // One that cannot be reached costs one attempt, and what it has is asked for elsewhere.
            match self.client.site_as(&repository, true, None).await {
                Ok((site, _)) => found.push(site),
                Err(_) => host.is_down.store(true, Ordering::Relaxed),
            }
        }
        found
    }

    /// Whoever does not answer as a mirror is not asked again; who does not have something may have the next.
    pub(super) fn failed(&self, error: &RegistryError) {
        let is_down = error.fault.is_transient() || matches!(*error.fault, Fault::Untrusted(_) | Fault::Login(_) | Fault::Digest { .. });
        self.host.is_down.fetch_or(is_down, Ordering::Relaxed);
    }

    /// An error that needs no request.
    pub(super) fn error(&self, fault: Fault) -> RegistryError {
        self.client.0.wire.retry(self.here()).give_up(fault)
    }

    /// One attempt, and a second one with a new token when the registry asks for it. A status is not judged.
    pub(super) async fn once(&self, call: &Call<'_>) -> Result<Answer, Fault> {
        let (wire, home) = (&self.client.0.wire, &self.origin);
        let at_home = call.url.origin() == home.origin();
        let sent = if at_home { self.host.auth.header(wire, home, call.scope).await? } else { None };
        let answer = self.send(call, sent.as_ref()).await?;
        if answer.status() != 401 || answer.url.origin() != home.origin() {
            return Ok(answer);
        }
        match self.host.auth.challenged(wire, home, call.scope, answer.headers(), sent.as_ref()).await? {
            // Nothing better is known than what was refused.
            Some(fresh) if Some(&fresh) == sent.as_ref() => self.host.auth.refused(&fresh).map_or(Ok(answer), Err),
            Some(fresh) => {
                let answer = self.send(call, Some(&fresh)).await?;
                if answer.status() != 401 {
                    return Ok(answer);
                }
                if let Some(wrong) = self.host.auth.refused(&fresh) {
                    return Err(wrong);
                }
                // A token may end on its way, and servers learn of a new one at different moments; a second one that is refused is a no.
                match self.host.auth.challenged(wire, home, call.scope, answer.headers(), Some(&fresh)).await? {
                    Some(second) if second != fresh => self.send(call, Some(&second)).await,
                    _ => Ok(answer),
                }
            }
            None => Ok(answer),
        }
    }

    async fn send(&self, call: &Call<'_>, authorization: Option<&HeaderValue>) -> Result<Answer, Fault> {
        let reads = call.method == Method::GET || call.method == Method::HEAD;
        let request = Request {
            method: &call.method,
            url: &call.url,
            headers: &call.headers,
            authorization,
            home: &self.origin,
            payload: &call.payload,
            follow: if reads { Follow::Anywhere } else { Follow::Never },
        };
        self.client.0.wire.send(&request).await
    }

    /// The fault behind an answer that is no success, with this registry's secrets taken out.
    pub(super) async fn refusal(&self, answer: Answer) -> Fault {
        self.host.auth.scrub(answer.refusal().await)
    }

    /// Tries until the answer has one of the wanted statuses.
    pub(super) async fn call(&self, call: &Call<'_>, wanted: &[u16]) -> Result<Answer, RegistryError> {
        let mut retry = self.retry(&call.method, &call.url);
        loop {
            let fault = match self.once(call).await {
                Ok(answer) if wanted.contains(&answer.status()) => return Ok(answer),
                Ok(answer) => self.refusal(answer).await,
                Err(fault) => fault,
            };
            retry.again(fault).await?;
        }
    }

    /// Tries until the answer has one of the wanted statuses and its body has arrived; gives status, headers, body.
    pub(super) async fn document(&self, call: &Call<'_>, wanted: &[u16], limit: u64) -> Result<(u16, HeaderMap, Bytes), RegistryError> {
        let mut retry = self.retry(&call.method, &call.url);
        loop {
            let fault = match self.once(call).await {
                Ok(answer) if wanted.contains(&answer.status()) => {
                    let (status, headers) = (answer.status(), answer.headers().clone());
                    match answer.bytes(limit).await {
                        Ok(bytes) => return Ok((status, headers, bytes)),
                        Err(fault) => fault,
                    }
                }
                Ok(answer) => self.refusal(answer).await,
                Err(fault) => fault,
            };
            retry.again(fault).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::auth::credentials::Anonymous;
    use super::*;

    #[tokio::test]
    async fn only_this_machine_and_hosts_named_insecure_may_be_spoken_to_without_tls() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port();
        let options = Options { insecure_hosts: vec![format!("127.0.0.2:{closed}")], ..Options::new(Arc::new(Anonymous)) };
        let client = Client::new(options);
        for (host, expected) in [
            ("ghcr.io", "https://ghcr.io/v2/"),
            ("docker.io", "https://registry-1.docker.io/v2/"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000/v2/"),
            ("localhost.example.com", "https://localhost.example.com/v2/"),
            ("127.0.0.1.example.com:5000", "https://127.0.0.1.example.com:5000/v2/"),
        ] {
            // No connection is made: these hosts are decided by their names.
            assert_eq!(client.origin(host, None, &mut None).await.unwrap().as_str(), expected, "{host}");
        }
        for host in [format!("127.0.0.1:{closed}"), format!("[::1]:{closed}"), format!("127.0.0.2:{closed}")] {
            assert!(matches!(client.origin(&host, None, &mut None).await, Err(Fault::Unreachable(_))), "{host}");
        }
    }
}
