//! One request and its answer: TLS, time limits, redirects, sizes.
//! In: a [`Request`]. Out: an [`Answer`] whose body is read with a limit and a watch, or a [`Fault`].
//! Never: an Authorization header for another host, a step from https down to http, a body without a bound.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, StatusCode, Url};
use serde::Deserialize;
use tokio::time::{Instant, timeout, timeout_at};

use crate::base::size::ByteSize;
use crate::base::words;

use super::auth::challenge::is_loopback;
use super::error::{Fault, Place, Refusal, quoted, redacted};
use super::pace::Pace;
use super::piece::Piece;
use super::retry::{self, Patience, Retry};
use super::trust::{Loaded, Trust};

/// The most that is read of an error or a token, in bytes.
pub(super) const SMALL: u64 = 64 << 10;
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
/// Hops after which a redirect is a circle.
const MAX_REDIRECTS: usize = 10;

/// Why a server that speaks plain http is not trusted.
pub(super) const NO_TLS: &str = "it does not speak TLS";

/// What a request carries.
pub(super) enum Payload {
    Empty,
    Bytes(Bytes),
    Piece(Piece),
}

/// Which redirects are followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Follow {
    Anywhere,
    SameOrigin,
    Never,
}

/// One request.
pub(super) struct Request<'a> {
    pub method: &'a Method,
    pub url: &'a Url,
    pub headers: &'a HeaderMap,
    pub authorization: Option<&'a HeaderValue>,
    /// The only scheme, host and port that sees the authorization.
    pub home: &'a Url,
    pub payload: &'a Payload,
    pub follow: Follow,
}

/// The clients of this process: by whether the address is https, and by whether it is this machine; and those of hosts with
/// certificates of their own.
pub(super) struct Transport {
    clients: [OnceLock<Result<Client, Fault>>; 4],
    own: Mutex<HashMap<String, Result<Option<Client>, Fault>>>,
    trust: Trust,
    proxies: LazyLock<Matcher>,
    user_agent: String,
    pub(super) patience: Patience,
    pub(super) pace: Arc<dyn Pace>,
    offline: bool,
}

impl Transport {
    pub(super) fn new(user_agent: String, patience: Patience, pace: Arc<dyn Pace>, trust: Trust, offline: bool) -> Self {
        let proxies = LazyLock::new(Matcher::from_env as fn() -> Matcher);
        Self { clients: Default::default(), own: Mutex::default(), trust, proxies, user_agent, patience, pace, offline }
    }

    /// The attempts of a request that begins now.
    pub(super) fn retry(&self, place: Place) -> Retry {
        Retry::new(self.patience, Arc::clone(&self.pace), place)
    }

    /// Sends a request and follows its redirects; a status is not judged.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Answer, Fault> {
        if self.offline {
            return Err(Fault::Offline);
        }
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.hop(request, &url).await?;
            match answer.redirect() {
                Some(target) => url = next_hop(&url, target?, request.follow)?,
                None => return Ok(answer),
            }
        }
        Err(Fault::Protocol(format!("it redirected more than {MAX_REDIRECTS} times")))
    }

    async fn hop(&self, request: &Request<'_>, url: &Url) -> Result<Answer, Fault> {
        let mut builder = self.client(url)?.request(request.method.clone(), url.clone()).headers(request.headers.clone());
        if let Some(authorization) = request.authorization
            && url.origin() == request.home.origin()
        {
            builder = builder.header(AUTHORIZATION, authorization.clone());
        }
        builder = match request.payload {
            Payload::Empty if *request.method == Method::GET || *request.method == Method::HEAD => builder,
            Payload::Empty => builder.header(CONTENT_LENGTH, 0),
            Payload::Bytes(bytes) => builder.body(bytes.clone()),
            Payload::Piece(piece) => builder.header(CONTENT_LENGTH, piece.len()).body(piece.body()),
        };
        let sending = builder.send();
        let response = match request.payload {
            Payload::Piece(piece) => self.watched(piece, sending).await.map_err(|fault| self.named(fault, url))?,
            _ => timeout(self.patience.answer, sending)
                .await
                .map_err(|_| Fault::Silent(self.patience.answer))?
                .map_err(|error| self.named(fault_of(&error), url))?,
        };
        Ok(Answer { url: url.clone(), patience: self.patience, response, window: None })
    }

    /// Waits for the answer to an upload for as long as its bytes keep moving.
    async fn watched(
        &self,
        piece: &Piece,
        sending: impl Future<Output = reqwest::Result<reqwest::Response>>,
    ) -> Result<reqwest::Response, Fault> {
        let mut sending = std::pin::pin!(sending);
        let mut before = piece.moved().load(Ordering::Relaxed);
        let end = before + piece.len();
        loop {
            let window = if before >= end { self.patience.settle } else { self.patience.idle };
            let outcome = timeout(window, &mut sending).await;
            let local = piece.take_fault();
            if let Some(fault) = local {
                return Err(fault);
            }
            if let Ok(outcome) = outcome {
                return outcome.map_err(|error| fault_of(&error));
            }
            let now = piece.moved().load(Ordering::Relaxed);
            if now < end && now - before < floor(window) || before >= end {
                return Err(Fault::Silent(window));
            }
            before = now;
        }
    }

    /// Names the proxy where a connection did not come about: the fault may be its own.
    fn named(&self, fault: Fault, url: &Url) -> Fault {
        let (Fault::Unreachable(cause), false) = (&fault, is_loopback(url)) else { return fault };
        let proxy = url.as_str().parse().ok().and_then(|target| self.proxies.intercept(&target));
        let proxy = proxy.and_then(|proxy| proxy.uri().to_string().parse::<Url>().ok());
        proxy.map_or(fault.clone(), |proxy| {
            let variable = if url.scheme() == "https" { "HTTPS_PROXY" } else { "HTTP_PROXY" };
            Fault::Unreachable(format!("{cause} (through the proxy `{}` of {variable} or ALL_PROXY)", redacted(&proxy)))
        })
    }

    fn client(&self, url: &Url) -> Result<Client, Fault> {
        let (tls, local) = (url.scheme() == "https", is_loopback(url));
        if let (true, Some(name)) = (tls, url.host_str()) {
            let host = url.port().map_or(name.to_owned(), |port| format!("{name}:{port}"));
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            let made = own.entry(host).or_insert_with_key(|host| {
                let loaded = self.trust.of(host)?;
                loaded.map(|loaded| self.build(tls, local, Some(loaded))).transpose()
            });
            if let Some(client) = made.clone()? {
                return Ok(client);
            }
        }
        let slot = &self.clients[usize::from(tls) * 2 + usize::from(local)];
        slot.get_or_init(|| self.build(tls, local, None)).clone()
    }

    /// Proxy settings of the environment hold for everything but this machine, as in Docker.
    fn build(&self, tls: bool, local: bool, loaded: Option<Loaded>) -> Result<Client, Fault> {
        // A second installation fails, and then one is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(&self.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(self.patience.connect);
        if !tls {
            // Plain http must work on a machine without CA certificates.
            builder = builder.tls_certs_only([]);
        }
        if local {
            builder = builder.no_proxy();
        }
        if let Some(Loaded { authorities, own }) = loaded {
            builder = builder.tls_certs_merge(authorities);
            builder = own.into_iter().fold(builder, reqwest::ClientBuilder::identity);
        }
        builder.build().map_err(|error| {
            Fault::Untrusted(format!("TLS cannot be set up: {} (is the package with the CA certificates installed?)", root_cause(&error)))
        })
    }
}

/// The fewest bytes that must move in a window: one for each millisecond.
fn floor(window: Duration) -> u64 {
    u64::try_from(window.as_millis()).unwrap_or(u64::MAX)
}

fn next_hop(from: &Url, to: Url, follow: Follow) -> Result<Url, Fault> {
    let shown = redacted(&to);
    if follow == Follow::Never || follow == Follow::SameOrigin && from.origin() != to.origin() {
        return Err(Fault::Protocol(format!("it redirects to `{shown}`, which is not followed")));
    }
    check_target(from, &to)?;
    Ok(to)
}

/// Refuses addresses that a registry may not send kiln to.
pub(super) fn check_target(from: &Url, to: &Url) -> Result<(), Fault> {
    let shown = redacted(to);
    match to.scheme() {
        "https" => {}
        "http" if from.scheme() == "http" => {}
        "http" => return Err(Fault::Protocol(format!("it leads from https to `{shown}`, which is not protected"))),
        _ => return Err(Fault::Protocol(format!("it leads to `{shown}`, which is not a web address"))),
    }
    if !to.username().is_empty() || to.password().is_some() {
        return Err(Fault::Protocol(format!("it leads to `{shown}` with a user or a password in the address")));
    }
    Ok(())
}

/// An answer whose body has not been read yet.
pub(super) struct Answer {
    /// Where it came from, after redirects.
    pub url: Url,
    patience: Patience,
    response: reqwest::Response,
    window: Option<(Instant, u64)>,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header as text, `None` when it is missing or not ASCII.
    pub(super) fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.headers().get(name.into())?.to_str().ok()
    }

    /// The announced number of bytes.
    pub(super) fn length(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH)?.trim().parse().ok()
    }

    /// The address in `Location`, checked.
    pub(super) fn location(&self) -> Result<Url, Fault> {
        let text = self.header(LOCATION).ok_or_else(|| Fault::protocol("it gave no Location"))?;
        let url = self.url.join(text).map_err(|_| Fault::protocol("its Location cannot be read"))?;
        check_target(&self.url, &url)?;
        Ok(url)
    }

    fn redirect(&self) -> Option<Result<Url, Fault>> {
        let moved = [
            StatusCode::MOVED_PERMANENTLY,
            StatusCode::FOUND,
            StatusCode::SEE_OTHER,
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        moved.contains(&self.response.status()).then(|| self.location())
    }

    /// The whole body, of at most `limit` bytes, within the time for one answer.
    pub(super) async fn bytes(mut self, limit: u64) -> Result<Bytes, Fault> {
        let too_large = || Fault::TooLarge(ByteSize(limit));
        if self.length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let patience = self.patience.answer;
        let read = async {
            let mut all = Vec::new();
            while let Some(bytes) = self.response.chunk().await.map_err(|error| fault_of(&error))? {
                if (all.len() + bytes.len()) as u64 > limit {
                    return Err(too_large());
                }
                all.extend_from_slice(&bytes);
            }
            Ok(Bytes::from(all))
        };
        timeout(patience, read).await.unwrap_or(Err(Fault::Silent(patience)))
    }

    /// The next bytes of a large body; each window of time must bring enough of them.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let idle = self.patience.idle;
        let (end, moved) = self.window.unwrap_or_else(|| (Instant::now() + idle, 0));
        let Ok(read) = timeout_at(end, self.response.chunk()).await else { return Err(Fault::Silent(idle)) };
        let bytes = read.map_err(|error| fault_of(&error))?;
        let moved = moved + bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.window = Some(if moved >= floor(idle) { (Instant::now() + idle, 0) } else { (end, moved) });
        Ok(bytes)
    }

    /// The fault that an answer without success stands for.
    pub(super) async fn refusal(self) -> Fault {
        let status = self.status();
        let retry_after = self.header(RETRY_AFTER).and_then(retry::retry_after);
        let limit = self.header(RATE_LIMIT).and_then(read_limit);
        let said = match self.bytes(SMALL).await {
            Ok(bytes) => read_errors(&bytes),
            Err(_) => Vec::new(),
        };
        Fault::Status(Refusal { status, said, retry_after, limit })
    }
}

/// What Docker Hub and others say of their limits: `100;w=21600` is a hundred requests in six hours.
/// Source: draft-ietf-httpapi-ratelimit-headers-05.
fn read_limit(text: &str) -> Option<(u64, Option<Duration>)> {
    let mut parts = text.split([';', ',']).map(str::trim);
    let count = parts.next()?.parse().ok()?;
    let window = parts.find_map(|part| part.strip_prefix("w=")?.parse().ok()).map(Duration::from_secs);
    Some((count, window))
}

/// The error body of the distribution specification, and that of OAuth 2.
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    errors: Vec<ErrorEntry>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_description: Option<String>,
    #[serde(default)]
    details: Option<String>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

fn read_errors(bytes: &[u8]) -> Vec<(String, String)> {
    let Ok(body) = serde_json::from_slice::<ErrorBody>(bytes) else { return Vec::new() };
    let mut said: Vec<_> = body.errors.iter().take(3).map(|entry| (quoted(&entry.code), quoted(&entry.message))).collect();
    if let Some(error) = body.error.or_else(|| body.details.clone()) {
        said.push((quoted(&error), body.error_description.as_deref().map_or(String::new(), quoted)));
    }
    said
}

/// What an error of the HTTP library means. Its own text is never used: it may hold the address with the query.
fn fault_of(error: &reqwest::Error) -> Fault {
    if let Some(tls) = tls_error(error) {
        return Fault::Untrusted(tls_words(tls));
    }
    let cause = root_cause(error);
    if error.is_connect() {
        Fault::Unreachable(if error.is_timeout() { "no connection was made in time".to_owned() } else { cause })
    } else if error.is_builder() {
        Fault::Protocol(cause)
    } else {
        Fault::Cut(cause)
    }
}

fn tls_words(error: &rustls::Error) -> String {
    use rustls::CertificateError as Bad;
    let rustls::Error::InvalidCertificate(bad) = error else {
        return match error {
            rustls::Error::InvalidMessage(_) => NO_TLS.to_owned(),
            rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired) => {
                "it wants to see a certificate, which `cert` and `key` of the `registry` name".to_owned()
            }
            other => quoted(&other.to_string()),
        };
    };
    match bad {
        Bad::Expired | Bad::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => "its certificate is not valid yet".to_owned(),
        Bad::UnknownIssuer => "its certificate is not signed by a CA that this machine knows".to_owned(),
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => "its certificate is for another host".to_owned(),
        Bad::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is that of a CA; a server needs one of its own, made with `basicConstraints=CA:FALSE`".to_owned()
        }
        other => quoted(&other.to_string()),
    }
}

fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // The source of an I/O error is that of the error inside it, so the inner one is looked at first.
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The innermost cause of an error.
fn root_cause(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else { return "the request failed".to_owned() };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    quoted(&words::cause(&cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_registries_write_them() {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        for (text, expected) in [
            ("100;w=21600", Some((100, hours(6)))),
            ("100", Some((100, None))),
            ("10, 10;w=3600", Some((10, hours(1)))),
            ("many", None),
            ("", None),
        ] {
            assert_eq!(read_limit(text), expected, "{text}");
        }
    }

    #[test]
    fn redirects_do_not_lead_out_of_https_or_to_strange_places() {
        let https: Url = "https://reg.example.com/v2/".parse().unwrap();
        let http: Url = "http://127.0.0.1:5000/v2/".parse().unwrap();
        for (from, to, follow, allowed) in [
            (&https, "https://cdn.example.com/blob?sig=1", Follow::Anywhere, true),
            (&https, "http://cdn.example.com/blob", Follow::Anywhere, false),
            (&http, "http://127.0.0.1:5001/blob", Follow::Anywhere, true),
            (&http, "https://cdn.example.com/blob", Follow::Anywhere, true),
            (&https, "file:///etc/passwd", Follow::Anywhere, false),
            (&https, "https://u:p@cdn.example.com/", Follow::Anywhere, false),
            (&https, "https://reg.example.com/other", Follow::SameOrigin, true),
            (&https, "https://reg.example.com:8443/other", Follow::SameOrigin, false),
            (&https, "https://reg.example.com/other", Follow::Never, false),
        ] {
            assert_eq!(next_hop(from, to.parse().unwrap(), follow).is_ok(), allowed, "{to}");
        }
    }

    #[test]
    fn error_bodies_are_read_shown_and_cut() {
        let long = "x".repeat(10_000);
        for (body, expected) in [
            (r#"{"errors":[{"code":"DENIED","message":"no","detail":{"a":1}}]}"#.to_owned(), vec![("DENIED", "no")]),
            (r#"{"errors":[{"code":"A\u001b[2J"}]}"#.to_owned(), vec![("A\\u{1b}[2J", "")]),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#.to_owned(), vec![("invalid_grant", "expired")]),
            (r#"{"details":"incorrect username or password"}"#.to_owned(), vec![("incorrect username or password", "")]),
            ("<html>".to_owned(), vec![]),
            (r#"{"errors":null}"#.to_owned(), vec![]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(code, message)| (code.to_owned(), message.to_owned())).collect();
            assert_eq!(read_errors(body.as_bytes()), expected, "{body}");
        }
        let said = read_errors(format!(r#"{{"errors":[{{"code":"A","message":"{long}"}}]}}"#).as_bytes());
        assert_eq!(said[0].1.chars().count(), 200);
    }
}
