//! The registry client against a registry that misbehaves on demand: every row of the fault table that a server can cause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kiln::base::digest::{BlobDigest, Digest, Sha256};
use kiln::base::path::AbsPath;
use kiln::engine::blobs::StoreBlobs;
use kiln::oci::descriptor::{Descriptor, PlatformObject};
use kiln::oci::manifest::{self, Index, Manifest};
use kiln::oci::media_type;
use kiln::oci::reference::{Reference, Repository, Tag};
use kiln::registry::auth::credentials::{Anonymous, Credential, CredentialError, CredentialSource};
use kiln::registry::client::Options;
use kiln::registry::error::{Fault, RegistryError};
use kiln::registry::retry::Patience;
use kiln::registry::session::Session;
use kiln::registry::tags::TagOutcome;
use kiln::store::local::Store;

use super::fake_registry::{Fake, Fault as Play, Login, Rule};

/// One credential for every host, as a canary: whoever sees it was sent it.
struct Canary(&'static str, &'static str);

impl CredentialSource for Canary {
    fn credential<'a>(
        &'a self,
        _host: &'a str,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Credential, CredentialError>> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(Credential::password(self.0, self.1))))
    }
}

/// A store of its own in a temporary folder.
pub struct Bench {
    _folder: tempfile::TempDir,
    pub store: Store,
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(AbsPath::new(folder.path()).unwrap().join("store")).unwrap();
        Self { _folder: folder, store }
    }

    /// A session with short pauses, and limits that a busy machine does not reach.
    pub fn session(&self, auth: Arc<dyn CredentialSource>) -> Session {
        self.session_with(auth, Patience { pause: Duration::from_millis(5), ..Patience::default() })
    }
    pub fn session_with(&self, auth: Arc<dyn CredentialSource>, patience: Patience) -> Session {
        Session::new(Options { patience, ..Options::new(auth) }, Arc::new(StoreBlobs(self.store.clone())))
    }

    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        self.store.put::<Sha256>(bytes).unwrap();
        Descriptor::of(media_type, bytes)
    }
    pub fn image(&self, platform: &str, layers: &[&[u8]]) -> Descriptor {
        let object = PlatformObject::from(&platform.parse().unwrap());
        let config = serde_json::json!({"architecture": object.architecture, "os": object.os, "variant": object.variant,
            "rootfs": {"type": "layers", "diff_ids": []}});
        let config = self.blob(media_type::CONFIG, &serde_json::to_vec(&config).unwrap());
        let layers = layers.iter().map(|layer| self.blob(media_type::LAYER, layer)).collect();
        self.blob(media_type::MANIFEST, &manifest::bytes(&Manifest::new(config, layers)))
    }
    pub fn index(&self, images: &[(&str, Descriptor)]) -> Descriptor {
        let named = |(platform, image): &(&str, Descriptor)| {
            let platform = platform.parse().ok().map(|platform| PlatformObject::from(&platform));
            Descriptor { platform, ..image.clone() }
        };
        self.blob(media_type::INDEX, &manifest::bytes(&Index::new(images.iter().map(named).collect())))
    }
    pub fn has(&self, digest: BlobDigest) -> bool {
        self.store.size_of(digest.0).is_some()
    }
    fn is_empty(&self) -> bool {
        let files = |folder: &str| {
            let path = self.store.root().join(folder);
            std::fs::read_dir(path.as_path()).map_or(0, Iterator::count)
        };
        files("blobs") == 0 && files("tmp") == 0
    }
}

fn impatient() -> Patience {
    let second = Duration::from_secs(1);
    Patience { connect: second, answer: second, idle: second, settle: second, pause: Duration::from_millis(5), budget: 3 * second }
}

pub fn nobody() -> Arc<dyn CredentialSource> {
    Arc::new(Anonymous)
}
fn canary() -> Arc<dyn CredentialSource> {
    Arc::new(Canary("kiln", "canary-password"))
}

fn repository(fake: &Fake, name: &str) -> Repository {
    format!("{}/{name}", fake.host).parse().unwrap()
}
fn reference(fake: &Fake, text: &str) -> Reference {
    format!("{}/{text}", fake.host).parse().unwrap()
}
pub fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

/// Bytes that do not repeat.
pub fn noise(size: usize) -> Vec<u8> {
    let mut state = size as u64 | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

/// Puts an image of one layer at the fake registry, and only there.
pub fn remote_image(fake: &Fake, name: &str, tag: &str, platform: &str, layer: &[u8]) -> Descriptor {
    let elsewhere = Bench::new();
    let image = elsewhere.image(platform, &[layer]);
    upload_all(fake, name, &elsewhere, &image, Some(tag));
    image
}

/// Copies a document and what it names to the fake registry.
fn upload_all(fake: &Fake, name: &str, bench: &Bench, document: &Descriptor, tag: Option<&str>) {
    let bytes = bench.store.read(document.digest.0, manifest::LIMIT).unwrap();
    match manifest::read(&document.media_type, &bytes).unwrap() {
        manifest::Document::Manifest(manifest) => {
            for part in manifest.layers.iter().chain([&manifest.config]) {
                fake.put_blob(name, &bench.store.read(part.digest.0, u64::MAX).unwrap());
            }
        }
        manifest::Document::Index(index) => {
            for child in &index.manifests {
                upload_all(fake, name, bench, child, None);
            }
        }
    }
    fake.put_manifest(name, tag, &document.media_type, &bytes);
}

fn fault(error: &RegistryError) -> &Fault {
    &error.fault
}

// --- mirrors, proxies, limits ---

/// A session that may read from a mirror of this registry.
fn mirrored(bench: &Bench, home: &str, mirrors: &[&str]) -> Session {
    let mirrors = mirrors.iter().map(|place| (home.to_owned(), (*place).to_owned())).collect();
    let patience = Patience { pause: Duration::from_millis(5), ..impatient() };
    Session::new(Options { mirrors, patience, ..Options::new(nobody()) }, Arc::new(StoreBlobs(bench.store.clone())))
}

#[tokio::test]
async fn registry_what_is_named_by_digest_comes_from_a_mirror_and_the_digest_decides() {
    let platform = "linux/amd64".parse().unwrap();
    for play in [None, Some(Play::OtherBytes), Some(Play::Answer(404, vec![], vec![])), Some(Play::Answer(500, vec![], vec![]))] {
        let (home, mirror) = (Fake::start().await, Fake::start().await);
        let image = remote_image(&home, "web", "v1", "linux/amd64", b"layer");
        remote_image(&mirror, "hub/web", "v1", "linux/amd64", b"layer");
        let broken = play.is_some();
        play.into_iter().for_each(|play| mirror.rule(Rule::new("GET", "/v2/hub/", play).times(usize::MAX)));
        let bench = Bench::new();
        // One that is not there costs nobody the pull.
        let session = mirrored(&bench, &home.host, &["127.0.0.1:1/none", &format!("{}/hub", mirror.host)]);
        let pinned = reference(&home, &format!("web@{}", image.digest));
        let pulled = session.pull(&pinned, &platform).await.unwrap();
        assert!(pulled.blobs.iter().all(|blob| bench.has(*blob)) && pulled.descriptor.digest == image.digest);
        assert_eq!(home.lines().is_empty(), !broken, "{:?}", home.lines());
        assert!(!mirror.lines().is_empty());
    }
}

#[tokio::test]
async fn registry_what_a_tag_names_is_asked_of_a_mirror_only_where_the_registry_is_silent() {
    let (home, mirror) = (Fake::start().await, Fake::start().await);
    let image = remote_image(&home, "web", "v1", "linux/amd64", b"new");
    let behind = remote_image(&mirror, "web", "v1", "linux/amd64", b"old");
    let session = |bench: &Bench| mirrored(bench, &home.host, &[&mirror.host]);
    assert_eq!(session(&Bench::new()).resolve(&reference(&home, "web:v1")).await.unwrap().digest, image.digest);
    assert_eq!(mirror.lines(), Vec::<String>::new());
    home.rule(Rule::new("HEAD", "/v2/", Play::Answer(503, vec![], vec![])).times(usize::MAX));
    assert_eq!(session(&Bench::new()).resolve(&reference(&home, "web:v1")).await.unwrap().digest, behind.digest);
    // A registry that says no is not asked behind its back.
    let unknown = reference(&home, &format!("web@sha256:{}", "0".repeat(64)));
    let error = session(&Bench::new()).resolve(&unknown).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::Missing(_)));
}

#[tokio::test]
async fn registry_that_limits_requests_says_how_many_it_allows() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let headers = vec![("RateLimit-Limit".to_owned(), "100;w=21600".to_owned()), ("Retry-After".to_owned(), "900".to_owned())];
    fake.rule(Rule::new("HEAD", "/v2/", Play::Answer(429, headers, vec![])).times(usize::MAX));
    let error = bench.session(nobody()).resolve(&reference(&fake, "web:v1")).await.unwrap_err().diagnostic();
    let help = error.help.unwrap();
    assert!(help.contains("asks to wait 15 m") && help.contains("it allows 100 requests in 6 h"), "{help}");
}

// --- the plain way ---

#[tokio::test]
async fn registry_a_pushed_image_is_pulled_with_the_same_bytes_and_pushed_again_by_asking_alone() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let images =
        ["linux/amd64", "linux/arm64", "linux/arm/v6"].map(|platform| (platform, bench.image(platform, &[b"shared", platform.as_bytes()])));
    let index = bench.index(&images);
    let session = bench.session(nobody());
    let web = repository(&fake, "acme/web");

    let report = session.push(&web, &index, &[]).await.unwrap();
    assert_eq!((report.sent, report.existing, report.mounted), (11, 0, 0));
    assert_eq!(fake.tag("acme/web", "v1"), None, "a push moves no tag");
    assert_eq!(session.tag(&web, &tag("v1"), &index).await.unwrap(), TagOutcome::Moved { from: None });

    fake.forget();
    let report = session.push(&web, &index, &[]).await.unwrap();
    assert_eq!((report.sent, report.existing, report.bytes), (0, 11, 0));
    assert_eq!(session.tag(&web, &tag("v1"), &index).await.unwrap(), TagOutcome::Already);
    assert!(fake.lines().iter().all(|line| line.starts_with("HEAD ")), "{:?}", fake.lines());

    let other = Bench::new();
    let pulled = other.session(nobody()).pull(&reference(&fake, "acme/web:v1"), &"linux/arm/v7".parse().unwrap()).await.unwrap();
    assert_eq!((pulled.root, pulled.descriptor.digest, pulled.mutable), (index, images[2].1.digest, true));
    assert_eq!(pulled.blobs.len(), 4);
    assert!(pulled.blobs.iter().all(|blob| other.has(*blob)));

    fake.forget();
    other.session(nobody()).pull(&reference(&fake, "acme/web:v1"), &"linux/arm/v7".parse().unwrap()).await.unwrap();
    assert_eq!(fake.lines(), ["HEAD /v2/acme/web/manifests/v1"], "what the store has is not asked for");
}

#[tokio::test]
async fn registry_documents_are_sent_in_the_order_in_which_they_depend_on_each_other() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let index = bench.index(&[("linux/amd64", bench.image("linux/amd64", &[b"a"])), ("linux/arm64", bench.image("linux/arm64", &[b"b"]))]);
    bench.session(nobody()).push(&repository(&fake, "x"), &index, &[]).await.unwrap();
    let puts: Vec<String> = fake.lines().into_iter().filter(|line| line.starts_with("PUT ")).collect();
    let kinds: Vec<bool> = puts.iter().map(|line| line.contains("/manifests/")).collect();
    assert_eq!(kinds, [false, false, false, false, true, true, true]);
    assert!(puts[6].ends_with(&index.digest.to_string()));
}

#[tokio::test]
async fn registry_that_sees_the_parts_of_a_document_a_little_later_is_asked_again_and_not_for_ever() {
    let body = br#"{"errors":[{"code":"DIGEST_INVALID"},{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#.to_vec();
    for (times, sent) in [(2, true), (100, false)] {
        let (fake, bench) = (Fake::start().await, Bench::new());
        let image = bench.image("linux/amd64", &[b"layer"]);
        fake.rule(Rule::new("PUT", "/manifests/", Play::Answer(400, vec![], body.clone())).times(times));
        let pushed = bench.session(nobody()).push(&repository(&fake, "x"), &image, &[]).await;
        assert_eq!(pushed.is_ok(), sent, "{pushed:?}");
        let puts = fake.lines().iter().filter(|line| line.starts_with("PUT") && line.contains("/manifests/")).count();
        assert_eq!(puts, if sent { 3 } else { 4 });
    }
}

#[tokio::test]
async fn registry_that_answers_400_to_a_name_is_not_taken_for_one_that_speaks_tls() {
    // A push asks for its own document first; what any registry answers decides. The real registry with TLS answers 400 to that, too.
    let (fake, bench) = (Fake::start().await, Bench::new());
    let image = bench.image("linux/amd64", &[b"layer"]);
    let body = br#"{"errors":[{"code":"NAME_INVALID","message":"invalid repository name"}]}"#.to_vec();
    fake.rule(Rule::new("HEAD", "/manifests/", Play::Answer(400, vec![], body.clone())));
    let report = bench.session(nobody()).push(&repository(&fake, "x"), &image, &[]).await.unwrap();
    assert_eq!(report.sent, 3);
    // Where it says so every time, that is what is wrong.
    let fake = Fake::start().await;
    fake.rule(Rule::new("HEAD", "/v2/x/", Play::Answer(400, vec![], body.clone())).times(usize::MAX));
    let error = bench.session(nobody()).push(&repository(&fake, "x"), &image, &[]).await.unwrap_err();
    assert!(matches!(&*error.fault, Fault::Status(refusal) if refusal.status == 400), "{error:?}");
}

// --- X14: what was done is not done again ---

#[tokio::test]
async fn registry_whose_answers_are_lost_is_sent_nothing_twice() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let session = bench.session(nobody());
    let web = repository(&fake, "x");
    let image = bench.image("linux/amd64", &[b"layer"]);
    fake.rule(Rule::new("PUT", "/", Play::DoneButCut).times(usize::MAX));
    let report = session.push(&web, &image, &[]).await.unwrap();
    assert_eq!((report.sent, report.existing), (3, 0));
    assert_eq!(session.tag(&web, &tag("v1"), &image).await.unwrap(), TagOutcome::Moved { from: None });
    let puts: Vec<String> = fake.lines().into_iter().filter(|line| line.starts_with("PUT")).collect();
    assert_eq!(puts.len(), 4, "layer, config, manifest and tag, each once: {puts:?}");
    // One that was not carried out is carried out by the next attempt.
    fake.state.lock().unwrap().rules.clear();
    fake.forget();
    let other = bench.image("linux/amd64", &[b"other"]);
    session.push(&web, &other, &[]).await.unwrap();
    fake.rule(Rule::new("PUT", "manifests/v1", Play::CutRequest(1)));
    session.tag(&web, &tag("v1"), &other).await.unwrap();
    let puts = fake.lines().iter().filter(|line| line.ends_with("manifests/v1") && line.starts_with("PUT")).count();
    assert_eq!((puts, fake.tag("x", "v1")), (2, Some(other.digest)));
}

// --- R1, R5, R15: slow, busy, endless ---

#[tokio::test]
async fn registry_busy_answers_are_tried_again_after_the_time_that_was_asked_for() {
    for status in [408, 429, 500, 502, 503, 504] {
        let fake = Fake::start().await;
        let image = remote_image(&fake, "x", "v1", "linux/amd64", b"layer");
        let wait = if status == 429 { "1" } else { "0" };
        fake.rule(Rule::new("HEAD", "manifests/v1", Play::Answer(status, vec![("Retry-After".into(), wait.into())], vec![])).times(2));
        let found = Bench::new().session(nobody()).resolve(&reference(&fake, "x:v1")).await.unwrap();
        assert_eq!(found, image, "{status}");
        let heads: Vec<Instant> = fake.seen().iter().filter(|seen| seen.method == "HEAD").map(|seen| seen.at).collect();
        assert_eq!(heads.len(), 3, "{status}");
        let least = Duration::from_secs(if status == 429 { 1 } else { 0 });
        assert!(heads.windows(2).all(|two| two[1] - two[0] >= least), "{status}: {heads:?}");
    }
}

#[tokio::test]
async fn registry_other_refusals_are_final_and_the_budget_ends_the_rest() {
    let check = async |status: u16, wait: &str, expected: usize| {
        let fake = Fake::start().await;
        let headers = vec![("Retry-After".to_owned(), wait.to_owned())];
        fake.rule(Rule::new("HEAD", "manifests/v1", Play::Answer(status, headers, vec![])).times(100));
        let start = Instant::now();
        let error = Bench::new().session_with(nobody(), impatient()).resolve(&reference(&fake, "x:v1")).await.unwrap_err();
        assert_eq!((error.status(), fake.seen().len()), (Some(status), expected), "{status}");
        assert_eq!(error.attempts as usize, expected);
        assert!(start.elapsed() < Duration::from_secs(4));
    };
    for status in [400, 403, 409, 418, 501] {
        check(status, "0", 1).await;
    }
    check(429, "3600", 1).await;
    check(503, "2", 2).await;
}

#[tokio::test]
async fn registry_that_sends_next_to_nothing_is_given_up_in_time() {
    let check = async |(method, part, play): (&'static str, &str, Play)| {
        let fake = Fake::start().await;
        remote_image(&fake, "x", "v1", "linux/amd64", &noise(5000));
        fake.rule(Rule::new(method, part, play.clone()).times(100));
        let bench = Bench::new();
        let patience = Patience { budget: Duration::from_millis(1500), ..impatient() };
        let start = Instant::now();
        let session = bench.session_with(nobody(), patience);
        let error = session.pull(&reference(&fake, "x:v1"), &"linux/amd64".parse().unwrap()).await.unwrap_err();
        assert!(matches!(fault(&error), Fault::Silent(_)), "{method} {part} {play:?}: {error}");
        assert!(start.elapsed() < Duration::from_secs(5), "{method} {part} {play:?}: {:?}", start.elapsed());
    };
    let cases = [
        ("HEAD", "manifests", Play::Silence),
        ("GET", "manifests", Play::Silence),
        ("GET", "manifests", Play::Trickle),
        ("GET", "blobs", Play::Silence),
        ("GET", "blobs", Play::Trickle),
    ];
    futures_util::future::join_all(cases.map(check)).await;
}

#[tokio::test]
async fn registry_answers_without_end_are_cut_off() {
    let fake = Fake::start().await;
    remote_image(&fake, "x", "v1", "linux/amd64", b"layer");
    fake.rule(Rule::new("GET", "manifests", Play::Endless).times(100));
    fake.rule(Rule::new("GET", "tags", Play::Endless).times(100));
    let session = Bench::new().session(nobody());
    let error = session.resolve(&reference(&fake, "x:v1")).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::TooLarge(_)), "{error}");
    let error = session.tags(&repository(&fake, "x")).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::TooLarge(_)), "{error}");

    let fake = Fake::start().await;
    remote_image(&fake, "x", "v1", "linux/amd64", b"layer");
    fake.rule(Rule::new("GET", "blobs", Play::Endless).times(100));
    let bench = Bench::new();
    let error = bench.session(nobody()).pull(&reference(&fake, "x:v1"), &"linux/amd64".parse().unwrap()).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::Digest { .. }), "{error}");

    let fake = Fake::start().await;
    fake.login(Login::Token { realm: format!("http://{}/token", fake.host), uses: 9 });
    fake.rule(Rule::new("GET", "/token", Play::Endless).times(100));
    let error = Bench::new().session(nobody()).resolve(&reference(&fake, "x:v1")).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::TokenServer(_, inner) if matches!(**inner, Fault::TooLarge(_))), "{error}");
}

// --- R2, R3: broken connections ---

#[tokio::test]
async fn registry_upload_cut_anywhere_arrives_with_at_most_twice_the_bytes() {
    let layer = noise(400_000);
    let tenth = layer.len() / 10;
    for offset in (0..10).map(|n| n * tenth + 1) {
        for play in [Play::CutRequest(offset), Play::CutAndForget(offset), Play::DoneButCut] {
            let (fake, bench) = (Fake::start().await, Bench::new());
            let image = bench.image("linux/amd64", &[&layer]);
            let digest = BlobDigest(Digest::of(&layer));
            let blob = digest.to_string().replace(':', "%3A");
            fake.rule(Rule::new("PUT", &blob, play.clone()));
            let report = bench.session(nobody()).push(&repository(&fake, "x"), &image, &[]).await.unwrap();
            let arrived: usize = fake.seen().iter().filter(|seen| seen.target.contains("uploads")).map(|seen| seen.body).sum();
            assert!(arrived <= layer.len() * 2, "{play:?}: {arrived} of {}", layer.len());
            assert!(report.bytes <= layer.len() as u64 * 2 + 2000, "{play:?}: {report:?}");
            let state = fake.state.lock().unwrap();
            assert!(state.blobs.get(&("x".to_owned(), digest.to_string())) == Some(&layer), "{play:?}");
        }
    }
}

#[tokio::test]
async fn registry_that_refuses_large_requests_gets_chunks() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let layer = noise(18 << 20);
    let image = bench.image("linux/amd64", &[&layer]);
    let blob = BlobDigest(Digest::of(&layer)).to_string().replace(':', "%3A");
    fake.rule(Rule::new("PUT", &blob, Play::Answer(413, vec![], vec![])));
    fake.rule(Rule::new("PATCH", "uploads", Play::CutRequest(1 << 20)).after(1));
    let report = bench.session(nobody()).push(&repository(&fake, "x"), &image, &[]).await.unwrap();
    assert_eq!(report.sent, 3);
    let patches: Vec<usize> = fake.seen().iter().filter(|seen| seen.method == "PATCH").map(|seen| seen.body >> 20).collect();
    assert_eq!(patches, [16, 1, 1]);
}

#[tokio::test]
async fn registry_that_forgets_an_upload_gets_another_but_not_for_ever() {
    let unknown = || Play::Answer(404, vec![], br#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#.to_vec());
    for (play, times, good) in [(unknown(), 2, true), (unknown(), 100, false), (Play::Answer(416, vec![], vec![]), 1, true)] {
        let (fake, bench) = (Fake::start().await, Bench::new());
        let image = bench.image("linux/amd64", &[]);
        fake.rule(Rule::new("PUT", "uploads", play).times(times));
        let outcome = bench.session(nobody()).push(&repository(&fake, "x"), &image, &[]).await;
        assert_eq!(outcome.is_ok(), good, "{outcome:?}");
        assert!(fake.seen().iter().filter(|seen| seen.method == "POST").count() <= 4, "{:?}", fake.lines());
    }
}

#[tokio::test]
async fn registry_download_cut_anywhere_is_taken_up_and_never_leaves_a_short_blob() {
    let layer = noise(300_000);
    let tenth = layer.len() / 10;
    for ranges in [true, false] {
        for offset in (0..10).map(|n| n * tenth + 1) {
            let (fake, bench) = (Fake::start().await, Bench::new());
            remote_image(&fake, "x", "v1", "linux/amd64", &layer);
            fake.state.lock().unwrap().ranges = ranges;
            let digest = BlobDigest(Digest::of(&layer));
            fake.rule(Rule::new("GET", digest.to_string(), Play::CutAnswer(offset)));
            bench.session(nobody()).pull(&reference(&fake, "x:v1"), &"linux/amd64".parse().unwrap()).await.unwrap();
            assert!(bench.store.read(digest.0, u64::MAX).unwrap() == layer, "{offset}");
            let gets: Vec<_> = fake.seen().into_iter().filter(|seen| seen.target.ends_with(&digest.to_string())).collect();
            assert_eq!(gets.len(), 2);
            assert!(gets[1].header("range").is_some_and(|range| range != "bytes=0-"), "{:?}", gets[1]);
        }
    }
}

#[tokio::test]
async fn registry_a_layer_that_two_images_share_is_fetched_once() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let layer = noise(100_000);
    remote_image(&fake, "x", "amd", "linux/amd64", &layer);
    remote_image(&fake, "x", "arm", "linux/arm64", &layer);
    let session = bench.session(nobody());
    let pull = async |name: &str, platform: &str| session.pull(&reference(&fake, name), &platform.parse().unwrap()).await;
    let (amd, arm) = tokio::join!(pull("x:amd", "linux/amd64"), pull("x:arm", "linux/arm64"));
    assert!(amd.is_ok() && arm.is_ok());
    let digest = BlobDigest(Digest::of(&layer)).to_string();
    assert_eq!(fake.lines().iter().filter(|line| line.ends_with(&digest)).count(), 1);
}

#[tokio::test]
async fn registry_download_that_never_ends_well_leaves_nothing() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let layer = noise(10_000);
    remote_image(&fake, "x", "v1", "linux/amd64", &layer);
    let digest = BlobDigest(Digest::of(&layer));
    fake.rule(Rule::new("GET", digest.to_string(), Play::CutAnswer(0)).times(100_000));
    let error =
        bench.session_with(nobody(), impatient()).pull(&reference(&fake, "x:v1"), &"linux/amd64".parse().unwrap()).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::Cut(_)), "{error}");
    assert!(!bench.has(digest));
}

// --- R4, R16, R17, R24: content that is not what it should be ---

#[tokio::test]
async fn registry_content_that_is_not_what_was_announced_is_refused_and_not_kept() {
    let other = format!("sha256:{}", "1".repeat(64));
    for (method, part, play) in [
        ("GET", "blobs", Play::OtherBytes),
        ("GET", "blobs", Play::Header("Content-Length", "3".into())),
        ("GET", "manifests", Play::OtherBytes),
        ("GET", "manifests", Play::Header("Docker-Content-Digest", other.clone())),
        ("GET", "manifests", Play::Header("Docker-Content-Digest", "sha256:../../x".into())),
        ("GET", "manifests", Play::Header("Content-Type", media_type::INDEX.into())),
        ("GET", "manifests", Play::Header("Content-Type", "text/html".into())),
    ] {
        let (fake, bench) = (Fake::start().await, Bench::new());
        let image = remote_image(&fake, "x", "v1", "linux/amd64", &noise(5000));
        fake.rule(Rule::new(method, part, play.clone()).times(100));
        let error = bench.session(nobody()).pull(&reference(&fake, "x:v1"), &"linux/amd64".parse().unwrap()).await.unwrap_err();
        assert!(matches!(fault(&error), Fault::Digest { .. } | Fault::Protocol(_)), "{part} {play:?}: {error}");
        assert!(bench.is_empty() || part == "blobs" && bench.has(image.digest), "{part} {play:?}");
    }
}

#[tokio::test]
async fn registry_a_pinned_digest_is_kept_to() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let old = remote_image(&fake, "x", "v1", "linux/amd64", b"old");
    let new = remote_image(&fake, "x", "v1", "linux/amd64", b"new");
    let pinned = reference(&fake, &format!("x:v1@{}", old.digest));
    assert_eq!(bench.session(nobody()).resolve(&pinned).await.unwrap().digest, old.digest, "the digest counts, not the tag");
    // The registry serves other content under the old digest.
    let swapped = {
        let mut state = fake.state.lock().unwrap();
        let evil = state.manifests[&("x".to_owned(), new.digest.to_string())].clone();
        state.manifests.insert(("x".to_owned(), old.digest.to_string()), evil)
    };
    assert!(swapped.is_some());
    let other = Bench::new();
    let error = other.session(nobody()).resolve(&pinned).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::Digest { .. }), "{error}");
    assert!(other.is_empty());
}

#[tokio::test]
async fn registry_documents_that_are_two_things_are_refused() {
    let bench = Bench::new();
    let image = bench.image("linux/amd64", &[b"a"]);
    let bytes = bench.store.read(image.digest.0, manifest::LIMIT).unwrap();
    let mut both: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    both["manifests"] = serde_json::json!([]);
    let fake = Fake::start().await;
    fake.put_manifest("x", Some("both"), media_type::MANIFEST, &serde_json::to_vec(&both).unwrap());
    fake.put_manifest("x", Some("schema1"), "application/vnd.docker.distribution.manifest.v1+prettyjws", b"{}");
    fake.put_manifest("x", Some("plain"), "application/json", &bytes);
    for (name, good) in [("both", false), ("schema1", false), ("plain", true)] {
        let found = Bench::new().session(nobody()).resolve(&reference(&fake, &format!("x:{name}"))).await;
        assert_eq!(found.is_ok(), good, "{name}: {found:?}");
    }
}

#[tokio::test]
async fn registry_indexes_are_searched_with_bounds_and_unknown_entries_are_passed_over() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let (amd, arm) = (bench.image("linux/amd64", &[b"a"]), bench.image("linux/arm64", &[b"b"]));
    let attestation = Descriptor {
        platform: Some(serde_json::from_str(r#"{"os":"unknown","architecture":"unknown"}"#).unwrap()),
        ..bench.image("linux/amd64", &[b"attestation"])
    };
    let strange = Descriptor::of("application/x-strange", b"{}");
    fake.put_blob("x", b"{}");
    let inner = bench.index(&[("linux/arm64", arm.clone())]);
    let entries = vec![strange, attestation.clone(), inner, Descriptor { platform: None, ..amd.clone() }];
    let outer = bench.blob(media_type::INDEX, &manifest::bytes(&Index::new(entries)));
    for document in [&amd, &arm, &attestation] {
        upload_all(&fake, "x", &bench, &Descriptor { platform: None, ..document.clone() }, None);
    }
    for (digest, tag) in [(bench.index(&[("linux/arm64", arm.clone())]).digest, None), (outer.digest, Some("v1"))] {
        fake.put_manifest("x", tag, media_type::INDEX, &bench.store.read(digest.0, manifest::LIMIT).unwrap());
    }
    for (platform, expected) in [("linux/arm64", Some(arm.digest)), ("linux/amd64", Some(amd.digest)), ("linux/s390x", None)] {
        let other = Bench::new();
        let pulled = other.session(nobody()).pull(&reference(&fake, "x:v1"), &platform.parse().unwrap()).await;
        match (expected, pulled) {
            (Some(expected), Ok(pulled)) => assert_eq!(pulled.descriptor.digest, expected, "{platform}"),
            (None, Err(error)) => {
                let shown = error.diagnostic();
                assert_eq!(shown.code, "registry::platform");
                assert_eq!(shown.help.as_deref(), Some("it has `linux/amd64` and `linux/arm64`"));
            }
            (_, other) => panic!("{platform}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn registry_an_image_for_another_platform_is_not_taken_for_the_wanted_one() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    remote_image(&fake, "x", "v1", "linux/arm64", b"layer");
    let error = bench.session(nobody()).pull(&reference(&fake, "x:v1"), &"linux/amd64".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.diagnostic().help.as_deref(), Some("it has `linux/arm64`"));
    let error = bench.session(nobody()).pull(&reference(&fake, "x:v2"), &"linux/amd64".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("`{}/x:v2` does not exist", fake.host));
}

// --- R6 to R10, R14, S2: who sees credentials ---

#[tokio::test]
async fn registry_credentials_do_not_follow_a_redirect_to_another_host() {
    let (fake, cdn, bench) = (Fake::start().await, Fake::start().await, Bench::new());
    let layer = noise(5000);
    remote_image(&fake, "x", "v1", "linux/amd64", &layer);
    let digest = cdn.put_blob("cdn", &layer);
    fake.login(Login::Basic("kiln:canary-password"));
    let target = format!("http://{}/v2/cdn/blobs/{digest}?signature=1", cdn.host);
    fake.rule(Rule::new("GET", digest.to_string(), Play::Answer(307, vec![("Location".into(), target)], vec![])).times(100).after(0));
    bench.session(canary()).pull(&reference(&fake, "x:v1"), &"linux/amd64".parse().unwrap()).await.unwrap();
    assert!(bench.has(digest));
    assert_eq!(cdn.seen().len(), 1);
    assert!(cdn.seen().iter().all(|seen| seen.header("authorization").is_none()), "{:?}", cdn.seen());
    assert!(fake.seen().iter().any(|seen| seen.header("authorization").is_some()));
}

#[tokio::test]
async fn registry_redirects_in_a_circle_end() {
    let fake = Fake::start().await;
    let target = format!("http://{}/v2/x/manifests/v1", fake.host);
    fake.rule(Rule::new("HEAD", "manifests/v1", Play::Answer(307, vec![("Location".into(), target)], vec![])).times(100));
    let error = Bench::new().session(nobody()).resolve(&reference(&fake, "x:v1")).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::Protocol(_)), "{error}");
    assert_eq!(fake.seen().len(), 11);
}

#[tokio::test]
async fn registry_credentials_do_not_follow_an_upload_to_another_host() {
    let (fake, storage, bench) = (Fake::start().await, Fake::start().await, Bench::new());
    fake.login(Login::Basic("kiln:canary-password"));
    fake.state.lock().unwrap().upload_host = Some(format!("http://{}", storage.host));
    let image = bench.image("linux/amd64", &[b"layer"]);
    // The other host does not know the upload, so the push fails; what counts is what it was told.
    assert!(bench.session(canary()).push(&repository(&fake, "x"), &image, &[]).await.is_err());
    assert!(!storage.seen().is_empty());
    assert!(storage.seen().iter().all(|seen| seen.header("authorization").is_none()), "{:?}", storage.seen());
}

#[tokio::test]
async fn registry_tokens_are_fetched_once_per_scope_with_no_more_rights_than_needed() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let images: Vec<_> = (0..4).map(|n| remote_image(&fake, "base", &format!("v{n}"), "linux/amd64", &noise(1000 + n))).collect();
    fake.login(Login::Token { realm: format!("http://{}/token", fake.host), uses: 1000 });
    let session = bench.session(canary());
    let names: Vec<_> = (0..4).map(|n| reference(&fake, &format!("base:v{n}"))).collect();
    let platform = "linux/amd64".parse().unwrap();
    let pulled = futures_util::future::join_all(names.iter().map(|name| session.pull(name, &platform))).await;
    assert!(pulled.into_iter().all(|one| one.is_ok()));
    session.push(&repository(&fake, "web"), &images[0], &[]).await.unwrap();
    let scopes: Vec<String> = fake.lines().into_iter().filter(|line| line.contains("/token")).collect();
    assert_eq!(
        scopes,
        ["GET /token?service=fake&scope=repository%3Abase%3Apull", "GET /token?service=fake&scope=repository%3Aweb%3Apull%2Cpush"]
    );
    // The password goes to the token server, tokens to the registry.
    for seen in fake.seen() {
        let given = seen.header("authorization").unwrap_or_default();
        assert_eq!(given.starts_with("Basic "), seen.target.starts_with("/token"), "{seen:?}");
    }
}

#[tokio::test]
async fn registry_tokens_that_expire_during_a_push_are_renewed() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    fake.login(Login::Token { realm: format!("http://{}/token", fake.host), uses: 2 });
    let layers: Vec<Vec<u8>> = (0..6).map(|n| noise(100_000 + n)).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let image = bench.image("linux/amd64", &layers);
    let web = repository(&fake, "web");
    let session =
        Session::new(Options { parallel: 1, patience: impatient(), ..Options::new(canary()) }, Arc::new(StoreBlobs(bench.store.clone())));
    assert_eq!(session.push(&web, &image, &[]).await.unwrap().sent, 8);
    assert_eq!(session.tag(&web, &tag("v1"), &image).await.unwrap(), TagOutcome::Moved { from: None });
    assert!(fake.lines().iter().filter(|line| line.contains("/token")).count() > 5);
}

#[tokio::test]
async fn registry_an_identity_token_is_posted_to_the_token_server_and_to_nobody_else() {
    struct Identity;
    impl CredentialSource for Identity {
        fn credential<'a>(
            &'a self,
            _host: &'a str,
        ) -> std::pin::Pin<Box<dyn Future<Output = Result<Credential, CredentialError>> + Send + 'a>> {
            Box::pin(std::future::ready(Ok(Credential::identity("canary-identity"))))
        }
    }
    let (fake, bench) = (Fake::start().await, Bench::new());
    let image = remote_image(&fake, "x", "v1", "linux/amd64", b"layer");
    fake.login(Login::Token { realm: format!("http://{}/token", fake.host), uses: 100 });
    let session = bench.session(Arc::new(Identity));
    // The engine runs these calls as tasks of their own.
    let name = reference(&fake, "x:v1");
    let found = tokio::spawn(async move { session.resolve(&name).await }).await.unwrap().unwrap();
    assert_eq!(found, image);
    for seen in fake.seen() {
        assert_eq!(seen.method == "POST", seen.target == "/token", "{seen:?}");
        assert!(!format!("{seen:?}").contains("canary"), "{seen:?}");
    }
}

#[tokio::test]
async fn registry_token_servers_that_are_not_trusted_see_nothing() {
    let (fake, thief) = (Fake::start().await, Fake::start().await);
    for realm in ["http://198.51.100.7/token", "https://169.254.169.254/token", "https://10.0.0.1/token"] {
        fake.login(Login::Token { realm: realm.to_owned(), uses: 1 });
        let error = Bench::new().session(canary()).resolve(&reference(&fake, "x:v1")).await.unwrap_err();
        assert!(matches!(fault(&error), Fault::Realm(_)), "{realm}: {error}");
    }
    // A trusted one that hands the request on to a stranger.
    fake.login(Login::Token { realm: format!("http://{}/token", fake.host), uses: 1 });
    let away = vec![("Location".to_owned(), format!("http://{}/token", thief.host))];
    fake.rule(Rule::new("GET", "/token", Play::Answer(307, away, vec![])).times(100));
    assert!(Bench::new().session(canary()).resolve(&reference(&fake, "x:v1")).await.is_err());
    assert!(thief.seen().is_empty(), "{:?}", thief.seen());
}

#[tokio::test]
async fn registry_a_wrong_password_is_tried_once_and_never_shown() {
    let fake = Fake::start().await;
    fake.login(Login::Basic("kiln:right"));
    let bench = Bench::new();
    let error = bench.session(canary()).resolve(&reference(&fake, "x:v1")).await.unwrap_err().diagnostic();
    assert_eq!(error.code, "registry::denied");
    assert_eq!(error.help, Some(format!("log in again: `kiln login {}`", fake.host)));
    assert_eq!(fake.seen().iter().filter(|seen| seen.header("authorization").is_some()).count(), 1);

    // A token server that throws the password back, in clear and as it was sent.
    use base64::Engine as _;
    let sent = base64::engine::general_purpose::STANDARD.encode("kiln:canary-password");
    let body = format!(r#"{{"errors":[{{"code":"UNAUTHORIZED","message":"canary-password is wrong ({sent})"}}]}}"#);
    fake.login(Login::Token { realm: format!("http://{}/token", fake.host), uses: 1 });
    fake.rule(Rule::new("GET", "/token", Play::Answer(401, vec![], body.into_bytes())).times(100));
    let session = bench.session(canary());
    for _ in 0..3 {
        let error = session.resolve(&reference(&fake, "x:v1")).await.unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.diagnostic());
        assert!(shown.contains("UNAUTHORIZED") && !shown.contains("canary") && !shown.contains(&sent), "{shown}");
    }
    assert_eq!(fake.lines().iter().filter(|line| line.contains("/token")).count(), 1, "an account is not locked by trying");
}

#[tokio::test]
async fn registry_errors_show_no_query_and_no_escape_sequence() {
    let (fake, cdn) = (Fake::start().await, Fake::start().await);
    let image = remote_image(&fake, "x", "v1", "linux/amd64", b"layer");
    let target = format!("http://{}/blob?signature=canary", cdn.host);
    fake.rule(Rule::new("GET", "blobs", Play::Answer(307, vec![("Location".into(), target)], vec![])).times(100));
    let body = r#"{"errors":[{"code":"DENIED","message":"\u001b]0;owned\u0007 no"}]}"#;
    cdn.rule(Rule::new("GET", "blob", Play::Answer(403, vec![], body.into())).times(100));
    let error = Bench::new().session(nobody()).pull(&reference(&fake, "x:v1"), &"linux/amd64".parse().unwrap()).await.unwrap_err();
    let shown = error.to_string();
    assert!(shown.contains("DENIED") && !shown.contains('\u{1b}') && !shown.contains("canary"), "{shown}");
    assert!(image.size > 0);
}

// --- R11, R12, R13: pushing ---

#[tokio::test]
async fn registry_blobs_are_mounted_where_possible_and_sent_where_not() {
    for (play, mounted) in [(None, 2), (Some(401), 0), (Some(403), 0), (Some(404), 0), (Some(202), 0), (Some(500), 0)] {
        let (fake, bench) = (Fake::start().await, Bench::new());
        let image = bench.image("linux/amd64", &[b"layer"]);
        upload_all(&fake, "base", &bench, &image, None);
        fake.state.lock().unwrap().mounts = play.is_none();
        if let Some(status) = play.filter(|status| *status != 202) {
            fake.rule(Rule::new("POST", "mount=", Play::Answer(status, vec![], vec![])).times(100));
        }
        let report = bench.session(nobody()).push(&repository(&fake, "web"), &image, &[repository(&fake, "base")]).await.unwrap();
        assert_eq!((report.mounted, report.sent), (mounted, 3 - mounted), "{play:?}");
        assert_eq!(fake.state.lock().unwrap().uploads.len(), 0, "{play:?}: no upload is left open");
    }
}

#[tokio::test]
async fn registry_a_tag_that_may_not_move_is_named_with_both_digests() {
    for status in [400, 403, 409, 412] {
        let (fake, bench) = (Fake::start().await, Bench::new());
        let old = remote_image(&fake, "x", "v1", "linux/amd64", b"old");
        let new = bench.image("linux/amd64", &[b"new"]);
        let session = bench.session(nobody());
        session.push(&repository(&fake, "x"), &new, &[]).await.unwrap();
        fake.rule(
            Rule::new("PUT", "manifests/v1", Play::Answer(status, vec![], br#"{"errors":[{"code":"TAG_INVALID"}]}"#.to_vec())).times(9),
        );
        let error = session.tag(&repository(&fake, "x"), &tag("v1"), &new).await.unwrap_err().diagnostic();
        assert_eq!(error.code, "registry::tag-immutable");
        let expected = format!("tag `v1` of `{}/x` cannot be moved from {} to {}: TAG_INVALID", fake.host, old.digest, new.digest);
        assert_eq!(error.message, expected, "{status}");
    }
}

#[tokio::test]
async fn registry_a_tag_moves_and_tells_from_where() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let old = remote_image(&fake, "x", "v1", "linux/amd64", b"old");
    let new = bench.image("linux/amd64", &[b"new"]);
    let session = bench.session(nobody());
    session.push(&repository(&fake, "x"), &new, &[]).await.unwrap();
    let outcome = session.tag(&repository(&fake, "x"), &tag("v1"), &new).await.unwrap();
    assert_eq!(outcome, TagOutcome::Moved { from: Some(old.digest) });
    assert_eq!(fake.tag("x", "v1"), Some(new.digest));
    let missing = Descriptor::of(media_type::MANIFEST, b"not in the store");
    assert!(matches!(fault(&session.tag(&repository(&fake, "x"), &tag("v2"), &missing).await.unwrap_err()), Fault::Store(_)));
}

#[tokio::test]
async fn registry_a_push_that_fails_anywhere_leaves_the_old_tag_and_is_finished_by_the_next() {
    for (write, writes) in [("POST", 3), ("PUT", 7)] {
        for step in 0..=writes {
            let (fake, bench) = (Fake::start().await, Bench::new());
            let old = remote_image(&fake, "x", "v1", "linux/amd64", b"old");
            let images = ["linux/amd64", "linux/arm64"].map(|platform| (platform, bench.image(platform, &[platform.as_bytes()])));
            let index = bench.index(&images);
            let session = bench.session(nobody());
            fake.rule(Rule::new(write, "/v2/", Play::Answer(400, vec![], vec![])).after(step));
            let release = async || {
                session.push(&repository(&fake, "x"), &index, &[]).await?;
                session.tag(&repository(&fake, "x"), &tag("v1"), &index).await
            };
            let first = release().await;
            assert_eq!(first.is_ok(), step == writes, "{write} {step}: {first:?}");
            if first.is_err() {
                assert_eq!(fake.tag("x", "v1"), Some(old.digest), "{write} {step}");
                release().await.unwrap();
            }
            assert_eq!(fake.tag("x", "v1"), Some(index.digest));
        }
    }
}

#[tokio::test]
async fn registry_documents_keep_their_bytes_on_the_way() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let image = bench.image("linux/amd64", &[b"layer"]);
    let bytes = bench.store.read(image.digest.0, manifest::LIMIT).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let odd = format!("\n{{ \"z\": 1, {}\n", serde_json::to_string_pretty(&value).unwrap().trim_start_matches('{'));
    let odd = bench.blob(media_type::MANIFEST, odd.as_bytes());
    let session = bench.session(nobody());
    session.push(&repository(&fake, "x"), &odd, &[]).await.unwrap();
    session.tag(&repository(&fake, "x"), &tag("v1"), &odd).await.unwrap();
    assert_eq!(fake.tag("x", "v1"), Some(odd.digest));
    let other = Bench::new();
    let pulled = other.session(nobody()).pull(&reference(&fake, "x:v1"), &"linux/amd64".parse().unwrap()).await.unwrap();
    assert_eq!(pulled.descriptor.digest, odd.digest);
}

#[tokio::test]
async fn registry_a_damaged_blob_of_the_store_is_not_sent() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let layer = noise(1 << 20);
    let image = bench.image("linux/amd64", &[&layer]);
    let digest = BlobDigest(Digest::of(&layer));
    let path = bench.store.blob_path(digest.0);
    let mut bytes = layer.clone();
    bytes[700_000] ^= 1;
    std::fs::remove_file(path.as_path()).unwrap();
    std::fs::write(path.as_path(), &bytes).unwrap();
    let error = bench.session(nobody()).push(&repository(&fake, "x"), &image, &[]).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::Store(_)), "{error}");
    assert!(!fake.lines().iter().any(|line| line.contains("PUT") && line.contains("manifests")));
}

// --- R23: tags ---

#[tokio::test]
async fn registry_tags_are_listed_over_all_pages_of_this_host_only() {
    let fake = Fake::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        remote_image(&fake, "x", name, "linux/amd64", b"layer");
    }
    let session = Bench::new().session(nobody());
    assert_eq!(session.tags(&repository(&fake, "x")).await.unwrap(), ["a", "b", "c", "d", "e"]);
    assert_eq!(session.tags(&repository(&fake, "none")).await.unwrap(), Vec::<String>::new());
    let link = |target: &str| Play::Header("Link", format!("<{target}>; rel=\"next\""));
    let other = Fake::start().await;
    for target in ["/v2/x/tags/list?n=1000".to_owned(), format!("http://{}/v2/x/tags/list", other.host)] {
        fake.rule(Rule::new("GET", "tags", link(&target)).times(3));
        let error = session.tags(&repository(&fake, "x")).await.unwrap_err();
        assert!(matches!(fault(&error), Fault::Protocol(_)), "{error}");
        fake.state.lock().unwrap().rules.clear();
    }
    assert!(other.seen().is_empty());
    let hostile = br#"{"name":"x","tags":["ok","../../x","\u001b[2J",""]}"#.to_vec();
    fake.rule(Rule::new("GET", "tags", Play::Answer(200, vec![], hostile)));
    assert_eq!(session.tags(&repository(&fake, "x")).await.unwrap(), ["ok"]);
}

// --- unreachable ---

#[tokio::test]
async fn registry_that_is_not_there_is_given_up_soon() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = Instant::now();
    let name: Reference = format!("127.0.0.1:{port}/x:v1").parse().unwrap();
    let error = Bench::new().session_with(nobody(), Patience::default()).resolve(&name).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::Unreachable(_)), "{error}");
    assert_eq!(error.diagnostic().code, "registry::unreachable");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(error.attempts, 3);
}
