//! Referrers at registries that keep lists of them and at registries that do not: in-process ones, and `oras` against real ones.

use kiln::evidence::artifact::Artifact;
use kiln::oci::descriptor::Descriptor;
use kiln::oci::media_type;
use kiln::oci::reference::Repository;
use kiln::registry::referrers::list_tag;

use super::fake_registry::{Fake, Fault, Rule};
use super::registry::{Bench, nobody, tag};

/// An image in a registry, and an artifact for it in the store.
async fn ground(fake: &Fake, bench: &Bench) -> (Repository, Descriptor) {
    let repository: Repository = format!("{}/acme/web", fake.host).parse().unwrap();
    let image = bench.image("linux/amd64", &[b"layer"]);
    bench.session(nobody()).push(&repository, &image, &[]).await.unwrap();
    fake.forget();
    (repository, image)
}

fn artifact(bench: &Bench, image: &Descriptor, text: &str) -> Descriptor {
    let artifact = Artifact::document(image, "application/spdx+json", text.as_bytes().to_vec());
    for blob in artifact.blobs {
        bench.blob("x", &blob);
    }
    bench.blob(media_type::MANIFEST, &artifact.bytes);
    artifact.manifest
}

fn lines(fake: &Fake) -> Vec<String> {
    let digests = |line: &str| line.split("sha256").next().unwrap().to_owned();
    fake.lines().iter().map(|line| digests(line)).filter(|line| !line.starts_with("GET /v2/ ") && line != "GET /v2/").collect()
}

#[tokio::test]
async fn registry_that_keeps_lists_gets_artifacts_alone_and_is_asked_once() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    fake.state.lock().unwrap().referrers = true;
    let (repository, image) = ground(&fake, &bench).await;
    let artifacts = ["a", "b", "c"].map(|text| artifact(&bench, &image, text));
    let session = bench.session(nobody());
    let report = session.attach(&repository, &artifacts).await.unwrap();
    assert_eq!((report.sent, report.existing), (7, 0), "three manifests, three documents, the empty config once");
    assert!(!session.enlist(&repository, image.digest, &artifacts).await.unwrap());
    assert_eq!(fake.tag("acme/web", list_tag(image.digest).as_str()), None);
    let mut found: Vec<_> = session.referrers(&repository, image.digest).await.unwrap().into_iter().map(|entry| entry.digest).collect();
    found.sort();
    let mut expected = artifacts.each_ref().map(|artifact| artifact.digest);
    expected.sort();
    assert_eq!(found, expected, "over two pages");

    fake.forget();
    let session = bench.session(nobody());
    assert_eq!(session.attach(&repository, &artifacts).await.unwrap().sent, 0);
    assert!(!session.enlist(&repository, image.digest, &artifacts).await.unwrap());
    assert!(!session.enlist(&repository, image.digest, &artifacts).await.unwrap());
    let head = "HEAD /v2/acme/web/manifests/";
    assert_eq!(lines(&fake), [head, head, head, "GET /v2/acme/web/referrers/", "GET /v2/acme/web/referrers/"], "{:?}", fake.lines());
}

#[tokio::test]
async fn registry_without_lists_gets_one_under_a_tag_in_which_the_entries_of_others_stay() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let (repository, image) = ground(&fake, &bench).await;
    let session = bench.session(nobody());
    let [first, second] = ["a", "b"].map(|text| artifact(&bench, &image, text));
    for (artifacts, all) in [(vec![first.clone()], 1), (vec![first.clone(), second.clone()], 2), (vec![first.clone()], 2)] {
        session.attach(&repository, &artifacts).await.unwrap();
        session.enlist(&repository, image.digest, &artifacts).await.unwrap();
        let found = session.referrers(&repository, image.digest).await.unwrap();
        assert_eq!(found.len(), all);
        assert_eq!(found[0], first);
    }
    assert_eq!(first.artifact_type(), Some("application/spdx+json"));

    // Where a list holds these alone, its digest says so.
    let other = bench.image("linux/arm64", &[b"layer"]);
    session.push(&repository, &other, &[]).await.unwrap();
    let own = [artifact(&bench, &other, "c")];
    session.attach(&repository, &own).await.unwrap();
    assert!(session.enlist(&repository, other.digest, &own).await.unwrap());
    fake.forget();
    assert!(!session.enlist(&repository, other.digest, &own).await.unwrap());
    assert_eq!(lines(&fake), ["HEAD /v2/acme/web/manifests/"], "{:?}", fake.lines());
}

#[tokio::test]
async fn registry_lists_that_eight_write_at_once_lose_nobodys_entry() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let (repository, image) = ground(&fake, &bench).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (session, repository, image) = (bench.session(nobody()), repository.clone(), image.clone());
        let own = artifact(&bench, &image, &number.to_string());
        tasks.spawn(async move {
            session.attach(&repository, std::slice::from_ref(&own)).await.unwrap();
            session.enlist(&repository, image.digest, &[own]).await
        });
    }
    while let Some(task) = tasks.join_next().await {
        assert!(task.unwrap().unwrap());
    }
    assert_eq!(bench.session(nobody()).referrers(&repository, image.digest).await.unwrap().len(), 8);
}

#[tokio::test]
async fn registry_lists_that_are_none_are_refused_and_not_written_over() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let (repository, image) = ground(&fake, &bench).await;
    let own = [artifact(&bench, &image, "a")];
    let session = bench.session(nobody());
    session.attach(&repository, &own).await.unwrap();
    let name = list_tag(image.digest);
    session.tag(&repository, &tag(name.as_str()), &image).await.unwrap();
    let error = session.enlist(&repository, image.digest, &own).await.unwrap_err();
    assert!(error.to_string().contains("names no list of referrers"), "{error}");
    assert_eq!(fake.tag("acme/web", name.as_str()), Some(image.digest));

    for (header, value, expected) in [
        ("Link", "<http://203.0.113.1/v2/x>; rel=\"next\"".to_owned(), "goes on at another host"),
        ("Link", format!("</v2/acme/web/referrers/{}>; rel=\"next\"", image.digest), "leads in a circle"),
    ] {
        fake.state.lock().unwrap().referrers = true;
        fake.rule(Rule::new("GET", "/referrers/", Fault::Header(header, value)).times(5));
        let error = bench.session(nobody()).referrers(&repository, image.digest).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        fake.state.lock().unwrap().rules.clear();
    }
    // A list that cannot be read is not taken for an empty one.
    let index = vec![("Content-Type".to_owned(), media_type::INDEX.to_owned())];
    fake.rule(Rule::new("GET", "/referrers/", Fault::Answer(200, index, b"<html>".to_vec())));
    let error = bench.session(nobody()).referrers(&repository, image.digest).await.unwrap_err();
    assert!(error.to_string().contains("no list of referrers"), "{error}");
}
