//! `sign`, `sbom` and `provenance` of `push`: what goes beside an image.

use crate::base::diagnostic::Diagnostic;
use crate::base::words;
use crate::plan::evidence::{Commit, EvidenceDef, KeyFrom, ProvenanceDef, SignDef};
use crate::plan::secret::SecretSource;
use crate::syntax::document::Node;

use super::secret;
use super::view::View;

/// The variable that holds a key where the plan names none. Source: cosign, `env://COSIGN_PRIVATE_KEY`.
const KEY: &str = "COSIGN_PRIVATE_KEY";

/// What a `push` sends beside the image.
pub(super) fn evidence(view: &View<'_, '_>, push: &Node) -> EvidenceDef {
    let on = |word| view.child(push, word).filter(|_| view.flag(push, word, false));
    EvidenceDef {
        sign: on("sign").and_then(|node| sign(view, node)),
        sbom: on("sbom").map(|node| node.name.span.clone()),
        provenance: on("provenance").map(|node| ProvenanceDef { commit: commit(view, node), span: node.name.span.clone() }),
    }
}

fn sign(view: &View<'_, '_>, node: &Node) -> Option<SignDef> {
    let written = |name: &str| node.props.iter().find(|prop| prop.name.text == name);
    if let (Some(first), Some(second)) = (written("key"), written("secret")) {
        let fault = Diagnostic::plan("plan::secret", "a key comes from one place", &second.name.span, "another place");
        view.cx.fault(fault.label(&first.name.span, "one place").help("leave one of them out"));
        return None;
    }
    let named = |word: &str| {
        let (name, span) = view.text(view.prop(node, word)?)?;
        let def = secret::known(view, &name, &span)?;
        Some(KeyFrom { name: Some(view.cx.full(&name)), source: def.source })
    };
    let key = match (written("key"), written("secret")) {
        (Some(_), _) => {
            let path = view.machine_path(view.text(view.prop(node, "key")?)?)?;
            KeyFrom { name: None, source: SecretSource::File(path) }
        }
        (None, Some(_)) => named("secret")?,
        (None, None) => KeyFrom { name: None, source: SecretSource::Env(KEY.to_owned()) },
    };
    let password = if written("password").is_some() { Some(named("password")?) } else { None };
    Some(SignDef { key, password, span: node.name.span.clone() })
}

/// The commit of the sources, when they have one.
fn commit(view: &View<'_, '_>, node: &Node) -> Option<Commit> {
    let ask = |word: &str| match view.cx.facts.named("git", word)? {
        Ok(answer) => answer,
        Err(error) => {
            let message = format!("`git.{word}` cannot be read: {}", words::visible(&error.to_string()));
            view.cx.fault(Diagnostic::plan("plan::fact", message, &node.name.span, "needed here"));
            None
        }
    };
    Some(Commit { sha: ask("sha")?, origin: ask("origin"), dirty: ask("dirty").as_deref() != Some("false") })
}
