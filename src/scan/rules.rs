//! The rules of a policy, each a question to the image.
//! In: the image as a container sees it, its config, and the secrets in its layers. Out: findings.
//! Never: reads a file; what the rules need was read when the layers went by.

use crate::base::path::RelPath;
use crate::base::size::ByteSize;
use crate::base::words;
use crate::oci::config::Config;
use crate::oci::manifest::Manifest;
use crate::plan::policy::{Level, PolicyDef, Rule};

use super::account::{self, Standing};
use super::content::{Content, Inspector};
use super::secrets;
use super::verdict::{CONFIG, Finding, LayerPlace};
use super::view::{Kind, View};

/// The most findings of one rule; the next one says how many more there are.
const MOST: usize = 10_000;

/// What the rules look at.
#[derive(Debug)]
pub struct Image<'a> {
    /// Its layers and annotations.
    pub manifest: &'a Manifest,
    /// Its config.
    pub config: &'a Config,
    /// Its files.
    pub view: &'a View<Content>,
    /// What was found in its layers.
    pub inspector: &'a Inspector,
    /// The image's `/etc/passwd`; empty where it has none.
    pub passwd: &'a [u8],
    /// Whether its base was named by a tag.
    pub mutable_base: bool,
}

/// Asks every rule of the policy once; a rule that stands there twice counts at its stricter level.
#[must_use]
pub fn findings(image: &Image<'_>, policy: &PolicyDef) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut rules: Vec<(Rule, Level)> = policy.rules.iter().map(|(rule, level, _)| (*rule, *level)).collect();
    rules.sort_by_key(|(rule, level)| (*rule, std::cmp::Reverse(*level)));
    rules.dedup_by_key(|(rule, _)| *rule);
    for (rule, level) in rules {
        let mut one = Findings { rule, level, image, found: Vec::new(), more: 0 };
        match rule {
            Rule::RootUser => root_user(&mut one),
            Rule::MissingHealthcheck => missing_healthcheck(&mut one),
            Rule::Setuid => setuid(&mut one),
            Rule::Secrets => secrets(&mut one),
            Rule::WorldWritable => world_writable(&mut one),
            Rule::MutableBase => mutable_base(&mut one),
            Rule::MaxSize(limit) => max_size(&mut one, limit),
        }
        found.extend(one.finish());
    }
    found
}

/// The findings of one rule.
struct Findings<'a> {
    rule: Rule,
    level: Level,
    image: &'a Image<'a>,
    found: Vec<Finding>,
    more: usize,
}

impl Findings<'_> {
    fn image(&mut self, message: impl Into<String>, help: &str) {
        self.push(None, None, message.into(), help.to_owned());
    }

    fn file(&mut self, path: &[u8], layer: usize, message: impl Into<String>, help: &str) {
        let Ok(path) = RelPath::new(path) else { return };
        let help = format!("{help}, or let it through in the policy: `allow \"/{}\" reason=\"…\"`", path.escaped());
        self.push(Some(path), Some(layer), message.into(), help);
    }

    fn push(&mut self, path: Option<RelPath>, layer: Option<usize>, message: String, help: String) {
        if self.found.len() >= MOST {
            self.more += 1;
            return;
        }
        let layers = &self.image.manifest.layers;
        let layer = layer.and_then(|index| layers.get(index).map(|layer| LayerPlace { index, digest: layer.digest }));
        self.found.push(Finding { rule: self.rule, level: self.level, path, layer, message, help });
    }

    fn finish(mut self) -> Vec<Finding> {
        if self.more > 0 {
            let message = format!("{} more were found and are not listed", words::count(self.more, "place"));
            let (rule, level) = (self.rule, self.level);
            self.found.push(Finding {
                rule,
                level,
                path: None,
                layer: None,
                message,
                help: "act on those that are listed first".to_owned(),
            });
        }
        self.found
    }
}

fn root_user(found: &mut Findings<'_>) {
    let user = found.image.config.config.user.as_deref();
    match account::standing(user, found.image.passwd) {
        Standing::Other => {}
        Standing::Root(why) => found.image(why, "give the image a user of its own, for instance `user \"65532:65532\"`"),
        Standing::Unknown(why) => found.image(why, "write the user as a number, for instance `user \"65532:65532\"`"),
    }
}

fn missing_healthcheck(found: &mut Findings<'_>) {
    let check = found.image.config.config.healthcheck.as_ref().map(|check| check.test.as_slice()).unwrap_or_default();
    match check.first().map(String::as_str) {
        None | Some("") => found.image("the image has no health check", "add `healthcheck` to the image"),
        Some("NONE") => found.image("the image turns its health check off", "add `healthcheck` to the image"),
        Some(_) => {}
    }
}

fn setuid(found: &mut Findings<'_>) {
    for (path, node) in found.image.view.iter().filter(|(_, node)| node.kind == Kind::File && node.mode & 0o6000 != 0) {
        let bits = match node.mode & 0o6000 {
            0o4000 => "the set-user-id bit",
            0o2000 => "the set-group-id bit",
            _ => "the set-user-id and set-group-id bits",
        };
        found.file(
            path,
            node.layer,
            format!("has {bits} (mode {:04o})", node.mode & 0o7777),
            "clear it with `chmod ug-s` in the step that adds the file",
        );
    }
}

fn secrets(found: &mut Findings<'_>) {
    const HELP: &str = "revoke it, since the layer keeps it for good; hand it to the build with `secret` instead";
    for one in &found.image.inspector.found {
        let shown = found.image.view.get(one.path.as_bytes()).is_some_and(|node| node.layer == one.layer);
        let hidden = if shown { "" } else { "; a later layer hides the file, but this one still holds it" };
        found.file(one.path.as_bytes(), one.layer, format!("{}{hidden}", one.hit.message), HELP);
    }
    found.more += found.image.inspector.dropped;
    for (place, hit) in secrets::config::find(found.image.config, found.image.manifest) {
        let place = format!("{CONFIG}{place}");
        // A name that is no path, or another one when its `..` are resolved, is still a finding; it only cannot be let through.
        let path = RelPath::new(&place).ok().filter(|path| path.as_bytes() == place.as_bytes());
        let shown = words::shorten(&words::visible(&place), 200);
        found.push(path, None, hit.message, format!("{HELP}, or let it through in the policy: `allow \"{shown}\" reason=\"…\"`"));
    }
}

fn world_writable(found: &mut Findings<'_>) {
    for (path, node) in found.image.view.iter().filter(|(_, node)| node.mode & 0o002 != 0) {
        let what = match node.kind {
            Kind::File => "file",
            Kind::Folder if node.mode & 0o1000 == 0 => "folder",
            _ => continue,
        };
        let message = format!("every user may write this {what} (mode {:04o})", node.mode & 0o7777);
        found.file(path, node.layer, message, "clear it with `chmod o-w` in the step that adds it");
    }
}

fn mutable_base(found: &mut Findings<'_>) {
    if found.image.mutable_base {
        found.image("an image that it is made from is named by a tag, which can move", "run `kiln lock`, or add the digest to its name");
    }
}

fn max_size(found: &mut Findings<'_>, limit: u64) {
    let size = found.image.manifest.layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
    if size > limit {
        let message = format!("the compressed layers take {}, more than {}", ByteSize(size), ByteSize(limit));
        found.image(message, "copy less into the image, or raise `max-size` in the policy");
    }
}
