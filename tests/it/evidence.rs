//! Evidence of a release, from the plan to the registry: cosign and oras judge what arrives, and what must not be there is searched.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use serde_json::Value;

use super::fake_registry::{Fake, Fault, Rule};
use super::layouts;
use super::parts::{output, part, there};
use super::project::{Project, Ran};
use super::publish::{get, remote, written};
use super::real_registry::{Mode, Real};

const KEY: &str = include_str!("../../fixtures/keys/rfc6979.pem");
const SEALED: &str = include_str!("../../fixtures/keys/cosign-2.5.key");
const CANARY: &str = "c4nary-Pa55/word";

/// Two platforms, a task before them, and everything beside the image that there is.
const PLAN: &str = r#"
kiln 1
project "t" { default "web" }
param "place"
param "mirror" default=""
registry "r" "${place}"
secret "unlock" env="UNLOCK"
secret "token" env="TOKEN"
task "compile" {
    inputs "in.txt"
    outputs "out.txt"
    tools "sed"
    secret "token"
    run "sed s/a/b/ in.txt >out.txt; test -n \"$TOKEN\""
}
image "web" {
    platforms amd64 arm64
    copy "out.txt" "page.html" "/srv/"
    entrypoint "/srv/out.txt"
    tag "v1"
    push r { EVIDENCE }
}
"#;

fn project(place: &str, evidence: &str) -> Project {
    let mut project = Project::new(&PLAN.replace("EVIDENCE", evidence));
    project.write("in.txt", "a\n").write("page.html", "<p>hello</p>\n").write(".gitignore", "out.txt\ndist\n");
    project
        .write("key.pub", include_str!("../../fixtures/keys/rfc6979.pub"))
        .write("sealed.pub", include_str!("../../fixtures/keys/cosign-2.5.pub"));
    project.env("COSIGN_PRIVATE_KEY", KEY).env("TOKEN", CANARY).env("KILN_PARAM_PLACE", place);
    project.commit();
    project
}

fn tool(program: &str, args: &[&str], project: &Project) -> Command {
    let mut command = Command::new(part(program).unwrap());
    command.args(args).current_dir(project.root()).env("HOME", project.beside("home")).env("DOCKER_CONFIG", project.docker_config());
    command.env("COSIGN_PASSWORD", "swordfish");
    command
}

/// What cosign says of a statement that it verified.
fn attested(project: &Project, kind: &str, image: &str, more: &[&str]) -> Value {
    let args = ["verify-attestation", "--key", "key.pub", "--insecure-ignore-tlog=true", "--type", kind];
    let out = output(&mut tool("cosign", &[&args[..], more, &[image]].concat(), project));
    let envelope: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let payload = base64::engine::general_purpose::STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

fn verify(project: &Project, image: &str, more: &[&str]) -> Ran {
    project.kiln(&[&["verify-signature", image, "--key", "key.pub"][..], more].concat())
}

fn children(index: &Value) -> Vec<String> {
    index["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn evidence_of_a_release_is_verified_by_cosign_found_by_oras_and_not_sent_twice() {
    if !there(&["docker-registry", "cosign", "oras"]) {
        return;
    }
    let registry = Real::start(Mode::Open).unwrap();
    let project = project(&registry.host, "sign; sbom; provenance");
    project.kiln(&["run"]).ends(0);
    let (index, digest) = remote(&registry, "web:v1");
    let name = |digest: &str| format!("{}/web@{digest}", registry.host);
    output(&mut tool("cosign", &["trusted-root", "create", "--out", "root.json"], &project));
    for image in children(&index).iter().chain([&digest]) {
        output(&mut tool("cosign", &["verify", "--key", "key.pub", "--insecure-ignore-tlog=true", &name(image)], &project));
        let statement = attested(&project, "slsaprovenance1", &name(image), &[]);
        assert_eq!(format!("sha256:{}", statement["subject"][0]["digest"]["sha256"].as_str().unwrap()), *image);
        // Without a root of trust of its own, cosign asks the network for one, though a key needs none.
        attested(&project, "slsaprovenance1", &name(image), &["--new-bundle-format", "--trusted-root", "root.json"]);
    }
    let first = &children(&index)[0];
    assert_eq!(attested(&project, "cyclonedx", &name(first), &[])["predicate"]["specVersion"], "1.6");
    assert_eq!(attested(&project, "spdxjson", &name(first), &[])["predicate"]["spdxVersion"], "SPDX-2.3");
    let found = output(&mut tool("oras", &["discover", "--plain-http", "--format", "json", &name(first)], &project));
    for kind in ["application/vnd.cyclonedx+json", "application/spdx+json", "application/vnd.dev.sigstore.bundle.v0.3+json"] {
        assert!(found.contains(kind), "{kind}: {found}");
    }
    for kind in ["cyclonedx", "spdx", "provenance"] {
        verify(&project, &name(first), &["--attestation", kind]).ends(0);
    }
    // Whoever asks by a tag asks the index: its bill names the images, and theirs what is in them.
    verify(&project, &name(&digest), &["--attestation", "provenance"]).ends(0);
    let bill = attested(&project, "spdxjson", &format!("{}/web:v1", registry.host), &[]);
    let named: Vec<&str> = bill["predicate"]["packages"].as_array().unwrap().iter().filter_map(|one| one["versionInfo"].as_str()).collect();
    assert_eq!(named, [vec![digest.as_str()], children(&index).iter().map(String::as_str).collect()].concat());
    let bill = attested(&project, "cyclonedx", &name(&digest), &[]);
    let own = attested(&project, "cyclonedx", &name(first), &[]);
    let link = own["predicate"]["serialNumber"].as_str().unwrap().replace("urn:uuid:", "urn:cdx:") + "/1";
    assert_eq!(bill["predicate"]["components"][0]["externalReferences"][0]["url"], link.as_str());

    registry.seen();
    project.kiln(&["run"]).ends(0);
    let seen = registry.seen();
    assert!(!seen.is_empty() && written(&seen).is_empty(), "{seen:?}");
}

#[test]
fn evidence_of_others_stays_and_a_signature_of_the_same_key_is_not_added() {
    if !there(&["docker-registry", "cosign"]) {
        return;
    }
    let registry = Real::start(Mode::Open).unwrap();
    let mut project = project(&registry.host, "sign key=\"sealed.key\" password=\"unlock\"");
    project.env("UNLOCK", "swordfish").write("sealed.key", SEALED);
    output(&mut tool("cosign", &["generate-key-pair"], &project));
    // The image stands and is signed by cosign twice, by our key and by another one, before kiln comes to it.
    let signed = project.read("build.kdl");
    let bare: String =
        signed.lines().map(|line| if line.contains("push r") { "push r\n".to_owned() } else { format!("{line}\n") }).collect();
    project.write("build.kdl", &bare).kiln(&["run"]).ends(0);
    let (_, digest) = remote(&registry, "web:v1");
    let image = format!("{}/web@{digest}", registry.host);
    for key in ["cosign.key", "sealed.key"] {
        output(&mut tool("cosign", &["sign", "--key", key, "--tlog-upload=false", "-y", &image], &project));
    }
    let tag = format!("web:{}.sig", digest.replace(':', "-"));
    let (before, _) = remote(&registry, &tag);
    assert_eq!(before["layers"].as_array().unwrap().len(), 2);
    project.write("build.kdl", &signed).kiln(&["run"]).ends(0);
    assert_eq!(remote(&registry, "web:v1").1, digest, "the same image with and without a signature");
    assert_eq!(remote(&registry, &tag).0, before);
    // Our own signature is added to those of others, and cosign's to ours.
    let other = children(&remote(&registry, "web:v1").0)[0].clone();
    let child = format!("{}/web@{other}", registry.host);
    output(&mut tool("cosign", &["sign", "--key", "cosign.key", "--tlog-upload=false", "-y", &child], &project));
    for key in ["cosign.pub", "sealed.pub"] {
        output(&mut tool("cosign", &["verify", "--key", key, "--insecure-ignore-tlog=true", &child], &project));
    }
    let sealed = project.kiln(&["verify-signature", &image, "--key", "sealed.pub"]).ends(0);
    assert!(sealed.out.contains(&digest), "{}", sealed.out);
}

#[test]
fn evidence_is_signed_by_a_key_that_openssl_encrypted() {
    let mut project = project("oci:dist", "sign key=\"release.pem\" password=\"unlock\"");
    project.env("UNLOCK", "Swordfish").write("release.pem", include_str!("../../fixtures/keys/rfc6979.pbkdf2.pem"));
    project.kiln(&["run"]).ends(5).says("the password does not open it").never_says("Swordfish");
    assert!(!project.has("dist/web/index.json"), "nothing is listed");
    project.env("UNLOCK", "swordfish").kiln(&["run"]).ends(0);
    project
        .write("release.pem", include_str!("../../fixtures/keys/rfc6979.pbes1.pem"))
        .kiln(&["run"])
        .ends(5)
        .says("nobody should use today");
}

#[test]
fn evidence_that_cannot_be_made_moves_no_tag_and_says_what_is_missing() {
    if !there(&["docker-registry"]) {
        return;
    }
    let registry = Real::start(Mode::Open).unwrap();
    let mut project = project(&registry.host, "sign key=\"sealed.key\" password=\"unlock\"");
    // Before anything runs.
    project.kiln(&["run"]).ends(5).says("run::no-key").says("`sealed.key` does not exist").says("UNLOCK is not set");
    assert!(!project.has("out.txt"));
    project.write("sealed.key", SEALED);
    project.env("UNLOCK", "Swordfish");
    let ran = project.kiln(&["run"]).ends(5).says("the password does not open it").says("no tag was moved");
    ran.never_says("Swordfish");
    let tags = registry.seen().iter().filter_map(|access| access.tag().map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(tags, Vec::<String>::new());
    // An open key that others may read signs nothing.
    project.write("sealed.key", KEY);
    project.kiln(&["run"]).ends(5).says("it is not sealed, and others may read it").says("chmod 600");
    project.write("sealed.key", SEALED);
    project.env("UNLOCK", "swordfish");
    project.kiln(&["run"]).ends(0);
    let order: Vec<String> = registry.seen().iter().filter_map(|access| access.tag().map(str::to_owned)).collect();
    assert_eq!(order.iter().position(|tag| tag == "v1"), Some(order.len() - 1), "the tag of the release moves last: {order:?}");
    let image = format!("{}/web:v1", registry.host);
    project.kiln(&["verify-signature", &image, "--key", "sealed.pub"]).ends(0);
    verify(&project, &image, &["--json"]).ends(4).says("verify::refused").says("is not of this key");
    verify(&project, &image, &["--attestation", "spdx", "--json"]).ends(4).says("has no signed claim of kind `spdx`");
    project.kiln(&["verify-signature", &image]).ends(2).says("verify::no-key");
    project.kiln(&["verify-signature", &image, "--key", "build.kdl"]).ends(2).says("verify::bad-key");
    project.kiln(&["verify-signature", &image, "--key", "sealed.key"]).ends(2).says("holds a private key");
    project.kiln(&["verify-signature", &format!("{}/nothing:v1", registry.host), "--key", "sealed.pub"]).ends(5);
}

#[test]
fn evidence_is_bound_to_its_own_image() {
    if !there(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Real::start(Mode::Open).unwrap();
    let project = project(&registry.host, "sign");
    project.kiln(&["run"]).ends(0);
    let old = remote(&registry, "web:v1").1;
    project.write("page.html", "<p>other</p>\n");
    let bare = project.read("build.kdl").replace("{ sign }", "");
    project.write("build.kdl", bare).kiln(&["run"]).ends(0);
    let new = remote(&registry, "web:v1").1;
    assert_ne!(old, new);
    let image = format!("{}/web:v1", registry.host);
    verify(&project, &image, &[]).ends(4).says("has no signature");
    // The signature of the old image under the new one's tag.
    let tag = |digest: &str| format!("docker://{}/web:{}.sig", registry.host, digest.replace(':', "-"));
    let copy = ["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests", &tag(&old), &tag(&new)];
    output(&mut tool("skopeo", &copy, &project));
    verify(&project, &image, &["--json"]).ends(4).says(&format!("is of this key, but about {old}"));
}

#[test]
fn evidence_names_the_real_inputs_and_holds_no_secret() {
    if !there(&["docker-registry"]) {
        return;
    }
    let registry = Real::start(Mode::Open).unwrap();
    let project = project(&registry.host, "sbom; provenance");
    project.write("kiln.lock", "lock 1\n").git(&["add", "kiln.lock"]).git(&["commit", "-qm", "lock"]);
    project.git(&["remote", "add", "origin", &format!("https://kiln:{}@example.org/acme/web.git", CANARY.replace('/', "%2F"))]);
    let mirror = format!("mirror=https://me:{}@example.org/x", CANARY.replace('/', "%2F"));
    project.kiln(&["run", "--set", &mirror]).ends(0);
    let (index, digest) = remote(&registry, "web:v1");
    // Nobody signed: statements and documents are there as they are.
    let (list, _) = remote(&registry, &format!("web:{}", digest.replace(':', "-")));
    let (manifest, _) = remote(&registry, &format!("web@{}", record(&list)));
    assert_eq!(manifest["subject"]["digest"], digest.as_str());
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let statement: Value = serde_json::from_slice(&get(&format!("http://{}/v2/web/blobs/{layer}", registry.host))).unwrap();
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let definition = &statement["predicate"]["buildDefinition"];
    let dependencies = definition["resolvedDependencies"].as_array().unwrap();
    let sha256 =
        |path: &str| kiln::base::digest::Digest::<kiln::base::digest::Sha256>::of(&std::fs::read(project.path(path)).unwrap()).hex();
    for file in ["in.txt", "page.html", "build.kdl", "kiln.lock"] {
        let entry = dependencies.iter().find(|one| one["name"] == file).unwrap_or_else(|| panic!("{file}: {statement}"));
        assert_eq!(entry["digest"]["sha256"], sha256(file).as_str());
    }
    // What a step makes is no input, and a tool is one.
    assert!(!dependencies.iter().any(|one| one["name"] == "out.txt"));
    assert!(dependencies.iter().any(|one| one["name"] == "tool sed"));
    let commit = output(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(project.root()));
    let source = dependencies.iter().find(|one| one["digest"]["gitCommit"].is_string()).unwrap();
    assert_eq!(source["digest"]["gitCommit"], commit.trim());
    assert_eq!(source["uri"], format!("git+https://example.org/acme/web.git@{}", commit.trim()).as_str());
    assert_eq!(definition["externalParameters"]["params"]["mirror"], "https://example.org/x");
    assert_eq!(definition["externalParameters"]["platforms"], serde_json::json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(children(&index).len(), 2);
    let encoded = base64::engine::general_purpose::STANDARD.encode(CANARY);
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let private = KEY.lines().nth(1).unwrap();
    let needles = [CANARY, &CANARY.replace('/', "%2F"), encoded.trim_end_matches('='), &hex, private];
    for folder in [registry.folder.path(), &project.cache()] {
        search(folder, &needles);
    }

    // The same again on what looks like another machine: the same record, so nothing is sent.
    registry.seen();
    std::fs::remove_dir_all(project.cache()).unwrap();
    project.kiln(&["run", "--set", &mirror]).ends(0);
    assert!(written(&registry.seen()).is_empty());
    // A file that differs from the commit is said to.
    project.write("page.html", "<p>changed</p>\n");
    project.kiln(&["run", "--set", &mirror]).ends(0);
    let (_, digest) = remote(&registry, "web:v1");
    let (list, _) = remote(&registry, &format!("web:{}", digest.replace(':', "-")));
    let (manifest, _) = remote(&registry, &format!("web@{}", record(&list)));
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let text = String::from_utf8(get(&format!("http://{}/v2/web/blobs/{layer}", registry.host))).unwrap();
    assert!(text.contains(r#""state":"files differ from the commit""#), "{text}");
}

/// The provenance that nobody signed, in a list of referrers.
fn record(list: &Value) -> String {
    let is_record = |entry: &&Value| entry["annotations"]["in-toto.io/predicate-type"] == "https://slsa.dev/provenance/v1";
    let entry = list["manifests"].as_array().unwrap().iter().find(is_record).unwrap_or_else(|| panic!("{list}"));
    assert_eq!(entry["artifactType"], "application/vnd.in-toto+json");
    entry["digest"].as_str().unwrap().to_owned()
}

/// Fails when a file below a folder holds one of the texts.
#[track_caller]
fn search(folder: &Path, needles: &[&str]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, needles);
            continue;
        }
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for needle in needles {
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            // The compiled plan is this user's own, and holds what was typed.
            assert!(!found || path.to_string_lossy().contains("/projects/"), "{}: {needle}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_with_lists_of_referrers_gets_no_tag_for_them() {
    let fake = Fake::start().await;
    fake.state.lock().unwrap().referrers = true;
    let project = project(&fake.host, "sign; sbom; provenance");
    let (project, ran) = tokio::task::spawn_blocking(move || {
        let ran = project.kiln(&["run"]);
        (project, ran)
    })
    .await
    .unwrap();
    ran.ends(0);
    let digest = fake.tag("web", "v1").unwrap();
    assert_eq!(fake.tag("web", &digest.to_string().replace(':', "-")), None);
    fake.forget();
    let image = format!("{}/web:v1", fake.host);
    let (again, held) =
        tokio::task::spawn_blocking(move || (project.kiln(&["run"]), verify(&project, &image, &["--attestation", "provenance"])))
            .await
            .unwrap();
    again.ends(0);
    held.ends(0);
    let wrote: Vec<String> = fake.lines().into_iter().filter(|line| !line.starts_with("GET") && !line.starts_with("HEAD")).collect();
    assert_eq!(wrote, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_that_refuses_evidence_gets_no_tag_of_the_release_and_the_next_run_sends_what_is_missing() {
    for part in ["/blobs/uploads/", "manifests/sha256:", "manifests/sha256-"] {
        let fake = Fake::start().await;
        let project = project(&fake.host, "sign; provenance");
        let run = |project: Project| async move {
            let ran = tokio::task::spawn_blocking(move || (project.kiln(&["run"]), project)).await.unwrap();
            (ran.1, ran.0)
        };
        // The image goes through; what comes after it does not.
        let (project, ran) = run(bare(project)).await;
        ran.ends(0);
        let old = fake.tag("web", "v1").unwrap();
        project.write("page.html", "<p>new</p>\n");
        let (project, ran) = run(project).await;
        ran.ends(0);
        let new = fake.tag("web", "v1").unwrap();
        assert_ne!(old, new);
        // Back at the old image, with evidence.
        project.write("page.html", "<p>hello</p>\n");
        let refusal = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        let method = if part.contains("blobs") { "POST" } else { "PUT" };
        let body = br#"{"errors":[{"code":"DENIED","message":"not here"}]}"#.to_vec();
        fake.rule(Rule::new(method, part, Fault::Answer(403, refusal, body)).times(1_000));
        let (project, ran) = run(with_evidence(project)).await;
        ran.ends(5);
        assert_eq!(fake.tag("web", "v1"), Some(new), "{part}: the tag stays where it was");
        fake.state.lock().unwrap().rules.clear();
        let (_, ran) = run(project).await;
        ran.ends(0);
        assert_eq!(fake.tag("web", "v1"), Some(old), "{part}");
    }
}

/// The project without and with what goes beside its image.
fn bare(project: Project) -> Project {
    let text = project.read("build.kdl").replace("push r {", "push r // {").replace("provenance }", "provenance");
    project.write("build.kdl", text);
    project
}
fn with_evidence(project: Project) -> Project {
    let text = project.read("build.kdl").replace("push r // {", "push r {").replace("provenance", "provenance }");
    project.write("build.kdl", text);
    project
}

#[test]
fn evidence_in_a_layout_is_listed_there_and_the_layout_is_still_a_base() {
    let project = project("oci:dist", "sign; sbom; provenance");
    project.kiln(&["run"]).ends(0);
    let index = layouts::index(&project, "dist/web");
    let kinds: Vec<&str> = index["manifests"].as_array().unwrap().iter().filter_map(|entry| entry["artifactType"].as_str()).collect();
    let count = |kind: &str| kinds.iter().filter(|own| **own == kind).count();
    // A signature, a record, two bills and two bundles of them for each of three manifests.
    assert_eq!(count("application/vnd.dev.sigstore.bundle.v0.3+json"), 3 + 3 + 6);
    assert_eq!((count("application/spdx+json"), count("application/vnd.cyclonedx+json")), (3, 3));
    let before = project.snapshot("dist");
    project.kiln(&["run"]).ends(0);
    assert_eq!(project.snapshot("dist"), before);
    if there(&["oras"]) {
        let found = output(&mut tool("oras", &["discover", "--oci-layout", "--format", "json", "dist/web:v1"], &project));
        assert!(found.contains("sigstore.bundle"), "{found}");
    }
    let plan = format!(
        "{}image \"next\" {{ platforms amd64; from \"oci:dist/web\"; tag \"v2\"; copy \"in.txt\" \"/\"; }}\n",
        project.read("build.kdl")
    );
    project.write("build.kdl", plan).kiln(&["run", "next/build"]).ends(0);
}
