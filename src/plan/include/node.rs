//! One `include` node: where its document is, and under which name its targets appear.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::digest::{BlobDigest, Digest};
use crate::base::id::TargetName;
use crate::base::path::{BadPath, RelPath};
use crate::base::words;
use crate::syntax::document::{Node, Scalar, Value};

use super::IncludeSource;

/// A good `include` node.
#[derive(Debug)]
pub(in crate::plan) struct Include<'a> {
    /// Where the document is.
    pub place: IncludeSource,
    /// The namespace of its targets.
    pub name: &'a str,
    /// The name in the source.
    pub name_span: &'a Span,
    /// The path or address in the source.
    pub span: &'a Span,
}

/// Reads an `include` node. `from` is the place of the document that it stands in; `None` for the main one.
///
/// # Errors
/// One fault; `None` when the node's form is wrong, which is reported elsewhere.
pub(in crate::plan) fn include<'a>(node: &'a Node, from: Option<&IncludeSource>) -> Result<Include<'a>, Option<Box<Diagnostic>>> {
    let [Value { scalar: Scalar::String(text), span, .. }] = node.args.as_slice() else { return Err(None) };
    let named = |name: &str| node.props.iter().find(|prop| prop.name.text == name);
    let Some(Value { scalar: Scalar::String(name), span: name_span, .. }) = named("as").map(|prop| &prop.value) else { return Err(None) };
    for (text, span) in [(text, span), (name, name_span)] {
        if text.contains("${") {
            let message = "which files make up the plan cannot be a value";
            let fault = Diagnostic::plan("plan::bad-include", message, span, "has `${` in it");
            return Err(Some(fault.help("write the path and the name as they are; several `include` nodes may stand side by side").into()));
        }
    }
    if let Err(why) = name.parse::<TargetName>() {
        return Err(Some(crate::plan::expand::bad_name(name, why, name_span).into()));
    }
    if name.contains(':') {
        let fault = Diagnostic::plan("plan::bad-name", format!("the name `{name}` has `:` in it"), name_span, "not a name");
        return Err(Some(fault.help("`:` stands between the name of an include and a target in it: `ci:test`").into()));
    }
    let digest = match named("sha256").map(|prop| &prop.value) {
        None => None,
        Some(Value { scalar: Scalar::String(text), span, .. }) => Some(digest(text, span)?),
        Some(_) => return Err(None),
    };
    Ok(Include { place: place(text, span, from, digest)?, name, name_span, span })
}

/// A server on this machine needs no protection on the way: the literal names of RFC 6761 and RFC 5735 alone.
fn is_this_machine(rest: &str) -> bool {
    let host = rest.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host });
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

fn digest(text: &str, span: &Span) -> Result<BlobDigest, Box<Diagnostic>> {
    Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text)).map(BlobDigest).map_err(|_| {
        let message = format!("`{}` is not a SHA-256", words::shorten(&words::visible(text), 80));
        let fault = Diagnostic::plan("plan::bad-include", message, span, "not 64 hexadecimal digits");
        fault.help("write what `sha256sum FILE` prints, in lower case").into()
    })
}

fn place(
    text: &str,
    span: &Span,
    from: Option<&IncludeSource>,
    sha256: Option<BlobDigest>,
) -> Result<IncludeSource, Option<Box<Diagnostic>>> {
    let shown = words::shorten(&words::visible(text), 100);
    let fault =
        |message: String, label: &str, help: &str| Some(Box::new(Diagnostic::plan("plan::bad-include", message, span, label).help(help)));
    if let Some(rest) = text.strip_prefix("oci:") {
        if sha256.is_some() {
            let help = "write it as `oci:host/path:tag@sha256:…`, with the digest of the manifest";
            return Err(fault("an artifact has no `sha256=`".to_owned(), "an artifact", help));
        }
        return match rest.parse() {
            Ok(reference) => Ok(IncludeSource::Oci(reference)),
            Err(why) => Err(fault(why.to_string(), "not an artifact", "write it as `oci:host/path:tag` or `oci:host/path@sha256:…`")),
        };
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return match scheme {
            "https"
                if rest.split('/').next().is_some_and(|host| !host.is_empty() && !host.contains('@'))
                    && !rest.contains(char::is_whitespace) =>
            {
                Ok(IncludeSource::Https { url: text.to_owned(), sha256 })
            }
            "http" if is_this_machine(rest) => Ok(IncludeSource::Https { url: text.to_owned(), sha256 }),
            "https" => Err(fault(
                format!("`{shown}` is not an address"),
                "no host",
                "write it as `https://host/path`, without a user or a password",
            )),
            _ => Err(fault(
                format!("a plan is not included over `{}`", words::visible(scheme)),
                "not https",
                "use `https://…`, `oci:host/path:tag` or a file of the project",
            )),
        };
    }
    if sha256.is_some() {
        return Err(fault("a file of the project has no `sha256=`".to_owned(), "a local file", "leave it out; it is for addresses"));
    }
    let folder = match from {
        None => RelPath::root(),
        Some(IncludeSource::Local(path)) => path.parent().unwrap_or_else(RelPath::root),
        Some(remote) => {
            let message = format!("`{remote}` includes `{shown}`, a file of whoever includes it");
            return Err(fault(message, "not an address", "a remote plan includes only other remote plans"));
        }
    };
    match folder.join(text) {
        Ok(path) if path == folder => {
            Err(fault("the path of a plan is empty".to_owned(), "names no file", "write it like `include \"ci/build.kdl\" as=\"ci\"`"))
        }
        Ok(path) => Ok(IncludeSource::Local(path)),
        Err(why) => {
            let help = match why {
                BadPath::Outside | BadPath::Absolute => "a plan reaches only files below its own folder; move the file into the project",
                _ => "write it like `include \"ci/build.kdl\" as=\"ci\"`",
            };
            Err(fault(format!("`{shown}` {why}"), "not a file of the project", help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::Source;
    use std::sync::Arc;

    fn placed(text: &str, from: Option<&str>) -> Result<String, String> {
        let source = Arc::new(Source { name: "build.kdl".into(), text: text.into() });
        let from = from.map(|path| IncludeSource::Local(RelPath::new(path).unwrap()));
        let found = place(text, &Span::new(&source, 0, text.len()), from.as_ref(), None);
        found.map(|place| place.to_string()).map_err(|fault| fault.unwrap().message)
    }

    #[test]
    fn paths_are_relative_to_the_including_file_and_stay_in_the_project() {
        for (text, from, expected) in [
            ("ci/build.kdl", None, Ok("ci/build.kdl")),
            ("./x.kdl", Some("ci/build.kdl"), Ok("ci/x.kdl")),
            ("../x.kdl", Some("ci/build.kdl"), Ok("x.kdl")),
            ("../x.kdl", None, Err("leads out of the project")),
            ("../../x.kdl", Some("ci/build.kdl"), Err("leads out of the project")),
            ("/etc/x.kdl", Some("ci/build.kdl"), Err("is absolute")),
            ("", None, Err("is empty")),
            ("..", Some("a/b/build.kdl"), Ok("a")),
            ("https://example.org/x.kdl", None, Ok("https://example.org/x.kdl")),
            ("https://user:secret@example.org/x.kdl", None, Err("is not an address")),
            ("http://example.org/x.kdl", None, Err("over `http`")),
            ("file:///etc/x.kdl", None, Err("over `file`")),
            ("oci:ghcr.io/acme/plans:1", None, Ok("oci:ghcr.io/acme/plans:1")),
            ("oci:", None, Err("is not a repository name")),
        ] {
            let found = placed(text, from);
            match (&found, expected) {
                (Ok(place), Ok(expected)) => assert_eq!(place, expected, "{text}"),
                (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
                _ => panic!("{text}: {found:?}"),
            }
        }
    }
}
