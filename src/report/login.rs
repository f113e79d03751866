//! `kiln login` and `kiln logout`: what was kept or removed, and where.
//! In: a [`LoginView`]. Out: text for people or one JSON value for programs. Never: a secret.

use serde::Serialize;

use crate::base::words::visible;

use super::paint::{Ink, Mark};
use super::style::Style;

/// What became of a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoginView {
    /// The registry.
    pub registry: String,
    /// Who logged in; none after a logout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether the registry asked for the login and took it; `false` where it lets everybody in without asking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
    /// Where the login is kept, or was until now; none when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Place>,
}

/// A place for logins; one of the two is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// A credential helper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helper: Option<String>,
    /// A file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// The lines.
#[must_use]
pub fn screen(view: &LoginView, style: Style) -> String {
    let registry = visible(&view.registry);
    let Some(kept) = &view.kept else { return format!("{} there was no login for {registry}\n", style.mark(Mark::Done)) };
    let place = match (&kept.helper, &kept.file) {
        (Some(helper), _) => format!("with the credential helper `{}`", visible(helper)),
        (None, file) => format!("in {}", visible(file.as_deref().unwrap_or_default())),
    };
    let Some(user) = &view.user else { return format!("{} {registry}: the login kept {place} was removed\n", style.mark(Mark::Done)) };
    let mut lines = vec![format!("{} {registry}: logged in as {}; kept {place}", style.mark(Mark::Done), visible(user))];
    if view.known == Some(false) {
        let text = "the registry asked for no login, so nothing says whether this one is right";
        lines.push(format!("{} {}", style.mark(Mark::Warning), style.paint(Ink::Warn, text)));
    }
    if kept.file.is_some() {
        let text = "whoever reads this file reads the password; a credential helper keeps it safer (`credsStore` in that file)";
        lines.push(format!("  {} {text}", style.paint(Ink::Name, "help:")));
    }
    lines.join("\n") + "\n"
}
