//! Plans that lie elsewhere: fetched with bounds, held against their digests, kept for the next command.

use kiln::base::digest::BlobDigest;
use kiln::oci::descriptor::Descriptor;
use kiln::oci::manifest::{self, Manifest};
use kiln::oci::media_type;
use kiln::oci::reference::Reference;
use kiln::registry::client::Options;
use kiln::registry::error::Fault as Told;
use kiln::registry::session::Session;

use super::fake_registry::{Fake, Fault, Rule};
use super::registry::{Bench, nobody};

pub const PLAN: &str = "application/vnd.kiln.plan.v1+kdl";
const LIMIT: u64 = 1 << 20;

fn file(fake: &Fake, status: u16, headers: &[(&str, String)], body: &str) {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    fake.rule(Rule::new("GET", "/x.kdl", Fault::Answer(status, headers, body.into())));
}

/// Puts an artifact of these layers at the registry.
pub fn artifact(fake: &Fake, name: &str, tag: &str, layers: &[(&str, &str)]) -> BlobDigest {
    let layers = layers.iter().map(|(media_type, text)| {
        fake.put_blob(name, text.as_bytes());
        Descriptor::of(media_type, text.as_bytes())
    });
    fake.put_blob(name, b"{}");
    let manifest = Manifest::new(Descriptor::of("application/vnd.oci.empty.v1+json", b"{}"), layers.collect());
    fake.put_manifest(name, Some(tag), media_type::MANIFEST, &manifest::bytes(&manifest))
}

#[tokio::test]
async fn remote_files_come_without_credentials_and_with_bounds() {
    let (fake, other, bench) = (Fake::start().await, Fake::start().await, Bench::new());
    let session = bench.session(nobody());
    let address = format!("http://{}/x.kdl", fake.host);
    file(&fake, 200, &[], "kiln 1\n");
    assert_eq!(session.fetch(&address, LIMIT).await.unwrap(), "kiln 1\n");
    assert!(fake.seen().iter().all(|seen| seen.header("authorization").is_none()));

    file(&fake, 302, &[("Location", format!("http://{}/y.kdl", fake.host))], "");
    fake.rule(Rule::new("GET", "/y.kdl", Fault::Answer(200, Vec::new(), b"kiln 1 // y".to_vec())));
    assert_eq!(session.fetch(&address, LIMIT).await.unwrap(), "kiln 1 // y");
    file(&fake, 302, &[("Location", format!("http://{}/x.kdl", other.host))], "");
    let error = session.fetch(&address, LIMIT).await.unwrap_err();
    assert!(matches!(&*error.fault, Told::Protocol(_)), "{error:?}");
    assert_eq!(other.lines(), Vec::<String>::new(), "another host is not asked without protection");

    file(&fake, 404, &[], "");
    assert!(matches!(*session.fetch(&address, LIMIT).await.unwrap_err().fault, Told::Missing(_)));
    file(&fake, 200, &[], &"x".repeat(100));
    assert!(matches!(*session.fetch(&address, 99).await.unwrap_err().fault, Told::TooLarge(_)));
    fake.rule(Rule::new("GET", "/v2/", Fault::Endless));
    assert!(matches!(*session.fetch(&format!("http://{}/v2/", fake.host), LIMIT).await.unwrap_err().fault, Told::TooLarge(_)));
    for strange in ["http://10.255.255.1/x.kdl", "ftp://127.0.0.1/x", "nonsense"] {
        let error = session.fetch(strange, LIMIT).await.unwrap_err();
        assert!(matches!(*error.fault, Told::Protocol(_)), "{strange}: {error:?}");
    }
}

#[tokio::test]
async fn remote_artifacts_are_one_layer_of_the_right_type_and_then_need_no_connection() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let session = bench.session(nobody());
    let reference = |text: &str| format!("{}/{text}", fake.host).parse::<Reference>().unwrap();
    let digest = artifact(&fake, "plans", "1", &[(PLAN, "kiln 1\n")]);
    let (found, bytes) = session.artifact(&reference("plans:1"), PLAN, LIMIT).await.unwrap();
    assert_eq!((found, bytes.as_slice()), (digest, &b"kiln 1\n"[..]));

    artifact(&fake, "plans", "two", &[(PLAN, "kiln 1\n"), (PLAN, "kiln 1 // 2\n")]);
    artifact(&fake, "plans", "tar", &[(media_type::LAYER, "x")]);
    artifact(&fake, "plans", "large", &[(PLAN, &"x".repeat(101))]);
    for (tag, part) in [("two", "has 2 layers"), ("tar", "has a layer of type"), ("large", "more than 100")] {
        let error = session.artifact(&reference(&format!("plans:{tag}")), PLAN, 100).await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }

    // By its digest it is read from the store, though the registry has another one now.
    artifact(&fake, "plans", "1", &[(PLAN, "kiln 1 // moved\n")]);
    fake.forget();
    let blobs = std::sync::Arc::new(kiln::engine::blobs::StoreBlobs(bench.store.clone()));
    let offline = Session::new(Options { offline: true, ..Options::new(nobody()) }, blobs);
    let pinned = Reference { digest: Some(digest), ..reference("plans:1") };
    assert_eq!(offline.artifact(&pinned, PLAN, LIMIT).await.unwrap().1, b"kiln 1\n");
    assert!(matches!(*offline.artifact(&reference("plans:1"), PLAN, LIMIT).await.unwrap_err().fault, Told::Offline));
    assert_eq!(fake.lines(), Vec::<String>::new());

    // A registry that sends another text under the pinned digest is refused.
    let other = Bench::new();
    fake.rule(Rule::new("GET", "/blobs/", Fault::OtherBytes).times(100));
    let error = other.session(nobody()).artifact(&pinned, PLAN, LIMIT).await.unwrap_err();
    assert!(matches!(*error.fault, Told::Digest { .. }), "{error}");
}
