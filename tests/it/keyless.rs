//! Signers known by a certificate: an authority made by openssl stands for sigstore's, a key of the tests for its log. cosign signs,
//! attaches and judges the same images.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiln::base::digest::{Digest, Sha256};
use kiln::evidence::key::SigningKey;
use serde_json::{Value, json};

use super::parts::{output, part, there, wait};
use super::project::{Project, Ran};
use super::publish::remote;
use super::real_registry::{Mode, Real};

const PLAN: &str = r#"
kiln 1
project "t" { default "web" }
param "place"
registry "r" "${place}"
image "web" {
    platforms amd64
    copy "in.txt" "/srv/"
    tag "v1"
    push r
}
"#;

/// Issues certificates as Fulcio does: the issuer stands there in both forms.
const AUTHORITY: &str = r"
[req]
distinguished_name=dn
prompt=no
[dn]
CN=x
[root]
basicConstraints=critical,CA:true
keyUsage=critical,keyCertSign
subjectKeyIdentifier=hash
[between]
basicConstraints=critical,CA:true,pathlen:0
keyUsage=critical,keyCertSign
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
[leaf]
keyUsage=critical,digitalSignature
extendedKeyUsage=USAGE
authorityKeyIdentifier=keyid
subjectAltName=critical,URI:https://ci.example.org/acme/web/release.yml@refs/tags/v1
1.3.6.1.4.1.57264.1.1=DER:68747470733a2f2f6973737565722e6578616d706c652e6f7267
1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:https://issuer.example.org
[ca]
default_ca=own
[own]
database=db
new_certs_dir=.
default_md=sha256
policy=any
rand_serial=yes
unique_subject=no
[any]
commonName=optional
";

const NAME: &str = "https://ci.example.org/acme/web/release.yml@refs/tags/v1";
const ISSUER: &str = "https://issuer.example.org";
/// The log's key.
const LOG: &str = include_str!("../../fixtures/keys/rfc6979.pem");
/// 2020-01-01 00:05:00 UTC.
const THEN: i64 = 1_577_836_800 + 300;

/// One of the programs, in the folder of a project.
fn tool(program: &str, args: &[&str], project: &Project) -> Command {
    let mut command = Command::new(part(program).unwrap());
    command.args(args).current_dir(project.root()).env("HOME", project.beside("home")).env("DOCKER_CONFIG", project.docker_config());
    command.env("COSIGN_PASSWORD", "").env("SIGSTORE_REKOR_PUBLIC_KEY", project.path("log.pub"));
    command
}

/// A project with an image in a registry, and an authority beside it: `root.pem`, `between.pem`, `leaf.pem` and `leaf.pkcs8`.
/// The certificate of the leaf is good for `usage`, or says nothing of that, from `from` to `until`.
fn signed_by_authority(registry: &Real, usage: &str, from: &str, until: &str) -> (Project, String) {
    let mut project = Project::new(PLAN);
    let usage = if usage.is_empty() { String::new() } else { format!("extendedKeyUsage={usage}\n") };
    project.write("in.txt", "a\n").write("ca.cnf", AUTHORITY.replace("extendedKeyUsage=USAGE\n", &usage)).write("db", "");
    project.write("log.pub", include_str!("../../fixtures/keys/rfc6979.pub"));
    project.env("KILN_PARAM_PLACE", &registry.host).commit();
    project.kiln(&["run"]).ends(0);
    let openssl = |args: &[&str]| output(&mut tool("openssl", args, &project));
    for (name, subject) in [("root", "/CN=root"), ("between", "/CN=between"), ("leaf", "/")] {
        let (key, request) = (format!("{name}.pkcs8"), format!("{name}.csr"));
        openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-config",
            "ca.cnf",
            "-subj",
            subject,
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
    }
    let issue = |name: &str, by: &[&str], from: &str, until: &str| {
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.pem"));
        let own = ["ca", "-batch", "-notext", "-config", "ca.cnf", "-extensions", name, "-in", &request, "-out", &certificate];
        openssl(&[&own[..], by, &["-startdate", from, "-enddate", until]].concat());
    };
    let long = ("20190101000000Z", "20490101000000Z");
    issue("root", &["-selfsign", "-keyfile", "root.pkcs8"], long.0, long.1);
    issue("between", &["-cert", "root.pem", "-keyfile", "root.pkcs8"], long.0, long.1);
    issue("leaf", &["-cert", "between.pem", "-keyfile", "between.pkcs8"], from, until);
    project.write("chain.pem", project.read("between.pem") + &project.read("root.pem"));
    let (_, digest) = remote(registry, "web:v1");
    let image = format!("{}/web@{digest}", registry.host);
    (project, image)
}

fn kiln(project: &Project, image: &str, more: &[&str]) -> Ran {
    project.kiln(&[&["verify-signature", image][..], more].concat())
}

/// Nothing is proved, for a reason. Asked as JSON, whose texts are not broken into lines.
#[track_caller]
fn refuses(project: &Project, image: &str, more: &[&str], why: &str) {
    kiln(project, image, &[more, &["--json"]].concat()).ends(4).says("verify::refused").says("do not use the image").says(why);
}

const IDENTITY: [&str; 4] = ["--certificate-identity", NAME, "--certificate-oidc-issuer", ISSUER];
const ROOTS: [&str; 2] = ["--ca-roots", "root.pem"];

/// How cosign signs, and attests, with its key and certificate.
const BY_COSIGN: [&str; 8] =
    ["--key", "cosign.key", "--certificate", "own.pem", "--certificate-chain", "chain.pem", "--tlog-upload=false", "-y"];
const ATTEST: [&str; 5] = ["attest", "--type", "spdxjson", "--predicate", "bill.json"];

/// A key of cosign's own with a certificate, and something that it can attest.
fn certify_cosign(project: &Project, days: u32) {
    project.write("bill.json", r#"{"spdxVersion":"SPDX-2.3"}"#);
    output(&mut tool("cosign", &["generate-key-pair"], project));
    let own = ["x509", "-req", "-in", "leaf.csr", "-force_pubkey", "cosign.pub", "-days", &days.to_string(), "-out", "own.pem"];
    let by = ["-CA", "between.pem", "-CAkey", "between.pkcs8", "-CAcreateserial", "-extfile", "ca.cnf", "-extensions", "leaf"];
    output(&mut tool("openssl", &[&own[..], &by].concat(), project));
}

#[test]
fn keyless_signature_that_cosign_made_counts_for_its_identity_and_for_no_other() {
    if !there(&["docker-registry", "cosign", "openssl"]) {
        return;
    }
    let registry = Real::start(Mode::Open).unwrap();
    let (project, image) = signed_by_authority(&registry, "codeSigning", "20200101000000Z", "20490101000000Z");
    certify_cosign(&project, 100);
    output(&mut tool("cosign", &[&["sign"][..], &BY_COSIGN, &[&image]].concat(), &project));
    output(&mut tool("cosign", &[&ATTEST[..], &BY_COSIGN, &[&image]].concat(), &project));
    let unlogged = ["--insecure-ignore-tlog"];
    let judge =
        [&["verify", "--ca-roots", "root.pem", "--ca-intermediates", "between.pem", "--insecure-ignore-sct"][..], &unlogged].concat();
    output(&mut tool("cosign", &[&judge[..], &IDENTITY, &[&image]].concat(), &project));

    let all = [&IDENTITY[..], &ROOTS, &unlogged].concat();
    let ran = kiln(&project, &image, &all).ends(0).says(NAME).says("  not checked: when it was signed");
    assert!(ran.out.contains(&format!("a signature of {NAME}\n  as {ISSUER} says\n")), "{}", ran.out);
    let answer: Value = serde_json::from_str(&kiln(&project, &image, &[&all[..], &["--json"]].concat()).ends(0).out).unwrap();
    assert_eq!((&answer["identity"], &answer["issuer"], &answer["signed_at"]), (&json!(NAME), &json!(ISSUER), &Value::Null));
    assert_eq!(answer["not_checked"].as_array().unwrap().len(), 2, "{answer}");
    let claim = kiln(&project, &image, &[&all[..], &["--attestation", "spdx", "--json"]].concat()).ends(0);
    assert_eq!(serde_json::from_str::<Value>(&claim.out).unwrap()["claim"]["spdxVersion"], "SPDX-2.3");
    let pattern = [
        "--certificate-identity-regexp",
        "https://ci.example.org/acme/.*",
        "--certificate-oidc-issuer-regexp",
        "https://issuer[.]example[.]org",
    ];
    kiln(&project, &image, &[&pattern[..], &ROOTS, &unlogged].concat()).ends(0);

    // Another name, a part of the name, another issuer, another root.
    let with = |name: &str, issuer: &str, root: &str, why: &str| {
        let asked =
            ["--certificate-identity-regexp", name, "--certificate-oidc-issuer", issuer, "--ca-roots", root, "--insecure-ignore-tlog"];
        refuses(&project, &image, &asked, why);
    };
    with("https://ci.example.org/other/.*", ISSUER, "root.pem", NAME);
    with("acme/web", ISSUER, "root.pem", NAME);
    with(".*", "https://issuer.example.com", "root.pem", ISSUER);
    project.write("other.pem", include_str!("../../fixtures/keyless/other_root.pem"));
    with(".*", ISSUER, "other.pem", "leads to none of the roots");
    with(".*", ISSUER, "own.pem", "leads to none of the roots");
    // What the command line lacks.
    kiln(&project, &image, &[]).ends(2).says("verify::no-key");
    kiln(&project, &image, &IDENTITY).ends(2).says("verify::no-root").says("verify::no-log");
    kiln(&project, &image, &[&IDENTITY[..], &ROOTS].concat()).ends(2).says("verify::no-log").never_says("verify::no-root");
    kiln(&project, &image, &[&IDENTITY[..2], &ROOTS].concat()).ends(2).says("verify::half-identity").says("--certificate-oidc-issuer");
    kiln(&project, &image, &[&IDENTITY[2..], &ROOTS].concat()).ends(2).says("verify::half-identity").says("--certificate-identity");
    kiln(&project, &image, &[&IDENTITY[..], &["--ca-roots", "in.txt"]].concat()).ends(2).says("verify::bad-trust").says("`in.txt`");
    kiln(&project, &image, &[&IDENTITY[..], &["--trusted-root", "none.json"]].concat()).ends(2).says("verify::bad-trust");
    kiln(&project, &image, &["--certificate-identity-regexp", "(", "--certificate-oidc-issuer", ISSUER])
        .ends(2)
        .says("verify::bad-pattern");
    kiln(&project, &image, &[&IDENTITY[..], &["--key", "cosign.pub"]].concat()).ends(2).says("cannot be used with");
    // A log that has nothing of it proves nothing; the key in the certificate is a key like any other.
    refuses(
        &project,
        &image,
        &[&IDENTITY[..], &ROOTS, &["--rekor-key", "log.pub"]].concat(),
        "nothing with it that says when it was signed",
    );
    kiln(&project, &image, &["--key", "cosign.pub"]).ends(0);
}

/// What a log would say: that it took in this body at that second.
fn entry(body: &Value, seconds: i64) -> Value {
    let log = SigningKey::read(LOG, None).unwrap();
    let body = STANDARD.encode(body.to_string());
    let id = log.public().fingerprint();
    let promised = format!(r#"{{"body":"{body}","integratedTime":{seconds},"logID":"{id}","logIndex":7}}"#);
    let payload = json!({ "body": body, "integratedTime": seconds, "logIndex": 7, "logID": id });
    json!({ "SignedEntryTimestamp": STANDARD.encode(log.sign(promised.as_bytes())), "Payload": payload })
}

fn sha256(bytes: &[u8]) -> Value {
    json!({ "algorithm": "sha256", "value": Digest::<Sha256>::of(bytes).hex() })
}

/// The leaf's key, read from what openssl wrote.
fn leaf(project: &Project) -> SigningKey {
    SigningKey::read(&project.read("leaf.pkcs8"), None).unwrap()
}

/// What a signature in the old form is over.
fn payload(image: &str) -> Vec<u8> {
    kiln::evidence::simple::payload("acme/web", image.split_once('@').unwrap().1.parse().unwrap())
}

/// Puts a signature of the leaf beside an image, with its certificates and what else came along.
fn attach(project: &Project, image: &str, signature: &[u8], more: &[&str]) {
    project.write("payload", payload(image)).write("signature", STANDARD.encode(signature));
    let own = ["attach", "signature", "--payload", "payload", "--signature", "signature"];
    let by = ["--certificate", "leaf.pem", "--certificate-chain", "chain.pem"];
    output(&mut tool("cosign", &[&own[..], &by, more, &[image]].concat(), project));
}

#[test]
fn keyless_signature_with_a_dead_certificate_counts_when_a_named_log_knew_it_in_its_time() {
    if !there(&["docker-registry", "cosign", "openssl"]) {
        return;
    }
    let registry = Real::start(Mode::Open).unwrap();
    let (project, image) = signed_by_authority(&registry, "codeSigning", "20200101000000Z", "20200101001000Z");
    let payload = payload(&image);
    let made = leaf(&project).sign(&payload);
    let signature = STANDARD.encode(&made);
    let certificate = STANDARD.encode(project.read("leaf.pem"));
    let body = |signature: &str| {
        json!({ "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": { "data": { "hash": sha256(&payload) },
            "signature": { "content": signature, "publicKey": { "content": certificate } } } })
    };
    let logged = |entry: Value| {
        project.write("entry", json!({ "rekorBundle": entry }).to_string());
        attach(&project, &image, &made, &["--rekor-response", "entry"]);
    };
    let asked = [&IDENTITY[..], &ROOTS, &["--rekor-key", "log.pub"]].concat();
    // Too late, and of another signature.
    logged(entry(&body(&signature), THEN + 3_600));
    refuses(&project, &image, &asked, "was not valid when it was signed");
    logged(entry(&body(&STANDARD.encode("another")), THEN));
    refuses(&project, &image, &asked, "is another signature's");
    let mut moved = entry(&body(&signature), THEN + 3_600);
    moved["Payload"]["integratedTime"] = THEN.into();
    logged(moved);
    refuses(&project, &image, &asked, "did not promise");
    logged(entry(&body(&signature), THEN));
    kiln(&project, &image, &asked)
        .ends(0)
        .says("signed 2020-01-01T00:05:00Z, as the transparency log says")
        .says("not checked: whether the certificate");
    // Without the log the certificate is over; another log knows nothing of it.
    refuses(&project, &image, &[&IDENTITY[..], &ROOTS, &["--insecure-ignore-tlog"]].concat(), "was not valid when it was signed");
    project.write("other.pub", include_str!("../../fixtures/keys/cosign-2.5.pub"));
    refuses(&project, &image, &[&IDENTITY[..], &ROOTS, &["--rekor-key", "other.pub"]].concat(), "of a log that was not named");
    // cosign thinks the same of it.
    let judge = ["verify", "--ca-roots", "root.pem", "--ca-intermediates", "between.pem", "--insecure-ignore-sct", "--offline"];
    output(&mut tool("cosign", &[&judge[..], &IDENTITY, &[&image]].concat(), &project));
}

#[test]
fn keyless_certificate_that_is_not_for_code_signs_no_image() {
    if !there(&["docker-registry", "cosign", "openssl"]) {
        return;
    }
    let registry = Real::start(Mode::Open).unwrap();
    // One that says nothing of what it is for may not do it either.
    for usage in ["clientAuth", ""] {
        let (project, image) = signed_by_authority(&registry, usage, "20200101000000Z", "20490101000000Z");
        attach(&project, &image, &leaf(&project).sign(&payload(&image)), &[]);
        refuses(&project, &image, &[&IDENTITY[..], &ROOTS, &["--insecure-ignore-tlog"]].concat(), "not for signing code");
    }
}

#[test]
fn keyless_bundle_that_refers_to_an_image_counts_by_its_certificate_and_its_log() {
    if !there(&["docker-registry", "cosign", "openssl", "oras"]) {
        return;
    }
    let registry = Real::start(Mode::Open).unwrap();
    let (project, image) = signed_by_authority(&registry, "codeSigning", "20200101000000Z", "20200101001000Z");
    let digest = image.split_once('@').unwrap().1.parse().unwrap();
    let statement = kiln::evidence::statement::write("acme/web", digest, "https://sigstore.dev/cosign/sign/v1", b"{}").unwrap();
    let envelope = kiln::evidence::dsse::Envelope::sign(&statement, &leaf(&project));
    let envelope = serde_json::to_value(&envelope).unwrap();
    let certificate = STANDARD.encode(project.read("leaf.pem"));
    let signature = &envelope["signatures"][0]["sig"];
    let body = json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": { "payloadHash": sha256(&statement),
        "signatures": [{ "signature": signature, "verifier": certificate }] } });
    let entry = entry(&body, THEN);
    let id = SigningKey::read(LOG, None).unwrap().public().hint();
    let der = |name: &str| {
        let text = project.read(name);
        text.lines().filter(|line| !line.starts_with("-----")).collect::<String>()
    };
    let tlog = json!({ "logIndex": "7", "logId": { "keyId": id }, "kindVersion": { "kind": "dsse", "version": "0.0.1" },
        "integratedTime": THEN.to_string(), "inclusionPromise": { "signedEntryTimestamp": entry["SignedEntryTimestamp"] },
        "canonicalizedBody": entry["Payload"]["body"] });
    let material = json!({ "certificate": { "rawBytes": der("leaf.pem") }, "tlogEntries": [tlog] });
    let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let bundle = json!({ "mediaType": kind, "verificationMaterial": material, "dsseEnvelope": envelope });
    project.write("bundle.json", bundle.to_string());
    let layer = format!("bundle.json:{kind}");
    output(&mut tool("oras", &["attach", "--plain-http", "--artifact-type", kind, &image, &layer], &project));
    // The chain is the published root's: the bundle holds its certificate alone.
    let published = ["trusted-root", "create", "--certificate-chain", "chain.pem", "--rekor-key", "log.pub", "--out", "root.json"];
    output(&mut tool("cosign", &published, &project));
    let asked = [&IDENTITY[..], &["--trusted-root", "root.json"]].concat();
    kiln(&project, &image, &asked).ends(0).says("signed 2020-01-01T00:05:00Z");
    refuses(&project, &image, &[&IDENTITY[..], &ROOTS, &["--rekor-key", "log.pub"]].concat(), "leads to none of the roots");
}

const STAMPER: &str = "
[tsa]
default_tsa=own
[own]
serial=serial
crypto_device=builtin
signer_digest=sha256
default_policy=1.2.3.4
digests=sha256
accuracy=secs:1
ess_cert_id_chain=no
[stamper]
extendedKeyUsage=critical,timeStamping
";

/// Makes an authority that stamps times below the project's root: `tsachain.pem`.
fn stamper(project: &Project) {
    let openssl = |args: &str| output(&mut tool("openssl", &args.split(' ').collect::<Vec<_>>(), project));
    project.write("ts.cnf", STAMPER).write("serial", "01");
    openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config ca.cnf -subj /CN=tsa -keyout tsa.key -out tsa.csr");
    openssl(
        "x509 -req -in tsa.csr -CA root.pem -CAkey root.pkcs8 -CAcreateserial -days 100 -extfile ts.cnf -extensions stamper -out tsa.pem",
    );
    project.write("tsachain.pem", project.read("tsa.pem") + &project.read("root.pem"));
}

/// What the authority answers to the question in `query`.
fn reply(project: &Project) -> Vec<u8> {
    let own = ["ts", "-reply", "-config", "ts.cnf", "-section", "own", "-queryfile", "query", "-out", "reply"];
    output(&mut tool("openssl", &[&own[..], &["-signer", "tsa.pem", "-inkey", "tsa.key"]].concat(), project));
    std::fs::read(project.path("reply")).unwrap()
}

/// Runs cosign, with the authority answering its one question over http.
fn stamped(project: &Project, args: &[&str]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("http://{}/api/v1/timestamp", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = wait("cosign asks for a time stamp", || listener.accept().ok());
            stream.set_nonblocking(false).unwrap();
            let (mut head, mut byte) = (String::new(), [0]);
            while !head.ends_with("\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.push(char::from(byte[0]));
            }
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            project.write("query", body);
            let answer = reply(project);
            let head = "HTTP/1.1 201 Created\r\nContent-Type: application/timestamp-reply\r\nConnection: close\r\nContent-Length:";
            stream.write_all(&[format!("{head} {}\r\n\r\n", answer.len()).as_bytes(), &answer].concat()).unwrap();
        });
        output(&mut tool("cosign", &[args, &["--timestamp-server-url", &place]].concat(), project));
    });
}

/// cosign's old form has the envelope stamped, a bundle the signature in it.
#[test]
fn keyless_claims_that_cosign_made_and_had_stamped_count_in_both_forms() {
    if !there(&["docker-registry", "cosign", "openssl"]) {
        return;
    }
    for form in ["--new-bundle-format=false", "--new-bundle-format=true"] {
        let registry = Real::start(Mode::Open).unwrap();
        let (project, image) = signed_by_authority(&registry, "codeSigning", "20200101000000Z", "20490101000000Z");
        certify_cosign(&project, 100);
        stamper(&project);
        stamped(&project, &[&ATTEST[..], &BY_COSIGN, &[form, &image]].concat());
        // A bundle holds the signer's certificate alone, and nothing of what stands above it.
        let asked = ["--attestation", "spdx", "--timestamp-certificate-chain", "tsachain.pem"];
        let asked = [&IDENTITY[..], &ROOTS, &["--ca-intermediates", "between.pem"], &asked].concat();
        let answer = kiln(&project, &image, &[&asked[..], &["--json"]].concat()).ends(0).out;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((&answer["time_from"], &answer["claim"]["spdxVersion"]), (&json!("time stamp"), &json!("SPDX-2.3")), "{form}");
        project.kiln(&["inspect", &image, "--json"]).ends(0).says(r#""kind":"sbom""#).says(r#""claim":"https://spdx.dev/Document""#);
        if form.ends_with("false") {
            let judge = ["verify-attestation", "--type", "spdxjson", "--ca-roots", "root.pem", "--ca-intermediates", "between.pem"];
            let stamped = ["--use-signed-timestamps", "--timestamp-certificate-chain", "tsachain.pem"];
            let unasked = ["--insecure-ignore-sct", "--insecure-ignore-tlog"];
            output(&mut tool("cosign", &[&judge[..], &stamped, &unasked, &IDENTITY, &[&image]].concat(), &project));
        }
    }
}

#[test]
fn keyless_signature_counts_by_a_time_stamp_of_a_named_authority_where_no_log_has_it() {
    if !there(&["docker-registry", "cosign", "openssl"]) {
        return;
    }
    let registry = Real::start(Mode::Open).unwrap();
    let (project, image) = signed_by_authority(&registry, "codeSigning", "20200101000000Z", "20490101000000Z");
    stamper(&project);
    let signature = leaf(&project).sign(&payload(&image));
    let stamp = |stamped: &[u8]| {
        project.write("raw", stamped);
        output(&mut tool("openssl", &["ts", "-query", "-data", "raw", "-sha256", "-cert", "-out", "query"], &project));
        reply(&project);
        attach(&project, &image, &signature, &["--tsr", "reply"]);
    };
    let asked = [&IDENTITY[..], &ROOTS, &["--timestamp-certificate-chain", "tsachain.pem"]].concat();
    stamp(b"another signature");
    refuses(&project, &image, &asked, "has a time stamp of another signature");
    stamp(&signature);
    kiln(&project, &image, &asked).ends(0).says("as the time stamp says").says("not checked: whether a transparency log knows of it");
    project.write("other.pem", include_str!("../../fixtures/keyless/other_root.pem"));
    let other = [&IDENTITY[..], &ROOTS, &["--timestamp-certificate-chain", "other.pem"]].concat();
    refuses(&project, &image, &other, "of an authority that was not named");
    // Whoever may issue certificates for code may not say what time it is.
    kiln(&project, &image, &[&IDENTITY[..], &ROOTS, &["--rekor-key", "log.pub"]].concat()).ends(4);
    let judge =
        ["verify", "--ca-roots", "root.pem", "--ca-intermediates", "between.pem", "--insecure-ignore-sct", "--insecure-ignore-tlog"];
    let stamped = ["--use-signed-timestamps", "--timestamp-certificate-chain", "tsachain.pem"];
    output(&mut tool("cosign", &[&judge[..], &stamped, &IDENTITY, &[&image]].concat(), &project));
}
