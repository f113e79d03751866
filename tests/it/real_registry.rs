//! The registry client against the reference registry: `docker-registry serve`, one private process per way of logging in.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kiln::base::digest::{BlobDigest, Digest};
use kiln::engine::blobs::StoreBlobs;
use kiln::oci::reference::{Reference, Repository};
use kiln::registry::auth::credentials::{ConfigFiles, CredentialSource};
use kiln::registry::client::Options;
use kiln::registry::error::Fault;
use kiln::registry::retry::Patience;
use kiln::registry::session::Session;
use kiln::registry::tags::TagOutcome;
use kiln::registry::trust::{Files, Trust};

use super::parts::{output, part};
use super::registry::{Bench, nobody, noise, tag};

/// How the registry is set up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Open,
    Password,
    Tls,
    /// TLS, and whoever comes must show the certificate in the folder `client`.
    Mutual,
}

/// A registry process in a folder of its own, ended when dropped, or when the tests end in any other way.
pub struct Real {
    pub host: String,
    pub folder: tempfile::TempDir,
    process: Child,
}

impl Drop for Real {
    fn drop(&mut self) {
        // The end of its standard input ends it.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Runs a program until it ends, or until standard input does: so nothing outlives the tests, even when they are killed.
const LEASH: &str = r#""$@" </dev/null & program=$!; exec >/dev/null 2>&1; cat; kill $program"#;

/// One request of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub status: u16,
}

impl Access {
    /// Whether it changed the registry, or began to.
    pub fn writes(&self) -> bool {
        matches!(self.method.as_str(), "PUT" | "POST" | "PATCH" | "DELETE")
    }
    /// The tag that it put.
    pub fn tag(&self) -> Option<&str> {
        let name = self.target.rsplit_once("/manifests/").filter(|_| self.method == "PUT")?.1;
        (!name.contains(':')).then_some(name)
    }
}

impl Real {
    /// Starts a registry on a free port; `None` when it is not installed.
    pub fn start(mode: Mode) -> Option<Self> {
        Self::start_in(mode, &[])
    }

    /// Starts a registry behind other words: `nsenter …`.
    pub fn start_in(mode: Mode, prefix: &[String]) -> Option<Self> {
        part("docker-registry")?;
        // Between finding a port and taking it, somebody else may take it.
        (0..5).find_map(|_| Self::try_start(mode, prefix)).or_else(|| panic!("docker-registry did not start"))
    }

    /// The requests since the last call. The registry writes a line before it sends its answer, so whoever has the answer
    /// finds the line.
    pub fn seen(&self) -> Vec<Access> {
        let path = self.folder.path().join("access");
        let text = std::fs::read_to_string(&path).unwrap();
        // It is opened for appending, so that cutting it leaves no hole.
        File::options().write(true).open(path).unwrap().set_len(0).unwrap();
        let lines = text.lines().filter_map(|line| {
            let (_, rest) = line.split_once('"')?;
            let (request, rest) = rest.split_once('"')?;
            let mut words = request.split(' ');
            let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
            Some(Access { method, target, status: rest.split_whitespace().next()?.parse().ok()? })
        });
        lines.filter(|access| access.target != "/v2/").collect()
    }

    fn try_start(mode: Mode, prefix: &[String]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let extra = extra(mode, folder.path());
        let mut tls = if matches!(mode, Mode::Tls | Mode::Mutual) { certificate(folder.path()) } else { String::new() };
        if mode == Mode::Mutual {
            let client = folder.path().join("client");
            std::fs::create_dir(&client).unwrap();
            certificate(&client);
            tls = tls.replace('}', &format!(", clientcas: [{}/cert.pem]}}", client.display()));
        }
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: false}}}}\n\
             storage: {{filesystem: {{rootdirectory: {0}/data}}, delete: {{enabled: true}}}}\n\
             http:\n  addr: 127.0.0.1:{port}\n{tls}{extra}",
            folder.path().display()
        );
        std::fs::write(folder.path().join("config.yml"), text).unwrap();
        let words = prefix.iter().map(String::as_str).chain(["sh", "-c", LEASH, "leash", "docker-registry", "serve"]).collect::<Vec<_>>();
        let access = File::options().create(true).append(true).open(folder.path().join("access")).unwrap();
        let mut process = Command::new(words[0])
            .args(&words[1..])
            .arg(folder.path().join("config.yml"))
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::piped())
            .stdout(access)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It logs the port when it listens; the rest is read so that it never waits for its reader.
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let ready = log.by_ref().map_while(Result::ok).any(|line| line.contains("listening on"));
        std::thread::spawn(move || log.for_each(drop));
        let real = Self { host: format!("127.0.0.1:{port}"), folder, process };
        ready.then_some(real)
    }

    fn repository(&self, name: &str) -> Repository {
        format!("{}/{name}", self.host).parse().unwrap()
    }
    fn reference(&self, text: &str) -> Reference {
        format!("{}/{text}", self.host).parse().unwrap()
    }
    /// A Docker config that holds one password for this registry.
    fn login(&self, user: &str, password: &str) -> Arc<dyn CredentialSource> {
        let path = self.folder.path().join(format!("{user}-{password}.json"));
        let text = serde_json::json!({"auths": {&self.host: {"username": user, "password": password}}});
        std::fs::write(&path, text.to_string()).unwrap();
        Arc::new(ConfigFiles::new(vec![path]))
    }
}

fn extra(mode: Mode, folder: &Path) -> String {
    if mode != Mode::Password {
        return String::new();
    }
    let line = output(Command::new("perl").args(["-e", r#"print "kiln:".crypt("right","\$2y\$05\$abcdefghijklmnopqrstuu")."\n""#]));
    std::fs::write(folder.join("htpasswd"), line).unwrap();
    format!("auth: {{htpasswd: {{realm: kiln, path: {}/htpasswd}}}}\n", folder.display())
}

fn certificate(folder: &Path) -> String {
    let (key, cert) = (folder.join("key.pem"), folder.join("cert.pem"));
    output(
        Command::new("openssl")
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost".split(' '))
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&cert),
    );
    format!("  tls: {{certificate: {}, key: {}}}\n", cert.display(), key.display())
}

#[tokio::test]
async fn registry_real_pushes_pulls_and_tags() {
    let Some(real) = Real::start(Mode::Open) else { return };
    let bench = Bench::new();
    let layer = noise(3 << 20);
    let images = ["linux/amd64", "linux/arm64"].map(|platform| (platform, bench.image(platform, &[&layer, platform.as_bytes()])));
    let index = bench.index(&images);
    let session = bench.session(nobody());
    let web = real.repository("acme/web");

    assert_eq!(session.tags(&web).await.unwrap(), Vec::<String>::new());
    let report = session.push(&web, &index, &[]).await.unwrap();
    assert_eq!((report.sent, report.existing), (8, 0));
    assert_eq!(session.tags(&web).await.unwrap(), Vec::<String>::new(), "a push by digest moves no tag");
    assert_eq!(session.tag(&web, &tag("v1"), &index).await.unwrap(), TagOutcome::Moved { from: None });
    assert_eq!(session.tag(&web, &tag("v1"), &index).await.unwrap(), TagOutcome::Already);
    assert_eq!(session.tag(&web, &tag("v1"), &images[0].1).await.unwrap(), TagOutcome::Moved { from: Some(index.digest) });
    assert_eq!(session.tags(&web).await.unwrap(), ["v1"]);
    assert_eq!(session.push(&web, &index, &[]).await.unwrap().existing, 8);

    // The blobs lie in the other repository already.
    let report = session.push(&real.repository("acme/copy"), &index, std::slice::from_ref(&web)).await.unwrap();
    assert_eq!((report.mounted, report.sent), (5, 3));

    let port = real.host.rsplit(':').next().unwrap();
    let local: Reference = format!("localhost:{port}/acme/web:v1").parse().unwrap();
    assert_eq!(bench.session(nobody()).resolve(&local).await.unwrap(), images[0].1, "a name is looked up");

    let other = Bench::new();
    let named = real.reference(&format!("acme/copy@{}", index.digest));
    let pulled = other.session(nobody()).pull(&named, &"linux/arm64".parse().unwrap()).await.unwrap();
    assert_eq!((pulled.descriptor.digest, pulled.mutable), (images[1].1.digest, false));
    assert!(other.store.read(BlobDigest(Digest::of(&layer)).0, u64::MAX).unwrap() == layer);

    if part("skopeo").is_some() {
        let name = format!("docker://{}/acme/web@{}", real.host, images[0].1.digest);
        let text = output(Command::new("skopeo").args(["inspect", "--tls-verify=false", &name]).env("HOME", real.folder.path()));
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown["Architecture"], "amd64");
        assert_eq!(shown["Layers"].as_array().map(Vec::len), Some(2));
    }
}

#[tokio::test]
async fn registry_real_asks_for_the_password_and_takes_the_right_one() {
    let Some(real) = Real::start(Mode::Password) else { return };
    let bench = Bench::new();
    let image = bench.image("linux/amd64", &[b"layer"]);
    let web = real.repository("web");
    assert_eq!(bench.session(real.login("kiln", "right")).push(&web, &image, &[]).await.unwrap().sent, 3);
    let error = bench.session(real.login("kiln", "wrong")).push(&web, &image, &[]).await.unwrap_err();
    assert!(matches!(*error.fault, Fault::Login(_)), "{error}");
    let error = bench.session(nobody()).push(&web, &image, &[]).await.unwrap_err();
    assert_eq!((error.status(), error.diagnostic().code), (Some(401), "registry::denied"));
}

/// The variable with which this test starts itself once more, with other system certificates.
const CHILD: &str = "KILN_TEST_TLS_HOST";

#[tokio::test]
async fn registry_real_is_trusted_with_tls_by_the_system_certificates_only() {
    if let Ok(host) = std::env::var(CHILD) {
        let bench = Bench::new();
        let image = bench.image("linux/amd64", &[b"layer"]);
        let outcome = bench.session(nobody()).push(&format!("{host}/web").parse().unwrap(), &image, &[]).await;
        match outcome {
            Ok(report) => println!("child: sent {}", report.sent),
            Err(error) => println!("child: {} {error}", error.diagnostic().code),
        }
        return;
    }
    let Some(real) = Real::start(Mode::Tls) else { return };
    let other = tempfile::tempdir().unwrap();
    certificate(other.path());
    for (file, expected) in [(real.folder.path().join("cert.pem"), "sent 3"), (other.path().join("cert.pem"), "registry::untrusted")] {
        let text = output(
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture", "real_registry::registry_real_is_trusted_with_tls_by_the_system_certificates_only"])
                .env(CHILD, &real.host)
                .env("SSL_CERT_FILE", file)
                .env_remove("SSL_CERT_DIR"),
        );
        assert!(text.contains(&format!("child: {expected}")), "{text}");
    }
}

#[tokio::test]
async fn registry_real_is_trusted_and_trusts_with_the_certificates_that_are_named() {
    let Some(real) = Real::start(Mode::Mutual) else { return };
    let folder = real.folder.path();
    let (ca, client) = (folder.join("cert.pem"), folder.join("client"));
    let own = (client.join("cert.pem"), Some(client.join("key.pem")));
    // As Docker keeps them.
    let kept = folder.join("certs.d").join(&real.host);
    std::fs::create_dir_all(&kept).unwrap();
    for (from, to) in [(&ca, "ca.crt"), (&own.0, "me.cert"), (&client.join("key.pem"), "me.key")] {
        std::fs::copy(from, kept.join(to)).unwrap();
    }
    let named = |files: Files| Trust::new([(real.host.clone(), files)].into(), Vec::new());
    for (trust, expected) in [
        (Trust::default(), Err("registry::untrusted")),
        (named(Files { authorities: vec![ca.clone()], own: None }), Err("registry::untrusted")),
        (named(Files { authorities: vec![ca.clone()], own: Some((own.0.clone(), None)) }), Err("registry::certificates")),
        (named(Files { authorities: vec![folder.join("config.yml")], own: None }), Err("registry::certificates")),
        (named(Files { authorities: vec![ca.clone()], own: Some(own.clone()) }), Ok(3)),
        (Trust::new([].into(), vec![folder.join("certs.d")]), Ok(0)),
    ] {
        let bench = Bench::new();
        let image = bench.image("linux/amd64", &[b"layer"]);
        let patience = Patience { pause: Duration::from_millis(1), budget: Duration::from_millis(50), ..Patience::default() };
        let options = Options { trust, patience, ..Options::new(nobody()) };
        let pushed = Session::new(options, Arc::new(StoreBlobs(bench.store.clone()))).push(&real.repository("web"), &image, &[]).await;
        let pushed = pushed.map(|report| report.sent).map_err(|error| error.diagnostic().code);
        // Whoever shows nothing is told so, or finds the connection closed before the words arrive.
        let closed = expected == Err("registry::untrusted") && pushed == Err("registry::cut");
        assert!(pushed == expected || closed, "{pushed:?}, expected {expected:?}");
    }
}

#[tokio::test]
async fn registry_real_goes_on_after_cut_uploads() {
    let Some(real) = Real::start(Mode::Open) else { return };
    let layer = noise(1 << 20);
    for offset in [1, 1000, 300_000, 1_000_000] {
        let bench = Bench::new();
        let image = bench.image("linux/amd64", &[&layer]);
        let cutter = Cutter::start(&real.host, offset).await;
        let name: Repository = format!("{}/cut{offset}", cutter.host).parse().unwrap();
        let start = Instant::now();
        let report = bench.session(nobody()).push(&name, &image, &[]).await.unwrap();
        assert_eq!(report.sent, 3);
        assert!(start.elapsed() < Duration::from_secs(20));
        assert!(cutter.cut.load(std::sync::atomic::Ordering::Relaxed), "nothing was cut at {offset}");
    }
}

/// A way to the registry that breaks once, after the request bytes of one connection have reached an offset.
pub struct Cutter {
    pub host: String,
    cut: Arc<std::sync::atomic::AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cutter {
    pub async fn start(target: &str, offset: usize) -> Self {
        use std::sync::atomic::Ordering;
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let cut = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (target, done) = (target.to_owned(), Arc::clone(&cut));
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (target, done) = (target.clone(), Arc::clone(&done));
                tokio::spawn(async move {
                    let far = tokio::net::TcpStream::connect(target).await.unwrap();
                    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
                    let back = tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
                    let (mut passed, mut chunk) = (0, vec![0; 16 << 10]);
                    while let Ok(count) = near_in.read(&mut chunk).await {
                        // Requests without a body are small: only an upload gets as far as this.
                        let breaks = passed + count > offset + 4096 && !done.swap(true, Ordering::Relaxed);
                        if count == 0 || far_out.write_all(&chunk[..count]).await.is_err() || breaks {
                            break;
                        }
                        passed += count;
                    }
                    if done.load(Ordering::Relaxed) {
                        back.abort();
                    }
                });
            }
        });
        Self { host, cut, task }
    }
}
