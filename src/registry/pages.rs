//! Lists that a registry gives page by page.
//! In: the address of the first page, and how a page is read. Out: all entries, or that the registry has no such list.
//! Never: a page of another host, a circle, an endless list, a part taken for the whole. Source: distribution-spec 1.1, "Listing Tags".

use std::collections::BTreeSet;

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};

use super::auth::token::Scope;
use super::client::{Call, Site};
use super::error::{Fault, RegistryError};
use super::transport::check_target;

/// What is listed, and how much of it is read.
pub(super) struct List<'a> {
    /// Its entries, for people: `tags`.
    pub what: &'static str,
    pub scope: &'a Scope,
    pub accept: Option<&'static str>,
    /// Answers, 200 apart, with which a registry says that it has no such list.
    pub absent: &'static [u16],
    pub most_pages: usize,
    pub most_entries: usize,
    /// The largest page, in bytes.
    pub page: u64,
}

/// What one page is.
pub(super) enum Page<T> {
    Entries(Vec<T>),
    /// Something else: the registry has no such list.
    Other,
    /// It says that it is a page of the list, and is none.
    Unsound,
}

/// Reads all pages; `None` when there is no such list.
///
/// # Errors
/// [`RegistryError`]; [`Fault::Protocol`] when the list leads in a circle, to another host, has no end, or breaks off.
pub(super) async fn all<T>(
    site: &Site,
    first: Url,
    list: &List<'_>,
    read: impl Fn(&HeaderMap, &[u8]) -> Page<T>,
) -> Result<Option<Vec<T>>, RegistryError> {
    let wanted: Vec<u16> = std::iter::once(200).chain(list.absent.iter().copied()).collect();
    let (mut url, mut seen, mut entries) = (first, BTreeSet::new(), Vec::new());
    while seen.insert(url.to_string()) {
        let error = |fault| RegistryError { place: Box::new(site.place(&Method::GET, &url)), ..site.error(fault) };
        let wrong = |why: &str| error(Fault::Protocol(format!("its list of {} {why}", list.what)));
        if seen.len() > list.most_pages || entries.len() > list.most_entries {
            return Err(wrong("has no end"));
        }
        let call = Call::new(Method::GET, url.clone(), list.scope);
        let call = list.accept.into_iter().fold(call, Call::accept);
        let (status, headers, bytes) = site.document(&call, &wanted, list.page).await?;
        let page = if status == 200 { read(&headers, &bytes) } else { Page::Other };
        match page {
            Page::Entries(page) => entries.extend(page),
            Page::Other if seen.len() == 1 => return Ok(None),
            Page::Other => return Err(wrong("breaks off")),
            Page::Unsound => return Err(error(Fault::Protocol(format!("it gave no list of {}", list.what)))),
        }
        match next_page(&url, &headers).map_err(error)? {
            Some(next) => url = next,
            None => return Ok(Some(entries)),
        }
    }
    Err(site.error(Fault::Protocol(format!("its list of {} leads in a circle", list.what))))
}

/// The next page: `Link: </v2/…?last=x>; rel="next"`. Source: distribution-spec 1.1, "Listing tags"; RFC 8288.
fn next_page(current: &Url, headers: &HeaderMap) -> Result<Option<Url>, Fault> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|text| text.split(',')).find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let wanted = parameters.split(';').any(|one| matches!(one.trim(), "rel=next" | "rel=\"next\""));
        wanted.then_some(target)
    });
    let Some(target) = next else { return Ok(None) };
    let url = current.join(target).map_err(|_| Fault::protocol("the address of its next page cannot be read"))?;
    check_target(current, &url)?;
    if url.origin() != current.origin() {
        return Err(Fault::protocol("its list goes on at another host"));
    }
    Ok(Some(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_at_the_same_host_only() {
        let current: Url = "https://reg.example.com/v2/a/tags/list?n=2".parse().unwrap();
        for (link, expected) in [
            (r#"</v2/a/tags/list?n=2&last=b>; rel="next""#, Ok(Some("https://reg.example.com/v2/a/tags/list?n=2&last=b"))),
            ("<?last=b>; rel=next", Ok(Some("https://reg.example.com/v2/a/tags/list?last=b"))),
            (r#"<https://evil.example.com/>; rel="next""#, Err(())),
            (r#"<http://reg.example.com/>; rel="next""#, Err(())),
            (r#"<//evil.example.com/>; rel="next""#, Err(())),
            (r#"</first>; rel="first""#, Ok(None)),
            ("nonsense", Ok(None)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, link.parse().unwrap());
            let found = next_page(&current, &headers).map(|url| url.map(|url| url.to_string())).map_err(drop);
            assert_eq!(found, expected.map(|url: Option<&str>| url.map(str::to_owned)), "{link}");
        }
    }
}
