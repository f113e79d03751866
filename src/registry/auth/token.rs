//! Tokens: fetched once per scope, kept while they live, fetched again when the registry refuses them.
//! In: a challenge and a scope. Out: the value of an Authorization header, or nothing for strangers.
//! Never: two fetches for one scope at the same time, a wrong password tried twice.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::oci::reference::Repository;
use crate::registry::error::{Fault, Refusal, redacted};
use crate::registry::transport::{Follow, Payload, Request, SMALL, Transport};

use super::challenge::{Challenge, token_server};
use super::credentials::{Credential, CredentialSource, Kind};

/// The rights that a request needs: one or two resource scopes, separated by a space.
/// Source: distribution, "Token Scope Documentation".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::registry) struct Scope(String);

impl Scope {
    /// To be known, and no more.
    pub(in crate::registry) fn none() -> Self {
        Self(String::new())
    }
    /// For taking away what stands there.
    pub(in crate::registry) fn delete(repository: &Repository) -> Self {
        Self(format!("repository:{}:pull,delete", repository.name()))
    }
    pub(in crate::registry) fn pull(repository: &Repository) -> Self {
        Self(format!("repository:{}:pull", repository.name()))
    }
    /// For the list of all documents that Azure's registries keep.
    pub(in crate::registry) fn metadata(repository: &Repository) -> Self {
        Self(format!("repository:{}:metadata_read", repository.name()))
    }
    pub(in crate::registry) fn push(repository: &Repository) -> Self {
        Self(format!("repository:{}:pull,push", repository.name()))
    }
    /// For a blob that moves from one repository to another inside the registry.
    pub(in crate::registry) fn mount(to: &Repository, from: &Repository) -> Self {
        Self(format!("repository:{}:pull,push repository:{}:pull", to.name(), from.name()))
    }
}

/// How long a token lives when its server does not say. Source: distribution, "Token Authentication Specification".
const DEFAULT_LIFE: u64 = 60;

/// What is known about one scope.
enum Held {
    Nothing,
    Token {
        header: HeaderValue,
        /// When it ends, by the pace of the transport.
        until: Duration,
    },
    /// The login was refused: asking again would only lock the account.
    Refused(Fault),
}

/// The authorisation at one registry.
pub(in crate::registry) struct Auth {
    host: String,
    source: Arc<dyn CredentialSource>,
    credential: OnceCell<Credential>,
    /// The registry refused the password: sending it again would only lock the account.
    wrong: OnceLock<Fault>,
    challenge: Mutex<Option<Challenge>>,
    tokens: Mutex<HashMap<Scope, Arc<tokio::sync::Mutex<Held>>>>,
}

impl Auth {
    pub(in crate::registry) fn new(host: &str, source: Arc<dyn CredentialSource>) -> Self {
        Self {
            host: host.to_owned(),
            source,
            credential: OnceCell::new(),
            wrong: OnceLock::new(),
            challenge: Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    /// The header for a request, as far as is known before the registry was asked.
    pub(in crate::registry) async fn header(&self, wire: &Transport, home: &Url, scope: &Scope) -> Result<Option<HeaderValue>, Fault> {
        let challenge = self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match challenge {
            Some(challenge) => self.answer(wire, home, scope, &challenge, None).await,
            None => Ok(None),
        }
    }

    /// The header for the second attempt, after the registry answered 401 to `refused`. `None`: there is nothing better to send.
    pub(in crate::registry) async fn challenged(
        &self,
        wire: &Transport,
        home: &Url,
        scope: &Scope,
        headers: &HeaderMap,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Fault> {
        let Some(challenge) = Challenge::of(headers) else { return Ok(None) };
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
        self.answer(wire, home, scope, &challenge, refused).await
    }

    /// Takes note that the registry answered 401 to the best header there is; gives the fault when that was a password.
    pub(in crate::registry) fn refused(&self, header: &HeaderValue) -> Option<Fault> {
        let wrong = || Fault::Login("the user name or the password is wrong".to_owned());
        header.as_bytes().starts_with(b"Basic ").then(|| self.wrong.get_or_init(wrong).clone())
    }

    /// Whether the registry has asked who is there.
    pub(in crate::registry) fn was_asked(&self) -> bool {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Takes the secrets of this registry out of what someone else wrote.
    pub(in crate::registry) fn scrub(&self, fault: Fault) -> Fault {
        match (fault, self.credential.get()) {
            (Fault::Status(refusal), Some(credential)) => Fault::Status(scrubbed(credential, refusal)),
            (fault, _) => fault,
        }
    }

    async fn credential(&self) -> Result<&Credential, Fault> {
        let load = || async { self.source.credential(&self.host).await.map_err(|error| Fault::Credentials(error.0)) };
        self.credential.get_or_try_init(load).await
    }

    async fn answer(
        &self,
        wire: &Transport,
        home: &Url,
        scope: &Scope,
        challenge: &Challenge,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Fault> {
        let credential = self.credential().await?;
        match (&credential.0, challenge) {
            (Kind::Bearer(token), _) => secret_header(&format!("Bearer {token}")).map(Some),
            (Kind::Password { user, password }, Challenge::Basic) => match self.wrong.get() {
                Some(fault) => Err(fault.clone()),
                None => basic(user, password).map(Some),
            },
            (Kind::Anonymous | Kind::Identity(_), Challenge::Basic) => Ok(None),
            (_, Challenge::Bearer { realm, service }) => {
                let server = token_server(realm, home).map_err(Fault::Realm)?;
                self.token(wire, &server, service, scope, credential, refused).await.map(Some)
            }
        }
    }

    /// The token for a scope; callers that come while it is fetched wait for that fetch.
    async fn token(
        &self,
        wire: &Transport,
        server: &Url,
        service: &str,
        scope: &Scope,
        credential: &Credential,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Fault> {
        let slot = {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tokens.entry(scope.clone()).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(Held::Nothing))))
        };
        let mut held = slot.lock().await;
        match &*held {
            Held::Token { header, until } if Some(header) != refused && wire.pace.now() < *until => return Ok(header.clone()),
            Held::Refused(fault) => return Err(fault.clone()),
            _ => {}
        }
        match fetch(wire, server, service, scope, credential).await {
            Ok((header, life)) => {
                *held = Held::Token { header: header.clone(), until: wire.pace.now() + life };
                Ok(header)
            }
            Err(fault) => {
                if matches!(fault, Fault::Login(_)) {
                    *held = Held::Refused(fault.clone());
                }
                Err(fault)
            }
        }
    }
}

#[derive(Deserialize)]
struct TokenBody {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// Asks the token server: GET with the password, or POST with the identity token (OAuth 2, RFC 6749 section 6).
async fn fetch(
    wire: &Transport,
    server: &Url,
    service: &str,
    scope: &Scope,
    credential: &Credential,
) -> Result<(HeaderValue, Duration), Fault> {
    let failed = |fault| Fault::TokenServer(redacted(server), Box::new(fault));
    let mut url = server.clone();
    let mut headers = HeaderMap::new();
    let mut authorization = None;
    let (method, payload) = match &credential.0 {
        Kind::Identity(token) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            (Method::POST, Payload::Bytes(refresh_form(service, scope, token)))
        }
        other => {
            if let Kind::Password { user, password } = other {
                authorization = Some(basic(user, password)?);
            }
            let mut query = url.query_pairs_mut();
            if !service.is_empty() {
                query.append_pair("service", service);
            }
            query.extend_pairs(scope.0.split_whitespace().map(|part| ("scope", part)));
            drop(query);
            (Method::GET, Payload::Empty)
        }
    };
    let (authorization, follow) = (authorization.as_ref(), Follow::SameOrigin);
    let request = Request { method: &method, url: &url, headers: &headers, authorization, home: server, payload: &payload, follow };
    let answer = wire.send(&request).await.map_err(failed)?;
    if answer.status() != 200 {
        return Err(match answer.refusal().await {
            Fault::Status(refusal) if matches!(refusal.status, 400 | 401 | 403) => {
                let refusal = scrubbed(credential, refusal);
                Fault::Login(format!("`{}` answered {}{}", redacted(server), refusal.status, refusal.words()))
            }
            Fault::Status(refusal) => failed(Fault::Status(scrubbed(credential, refusal))),
            other => failed(other),
        });
    }
    let bytes = answer.bytes(SMALL).await.map_err(failed)?;
    let bad = || failed(Fault::protocol("it gave no token"));
    let body: TokenBody = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    let token = body.token.or(body.access_token).filter(|token| !token.is_empty()).ok_or_else(bad)?;
    let header = secret_header(&format!("Bearer {token}")).map_err(|_| bad())?;
    // A tenth of its life is left for the way to the registry.
    Ok((header, Duration::from_secs(body.expires_in.unwrap_or(DEFAULT_LIFE).min(86_400)) * 9 / 10))
}

fn refresh_form(service: &str, scope: &Scope, token: &str) -> Bytes {
    let fields =
        [("grant_type", "refresh_token"), ("client_id", "kiln"), ("service", service), ("scope", &scope.0), ("refresh_token", token)];
    let mut form = String::new();
    for (name, value) in fields {
        let _ = write!(form, "{}{name}=", if form.is_empty() { "" } else { "&" });
        for byte in value.bytes() {
            let _ = match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => write!(form, "{}", char::from(byte)),
                other => write!(form, "%{other:02X}"),
            };
        }
    }
    form.into()
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, Fault> {
    secret_header(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

fn secret_header(text: &str) -> Result<HeaderValue, Fault> {
    let mut header = HeaderValue::from_str(text).map_err(|_| Fault::Credentials("the token holds a line end or a NUL byte".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

fn scrubbed(credential: &Credential, mut refusal: Refusal) -> Refusal {
    for (code, message) in &mut refusal.said {
        *code = credential.scrub(code);
        *message = credential.scrub(message);
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_asks_for_no_more_than_it_needs() {
        let repository = |text: &str| text.parse::<Repository>().unwrap();
        let (web, base) = (repository("ghcr.io/acme/web"), repository("ghcr.io/acme/base"));
        assert_eq!(Scope::pull(&web).0, "repository:acme/web:pull");
        assert_eq!(Scope::push(&web).0, "repository:acme/web:pull,push");
        assert_eq!(Scope::mount(&web, &base).0, "repository:acme/web:pull,push repository:acme/base:pull");
    }

    #[test]
    fn an_identity_token_cannot_leave_its_field() {
        let scope = Scope("repository:a:pull".to_owned());
        let form = refresh_form("s v", &scope, "a&scope=evil=\n+é");
        assert_eq!(
            form,
            "grant_type=refresh_token&client_id=kiln&service=s%20v&scope=repository%3Aa%3Apull\
             &refresh_token=a%26scope%3Devil%3D%0A%2B%C3%A9"
        );
    }

    #[test]
    fn a_header_with_a_secret_does_not_show_it() {
        assert!(!format!("{:?}", basic("user", "canary").unwrap()).contains("Y2FuYXJ5"));
        assert!(secret_header("Bearer a\r\nX: y").is_err());
    }
}
