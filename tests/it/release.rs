//! A release to two registries, for two platforms, in which any one request goes wrong: what stands afterwards, what the next run
//! still sends, and who has seen which secret. It runs in this process, so that waiting between attempts takes no time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use kiln::base::digest::BlobDigest;
use kiln::base::path::AbsPath;
use kiln::engine::Machine;
use kiln::engine::blobs::StoreBlobs;
use kiln::engine::tools::Tools;
use kiln::event::{Ended, Event, Listener};
use kiln::exec::run::{self, Request};
use kiln::graph::select;
use kiln::graph::{ActionGraph, lower};
use kiln::plan::{Overrides, resolve};
use kiln::record;
use kiln::record::history::StepHistory;
use kiln::registry::auth::credentials::{Credential, CredentialError, CredentialSource};
use kiln::registry::client::Options;
use kiln::registry::pace::Pace;
use kiln::registry::retry::Patience;
use kiln::registry::session::Session;
use kiln::store::lately::Lately;
use kiln::store::local::Store;
use kiln::store::stat_cache::StatCache;
use kiln::sys::cancel::Cancel;
use kiln::sys::clock;
use kiln::sys::shims::Shims;

use super::fake_registry::{Fake, Fault, Login, Rule, Seen, Trip};
use super::plan::{self, load};
use super::project::Project;

/// Waiting moves the clock and takes no time.
#[derive(Default)]
pub struct Skipped(Mutex<Duration>);

impl Pace for Skipped {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
    fn wait(&self, time: Duration) -> futures_util::future::BoxFuture<'_, ()> {
        *self.0.lock().unwrap() += time;
        Box::pin(std::future::ready(()))
    }
}

/// What a run said.
#[derive(Default)]
struct Told(Mutex<Vec<Event>>);

impl Listener for Told {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// The password for a host: whoever sees it elsewhere was sent it.
fn password(host: &str) -> String {
    // What tells it from the others comes first, so that no part of one is a part of another.
    let port = host.rsplit(':').next().unwrap_or_default();
    format!("p{port}/c4nary+{port}")
}

/// A password of its own for every registry.
struct Canaries;

impl CredentialSource for Canaries {
    fn credential<'a>(&'a self, host: &'a str) -> futures_util::future::BoxFuture<'a, Result<Credential, CredentialError>> {
        Box::pin(std::future::ready(Ok(Credential::password("kiln", password(host)))))
    }
}

/// A project with a store, and the release as a graph.
pub struct Release {
    _folder: tempfile::TempDir,
    root: AbsPath,
    store: Store,
    graph: Arc<ActionGraph>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    pub ok: bool,
    /// Everything that it told, as the journal keeps it.
    pub told: String,
    /// The time that it would have waited.
    pub waited: Duration,
}

impl Release {
    pub fn new(text: &str) -> Self {
        Self::of(text, "<p>")
    }

    /// A release with this page in it.
    pub fn of(text: &str, page: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = AbsPath::new(folder.path().canonicalize().unwrap()).unwrap();
        std::fs::create_dir(root.join("srv").as_path()).unwrap();
        for (name, text) in [("web-amd64", "amd"), ("web-arm64", "arm"), ("srv/page.html", page)] {
            std::fs::write(root.join(name).as_path(), text).unwrap();
        }
        let resolved = resolve(&load("build.kdl", text), &plan::Fake::repository(), &Overrides::default()).unwrap();
        let store = Store::open(root.join("store")).unwrap();
        Self { _folder: folder, root, store, graph: Arc::new(lower::lower(&resolved.plan).unwrap()) }
    }

    /// Runs everything, one step and one transfer at a time: so request N is the same one in every run.
    pub async fn run(&self) -> Outcome {
        self.run_with(1).await
    }

    pub async fn run_with(&self, jobs: u32) -> Outcome {
        self.run_as(jobs, false).await
    }

    pub async fn run_as(&self, jobs: u32, keep_going: bool) -> Outcome {
        let (pace, told) = (Arc::new(Skipped::default()), Arc::new(Told::default()));
        let short = Duration::from_millis(300);
        let patience = Patience { connect: short * 10, answer: short, idle: short, settle: short, ..Patience::default() };
        let options =
            Options { parallel: jobs as usize, patience, pace: Arc::clone(&pace) as Arc<dyn Pace>, ..Options::new(Arc::new(Canaries)) };
        let text = self.graph.order().iter().map(|id| self.graph.action(*id).name.target.to_string()).collect::<BTreeSet<_>>();
        let selection = select::select(&self.graph, &text.into_iter().collect::<Vec<_>>()).unwrap();
        let machine = Machine {
            root: self.root.clone(),
            store: self.store.clone(),
            stats: StatCache::open(self.root.join("stats")),
            lately: Lately::open(self.root.join("lately"), &self.store),
            listener: Arc::clone(&told) as Arc<dyn Listener>,
            cancel: Cancel::new(),
            run: record::run_id(clock::now(), 0),
            registries: Session::new(options, Arc::new(StoreBlobs(self.store.clone()))),
            tools: Arc::new(Tools::new(&plan_without_tools(), Box::new(|_| Err("no tools".to_owned())))),
            shims: Shims::own(),
            jobs: OnceLock::new(),
            screen: Box::new(|_| {}),
        };
        let request = Request {
            graph: Arc::clone(&self.graph),
            selection,
            history: Arc::new(StepHistory::default()),
            targets: Vec::new(),
            plan: "build.kdl".to_owned(),
            jobs,
            keep_going,
            force: false,
            account: None,
            known: None,
        };
        let end = run::run(Arc::new(machine), request, |_| 0).await.unwrap();
        let ok = end.ended.iter().all(|(_, ended)| matches!(ended, Ended::Done | Ended::Cached { .. }));
        let told = told.0.lock().unwrap().iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
        Outcome { ok, told, waited: pace.now() }
    }
}

fn plan_without_tools() -> kiln::plan::Plan {
    resolve(&load("build.kdl", "kiln 1\n"), &plan::Fake::new(&[]), &Overrides::default()).unwrap().plan
}

/// One image for two platforms, to two registries; `beside` is what goes with it.
fn text(one: &str, two: &str, beside: &str) -> String {
    format!(
        r##"
kiln 1
project "t" {{ default "web" }}
registry "one" "{one}"
registry "two" "{two}/team"
image "web" {{
    platforms amd64 arm64
    copy "srv" "/srv/"
    label "arch" "${{platform.arch}}"
    tag "edge" "v1.4.2"
    push one two {{ {beside} }}
}}
"##
    )
}

/// Two registries that ask for tokens, a third party that nobody should tell anything, and the release between them.
struct Stage {
    one: Fake,
    two: Fake,
    thief: Fake,
    release: Release,
}

const REPOSITORIES: [&str; 2] = ["web", "team/web"];
const TAGS: [&str; 2] = ["edge", "v1.4.2"];

impl Stage {
    async fn new(beside: &str) -> Self {
        let (one, two, thief) = (Fake::start().await, Fake::start().await, Fake::start().await);
        for fake in [&one, &two] {
            fake.login(Login::Token { realm: format!("http://{}/token", fake.host), uses: usize::MAX });
        }
        let release = Release::new(&text(&one.host, &two.host, beside));
        Self { one, two, thief, release }
    }

    fn registries(&self) -> [(&Fake, &'static str); 2] {
        [(&self.one, REPOSITORIES[0]), (&self.two, REPOSITORIES[1])]
    }

    /// Both registries as they were before anybody pushed.
    fn empty(&self) {
        for (fake, _) in self.registries() {
            let mut state = fake.state.lock().unwrap();
            state.blobs.clear();
            state.manifests.clear();
            state.uploads.clear();
            state.seen.clear();
            state.tokens.clear();
            (state.trip, state.down) = (None, None);
        }
        self.thief.forget();
    }

    fn trip(&self, trip: &Arc<Trip>) {
        for (fake, _) in self.registries() {
            fake.state.lock().unwrap().trip = Some(Arc::clone(trip));
        }
    }

    fn heal(&self) {
        for (fake, _) in self.registries() {
            let mut state = fake.state.lock().unwrap();
            (state.trip, state.down) = (None, None);
        }
    }

    /// Where the tags stand: registry after registry, tag after tag.
    fn tags(&self) -> Vec<Option<BlobDigest>> {
        self.registries().iter().flat_map(|(fake, repository)| TAGS.map(|tag| fake.tag(repository, tag))).collect()
    }

    /// Everything by digest that stands in both.
    fn stands(&self) -> BTreeSet<(String, String)> {
        let mut all = BTreeSet::new();
        for (fake, _) in self.registries() {
            let state = fake.state.lock().unwrap();
            let blobs = state.blobs.keys().map(|(_, digest)| digest);
            let documents = state.manifests.keys().map(|(_, name)| name).filter(|name| name.contains(':'));
            all.extend(blobs.chain(documents).map(|digest| (fake.host.clone(), digest.clone())));
        }
        all
    }

    /// What was sent by digest since the requests were forgotten.
    fn sent(&self) -> Vec<(String, String)> {
        let mut sent = Vec::new();
        for (fake, _) in self.registries() {
            for seen in fake.seen().iter().filter(|seen| seen.method == "PUT") {
                let digest = seen.target.split(['/', '=']).next_back().unwrap_or_default().replace("%3A", ":");
                if digest.starts_with("sha256:") {
                    sent.push((fake.host.clone(), digest));
                }
            }
        }
        sent
    }

    /// What is wrong after a run in which something went wrong.
    fn after(&self, case: &Case, run: &Outcome, image: Option<BlobDigest>, everything: &BTreeSet<(String, String)>) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut hold = |right: bool, what: String| wrong.extend((!right).then_some(what));
        let tags = self.tags();
        let moved = tags.iter().filter(|tag| tag.is_some()).count();
        hold(run.ok || !case.passes, "it was not got over".to_owned());
        hold(tags.iter().flatten().all(|tag| Some(*tag) == image), format!("other tags: {tags:?}"));
        hold(!run.ok || moved == tags.len(), format!("it says that it is done: {tags:?}"));
        // No tag stands before everything stands everywhere.
        let missing: Vec<_> = everything.difference(&self.stands()).cloned().collect();
        hold(moved == 0 || missing.is_empty(), format!("a tag stands without {missing:?}"));
        // Some tags and not all: whoever reads the failure knows which.
        let unknown = run.told.contains("moved is not known");
        let told = run.told.contains("already name") || unknown || moved == 0 || moved == tags.len();
        hold(run.ok || told, format!("what stands where is not told: {tags:?}"));
        let none = run.told.contains("no tag was moved");
        hold(run.ok || if moved > 0 { !none } else { none || unknown }, "whether a tag was moved is told wrong".to_owned());
        wrong
    }

    /// Who has seen or told what he must not.
    fn secrets(&self, told: &str) -> Vec<String> {
        let words = |seen: &Seen| format!("{} {:?}", seen.target, seen.headers);
        let mut wrong = Vec::new();
        let hosts = [&self.one.host, &self.two.host];
        for fake in [&self.one, &self.two, &self.thief] {
            for seen in &fake.state.lock().unwrap().seen {
                for host in hosts.iter().filter(|host| **host != &fake.host) {
                    if holds(&words(seen), &password(host)) || words(seen).contains(&format!("token-{host}")) {
                        wrong.push(format!("{} saw a secret of {host}: {seen:?}", fake.host));
                    }
                }
            }
        }
        for host in hosts {
            if holds(told, &password(host)) || told.contains("token-127") {
                wrong.push(format!("the journal holds a secret of {host}: {told}"));
            }
        }
        wrong
    }
}

/// Whether a text holds a secret as it is, or in base64, hexadecimal or percent form.
pub fn holds(text: &str, secret: &str) -> bool {
    let whole = |text: String| text.trim_end_matches('=').to_owned();
    let standard = base64::engine::general_purpose::STANDARD;
    // Behind `user:`, base64 begins at another bit: what follows is the same from the next group of three bytes on.
    let shifted = (0..3).map(|skip| whole(standard.encode(&secret.as_bytes()[skip..])));
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    // The last characters depend on what follows.
    let mut forms: Vec<String> = shifted.map(|form| form[..form.len() - 4].to_owned()).collect();
    forms.extend([secret.to_owned(), hex]);
    // Whoever escapes, escapes more or fewer characters, in either case: the plain text is in there.
    let plain = percent_decoded(&text.replace('+', "%2B"));
    let lower = text.to_lowercase();
    forms.iter().any(|form| text.contains(form.as_str()) || lower.contains(form.as_str()) || plain.contains(form.as_str()))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let byte = more.get(..2).filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_secret_is_found_in_every_form() {
    let secret = password("127.0.0.1:5000");
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("kiln:{secret}"));
    for text in [secret.clone(), basic, "x%2fp5000%2Fc4nary%2B5000".to_owned()] {
        assert!(holds(&text, &secret), "{text}");
    }
    assert!(!holds("c4n", &secret) && !holds("Basic a2lsbjo=", &secret));
}

fn answer(status: u16, headers: &[(&str, String)]) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Fault::Answer(status, headers, br#"{"errors":[{"code":"X","message":"no"}]}"#.to_vec())
}

/// A fault, whether it lasts, and whether one of it is got over.
struct Case {
    name: &'static str,
    fault: Fault,
    lasts: bool,
    passes: bool,
}

fn cases(thief: &str) -> Vec<Case> {
    let case = |name, fault, lasts, passes| Case { name, fault, lasts, passes };
    vec![
        case("a server's error", answer(500, &[]), false, true),
        case("no more from here on", answer(503, &[]), true, false),
        case("too many requests", answer(429, &[("Retry-After", "7".to_owned())]), false, true),
        case("a reset in the request", Fault::CutRequest(1), false, true),
        case("a reset after it was done", Fault::DoneButCut, false, true),
        case("a short answer", Fault::CutAnswer(1), false, true),
        case("a digest that lies", Fault::Header("Docker-Content-Digest", format!("sha256:{}", "0".repeat(64))), false, false),
        case("other bytes", Fault::OtherBytes, false, false),
        case("a way to somebody else", answer(307, &[("Location", format!("http://{thief}/v2/web/x"))]), false, false),
        case("a token that has expired", Fault::Expired, false, true),
        case("an account that is refused for ever", answer(403, &[]), true, false),
        case("silence", Fault::Silence, false, true),
        case("an answer that comes too late", Fault::Late, false, true),
    ]
}

/// Runs a release with every fault at every request, and holds what must be true after each.
async fn every_request(beside: &str, step: usize, chosen: impl Fn(&Case) -> bool) {
    let stage = Stage::new(beside).await;
    // The thief says yes to everything.
    stage.thief.rule(Rule::new("HEAD", "/", answer(200, &[])).times(usize::MAX));
    stage.thief.rule(Rule::new("GET", "/", answer(200, &[])).times(usize::MAX));
    let counter = Trip::new(usize::MAX, Fault::Silence, false);
    stage.trip(&counter);
    let whole = stage.release.run().await;
    assert!(whole.ok, "{}", whole.told);
    let (image, everything, requests) = (stage.tags()[0], stage.stands(), counter.seen());
    assert!(image.is_some() && requests > 30, "{requests}");
    let mut faults = Vec::new();
    for case in cases(&stage.thief.host).iter().filter(|case| chosen(case)) {
        for at in (0..requests).step_by(step) {
            stage.empty();
            let trip = Trip::new(at, case.fault.clone(), case.lasts);
            stage.trip(&trip);
            let first = stage.release.run().await;
            stage.heal();
            let lines: Vec<String> = stage.registries().iter().flat_map(|(fake, _)| fake.lines()).collect();
            let mut found = stage.after(case, &first, image, &everything);
            // Whatever the answer to the first question is, it says that there is no TLS.
            let is_first = stage.registries().iter().any(|(fake, _)| fake.lines().first().is_some_and(|line| line.ends_with(&trip.hit())));
            if case.name == "too many requests" && !is_first && first.waited < Duration::from_secs(7) {
                found.push(format!("it waited for {:?}", first.waited));
            }
            found.extend(stage.secrets(&first.told));
            if first.ok && found.is_empty() && at % 8 > 0 {
                // Everything stands, and the next run of it is like any other; some of them are made.
                continue;
            }
            // The next run sends what is missing and nothing else.
            let before = stage.stands();
            stage.one.forget();
            stage.two.forget();
            let second = stage.release.run().await;
            if !second.ok || stage.tags().iter().any(|tag| *tag != image) || stage.stands() != everything {
                found.push(format!("the next run did not finish it: {}", second.told));
            }
            found.extend(stage.sent().iter().filter(|sent| before.contains(sent)).map(|sent| format!("sent again: {sent:?}")));
            found.extend(stage.secrets(&second.told));
            let place = format!("{} at request {at} of {requests}", case.name);
            faults.extend(found.into_iter().map(|what| format!("{place}: {what}\n{}\n{}", lines.join("\n"), first.told)));
        }
    }
    assert!(faults.is_empty(), "{} faults, the first of them:\n{}", faults.len(), faults[..faults.len().min(6)].join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_with_any_fault_at_any_request_moves_no_tag_unless_all_can_and_is_finished_by_the_next() {
    every_request("", 1, |case| !case.passes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_gets_over_any_one_fault_that_may_pass_at_any_request() {
    every_request("", 1, |case| case.passes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_with_evidence_that_breaks_at_any_request_is_finished_by_the_next() {
    every_request("sbom; provenance", 5, |case| matches!(case.name, "no more from here on" | "a way to somebody else")).await;
}

// --- two at once, kills, secrets ---

/// Everything that a document leads to stands in the repository.
fn is_whole(fake: &Fake, repository: &str, digest: &str) -> bool {
    let state = fake.state.lock().unwrap();
    let mut open = vec![digest.to_owned()];
    while let Some(next) = open.pop() {
        let Some((_, bytes)) = state.manifests.get(&(repository.to_owned(), next)) else { return false };
        let document: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        let list = |name: &str| document[name].as_array().cloned().unwrap_or_default();
        let digest = |part: &serde_json::Value| part["digest"].as_str().map(str::to_owned);
        open.extend(list("manifests").iter().filter_map(digest));
        let parts = list("layers").into_iter().chain([document["config"].clone()]);
        if !parts.filter_map(|part| digest(&part)).all(|blob| state.blobs.contains_key(&(repository.to_owned(), blob))) {
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_of_two_commits_at_once_ends_with_one_of_them_everywhere() {
    for (round, fixed) in (0..12).map(|round| (round, round % 2 == 1)) {
        let stage = Stage::new("").await;
        let rule = if fixed { " { immutable \"v*\" }" } else { "" };
        let text = text(&stage.one.host, &stage.two.host, "").replace("/team\"", &format!("/team\"{rule}"));
        let text = text.replace(&format!("\"{}\"", stage.one.host), &format!("\"{}\"{rule}", stage.one.host));
        let releases = [Release::of(&text, "one commit"), Release::of(&text, "another commit")];
        let (one, two) = tokio::join!(releases[0].run_with(2), releases[1].run_with(2));
        let told = format!("round {round}\n{}\n{}", one.told, two.told);
        let tags = stage.tags();
        assert!(tags.iter().all(|tag| tag.is_some() && *tag == tags[0]), "{tags:?} {told}");
        for (fake, repository) in stage.registries() {
            assert!(is_whole(fake, repository, &tags[0].unwrap().to_string()), "{told}");
        }
        // Where nothing may move, whoever was late is told; where all may, nobody fails.
        assert!(one.ok || two.ok, "{told}");
        assert!(one.ok && two.ok || fixed && told.contains("may not move to"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_of_several_images_moves_no_tag_before_all_of_them_stand() {
    for keep_going in [false, true] {
        let (one, two) = (Fake::start().await, Fake::start().await);
        let image = "image \"NAME\" {\n    platforms amd64\n    copy \"srv\" \"/srv/\"\n    tag \"v1\"\n    push one two\n}\n";
        let names = ["api", "web", "worker"];
        let images: String = names.iter().map(|name| image.replace("NAME", name)).collect();
        let release = Release::new(&format!("kiln 1\nregistry \"one\" \"{}\"\nregistry \"two\" \"{}\"\n{images}", one.host, two.host));
        two.rule(Rule::new("PUT", "/v2/worker/manifests/", answer(400, &[])));
        let run = release.run_as(2, keep_going).await;
        let tags = || [&one, &two].iter().flat_map(|fake| names.map(|name| fake.tag(name, "v1"))).collect::<Vec<_>>();
        assert!(!run.ok && tags().iter().all(Option::is_none), "{:?} {}", tags(), run.told);
        assert!(run.told.contains("no tag was moved") && run.told.contains("2 of 3 blobs and manifests are there"), "{}", run.told);
        assert!(release.run().await.ok && tags().iter().all(Option::is_some));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_takes_the_layers_of_a_base_over_inside_the_registry() {
    let fake = Fake::start().await;
    fake.state.lock().unwrap().mounts = true;
    let of = |images: &str| format!("kiln 1\nregistry r \"{}/acme\"\n{images}", fake.host);
    let base = "image os {\n    platforms amd64\n    copy \"srv\" \"/srv/\"\n    tag \"1\"\n    push r\n}\n";
    let web = "image web {\n    from \"os\"\n    platforms amd64\n    copy \"web-amd64\" \"/web\"\n    tag \"v1\"\n    push r\n}\n";
    let run = Release::new(&of(base)).run().await;
    assert!(run.ok, "{}", run.told);
    let (digest, text) = (fake.tag("acme/os", "1").unwrap(), of(&format!("{base}{web}")));
    let layer = {
        let state = fake.state.lock().unwrap();
        let (_, bytes) = &state.manifests[&("acme/os".to_owned(), digest.to_string())];
        let manifest: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        manifest["layers"][0]["digest"].as_str().unwrap().replace("sha256:", "")
    };
    fake.forget();
    let run = Release::new(&text).run().await;
    assert!(run.ok, "{}", run.told);
    let lines = fake.lines();
    let of_layer: Vec<&String> = lines.iter().filter(|line| line.contains("/acme/web/") && line.contains(&layer)).collect();
    assert!(of_layer.len() == 2 && of_layer[1].contains("mount=") && of_layer[1].contains("from=acme%2Fos"), "{lines:?}");
    assert!(is_whole(&fake, "acme/web", &fake.tag("acme/web", "v1").unwrap().to_string()));
}

/// A project that kiln itself releases, as a user would run it.
fn project(one: &str, two: &str) -> Project {
    let project = Project::new(&text(one, two, ""));
    project.write("srv/page.html", super::registry::noise(3 << 20));
    for host in [one, two] {
        project.login(host, &password(host));
    }
    project
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_killed_at_any_moment_is_finished_by_the_next() {
    // How long a whole one takes: the kills spread over that.
    let stage = Stage::new("").await;
    let (whole, began) = (project(&stage.one.host, &stage.two.host), std::time::Instant::now());
    whole.kiln(&["run"]).ends(0);
    let (whole, everything) = (began.elapsed(), stage.stands().len());
    let (mut between, mut round) = (0, 0);
    // Sixteen, and more where none of them met a release that was under way.
    while round < 16 || between == 0 && round < 64 {
        let stage = Stage::new("").await;
        let project = project(&stage.one.host, &stage.two.host);
        let mut child = project.start(&["run"]);
        // The middle of a sixteenth, in an order that begins in the middle of all.
        let limit = std::time::Instant::now() + whole * (2 * ((round * 7 + 8) % 16) + 1) / 32;
        round += 1;
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if std::time::Instant::now() >= limit {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        // A request that was sent arrives, though nobody waits for its answer.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(ended.is_none_or(|status| status.success()));
        for tag in stage.tags().into_iter().flatten() {
            for (fake, repository) in stage.registries() {
                assert!(is_whole(fake, repository, &tag.to_string()), "round {round}: a tag stands before all stands");
            }
        }
        let before = stage.stands();
        let unfinished = before.len() < everything || stage.tags().iter().any(Option::is_none);
        between += usize::from(ended.is_none() && !before.is_empty() && unfinished);
        stage.one.forget();
        stage.two.forget();
        project.kiln(&["run"]).ends(0);
        let tags = stage.tags();
        assert!(tags.iter().all(|tag| tag.is_some() && *tag == tags[0]), "round {round}: {tags:?}");
        let twice: Vec<_> = stage.sent().into_iter().filter(|sent| before.contains(sent)).collect();
        assert!(twice.is_empty(), "round {round}: sent again: {twice:?}");
    }
    assert!(between > 0, "no kill came after something stood and before all did");
}

/// Source: FAULTS, X14.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_whose_answers_are_lost_runs_no_step_twice_and_sends_nothing_twice() {
    let stage = Stage::new("sbom; provenance").await;
    for (fake, _) in stage.registries() {
        fake.rule(Rule::new("PUT", "/v2/", Fault::DoneButCut).times(usize::MAX));
    }
    let run = stage.release.run().await;
    let tags = stage.tags();
    assert!(run.ok && tags.iter().all(|tag| tag.is_some() && *tag == tags[0]), "{tags:?} {}", run.told);
    let mut puts: Vec<String> = Vec::new();
    for (fake, _) in stage.registries() {
        // An upload has an address of its own each time; what it is of is its digest.
        let of = |seen: &Seen| seen.target.rsplit_once("digest=").map_or(seen.target.clone(), |(_, digest)| digest.to_owned());
        puts.extend(fake.seen().iter().filter(|seen| seen.method == "PUT").map(|seen| format!("{} {}", fake.host, of(seen))));
    }
    let count = puts.len();
    puts.sort();
    puts.dedup();
    // The list of referrers grows under one name; everything else has one name and is put once.
    let lists = stage
        .registries()
        .iter()
        .flat_map(|(fake, _)| fake.seen())
        .filter(|seen| seen.method == "PUT" && seen.target.contains("manifests/sha256-"))
        .count();
    let kept = puts.iter().filter(|put| put.contains("manifests/sha256-")).count();
    assert_eq!(count - lists, puts.len() - kept, "{puts:?}");
    let begun: Vec<&str> = run.told.lines().filter(|line| line.contains("\"step-started\"")).collect();
    let pushes = begun.iter().filter(|line| line.contains("\"push\"") || line.contains("\"tag\"")).count();
    assert_eq!(pushes, 4, "two pushes and two steps for the tags: {begun:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_leaves_no_secret_in_any_file_argument_message_or_document() {
    let stage = Stage::new("").await;
    let project = project(&stage.one.host, &stage.two.host);
    let hosts = [&stage.one.host, &stage.two.host];
    // Faults of many kinds, so that much is said.
    stage.one.rule(Rule::new("PUT", "/manifests/", answer(500, &[])));
    stage.one.rule(Rule::new("HEAD", "/blobs/", answer(429, &[("Retry-After", "0".to_owned())])));
    stage.two.rule(Rule::new("POST", "/uploads/", Fault::DoneButCut));
    // A registry that says back what it was told.
    let own = password(&stage.two.host);
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("kiln:{own}"));
    let hex: String = own.bytes().map(|byte| format!("{byte:02x}")).collect();
    stage.two.rule(Rule::new("PUT", "/manifests/edge", answer(400, &[("Docker-Upload-UUID", basic.clone())])));
    let body = format!(r#"{{"errors":[{{"code":"{basic}","message":"{own} {hex} {}"}}]}}"#, own.replace('/', "%2F").replace('+', "%2b"));
    stage.two.rule(Rule::new("PUT", "/manifests/v1", Fault::Answer(400, vec![], body.into_bytes())));
    let mut child = project
        .command(&["run", "-v", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    while child.try_wait().unwrap().is_none() {
        told.extend(project.processes());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success() && stage.two.tag("team/web", "edge").is_none(), "the tag was refused");
    assert!(stage.one.tag("web", "edge").is_some());
    told += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    for args in [&["run", "-v"][..], &["log"], &["history", "--json"], &["why", "web"], &["plan"]] {
        let ran = project.kiln(args);
        told += &(ran.out + &ran.err);
    }
    for host in hosts {
        assert!(!holds(&told, &password(host)) && !told.contains("token-127"), "{told}");
        for fake in [&stage.one, &stage.two] {
            let state = fake.state.lock().unwrap();
            let documents = state.manifests.values().map(|(_, bytes)| bytes).chain(state.blobs.values());
            assert!(!documents.map(|bytes| String::from_utf8_lossy(bytes)).any(|text| holds(&text, &password(host))));
        }
        let mut open = vec![project.cache(), project.root()];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if let Ok(bytes) = std::fs::read(&path) {
                let text = String::from_utf8_lossy(&bytes);
                assert!(!holds(&text, &password(host)) && !text.contains("token-127"), "{}", path.display());
            }
        }
    }
    assert_eq!(stage.secrets(&told), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_through_a_proxy_names_it_where_it_fails() {
    let proxy = Fake::start().await;
    let plan = "kiln 1\nregistry r \"reg.test:5000/acme\" insecure\nproject t { default web; }\nimage web {\n    copy \"a\" \"/a\"\n    tag \"v1\"\n    push r\n}\n";
    let mut project = Project::new(plan);
    project.write("a", "a");
    project
        .env("HTTP_PROXY", "http://ann:c4nary@127.0.0.1:1")
        .kiln(&["run"])
        .ends(5)
        .says("through the proxy `http://127.0.0.1:1/`")
        .never_says("c4nary");
    project.env("HTTP_PROXY", &format!("http://{}", proxy.host)).kiln(&["run"]).ends(0);
    assert!(proxy.tag("acme/web", "v1").is_some() && proxy.seen().iter().all(|seen| seen.header("host") == Some("reg.test:5000")));
    // A host for which there is none is asked itself, and does not exist.
    project.env("NO_PROXY", "reg.test").kiln(&["run"]).ends(5).says("reg.test:5000").never_says("through the proxy");
}
