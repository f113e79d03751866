//! Registries with a random past: after a clearing every tag that was kept pulls on every platform, and its signature holds.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::project::Project;
use super::real_registry::{Mode, Real};

const DAY: u64 = 86_400;

/// Small numbers that a seed decides. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) % limit
    }
}

fn plan(host: &str) -> String {
    format!(
        "kiln 1\nparam \"tag\" default=\"x\"\nparam \"page\" default=\"x\"\nregistry \"one\" \"{host}/acme\"\n\
         task \"page\" {{ env page=\"${{page}}\"; outputs \"page.txt\"; run \"echo $page > page.txt\" }}\n\
         image \"web\" {{ platforms amd64 arm64; copy \"page.txt\" \"/page\"; copy \"same.txt\" \"/same\"; tag \"${{tag}}\"\n\
         push one {{ sign; sbom }} }}\n"
    )
}

/// Every tag with the digest that it names.
fn tags(project: &Project) -> BTreeMap<String, String> {
    let said: Value = serde_json::from_str(&project.kiln(&["tags", "--json", "web"]).ends(0).out).unwrap();
    let images = said["repositories"][0]["images"].as_array().unwrap();
    let named = |image: &Value| {
        let digest = image["digest"].as_str().unwrap().to_owned();
        image["tags"].as_array().unwrap().iter().map(move |tag| (tag.as_str().unwrap().to_owned(), digest.clone())).collect::<Vec<_>>()
    };
    images.iter().flat_map(named).collect()
}

#[test]
fn after_any_clearing_every_kept_tag_pulls_on_every_platform_and_verifies() {
    let mut removed = 0;
    for seed in 0..4 {
        let Some(registry) = Real::start(Mode::Open) else { return };
        let mut numbers = Numbers(seed);
        let mut project = Project::new(&plan(&registry.host));
        project.write("same.txt", "s\n").write("key.pub", include_str!("../../fixtures/keys/rfc6979.pub"));
        project.env("COSIGN_PRIVATE_KEY", include_str!("../../fixtures/keys/rfc6979.pem"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let web = format!("{}/acme/web", registry.host);
        for _ in 0..5 + numbers.below(3) {
            // Tags move, images come back, and some differ in their time alone.
            let (tag, page, days) = (numbers.below(5), numbers.below(3), [1, 5, 20, 40][numbers.below(4) as usize]);
            project.env("SOURCE_DATE_EPOCH", &(now - days * DAY).to_string());
            project.kiln(&["run", "web", "--set", &format!("tag=v{tag}"), "--set", &format!("page=p{page}")]).ends(0);
            if numbers.below(3) == 0 {
                project.kiln(&["promote", &format!("{web}:v{tag}"), ":stable"]).ends(0);
            }
        }
        let before = tags(&project);
        let keep = 1 + numbers.below(2);
        project.kiln(&["prune", "web", "--keep", &keep.to_string(), "--set", "tag=none", "--yes"]).ends(0);
        let after = tags(&project);
        assert!(after.iter().all(|(tag, digest)| before.get(tag) == Some(digest)), "{seed}: {before:?} {after:?}");
        let images = |tags: &BTreeMap<String, String>| tags.values().collect::<std::collections::BTreeSet<_>>().len();
        assert!(images(&after) >= images(&before).min(usize::try_from(keep).unwrap()), "{seed}: {before:?} {after:?}");
        removed += images(&before) - images(&after);
        // A machine that has nothing takes all of it from the registry.
        let image = |tag: &String| {
            format!("image \"{tag}\" {{ platforms amd64 arm64; from \"{web}:{tag}\"; copy \"x\" \"/x\"; tag \"{tag}\"; push out }}\n")
        };
        let pulls: String = after.keys().map(image).collect();
        let other = Project::new(&format!("kiln 1\nregistry \"out\" \"oci:out\"\n{pulls}"));
        other.write("x", "x");
        let named: Vec<&str> = after.keys().map(String::as_str).collect();
        other.kiln(&[&["run"][..], &named].concat()).ends(0);
        for tag in after.keys() {
            project.kiln(&["verify-signature", &format!("{web}:{tag}"), "--key", "key.pub"]).ends(0);
            let bill = ["--key", "key.pub", "--attestation", "cyclonedx"];
            project.kiln(&[&["verify-signature", &format!("{web}:{tag}")][..], &bill].concat()).ends(0);
        }
    }
    assert!(removed > 0, "nothing was removed, so nothing was shown");
}
