//! SLSA v1 provenance: what a build was asked for and what went into it. Source: slsa.dev/spec/v1.0/provenance.
//!
//! It says what kiln saw and nothing else: no time, no user, no machine, no claim about isolation. So the same inputs give the same
//! bytes, and whoever builds again can compare.

use std::collections::BTreeMap;

use serde::Serialize;

/// What `externalParameters` mean; docs/evidence.md describes it.
pub const BUILD_TYPE: &str = "urn:kiln:image:v1";
/// Who says all this: a kiln, wherever it ran. Who ran it is what the signature says.
pub const BUILDER: &str = "urn:kiln:builder";

/// The claim.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    build_definition: Definition,
    run_details: Details,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    build_type: &'static str,
    external_parameters: Parameters,
    resolved_dependencies: Vec<Resource>,
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// The plan's file.
    pub plan: String,
    /// The target of the plan.
    pub target: String,
    /// The platforms that the image is for.
    pub platforms: Vec<String>,
    /// Profiles that were chosen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// Parameters of the plan that did not have their defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

/// One thing that went in. Source: in-toto attestation, spec/v1/resource_descriptor.md.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Resource {
    /// Where it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// By algorithm.
    pub digest: BTreeMap<String, String>,
    /// What else is known of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize)]
struct Details {
    builder: Builder,
}

#[derive(Debug, Clone, Serialize)]
struct Builder {
    id: &'static str,
    version: BTreeMap<&'static str, &'static str>,
}

impl Resource {
    /// A file of the project.
    #[must_use]
    pub fn file(path: String, sha256: String) -> Self {
        Self { name: Some(path), digest: BTreeMap::from([("sha256".to_owned(), sha256)]), ..Self::default() }
    }

    /// A commit; `origin` is where it was fetched from, without anybody's password.
    #[must_use]
    pub fn commit(origin: Option<&str>, sha: &str) -> Self {
        let digest = BTreeMap::from([("gitCommit".to_owned(), sha.to_owned())]);
        match origin {
            Some(origin) => Self { uri: Some(format!("git+{origin}@{sha}")), digest, ..Self::default() },
            None => Self { name: Some("source".to_owned()), digest, ..Self::default() },
        }
    }

    /// A base image. Source: package-url, types/oci.
    #[must_use]
    pub fn image(repository: &str, sha256: &str, platform: &str) -> Self {
        let name = repository.rsplit('/').next().unwrap_or(repository);
        let uri = format!("pkg:oci/{name}@sha256%3A{sha256}?repository_url={repository}");
        let digest = BTreeMap::from([("sha256".to_owned(), sha256.to_owned())]);
        Self { uri: Some(uri), digest, annotations: BTreeMap::from([("platform".to_owned(), platform.to_owned())]), ..Self::default() }
    }

    /// A program of this machine.
    #[must_use]
    pub fn tool(name: &str, version: Option<&str>, sha256: String) -> Self {
        let annotations = version.map(|version| ("version".to_owned(), version.to_owned())).into_iter().collect();
        Self { name: Some(format!("tool {name}")), digest: BTreeMap::from([("sha256".to_owned(), sha256)]), annotations, ..Self::default() }
    }
}

impl Provenance {
    /// The claim about one build; what went in is sorted, each thing once.
    #[must_use]
    pub fn new(parameters: Parameters, mut dependencies: Vec<Resource>) -> Self {
        dependencies.sort();
        dependencies.dedup();
        Self {
            build_definition: Definition { build_type: BUILD_TYPE, external_parameters: parameters, resolved_dependencies: dependencies },
            run_details: Details { builder: Builder { id: BUILDER, version: BTreeMap::from([("kiln", env!("CARGO_PKG_VERSION"))]) } },
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A text of a plan as everybody may read it: of an address neither name, password nor query.
#[must_use]
pub fn public(text: &str) -> String {
    if text.contains("://") { origin(text).unwrap_or_else(|| "an address".to_owned()) } else { text.to_owned() }
}

/// The address of a repository without a name, a password or a query; `git@host:path` becomes `ssh://host/path`. `None` for what is
/// no address, such as a folder of this machine.
#[must_use]
pub fn origin(remote: &str) -> Option<String> {
    let cut = |text: &str| text.split(['?', '#']).next().unwrap_or_default().to_owned();
    if let Some((scheme, rest)) = remote.split_once("://") {
        if !matches!(scheme, "https" | "http" | "ssh" | "git") {
            return None;
        }
        let end = rest.find('/').unwrap_or(rest.len());
        let host = rest[..end].rsplit('@').next().unwrap_or_default();
        let path = cut(&rest[end..]);
        return (!host.is_empty() && !path.contains('@')).then(|| format!("{scheme}://{host}{path}"));
    }
    let (host, path) = remote.split_once(':')?;
    let host = host.rsplit('@').next().unwrap_or_default();
    let is_host = !host.is_empty() && !host.contains('/') && host.len() > 1;
    is_host.then(|| format!("ssh://{host}/{}", cut(path.trim_start_matches('/'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_nobodys_name_or_password() {
        for (remote, expected) in [
            ("https://me:pw@github.com/acme/web.git", Some("https://github.com/acme/web.git")),
            // A password with a slash in it.
            ("https://me:p/w@github.com/acme/web.git", None),
            ("https://github.com/acme/web.git?token=pw#x", Some("https://github.com/acme/web.git")),
            ("git@github.com:acme/web.git", Some("ssh://github.com/acme/web.git")),
            ("ssh://git@github.com:22/acme/web.git", Some("ssh://github.com:22/acme/web.git")),
            ("/srv/git/web.git", None),
            ("../web", None),
            ("file:///srv/git", None),
            ("C:/git/web", None),
            ("https://me@", None),
            ("", None),
        ] {
            assert_eq!(origin(remote).as_deref(), expected, "{remote}");
        }
    }

    #[test]
    fn a_text_that_is_no_address_is_shown_as_it_is() {
        for (text, expected) in [
            ("linux/amd64", "linux/amd64"),
            ("https://me:pw@host/x?token=pw", "https://host/x"),
            ("postgres://me:pw@host/x", "an address"),
            ("see https://me:pw@host/x", "an address"),
        ] {
            assert_eq!(public(text), expected);
        }
    }

    #[test]
    fn what_went_in_is_sorted_and_named_once() {
        let file = |path: &str| Resource::file(path.to_owned(), "ab".to_owned());
        let parameters = Parameters { plan: "build.kdl".to_owned(), target: "web".to_owned(), ..Parameters::default() };
        let one = Provenance::new(parameters.clone(), vec![file("b"), file("a"), file("b")]).bytes();
        assert_eq!(one, Provenance::new(parameters, vec![file("a"), file("b")]).bytes());
        let text = String::from_utf8(one).unwrap();
        assert!(text.starts_with(r#"{"buildDefinition":{"buildType":"urn:kiln:image:v1","externalParameters":{"plan":"build.kdl","target":"web","platforms":[]},"resolvedDependencies":[{"name":"a","digest":{"sha256":"ab"}}"#), "{text}");
    }
}
