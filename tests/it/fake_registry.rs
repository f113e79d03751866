//! A registry in this process that misbehaves on demand: it stores what it is given, records every request, and follows a
//! script of faults. In: [`Rule`]s. Out: a port on 127.0.0.1 and the list of requests. Never: more of HTTP/1.1 than kiln speaks.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use kiln::base::digest::{BlobDigest, Digest};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// The bytes of the body that arrived.
    pub body: usize,
    pub at: Instant,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What happens to a request instead of, or on top of, the right answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status, with these headers and this body.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// The right answer, with this header put in place of the registry's own.
    Header(&'static str, String),
    /// The right head, other bytes of the same number.
    OtherBytes,
    /// The right head, then the connection ends after this many bytes of the body.
    CutAnswer(usize),
    /// The connection ends after this many bytes of the request's body; an upload keeps them.
    CutRequest(usize),
    /// As [`Fault::CutRequest`], but the upload forgets everything.
    CutAndForget(usize),
    /// The request is carried out, but no answer comes.
    DoneButCut,
    /// The request is carried out, and the right answer comes when nobody waits for it any more.
    Late,
    /// A head, then one byte of body each 100 ms, without end.
    Trickle,
    /// A body without end, as fast as it is taken.
    Endless,
    /// Nothing at all.
    Silence,
    /// The token that came with the request, and every other one, is worth nothing any more.
    Expired,
}

/// A fault for the next requests that match.
#[derive(Debug, Clone)]
pub struct Rule {
    pub method: &'static str,
    /// A part of path and query.
    pub part: String,
    /// How many matching requests pass first.
    pub after: usize,
    /// How many are hit.
    pub times: usize,
    pub fault: Fault,
}

impl Rule {
    pub fn new(method: &'static str, part: impl Into<String>, fault: Fault) -> Self {
        Self { method, part: part.into(), after: 0, times: 1, fault }
    }
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }
    pub fn after(mut self, after: usize) -> Self {
        self.after = after;
        self
    }
}

/// A fault for one request, by its number among all requests to the registries that share the counter.
#[derive(Debug)]
pub struct Trip {
    seen: AtomicUsize,
    at: usize,
    fault: Fault,
    /// Whether the registry that is hit stays so.
    lasts: bool,
    hit: Mutex<String>,
}

impl Trip {
    pub fn new(at: usize, fault: Fault, lasts: bool) -> Arc<Self> {
        Arc::new(Self { seen: AtomicUsize::new(0), at, fault, lasts, hit: Mutex::default() })
    }
    /// Path and query of the request that was hit.
    pub fn hit(&self) -> String {
        self.hit.lock().unwrap().clone()
    }
    /// Requests so far.
    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }
}

/// How the registry wants to be authorised.
#[derive(Debug, Clone)]
pub enum Login {
    None,
    /// `user:password` with every request.
    Basic(&'static str),
    /// Tokens from `/token` of this server or of another one, worth `uses` requests each.
    Token {
        realm: String,
        uses: usize,
    },
}

#[derive(Default)]
pub struct State {
    pub blobs: HashMap<(String, String), Vec<u8>>,
    pub manifests: HashMap<(String, String), (String, Vec<u8>)>,
    pub uploads: HashMap<String, Vec<u8>>,
    pub seen: Vec<Seen>,
    pub rules: Vec<Rule>,
    pub trip: Option<Arc<Trip>>,
    /// What happens to every request, until somebody takes it away.
    pub down: Option<Fault>,
    /// Whether ranges of blobs are served.
    pub ranges: bool,
    /// Upload addresses lead here (`http://host:port`).
    pub upload_host: Option<String>,
    /// Whether mounts are carried out.
    pub mounts: bool,
    /// Whether lists of referrers are kept.
    pub referrers: bool,
    pub tokens: HashMap<String, usize>,
    login: Option<Login>,
    next: usize,
}

/// A registry on a port of its own, ended when dropped.
pub struct Fake {
    pub host: String,
    pub state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { ranges: true, ..State::default() }));
        let (shared, name) = (Arc::clone(&state), host.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, name) = (Arc::clone(&shared), name.clone());
                tokio::spawn(async move {
                    // A cut connection is what many tests want.
                    let _ = serve(stream, &shared, &name).await;
                });
            }
        });
        Self { host, state, task }
    }

    pub fn login(&self, login: Login) {
        self.state.lock().unwrap().login = Some(login);
    }
    pub fn rule(&self, rule: Rule) {
        self.state.lock().unwrap().rules.push(rule);
    }
    /// Requests so far, without the probe for the scheme.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.iter().filter(|seen| seen.target != "/v2/").cloned().collect()
    }
    pub fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }
    pub fn forget(&self) {
        self.state.lock().unwrap().seen.clear();
    }
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> BlobDigest {
        let digest = BlobDigest(Digest::of(bytes));
        self.state.lock().unwrap().blobs.insert((repository.to_owned(), digest.to_string()), bytes.to_vec());
        digest
    }
    pub fn put_manifest(&self, repository: &str, tag: Option<&str>, media_type: &str, bytes: &[u8]) -> BlobDigest {
        let digest = BlobDigest(Digest::of(bytes));
        let mut state = self.state.lock().unwrap();
        for name in [Some(digest.to_string()), tag.map(str::to_owned)].into_iter().flatten() {
            state.manifests.insert((repository.to_owned(), name), (media_type.to_owned(), bytes.to_vec()));
        }
        digest
    }
    pub fn tag(&self, repository: &str, tag: &str) -> Option<BlobDigest> {
        let state = self.state.lock().unwrap();
        state.manifests.get(&(repository.to_owned(), tag.to_owned())).map(|(_, bytes)| BlobDigest(Digest::of(bytes)))
    }
}

struct Head {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    length: usize,
}

#[derive(Debug, Default)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn reply(status: u16) -> Reply {
    Reply { status, ..Reply::default() }
}

impl Reply {
    fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
    fn error(status: u16, code: &str) -> Self {
        reply(status).body(format!(r#"{{"errors":[{{"code":"{code}","message":"{code} message"}}]}}"#))
    }
}

async fn read_head(stream: &mut TcpStream) -> io::Result<(Head, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    };
    let body = bytes.split_off(end + 4);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default().to_owned(), first.next().unwrap_or_default());
    // Whoever takes this for a proxy names the host, too.
    let behind_host = target.strip_prefix("http://").and_then(|rest| rest.find('/').map(|at| rest[at..].to_owned()));
    let target = behind_host.unwrap_or_else(|| target.to_owned());
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length")).and_then(|(_, value)| value.parse().ok());
    Ok((Head { method, target, headers, length: length.unwrap_or(0) }, body))
}

async fn serve(mut stream: TcpStream, shared: &Mutex<State>, host: &str) -> io::Result<()> {
    let (head, mut body) = read_head(&mut stream).await?;
    let fault = take_rule(&mut shared.lock().unwrap(), &head);
    let stop = match fault {
        Some(Fault::CutRequest(at) | Fault::CutAndForget(at)) => at.min(head.length),
        _ => head.length,
    };
    while body.len() < stop {
        let mut chunk = vec![0; (stop - body.len()).min(64 << 10)];
        match stream.read(&mut chunk).await? {
            0 => break,
            n => body.extend_from_slice(&chunk[..n]),
        }
    }
    body.truncate(stop);
    let (method, target, headers) = (head.method.clone(), head.target.clone(), head.headers.clone());
    let seen = Seen { method, target, headers, body: body.len(), at: Instant::now() };
    let reply = {
        let mut state = shared.lock().unwrap();
        state.seen.push(seen);
        if matches!(fault, Some(Fault::Expired)) {
            state.tokens.clear();
        }
        match &fault {
            Some(Fault::CutRequest(_)) => {
                keep_part(&mut state, &head, &body);
                return Ok(());
            }
            Some(Fault::CutAndForget(_)) => {
                state.uploads.remove(upload_id(&head.target));
                return Ok(());
            }
            Some(Fault::Answer(status, headers, body)) => Reply { status: *status, headers: headers.clone(), body: body.clone() },
            _ => answer(&mut state, &head, body, host),
        }
    };
    send(&mut stream, reply, fault, head.method == "HEAD").await
}

fn take_rule(state: &mut State, head: &Head) -> Option<Fault> {
    if let Some(trip) = &state.trip
        && trip.seen.fetch_add(1, Ordering::Relaxed) == trip.at
    {
        *trip.hit.lock().unwrap() = head.target.clone();
        if trip.lasts {
            state.down = Some(trip.fault.clone());
        }
        return Some(trip.fault.clone());
    }
    if state.down.is_some() {
        return state.down.clone();
    }
    let rule = state.rules.iter_mut().find(|rule| rule.times > 0 && rule.method == head.method && head.target.contains(&rule.part))?;
    if rule.after > 0 {
        rule.after -= 1;
        return None;
    }
    rule.times -= 1;
    Some(rule.fault.clone())
}

async fn send(stream: &mut TcpStream, reply: Reply, fault: Option<Fault>, head_only: bool) -> io::Result<()> {
    let mut reply = if reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        reply
    } else {
        let length = reply.body.len();
        reply.with("Content-Length", length)
    };
    let mut end = if head_only { 0 } else { reply.body.len() };
    match &fault {
        Some(Fault::DoneButCut) => return Ok(()),
        Some(Fault::Silence) => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            return Ok(());
        }
        // More than the patience of tests that play this.
        Some(Fault::Late) => tokio::time::sleep(Duration::from_millis(600)).await,
        Some(Fault::Header(name, value)) => reply = reply.with(name, value),
        Some(Fault::OtherBytes) => reply.body.iter_mut().for_each(|byte| *byte ^= 1),
        Some(Fault::CutAnswer(at)) => end = end.min(*at),
        Some(Fault::Trickle | Fault::Endless) => {
            reply.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
            end = 0;
        }
        _ => {}
    }
    let mut text = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(&reply.body[..end]).await?;
    stream.flush().await?;
    let limit = Instant::now() + Duration::from_secs(60);
    while matches!(fault, Some(Fault::Trickle | Fault::Endless)) && Instant::now() < limit {
        if matches!(fault, Some(Fault::Trickle)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.write_all(b" ").await?;
        } else {
            stream.write_all(&[b' '; 64 << 10]).await?;
        }
    }
    stream.shutdown().await
}

fn upload_id(target: &str) -> &str {
    target.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default()
}

fn keep_part(state: &mut State, head: &Head, body: &[u8]) {
    if let Some(upload) = state.uploads.get_mut(upload_id(&head.target)) {
        upload.extend_from_slice(body);
    }
}

/// The value of one field of the query, percent-decoded.
fn field(target: &str, name: &str) -> Option<String> {
    let url = reqwest::Url::parse(&format!("http://x{target}")).ok()?;
    url.query_pairs().find(|(given, _)| given == name).map(|(_, value)| value.into_owned())
}

fn answer(state: &mut State, head: &Head, body: Vec<u8>, host: &str) -> Reply {
    let path = head.target.split('?').next().unwrap_or_default().to_owned();
    if path == "/token" {
        return issue(state, host);
    }
    if let Some(refused) = check_login(state, head, host) {
        return refused;
    }
    let Some(rest) = path.strip_prefix("/v2/") else { return Reply::error(404, "NOT_FOUND") };
    if rest.is_empty() {
        return reply(200);
    }
    for (mark, handler) in [
        ("/blobs/uploads/", upload as fn(&mut State, &Head, &str, &str, Vec<u8>, &str) -> Reply),
        ("/blobs/", blob),
        ("/manifests/", manifest),
        ("/tags/", tags),
        ("/referrers/", referrers),
    ] {
        if let Some((repository, last)) = rest.split_once(mark) {
            return handler(state, head, repository, last, body, host);
        }
    }
    Reply::error(404, "NOT_FOUND")
}

fn issue(state: &mut State, host: &str) -> Reply {
    let uses = if let Some(Login::Token { uses, .. }) = &state.login { *uses } else { usize::MAX };
    state.next += 1;
    let token = format!("token-{host}-{}", state.next);
    state.tokens.insert(token.clone(), uses);
    reply(200).body(format!(r#"{{"token":"{token}","expires_in":300}}"#))
}

fn check_login(state: &mut State, head: &Head, _host: &str) -> Option<Reply> {
    let given = head.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")).map(|(_, value)| value.as_str());
    let refuse = |challenge: String| Some(Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge));
    match state.login.clone().unwrap_or(Login::None) {
        Login::None => None,
        Login::Basic(pair) => {
            use base64::Engine as _;
            let right = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
            if given == Some(&right) { None } else { refuse("Basic realm=\"fake\"".to_owned()) }
        }
        Login::Token { realm, .. } => {
            let left = given.and_then(|given| state.tokens.get_mut(given.strip_prefix("Bearer ")?));
            match left {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    None
                }
                _ => refuse(format!("Bearer realm=\"{realm}\",service=\"fake\"")),
            }
        }
    }
}

fn upload(state: &mut State, head: &Head, repository: &str, id: &str, body: Vec<u8>, _host: &str) -> Reply {
    let at = |state: &State, id: &str| format!("{}/v2/{repository}/blobs/uploads/{id}", state.upload_host.clone().unwrap_or_default());
    let range = |length: usize| format!("0-{}", length.saturating_sub(1));
    if head.method == "POST" {
        if let (Some(digest), Some(from), true) = (field(&head.target, "mount"), field(&head.target, "from"), state.mounts)
            && let Some(bytes) = state.blobs.get(&(from, digest.clone())).cloned()
        {
            state.blobs.insert((repository.to_owned(), digest.clone()), bytes);
            return reply(201).with("Location", format!("/v2/{repository}/blobs/{digest}"));
        }
        state.next += 1;
        let id = format!("u{}", state.next);
        state.uploads.insert(id.clone(), Vec::new());
        let location = at(state, &id);
        return reply(202).with("Location", format!("{location}?_state=abc"));
    }
    let location = at(state, id);
    let Some(bytes) = state.uploads.get_mut(id) else { return Reply::error(404, "BLOB_UPLOAD_UNKNOWN") };
    match head.method.as_str() {
        "GET" => reply(204).with("Location", location).with("Range", range(bytes.len())),
        "PATCH" => {
            let from = head.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-range"));
            let from: Option<usize> = from.and_then(|(_, value)| value.split('-').next()?.parse().ok());
            if from.is_some_and(|from| from != bytes.len()) {
                return Reply::error(416, "BLOB_UPLOAD_INVALID").with("Range", range(bytes.len()));
            }
            bytes.extend(body);
            reply(202).with("Location", location).with("Range", range(bytes.len()))
        }
        "PUT" => {
            bytes.extend(body);
            let bytes = state.uploads.remove(id).unwrap_or_default();
            let digest = field(&head.target, "digest").unwrap_or_default();
            if BlobDigest(Digest::of(&bytes)).to_string() != digest {
                return Reply::error(400, "DIGEST_INVALID");
            }
            state.blobs.insert((repository.to_owned(), digest), bytes);
            reply(201)
        }
        _ => Reply::error(405, "UNSUPPORTED"),
    }
}

fn blob(state: &mut State, head: &Head, repository: &str, digest: &str, _body: Vec<u8>, _host: &str) -> Reply {
    let Some(bytes) = state.blobs.get(&(repository.to_owned(), digest.to_owned())) else { return Reply::error(404, "BLOB_UNKNOWN") };
    let range = head.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("range")).map(|(_, value)| value);
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match from.filter(|_| state.ranges) {
        Some(from) if from >= bytes.len() => Reply::error(416, "RANGE"),
        Some(from) => {
            reply(206).with("Content-Range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())).body(bytes[from..].to_vec())
        }
        None => reply(200).with("Docker-Content-Digest", digest).body(bytes.clone()),
    }
}

fn manifest(state: &mut State, head: &Head, repository: &str, name: &str, body: Vec<u8>, _host: &str) -> Reply {
    let key = (repository.to_owned(), name.to_owned());
    if head.method != "PUT" {
        return match state.manifests.get(&key) {
            Some((media_type, bytes)) => reply(200)
                .with("Content-Type", media_type)
                .with("Docker-Content-Digest", Digest::<kiln::base::digest::Sha256>::of(bytes))
                .body(bytes.clone()),
            None => Reply::error(404, "MANIFEST_UNKNOWN"),
        };
    }
    let media_type = head.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")).map_or("", |(_, value)| value);
    if let Some(missing) = missing_part(state, repository, &body) {
        return Reply::error(400, "MANIFEST_BLOB_UNKNOWN").with("X-Missing", missing);
    }
    let digest = BlobDigest(Digest::of(&body)).to_string();
    state.manifests.insert((repository.to_owned(), digest.clone()), (media_type.to_owned(), body.clone()));
    state.manifests.insert(key, (media_type.to_owned(), body));
    reply(201).with("Docker-Content-Digest", digest).with("Location", format!("/v2/{repository}/manifests/{name}"))
}

/// The first digest that a document names and the repository does not have.
fn missing_part(state: &State, repository: &str, body: &[u8]) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(body).ok()?;
    let digests = |part: &serde_json::Value| part["digest"].as_str().map(str::to_owned);
    let list = |name: &str| document[name].as_array().cloned().unwrap_or_default();
    let blobs = list("layers").iter().chain([&document["config"]]).filter_map(digests).collect::<Vec<_>>();
    let manifests = list("manifests").iter().filter_map(digests).collect::<Vec<_>>();
    let key = |digest: &String| (repository.to_owned(), digest.clone());
    blobs
        .into_iter()
        .find(|digest| !state.blobs.contains_key(&key(digest)))
        .or_else(|| manifests.into_iter().find(|digest| !state.manifests.contains_key(&key(digest))))
}

fn tags(state: &mut State, head: &Head, repository: &str, _last: &str, _body: Vec<u8>, _host: &str) -> Reply {
    let mut all: Vec<&String> =
        state.manifests.keys().filter(|(own, name)| own == repository && !name.contains(':')).map(|(_, name)| name).collect();
    if all.is_empty() {
        return Reply::error(404, "NAME_UNKNOWN");
    }
    all.sort();
    let last = field(&head.target, "last").unwrap_or_default();
    let page: Vec<_> = all.into_iter().filter(|name| **name > last).collect();
    let shown: Vec<_> = page.iter().take(2).collect();
    let body = serde_json::json!({ "name": repository, "tags": shown }).to_string();
    let answer = reply(200).body(body);
    if page.len() > 2 { answer.with("Link", format!("</v2/{repository}/tags/list?n=2&last={}>; rel=\"next\"", shown[1])) } else { answer }
}

/// The manifests that name an image as their subject, two a page.
fn referrers(state: &mut State, head: &Head, repository: &str, image: &str, _body: Vec<u8>, _host: &str) -> Reply {
    if !state.referrers {
        return Reply::error(404, "NOT_FOUND");
    }
    let mut all = Vec::new();
    for ((own, name), (media_type, bytes)) in &state.manifests {
        let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        if own == repository && name.contains(':') && document["subject"]["digest"] == *image {
            all.push(serde_json::json!({
                "mediaType": media_type,
                "digest": name,
                "size": bytes.len(),
                "artifactType": document["artifactType"],
                "annotations": document["annotations"].as_object().cloned().unwrap_or_default(),
            }));
        }
    }
    all.sort_by_key(|entry| entry["digest"].to_string());
    let from: usize = field(&head.target, "from").and_then(|from| from.parse().ok()).unwrap_or(0);
    let page: Vec<_> = all.iter().skip(from).take(2).collect();
    let index = "application/vnd.oci.image.index.v1+json";
    let body = serde_json::json!({ "schemaVersion": 2, "mediaType": index, "manifests": page }).to_string();
    let answer = reply(200).with("Content-Type", index).body(body);
    let next = format!("</v2/{repository}/referrers/{image}?from={}>; rel=\"next\"", from + 2);
    if all.len() > from + 2 { answer.with("Link", next) } else { answer }
}
