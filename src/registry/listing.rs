//! The list of all documents of a repository, also of those to which nothing leads. The distribution specification has none; Azure's registries do.
//! In: a repository. Out: digests with the time of their arrival, or that there is no such list. Never: a question of this kind to others.
//!
//! Source: Azure Container Registry REST API, `GET /acr/v1/{name}/_manifests`.

use serde::Deserialize;

use crate::base::digest::BlobDigest;
use crate::base::time::Moment;

use super::auth::challenge::is_loopback;
use super::auth::token::Scope;
use super::client::{Client, Site};
use super::error::RegistryError;
use super::pages::{self, List, Page};

/// Azure's clouds. A registry of this machine may stand for one, and says itself when it does not.
const HOSTS: &[&str] = &[".azurecr.io", ".azurecr.cn", ".azurecr.us"];

/// A document of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub digest: BlobDigest,
    /// When it came, or was last tagged.
    pub arrived: Option<Moment>,
}

#[derive(Deserialize)]
struct Manifests {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    digest: String,
    created_time: Option<String>,
    last_update_time: Option<String>,
}

impl Client {
    /// All documents of a repository; `None` where the registry has no list of them.
    pub(super) async fn all_documents(&self, site: &Site) -> Result<Option<Vec<Listed>>, RegistryError> {
        let mut url = site.top();
        if !HOSTS.iter().any(|end| url.host_str().is_some_and(|host| host.ends_with(end))) && !is_loopback(&url) {
            return Ok(None);
        }
        url.set_path(&format!("/acr/v1/{}/_manifests", site.repository.name()));
        url.set_query(Some("n=500"));
        let list = List {
            what: "documents",
            scope: &Scope::metadata(&site.repository),
            accept: None,
            absent: &[401, 403, 404, 405],
            most_pages: 1_000,
            most_entries: 500_000,
            page: 8 << 20,
        };
        pages::all(site, url, &list, |_, bytes| read(bytes).map_or(Page::Unsound, Page::Entries)).await
    }
}

fn read(bytes: &[u8]) -> Option<Vec<Listed>> {
    let page: Manifests = serde_json::from_slice(bytes).ok()?;
    let moment = |text: &Option<String>| text.as_deref().and_then(Moment::parse);
    let listed = |entry: Entry| {
        let arrived = moment(&entry.last_update_time).max(moment(&entry.created_time));
        entry.digest.parse().ok().map(|digest| Listed { digest, arrived })
    };
    Some(page.manifests.into_iter().filter_map(listed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_digests_with_the_later_of_their_times() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let page = format!(
            r#"{{"registry":"a.azurecr.io","imageName":"web","manifests":[
            {{"digest":"{digest}","createdTime":"2026-01-01T00:00:00.5Z","lastUpdateTime":"2026-02-01T00:00:00Z","tags":["v1"]}},
            {{"digest":"{digest}"}}, {{"digest":"md5:x"}}]}}"#
        );
        let times: Vec<Option<String>> = read(page.as_bytes()).unwrap().iter().map(|one| one.arrived.map(|at| at.to_string())).collect();
        assert_eq!(times, [Some("2026-02-01T00:00:00Z".to_owned()), None]);
        assert_eq!(read(b"{}"), Some(Vec::new()));
        assert_eq!(read(b"<html>"), None);
    }
}
