//! The scan over whole images: layers as tar archives, config and manifest in a store, as they come from a builder or a registry.

use std::io::Write as _;
use std::sync::Arc;

use kiln::base::diagnostic::{Class, Source, Span};
use kiln::base::digest::{BlobDigest, DiffId, Digest};
use kiln::base::path::AbsPath;
use kiln::base::pattern::Pattern;
use kiln::base::time::Moment;
use kiln::oci::descriptor::Descriptor;
use kiln::oci::manifest::{self, Manifest};
use kiln::oci::media_type;
use kiln::plan::policy::{Allowance, Level, PolicyDef, Rule, default_policy};
use kiln::scan::run::{ImageFacts, Scan, ScanError, scan_image};
use kiln::store::local::Store;
use serde_json::{Value, json};

/// Thirty-six characters without a meaning, so that no file here holds a token.
const BODY: &str = "q7Zr2MxW9bTn4LkV8cYp3HsD6fGj1XaQ5eRu";

const OS_RELEASE: &[u8] = b"PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID=\"12\"\n";
const DPKG: &[u8] = include_bytes!("../../fixtures/scan/dpkg-status");
const APK: &[u8] = include_bytes!("../../fixtures/scan/apk-installed");

/// A layer under construction.
struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn entry(mut self, path: &str, kind: tar::EntryType, mode: u32, target: &str, bytes: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        // Written by hand, so that paths which the builder refuses can be tried too.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.append(&header, bytes).unwrap();
        self
    }

    fn file(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.entry(path, tar::EntryType::Regular, 0o644, "", bytes.as_ref())
    }

    fn mode(self, path: &str, mode: u32) -> Self {
        self.entry(path, tar::EntryType::Regular, mode, "", b"x")
    }

    fn folder(self, path: &str, mode: u32) -> Self {
        self.entry(path, tar::EntryType::Directory, mode, "", b"")
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, tar::EntryType::Symlink, 0o777, target, b"")
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(path, tar::EntryType::Link, 0o644, target, b"")
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// An image under construction.
struct Image {
    folder: tempfile::TempDir,
    layers: Vec<Vec<u8>>,
    config: Value,
    facts: ImageFacts,
}

impl Image {
    fn new(layers: impl IntoIterator<Item = Layer>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            layers: layers.into_iter().map(|layer| gzip(&layer.bytes())).collect(),
            config: json!({}),
            facts: ImageFacts { mutable_base: false, name: "ghcr.io/acme/api".into(), epoch: Moment::from_seconds(1_700_000_000) },
        }
    }

    fn raw(layer: Vec<u8>) -> Self {
        Self { layers: vec![layer], ..Self::new([]) }
    }

    fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    fn store(&self) -> Store {
        Store::open(AbsPath::new(self.folder.path()).unwrap()).unwrap()
    }

    fn describe(&self) -> Descriptor {
        let store = self.store();
        let diff_ids: Vec<DiffId> = self.layers.iter().map(|layer| DiffId(Digest::of(layer))).collect();
        let config = json!({"architecture":"amd64","os":"linux","config":self.config,"rootfs":{"type":"layers","diff_ids":diff_ids},
            "history":self.config.get("history").cloned().unwrap_or_else(|| json!([]))});
        let put = |media_type: &str, bytes: &[u8]| {
            store.put::<kiln::base::digest::Sha256>(bytes).unwrap();
            Descriptor::of(media_type, bytes)
        };
        let config = put(media_type::CONFIG, config.to_string().as_bytes());
        let layers = self.layers.iter().map(|layer| put(media_type::LAYER_GZIP, layer)).collect();
        put(media_type::MANIFEST, &manifest::bytes(&Manifest::new(config, layers)))
    }

    fn scan(&self, policy: &PolicyDef) -> Result<Scan, ScanError> {
        scan_image(&self.store(), &self.describe(), &self.facts, policy)
    }

    /// `level place: message` of every finding of one rule.
    fn findings(&self, rule: Rule) -> Vec<String> {
        let verdict = self.scan(&policy(&[rule], &[])).unwrap().verdict;
        assert_eq!(verdict.denied, !verdict.findings.is_empty());
        verdict.findings.iter().map(|one| format!("{}: {}", one.place().unwrap_or_default(), one.message)).collect()
    }

    fn purls(&self) -> Vec<String> {
        let scan = self.scan(&default_policy()).unwrap();
        let sbom = sound(&scan.sbom);
        let purls: Vec<String> =
            sbom["components"].as_array().unwrap().iter().filter_map(|one| one["purl"].as_str()).map(str::to_owned).collect();
        assert_eq!(purls.len(), scan.packages);
        purls
    }

    fn refusal(&self) -> String {
        let error = self.scan(&default_policy()).unwrap_err();
        let diagnostic = error.diagnostic();
        assert!(matches!(diagnostic.class, Class::Step | Class::Environment) && diagnostic.help.is_some());
        diagnostic.message
    }
}

fn policy(deny: &[Rule], allow: &[&str]) -> PolicyDef {
    let source = Arc::new(Source { name: "build.kdl".into(), text: String::new() });
    let span = Span::new(&source, 0, 0);
    PolicyDef {
        name: "p".into(),
        rules: deny.iter().map(|rule| (*rule, Level::Deny, span.clone())).collect(),
        custom: Vec::new(),
        max_age: None,
        waivers: Vec::new(),
        allow: allow
            .iter()
            .map(|text| Allowance { pattern: Pattern::new(text).unwrap(), reason: "known".into(), span: span.clone() })
            .collect(),
        span,
    }
}

/// Parses a bill of materials and checks what CycloneDX 1.6 asks of the fields that kiln writes.
fn sound(bytes: &[u8]) -> Value {
    let sbom: Value = serde_json::from_slice(bytes).unwrap();
    let only = |value: &Value, fields: &[&str]| {
        for field in value.as_object().unwrap().keys() {
            assert!(fields.contains(&field.as_str()), "{field} is not a field of {value}");
        }
    };
    only(&sbom, &["$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata", "components", "compositions"]);
    assert_eq!((&sbom["bomFormat"], &sbom["specVersion"], &sbom["version"]), (&json!("CycloneDX"), &json!("1.6"), &json!(1)));
    let serial = sbom["serialNumber"].as_str().unwrap().strip_prefix("urn:uuid:").unwrap();
    let lengths: Vec<usize> =
        serial.split('-').map(|part| part.bytes().filter(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count()).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12]);
    assert_eq!(sbom["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
    only(&sbom["metadata"], &["timestamp", "tools", "component"]);

    let tools = sbom["metadata"]["tools"]["components"].as_array().unwrap();
    assert_eq!(tools[0]["name"], "kiln");
    let mut refs = std::collections::BTreeSet::new();
    let components = sbom["components"].as_array().unwrap();
    for one in components.iter().chain(tools).chain([&sbom["metadata"]["component"]]) {
        only(one, &["type", "bom-ref", "group", "name", "version", "hashes", "licenses", "purl", "evidence", "properties"]);
        assert!(["container", "library", "application", "operating-system"].contains(&one["type"].as_str().unwrap()));
        assert!(!one["name"].as_str().unwrap().is_empty());
        if let Some(reference) = one.get("bom-ref") {
            assert!(refs.insert(reference.as_str().unwrap()), "{reference} stands twice");
        }
        for license in one.get("licenses").and_then(Value::as_array).into_iter().flatten() {
            only(license, &["license"]);
            assert_eq!(license["license"].as_object().unwrap().len(), 1, "either an id or a name");
        }
        for place in one.pointer("/evidence/occurrences").and_then(Value::as_array).into_iter().flatten() {
            only(place, &["location", "additionalContext"]);
        }
    }
    let order: Vec<&str> = components.iter().filter_map(|one| one["purl"].as_str()).collect();
    assert!(order.is_sorted(), "{order:?}");
    for composition in sbom.get("compositions").and_then(Value::as_array).into_iter().flatten() {
        only(composition, &["aggregate", "assemblies"]);
        assert!(refs.contains(composition["assemblies"][0].as_str().unwrap()));
    }
    sbom
}

#[test]
fn an_image_that_runs_as_root_is_found_by_id_by_name_and_by_silence() {
    let passwd = "root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n";
    let runs_as =
        |user: Value| Image::new([Layer::new().file("etc/passwd", passwd)]).config(json!({"User": user})).findings(Rule::RootUser);
    for user in [json!(null), json!(""), json!("root"), json!("0:1000"), json!("toor"), json!("ghost")] {
        assert_eq!(runs_as(user.clone()).len(), 1, "{user}");
    }
    for user in [json!("app"), json!("1000"), json!("65532:65532")] {
        assert_eq!(runs_as(user.clone()), Vec::<String>::new(), "{user}");
    }
}

#[test]
fn a_user_is_looked_up_in_the_account_file_that_the_container_sees() {
    let upper = |layer: Layer| {
        let lower = Layer::new().file("etc/passwd", "app:x:1000:1000::/:/bin/sh\n").file("usr/etc/accounts", "app:x:0:0::/:/bin/sh\n");
        Image::new([lower, layer]).config(json!({"User": "app"})).findings(Rule::RootUser)
    };
    assert_eq!(upper(Layer::new()), Vec::<String>::new());
    assert!(upper(Layer::new().file("etc/passwd", "app:x:0:0::/:/bin/sh\n"))[0].contains("user 0"));
    assert!(upper(Layer::new().file("etc/.wh.passwd", ""))[0].contains("not in its `/etc/passwd`"));
    assert!(upper(Layer::new().link("etc/passwd", "../usr/etc/accounts"))[0].contains("user 0"));
    assert!(upper(Layer::new().link("etc/passwd", "passwd"))[0].contains("not in its"));
    assert!(upper(Layer::new().hard_link("etc/passwd", "usr/etc/accounts"))[0].contains("user 0"));
}

#[test]
fn an_account_file_without_a_bound_is_not_read_to_its_end() {
    let huge = "app:x:1000:1000::/:/bin/sh\n".repeat(400_000);
    let message = Image::new([Layer::new().file("etc/passwd", huge)]).config(json!({"User": "app"})).refusal();
    assert_eq!(message, "the scan is incomplete: the account file `/etc/passwd` cannot be read: it is larger than an account file can be");
}

#[test]
fn a_health_check_that_is_missing_or_turned_off_is_found() {
    let check = |config: Value| Image::new([]).config(config).findings(Rule::MissingHealthcheck);
    assert_eq!(check(json!({})), [": the image has no health check"]);
    assert_eq!(check(json!({"Healthcheck": {"Test": ["NONE"]}})), [": the image turns its health check off"]);
    assert_eq!(check(json!({"Healthcheck": {"Test": ["CMD", "true"]}})), Vec::<String>::new());
}

#[test]
fn bits_that_give_more_rights_are_found_on_files_alone() {
    let image = Image::new([Layer::new()
        .mode("usr/bin/su", 0o4755)
        .mode("usr/bin/wall", 0o2755)
        .mode("usr/bin/ls", 0o755)
        .hard_link("usr/bin/su2", "usr/bin/su")
        .folder("srv/shared", 0o2775)]);
    assert_eq!(
        image.findings(Rule::Setuid),
        [
            "/usr/bin/su: has the set-user-id bit (mode 4755)",
            "/usr/bin/su2: has the set-user-id bit (mode 4755)",
            "/usr/bin/wall: has the set-group-id bit (mode 2755)",
        ]
    );
    let verdict = image.scan(&policy(&[Rule::Setuid], &["usr/bin/su*"])).unwrap().verdict;
    assert_eq!((verdict.summary().as_str(), verdict.allowed[0].reason.as_str()), ("refused: 1 finding, 2 allowed", "known"));
    assert_eq!(Image::new([Layer::new().mode("usr/bin/ls", 0o755)]).findings(Rule::Setuid), Vec::<String>::new());
}

#[test]
fn what_a_later_layer_changes_is_judged_as_it_is_in_the_end() {
    let lower = || Layer::new().mode("bin/su", 0o4755).mode("opt/a/su", 0o4755).mode("opt/b", 0o4755);
    for (upper, expected) in [
        (Layer::new(), 3),
        (Layer::new().file("bin/.wh.su", ""), 2),
        (Layer::new().file("opt/.wh..wh..opq", ""), 1),
        (Layer::new().mode("opt/a/new", 0o4755).file("opt/a/.wh..wh..opq", ""), 3),
        (Layer::new().file("opt/.wh.a", "").folder("opt/a", 0o755), 2),
        (Layer::new().mode("bin/su", 0o755), 2),
        (Layer::new().file("opt", "a file upon a folder"), 1),
        (Layer::new().folder("opt/b", 0o755), 2),
        (Layer::new().link("opt", "bin"), 1),
        (Layer::new().link("sbin", "bin").file("sbin/su", "x"), 2),
    ] {
        assert_eq!(Image::new([lower(), upper]).findings(Rule::Setuid).len(), expected);
    }
}

#[test]
fn what_everyone_may_write_is_found() {
    let image = Image::new([Layer::new()
        .folder("tmp", 0o1777)
        .folder("var/open", 0o777)
        .mode("etc/open", 0o666)
        .link("etc/link", "open")
        .entry("dev/null", tar::EntryType::Char, 0o666, "", b"")]);
    assert_eq!(
        image.findings(Rule::WorldWritable),
        ["/etc/open: every user may write this file (mode 0666)", "/var/open: every user may write this folder (mode 0777)",]
    );
    assert_eq!(Image::new([Layer::new().folder("tmp", 0o1777)]).findings(Rule::WorldWritable), Vec::<String>::new());
}

#[test]
fn a_secret_that_a_later_layer_deletes_is_still_found() {
    let key = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY}{BODY}\n-----END OPENSSH PRIVATE KEY-----\n");
    let image = Image::new([Layer::new().file("root/.ssh/deploy", key), Layer::new().file("root/.ssh/.wh.deploy", "")]);
    assert_eq!(
        image.findings(Rule::Secrets),
        ["/root/.ssh/deploy: holds a private key (`OPENSSH PRIVATE KEY`); a later layer hides the file, but this one still holds it"]
    );
    let verdict = image.scan(&default_policy()).unwrap().verdict;
    let layer = verdict.findings[0].layer.unwrap();
    assert_eq!((layer.index, layer.digest), (0, BlobDigest(Digest::of(&image.layers[0]))));
}

#[test]
fn secrets_are_found_in_files_and_config_and_shown_nowhere() {
    let token = format!("ghp_{BODY}");
    let image = Image::new([Layer::new()
        .file("app/settings.py", format!("T = '{token}'"))
        .file("app/.env", "DB_PASSWORD=hunter2-hunter2-hunter2\n")])
    .config(json!({"Env": [format!("NPM_TOKEN={BODY}"), "PATH=/bin"], "Labels": {"build": token},
            "history": [{"created_by": format!("|1 API_KEY={BODY} /bin/sh -c make")}]}));
    let found = image.findings(Rule::Secrets);
    assert_eq!(
        found,
        [
            "/app/.env: holds a value for `DB_PASSWORD` (`hunt…`)",
            "/app/settings.py: holds a GitHub personal token (`ghp_…`)",
            "config:env/NPM_TOKEN: has a name that says secret and holds a value (`q7Zr…`)",
            "config:history/0: gives `API_KEY` a value (`q7Zr…`)",
            "config:label/build: holds a GitHub personal token (`ghp_…`)",
        ]
    );
    let scan = image.scan(&default_policy()).unwrap();
    let shown = format!("{:?}{}", scan.verdict, String::from_utf8(scan.verdict.findings_json()).unwrap());
    assert!(!shown.contains(&BODY[..6]) && !shown.contains("hunter2"), "a secret is shown");
    let odd =
        Image::new([]).config(json!({"Env": ["../env/ALLOWED_TOKEN=abc"]})).scan(&policy(&[Rule::Secrets], &["config:env/*"])).unwrap();
    assert!(odd.verdict.denied, "a name that walks about is let through as another one");
    let allowed = image.scan(&policy(&[Rule::Secrets], &["app", "config:env/*", "config:label/build", "config:history/0"])).unwrap();
    assert_eq!(allowed.verdict.summary(), "5 allowed");
}

#[test]
fn an_image_without_secrets_is_clean() {
    let image = Image::new([Layer::new()
        .file("etc/shadow", "root:*:19000:0:99999:7:::\n")
        .file("etc/ssl/certs/ca.pem", format!("-----BEGIN CERTIFICATE-----\n{BODY}{BODY}\n"))
        .file("app/.npmrc", "//registry.example.org/:_authToken=${NPM_TOKEN}\n")])
    .config(json!({"Env": ["POSTGRES_PASSWORD_FILE=/run/secrets/db", "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D"]}));
    assert_eq!(image.findings(Rule::Secrets), Vec::<String>::new());
}

#[test]
fn base_and_size_are_judged() {
    let mut image = Image::new([Layer::new().file("a", "x")]);
    assert_eq!(image.findings(Rule::MutableBase), Vec::<String>::new());
    image.facts.mutable_base = true;
    assert_eq!(image.findings(Rule::MutableBase), [": an image that it is made from is named by a tag, which can move"]);
    let size = image.layers[0].len() as u64;
    assert_eq!(image.findings(Rule::MaxSize(size)), Vec::<String>::new());
    assert_eq!(image.findings(Rule::MaxSize(size - 1)).len(), 1);
}

#[test]
fn the_default_policy_warns_and_denies() {
    let image = Image::new([Layer::new().mode("bin/su", 0o4755)]);
    let verdict = image.scan(&default_policy()).unwrap().verdict;
    assert_eq!(verdict.summary(), "refused: 1 finding, 2 warnings");
    let json: Value = serde_json::from_slice(&verdict.findings_json()).unwrap();
    assert_eq!((&json["findings"][0]["path"], &json["findings"][0]["level"]), (&json!("/bin/su"), &json!("deny")));
    assert_eq!(
        json["findings"][0]["help"],
        "clear it with `chmod ug-s` in the step that adds the file, or let it through in the policy: `allow \"/bin/su\" reason=\"…\"`"
    );
}

#[test]
fn packages_of_the_distribution_carry_its_name() {
    let debian = Layer::new()
        .file("var/lib/dpkg/status", DPKG)
        .file("usr/lib/os-release", OS_RELEASE)
        .link("etc/os-release", "../usr/lib/os-release");
    assert_eq!(
        Image::new([debian]).purls(),
        ["pkg:deb/debian/adduser@3.134?arch=all&distro=debian-12", "pkg:deb/debian/libc6@2.36-9%2Bdeb12u7?arch=amd64&distro=debian-12",]
    );
    let distroless = Layer::new()
        .file("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all\n")
        .file("var/lib/dpkg/status.d/tzdata.md5sums", "not a package\n");
    assert_eq!(Image::new([distroless]).purls(), ["pkg:deb/debian/tzdata@2024a-0%2Bdeb12u1?arch=all"]);
    let alpine =
        Layer::new().link("lib", "usr/lib").file("lib/apk/db/installed", APK).file("etc/os-release", "ID=alpine\nVERSION_ID=3.20.1\n");
    assert_eq!(
        Image::new([alpine]).purls(),
        [
            "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1",
            "pkg:apk/alpine/ssl_client@1.36.1-r29?arch=x86_64&distro=alpine-3.20.1",
        ]
    );
}

#[test]
fn packages_of_languages_are_listed_from_lock_files_and_installations() {
    let image = Image::new([Layer::new()
        .file("app/Cargo.lock", include_bytes!("../../fixtures/scan/Cargo.lock"))
        .file("app/go.mod", "module example.org/api\nrequire example.org/x v1.2.3\n")
        .file("app/go.sum", "example.org/x v1.2.3 h1:a=\nexample.org/test-only v0.1.0 h1:a=\n")
        .file("srv/go.sum", "example.org/y v1.0.0 h1:a=\n")
        .file("web/package-lock.json", include_bytes!("../../fixtures/scan/package-lock.v3.json"))
        .file("web/node_modules/left-pad/package.json", r#"{"name":"left-pad","version":"1.3.0","license":"WTFPL"}"#)
        .file("usr/lib/python3/site-packages/Idna-3.6.dist-info/METADATA", "Name: Idna\nVersion: 3.6\n\n")
        .file("py/requirements.txt", "requests==2.31.0\n")]);
    assert_eq!(
        image.purls(),
        [
            "pkg:cargo/api@0.1.0",
            "pkg:cargo/itoa@1.0.11",
            "pkg:cargo/left@0.2.0?vcs_url=git%2Bhttps:%2F%2Fexample.org%2Fleft%400123456789abcdef0123456789abcdef01234567",
            "pkg:golang/example.org/x@v1.2.3",
            "pkg:golang/example.org/y@v1.0.0",
            "pkg:npm/%40scope/tool@2.1.0",
            "pkg:npm/left-pad@1.1.0",
            "pkg:npm/left-pad@1.3.0",
            "pkg:npm/real-name@4.0.0",
            "pkg:pypi/idna@3.6",
            "pkg:pypi/requests@2.31.0",
        ]
    );
}

#[test]
fn packages_that_a_later_layer_removes_are_not_listed_and_places_are_named() {
    let lower = || Layer::new().file("a/requirements.txt", "x==1\n").file("b/requirements.txt", "y==1\n");
    let image = Image::new([lower(), Layer::new().file("a/.wh.requirements.txt", "").file("c/requirements.txt", "y==1\n")]);
    assert_eq!(image.purls(), ["pkg:pypi/y@1"]);
    let sbom = sound(&image.scan(&default_policy()).unwrap().sbom);
    let places: Vec<String> = sbom["components"][0]["evidence"]["occurrences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| format!("{} {}", place["location"].as_str().unwrap(), place["additionalContext"].as_str().unwrap()))
        .collect();
    let layer = |index: usize| BlobDigest(Digest::of(&image.layers[index]));
    assert_eq!(places, [format!("/b/requirements.txt layer {}", layer(0)), format!("/c/requirements.txt layer {}", layer(1))]);
}

#[test]
fn files_that_share_their_bytes_with_a_cache_are_read_under_their_own_name() {
    let cache = Layer::new().file("root/.cache/store/00ab", r#"{"name":"left-pad","version":"1.3.0"}"#);
    let same_layer = Layer::new().file("cache/1", "Name: a\nVersion: 1\n").hard_link("lib/a-1.dist-info/METADATA", "cache/1");
    let upper = same_layer.hard_link("web/node_modules/left-pad/package.json", "root/.cache/store/00ab");
    assert_eq!(Image::new([cache, upper]).purls(), ["pkg:npm/left-pad@1.3.0", "pkg:pypi/a@1"]);
    let linked = Layer::new().file("usr/lib/packages", DPKG).link("var/lib/dpkg/status", "/usr/lib/packages");
    assert_eq!(Image::new([linked]).purls().len(), 2);
}

#[test]
fn a_damaged_database_stops_the_scan_and_says_so() {
    for (path, bytes, message) in [
        (
            "var/lib/dpkg/status",
            &b"Package: a\nVersion: 1"[..],
            "the dpkg database `/var/lib/dpkg/status` cannot be read: ends in the middle of a line",
        ),
        ("lib/apk/db/installed", b"\0\0\0\0\n", "the apk database `/lib/apk/db/installed` cannot be read: line 1 is not `X:value`"),
        ("app/Cargo.lock", b"<<<<<<< HEAD\n", "the lock file `/app/Cargo.lock` cannot be read: line 1 does not begin with a key"),
        ("app/go.sum", b"x\n", "the module file `/app/go.sum` cannot be read: line 1 is not `module version hash`"),
    ] {
        assert_eq!(Image::new([Layer::new().file(path, bytes)]).refusal(), format!("the scan is incomplete: {message}"));
        // Replaced by a sound one, or removed, it does no harm.
        let (folder, name) = path.rsplit_once('/').unwrap();
        let removed = Layer::new().file(&format!("{folder}/.wh.{name}"), "");
        assert!(Image::new([Layer::new().file(path, bytes), removed]).scan(&default_policy()).is_ok());
        assert!(Image::new([Layer::new().file(path, bytes), Layer::new().file(path, "")]).scan(&default_policy()).is_ok());
    }
}

#[test]
fn what_kiln_cannot_read_is_declared_in_the_verdict_and_in_the_document() {
    let scan = Image::new([Layer::new().file("var/lib/rpm/rpmdb.sqlite", "SQLite format 3\0")]).scan(&policy(&[], &[])).unwrap();
    assert_eq!(scan.verdict.summary(), "incomplete: 1 package database not read");
    assert_eq!(scan.verdict.gaps, ["the rpm database `/var/lib/rpm/rpmdb.sqlite` is of a kind that kiln does not read"]);
    assert_eq!(sound(&scan.sbom)["compositions"][0]["aggregate"], "incomplete");
}

#[test]
fn a_database_that_lost_its_content_is_not_an_empty_one() {
    let installed = || Layer::new().file("var/lib/dpkg/info/libc6.list", "/lib\n");
    let message = Image::new([installed().file("var/lib/dpkg/status", "")]).refusal();
    assert!(message.contains("`/var/lib/dpkg/status` cannot be read: it is empty"), "{message}");
    let scan = Image::new([installed()]).scan(&default_policy()).unwrap();
    assert_eq!(scan.verdict.gaps, ["the dpkg database `/var/lib/dpkg/status` is not there, but `/var/lib/dpkg/info` lists packages"]);
    assert_eq!(Image::new([installed().file("var/lib/dpkg/status", DPKG)]).purls().len(), 2);
}

#[test]
fn addresses_in_the_document_carry_no_login() {
    let lock = format!("[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"git+https://me:{BODY}@example.org/a#0123\"\n");
    assert_eq!(
        Image::new([Layer::new().file("Cargo.lock", lock)]).purls(),
        ["pkg:cargo/a@1.0.0?vcs_url=git%2Bhttps:%2F%2Fexample.org%2Fa%400123"]
    );
}

#[test]
fn hostile_layers_end_in_an_error() {
    let sound_layer = Layer::new().file("a", "x").bytes();
    let cut = gzip(&sound_layer);
    for (image, words) in [
        (Image::new([Layer::new().file("../x", "x")]), "leads out"),
        (Image::new([Layer::new().file("a/../../x", "x")]), "leads out"),
        (Image::new([Layer::new().hard_link("a", "nowhere")]), "hard link to a file that is not there"),
        (Image::new([Layer::new().link("a", "b").link("b", "a").file("a/x", "x")]), "in a circle"),
        (Image::raw(cut[..cut.len() / 2].to_vec()), "cannot be read"),
        (Image::raw(sound_layer[..500].to_vec()), "layer"),
        (Image::raw(b"\x1f\x8b garbage".to_vec()), "cannot be read"),
        (Image::raw(vec![0xff; 2048]), "layer"),
    ] {
        let message = image.refusal();
        assert!(message.starts_with("the scan is incomplete: ") && message.contains(words), "{message}");
    }
}

#[test]
fn a_layer_that_stands_there_without_end_is_refused() {
    let mut image = Image::new([]);
    image.layers = vec![gzip(&Layer::new().file("a", "x").bytes()); 501];
    assert!(image.refusal().contains("501 layers"));
}

#[test]
fn a_missing_or_altered_blob_is_no_clean_image() {
    let image = Image::new([Layer::new().file("a", "x")]);
    let described = image.describe();
    let path = image.store().blob_path(Digest::<kiln::base::digest::Sha256>::of(&image.layers[0]));
    std::fs::remove_file(path.as_path()).unwrap();
    let error = scan_image(&image.store(), &described, &image.facts, &default_policy()).unwrap_err();
    assert_eq!(error.diagnostic().class, Class::Environment);
    let index = Descriptor::of(media_type::INDEX, br#"{"schemaVersion":2,"manifests":[]}"#);
    assert!(scan_image(&image.store(), &index, &image.facts, &default_policy()).is_err());
}

#[test]
fn a_link_out_of_the_image_leads_nowhere() {
    let image =
        Image::new([Layer::new().link("etc/passwd", "../../../../../../etc/passwd").link("x", "/").file("x/y/.env", "A_TOKEN=abc\n")]);
    assert_eq!(image.findings(Rule::Secrets), ["/y/.env: holds a value for `A_TOKEN` (`…`)"]);
}

#[test]
fn equal_images_give_equal_documents() {
    let image =
        || Image::new([Layer::new().file("var/lib/dpkg/status", DPKG).mode("bin/su", 0o4755).file("usr/lib/os-release", OS_RELEASE)]);
    let (a, b) = (image().scan(&default_policy()).unwrap(), image().scan(&default_policy()).unwrap());
    assert_eq!(a.sbom, b.sbom);
    assert_eq!(a.verdict.findings_json(), b.verdict.findings_json());
}
