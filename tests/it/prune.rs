//! Listing and clearing repositories of a real registry, and giving what stands there other names.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::project::Project;
use super::real_registry::{Mode, Real};

const DAY: u64 = 86_400;

fn plan(host: &str, more: &str) -> String {
    format!(
        "kiln 1\nparam \"v\" default=\"1\"\nregistry \"one\" \"{host}/acme\" {{ {more} }}\n\
         task \"page\" {{ env v=\"${{v}}\"; outputs \"page\"; run \"echo $v > page\" }}\n\
         image \"web\" {{ platforms amd64 arm64; copy \"page\" \"/page\"; tag \"${{v}}\"; push one }}\n"
    )
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Images `v1`, `v2`, … that were made so many days ago.
pub fn publish(project: &mut Project, days: &[u64]) {
    for (n, days) in days.iter().enumerate() {
        project.env("SOURCE_DATE_EPOCH", &(now() - days * DAY).to_string());
        project.kiln(&["run", "web", "--set", &format!("v=v{}", n + 1)]).ends(0);
    }
}

fn tags(project: &Project, repository: &str) -> Vec<String> {
    let said: Value = serde_json::from_str(&project.kiln(&["tags", "--json", repository]).ends(0).out).unwrap();
    let images = said["repositories"][0]["images"].as_array().unwrap();
    images.iter().flat_map(|image| image["tags"].as_array().unwrap()).map(|tag| tag.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_newest_images_stay_with_all_their_platforms_and_the_rest_goes_when_told() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let mut project = Project::new(&plan(&registry.host, "prune keep=2"));
    publish(&mut project, &[9, 6, 40, 20]);
    let web = format!("{}/acme/web", registry.host);
    assert_eq!(tags(&project, "web"), ["v2", "v1", "v4", "v3"]);
    project.kiln(&["tags"]).ends(0).says(&web).says("6 d ago").says("linux/amd64 linux/arm64");
    registry.seen();
    project
        .kiln(&["prune"])
        .ends(0)
        .says("v3")
        .says("v4")
        .says("2 images, with 4 documents that belong to them would go; 2 stay")
        .says("--yes");
    assert!(registry.seen().iter().all(|access| matches!(access.method.as_str(), "GET" | "HEAD")));
    project.kiln(&["prune", "--yes"]).ends(0).says("2 images, with 4 documents that belong to them went; 2 stay");
    let removed = registry.seen().into_iter().filter(|access| access.method == "DELETE").collect::<Vec<_>>();
    assert_eq!((removed.len(), removed.iter().all(|access| access.status == 202)), (6, true), "{removed:?}");
    assert_eq!(tags(&project, &web), ["v2", "v1"]);
    // What stays is whole: both platforms can be pulled by a machine that has nothing.
    let other = Project::new(&format!(
        "kiln 1\nimage \"a\" {{ platforms amd64 arm64; from \"{web}:v1\"; tag \"x\"; push out }}\n\
         image \"b\" {{ platforms amd64 arm64; from \"{web}:v2\"; tag \"x\"; push out }}\nregistry \"out\" \"oci:out\"\n"
    ));
    other.kiln(&["run", "a", "b"]).ends(0);
    project.kiln(&["prune", "--yes"]).ends(0).says("0 images went; 2 stay");
}

#[test]
fn tags_that_never_move_and_those_of_the_plan_keep_their_images() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let mut project = Project::new(&plan(&registry.host, "immutable \"v1\"; prune within=\"3d\""));
    publish(&mut project, &[40, 30, 1, 20]);
    // The plan's own tag is `v4` now.
    let said =
        project.kiln(&["prune", "--set", "v=v4", "-v"]).ends(0).says("never moves").says("is named in the plan").says("young enough");
    assert!(said.out.contains("1 image, with 2 documents that belong to them would go; 3 stay"), "{said:?}");
    // Of what was asked about, all are too young or held.
    project.kiln(&["prune", "--set", "v=v4", "--only", "v3"]).ends(0).says("0 images would go; 4 stay");
    project.kiln(&["prune", "web", "--keep", "1", "--only", "v[23]"]).ends(0).says("1 image");
    project.kiln(&["prune", "--set", "v=v4", "--yes", "--json"]).ends(0).says("\"removed\":true");
    assert_eq!(tags(&project, "web"), ["v3", "v4", "v1"]);
}

#[test]
fn what_cannot_be_cleared_says_why_and_nothing_is_removed() {
    let Some(registry) = Real::start(Mode::Open) else { return };
    let project = Project::new(&plan(&registry.host, ""));
    project.kiln(&["prune"]).ends(2).says("nothing in the plan says what stays").says("prune keep=10");
    project.kiln(&["prune", "web"]).ends(2).says("acme/web");
    project.kiln(&["prune", "wep", "--keep", "1"]).ends(2).says("did you mean `web`?");
    project.kiln(&["prune", "page", "--keep", "1"]).ends(2).says("is no image");
    project.kiln(&["prune", "a b/c", "--keep", "1"]).ends(2).says("repository");
    project.kiln(&["prune", "web", "--keep", "0"]).ends(2);
    // A repository that is not there holds nothing.
    project.kiln(&["prune", &format!("{}/not/there", registry.host), "--keep", "1", "--yes"]).ends(0).says("0 images went");
    project.kiln(&["prune", "127.0.0.1:1/a/b", "--keep", "1"]).ends(5).says("cannot be reached");
}

#[test]
fn an_image_gets_another_name_in_its_repository_beside_it_and_in_another_registry() {
    let (Some(one), Some(two)) = (Real::start(Mode::Open), Real::start(Mode::Open)) else { return };
    let mut project = Project::new(&plan(&one.host, "immutable \"v*\""));
    publish(&mut project, &[2, 1]);
    let (web, beside, far) = (format!("{}/acme/web", one.host), format!("{}/acme/live", one.host), format!("{}/x/web", two.host));
    let digest = |repository: &str, tag: &str| -> String {
        let said: Value = serde_json::from_str(&project.kiln(&["tags", "--json", "--all", repository]).ends(0).out).unwrap();
        let images = said["repositories"][0]["images"].as_array().unwrap();
        let image = images.iter().find(|image| image["tags"].as_array().unwrap().iter().any(|name| name == tag));
        image.map(|image| image["digest"].as_str().unwrap().to_owned()).unwrap_or_default()
    };
    let (first, second) = (digest(&web, "v1"), digest(&web, "v2"));
    // Something that is about the first, under the tag that cosign would give it.
    let about = format!("{}.sig", first.replace(':', "-"));
    project.kiln(&["promote", &format!("{web}:v2"), &format!(":{about}")]).ends(0).says("is new");
    one.seen();
    let (from, live, away) = (format!("{web}:v1"), format!("{beside}:live"), format!("{far}:live"));
    project.kiln(&["promote", "--dry-run", &from, ":stable", &live, &away]).ends(0).says("would be new");
    assert!(one.seen().iter().chain(&two.seen()).all(|access| matches!(access.method.as_str(), "GET" | "HEAD")));
    project.kiln(&["promote", &from, ":stable", &live, &away]).ends(0).says("blobs taken over").says("with 1 document about it");
    assert!(one.seen().iter().all(|access| access.method != "PATCH"), "the registry has the blobs");
    for (repository, tag) in [(&web, "stable"), (&beside, "live"), (&far, "live")] {
        assert_eq!((digest(repository, tag), digest(repository, &about)), (first.clone(), second.clone()), "{repository}");
    }
    // Again, nothing is written; another image moves the tag and says from where.
    two.seen();
    project.kiln(&["promote", &from, &away]).ends(0).says("names it already");
    assert!(two.seen().iter().all(|access| matches!(access.method.as_str(), "GET" | "HEAD")));
    project.kiln(&["promote", &format!("{web}@{second}"), &away]).ends(0).says(&format!("moved from {}", &first[..19]));
    assert_eq!(digest(&far, "live"), second);
    // A tag that may not move stays, and nothing else is done.
    project.kiln(&["promote", &format!("{web}:v2"), ":v1", ":other"]).ends(4).says("may not move").says(&first).says(&second);
    assert_eq!((digest(&web, "v1"), digest(&web, "other")), (first, String::new()));
    project.kiln(&["promote", &web, ":x"]).ends(2).says("neither a tag nor a digest");
    project.kiln(&["promote", &from, &web]).ends(2).says("needs a tag");
    project.kiln(&["promote", &format!("{web}:none"), ":x"]).ends(5).says("does not exist");
}
