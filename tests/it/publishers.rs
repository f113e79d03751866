//! Two kilns, each with a store of its own, release to the same two registries at once: real registries, behind a way that delays every
//! request by another moment, so that each round meets in another order.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::project::Project;
use super::publish::{remote, written};
use super::real_registry::{Mode, Real};

const PLAN: &str = r#"
kiln 1
param "version"
param "one"
param "two"
project "t" version="${version}" { default "web" }
registry "one" "${one}" RULE
registry "two" "${two}/team" RULE
image "web" {
    platforms amd64 arm64
    copy "page.html" "/srv/"
    label "arch" "${platform.arch}"
    tag "edge"
    tag semver="${project.version}"
    push one two { provenance }
}
"#;

/// The longest that a request is held back, in microseconds.
const LONGEST: u64 = 10_000;

/// A way to a registry on which every piece of a request waits for a moment that the seed gives.
struct Way {
    host: String,
}

impl Way {
    fn start(target: &str, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (target, dice) = (target.to_owned(), Arc::new(AtomicU64::new(seed)));
        // It ends with the tests: nobody connects when they are over.
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let (far, dice) = (TcpStream::connect(&target).unwrap(), Arc::clone(&dice));
                let (near_out, far_in) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || pass(far_in, near_out, || Duration::ZERO));
                std::thread::spawn(move || pass(near, far, || moment(&dice)));
            }
        });
        Self { host }
    }
}

/// The next moment of a linear congruence.
fn moment(dice: &AtomicU64) -> Duration {
    let next = |state: u64| state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let state = dice.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| Some(next(state))).unwrap();
    Duration::from_micros((state >> 33) % LONGEST)
}

fn pass(mut from: TcpStream, mut to: TcpStream, wait: impl Fn() -> Duration) {
    let mut chunk = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        std::thread::sleep(wait());
        if to.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Two registries and the ways to them.
struct Stage {
    registries: [Real; 2],
    ways: [Way; 2],
}

const REPOSITORIES: [&str; 2] = ["web", "team/web"];

impl Stage {
    fn new(seed: u64) -> Option<Self> {
        let registries = [Real::start(Mode::Open)?, Real::start(Mode::Open)?];
        let ways = [0, 1].map(|at| Way::start(&registries[at].host, seed * 2 + at as u64));
        Some(Self { registries, ways })
    }

    /// Somebody who releases a version with this page in it.
    fn publisher(&self, version: &str, page: &str, rule: &str) -> Project {
        let mut project = Project::new(&PLAN.replace("RULE", rule));
        project.write("page.html", page);
        project.env("KILN_PARAM_VERSION", version);
        project.env("KILN_PARAM_ONE", &self.ways[0].host).env("KILN_PARAM_TWO", &self.ways[1].host);
        // Both made the same commit at the same second.
        project.env("SOURCE_DATE_EPOCH", "1700000000");
        project
    }

    /// What a tag names in both registries.
    fn stand(&self, tag: &str) -> [String; 2] {
        [0, 1].map(|at| remote(&self.registries[at], &format!("{}:{tag}", REPOSITORIES[at])).1)
    }

    /// Everything that a tag leads to is there, in both.
    fn is_whole(&self, tag: &str) {
        for (registry, repository) in self.registries.iter().zip(REPOSITORIES) {
            let (index, _) = remote(registry, &format!("{repository}:{tag}"));
            for child in index["manifests"].as_array().unwrap() {
                let (manifest, _) = remote(registry, &format!("{repository}@{}", child["digest"].as_str().unwrap()));
                for part in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
                    let digest = part["digest"].as_str().unwrap();
                    let bytes = super::publish::get(&format!("http://{}/v2/{repository}/blobs/{digest}", registry.host));
                    assert_eq!(bytes.len() as u64, part["size"].as_u64().unwrap(), "{repository}:{tag} {digest}");
                }
            }
        }
    }

    /// What was written to both since the last time, evidence and all.
    fn written(&self) -> Vec<String> {
        let of = |registry: &Real| {
            written(&registry.seen()).iter().map(|access| format!("{} {}", access.method, access.target)).collect::<Vec<_>>()
        };
        self.registries.iter().flat_map(of).collect()
    }
}

fn start(project: &Project) -> Child {
    project.command(&["run"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Both at once; how they ended.
fn race(publishers: &[Project; 2]) -> [Output; 2] {
    let running = publishers.each_ref().map(start);
    running.map(|child| child.wait_with_output().unwrap())
}

fn told(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn publishers_of_the_same_release_at_once_both_succeed_and_leave_it_whole() {
    for round in 0..5 {
        let Some(stage) = Stage::new(round) else { return };
        let publishers = [0, 1].map(|_| stage.publisher("1.4.2", "page", "{ immutable \"1.*.*\" }"));
        let ends = race(&publishers);
        for end in &ends {
            assert!(end.status.success(), "round {round}: {}", told(end));
        }
        let digest = stage.stand("edge")[0].clone();
        for tag in ["edge", "1.4.2", "1.4", "1", "latest"] {
            assert_eq!(stage.stand(tag), [digest.as_str(), digest.as_str()], "round {round}: {tag}");
        }
        stage.is_whole("latest");
        // The lists of what refers to the image have lost nothing: whoever comes next has nothing to add.
        stage.written();
        publishers[round as usize % 2].kiln(&["run"]).ends(0);
        assert_eq!(stage.written(), Vec::<String>::new(), "round {round}");
    }
}

#[test]
fn publishers_of_two_versions_at_once_leave_every_shorter_form_at_the_higher_one() {
    for round in 0..3 {
        let Some(stage) = Stage::new(100 + round) else { return };
        // Something stands there already, and the lower version is the first to start in every other round.
        stage.publisher("1.3.9", "old", "").kiln(&["run"]).ends(0);
        let old = stage.stand("latest");
        let versions = if round % 2 == 0 { ["1.4.2", "1.5.0"] } else { ["1.5.0", "1.4.2"] };
        let publishers = versions.map(|version| stage.publisher(version, version, ""));
        let ends = race(&publishers);
        let all = ends.iter().map(told).collect::<String>();
        assert!(ends.iter().all(|end| end.status.success()), "round {round}: {all}");
        let holds = |moment: &str| {
            let (low, high) = (stage.stand("1.4.2"), stage.stand("1.5.0"));
            assert!(low[0] == low[1] && high[0] == high[1] && low != high, "round {round}, {moment}: {all}");
            for (tag, expected) in [("1.4", &low), ("1.5", &high), ("1", &high), ("latest", &high), ("1.3", &old)] {
                assert_eq!(stage.stand(tag), *expected, "round {round}, {moment}: {tag}\n{all}");
            }
            // What has no version belongs to one of them, and to the same one everywhere.
            let edge = stage.stand("edge");
            assert!(edge == low || edge == high, "round {round}, {moment}: {edge:?}\n{all}");
        };
        holds("after both");
        stage.is_whole("1.4.2");
        stage.is_whole("1.5.0");
        // The lower one once more: it takes `edge`, and nothing of the higher one.
        let lower = versions.iter().position(|version| *version == "1.4.2").unwrap();
        publishers[lower].kiln(&["run"]).ends(0);
        holds("after the lower one again");
        assert_eq!(stage.stand("edge"), stage.stand("1.4.2"), "round {round}");
    }
}

#[test]
fn publishers_of_two_images_under_a_tag_that_never_moves_end_with_one_everywhere_and_the_other_is_told() {
    for round in 0..3 {
        let Some(stage) = Stage::new(200 + round) else { return };
        let rule = "{ immutable \"1.*.*\" }";
        let publishers = ["one commit", "another commit"].map(|page| stage.publisher("1.4.2", page, rule));
        let ends = race(&publishers);
        let all = ends.iter().map(told).collect::<String>();
        let digest = stage.stand("1.4.2")[0].clone();
        for tag in ["edge", "1.4.2", "1.4", "1", "latest"] {
            assert_eq!(stage.stand(tag), [digest.as_str(), digest.as_str()], "round {round}: {tag}\n{all}");
        }
        stage.is_whole("1.4.2");
        // The one that stands has won; the other is told, now or by the next run.
        assert!(ends.iter().any(|end| end.status.success()), "round {round}: {all}");
        for end in ends.iter().filter(|end| !end.status.success()) {
            assert!(end.status.code() == Some(4) && told(end).contains("may not move to"), "round {round}: {}", told(end));
        }
        let again = publishers.each_ref().map(|publisher| publisher.kiln(&["run"]).code);
        assert!(again == [0, 4] || again == [4, 0], "round {round}: {again:?}");
        assert_eq!(stage.stand("edge"), [digest.as_str(), digest.as_str()], "round {round}");
    }
}
