//! `kiln inspect`: what an image is made of, and how two of them differ.
//! In: an [`InspectView`] or a [`DifferenceView`]. Out: text for people or one JSON value for programs. Never: reads an image.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::base::size::ByteSize;
use crate::base::words::{count, visible};

use super::paint::{Ink, Mark};
use super::style::Style;
use super::table::Table;
use super::tags::short;

/// An image, or the image of every platform that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct InspectView {
    /// What was asked for.
    pub image: String,
    /// The digest of the index, or of the only manifest.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// All platforms that it has.
    pub available: Vec<String>,
    /// Those that are shown.
    pub platforms: Vec<PlatformView>,
    /// What names it as its subject: signatures, bills of materials.
    pub referrers: Vec<ReferrerView>,
}

/// The image of one platform.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PlatformView {
    /// For instance `linux/amd64`.
    pub platform: String,
    /// The manifest's digest.
    pub digest: String,
    /// Bytes of its layers as they are sent.
    pub packed: u64,
    /// Bytes of their files; none where the layers were not read.
    pub unpacked: Option<u64>,
    /// The config as it is.
    pub config: Value,
    /// The manifest's annotations.
    pub annotations: Value,
    /// From the lowest up.
    pub layers: Vec<LayerView>,
    /// What a container sees, with `--files`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FileView>>,
    /// What it could do without, with `--advice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<Vec<AdviceView>>,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LayerView {
    /// Of the blob.
    pub digest: String,
    /// Of the archive in it.
    pub diff_id: Option<String>,
    /// How it is packed.
    pub media_type: String,
    /// Bytes of the blob.
    pub packed: u64,
    /// Bytes of its files; none where it was not read.
    pub unpacked: Option<u64>,
    /// Its entries; none where it was not read.
    pub entries: Option<usize>,
    /// What the history says made it.
    pub by: Option<String>,
    /// The line of the plan that makes it.
    pub line: Option<String>,
}

/// A file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileView {
    /// Where, in the image.
    pub path: String,
    /// `file`, `folder`, `link`, `hard-link`, `device` or `pipe`.
    pub kind: String,
    /// The target of a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Octal.
    pub mode: String,
    /// `user:group`.
    pub owner: String,
    /// In bytes.
    pub size: u64,
    /// The number of its layer, from 1.
    pub layer: usize,
}

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AdviceView {
    /// `secret`, `removed`, `overwritten`, `duplicate`, `cache`, `large`, `mixed` or `order`.
    pub kind: String,
    /// What it is.
    pub what: String,
    /// The number of the layer that holds it, from 1.
    pub layer: usize,
    /// The number of the layer that makes it needless.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<usize>,
    /// Some of the paths.
    pub paths: Vec<String>,
    /// How many there are.
    pub count: usize,
    /// Bytes before compression that the image would be smaller; for `mixed` that need not be sent, for `order` that need not be unpacked again.
    pub bytes: u64,
    /// The line of the plan to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// What to change there.
    pub help: String,
}

/// What names an image as its subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReferrerView {
    /// Of its manifest.
    pub digest: String,
    /// `signature`, `sbom`, `provenance` or `attestation`, as far as its type and its annotations say; nothing is proved by that.
    pub kind: Option<String>,
    /// The type of the artifact, or of the layer under `tag`.
    pub artifact_type: Option<String>,
    /// The type of the claim in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// The platform whose image it is about; none for the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The tag that it was found under; none where the registry lists it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// How two images differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DifferenceView {
    /// The left one.
    pub before: String,
    /// The right one.
    pub after: String,
    /// Whether their digests are the same.
    pub same: bool,
    /// One by one.
    pub differences: Vec<DifferenceRow>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DifferenceRow {
    /// The platform that it is of.
    pub platform: String,
    /// Where: `config.config.Env`, `layer 2: /app`, `/app`.
    pub place: String,
    /// On the left; none where it is not there.
    pub before: Option<String>,
    /// On the right.
    pub after: Option<String>,
    /// Bytes that the right one has more.
    pub bytes: i64,
}

/// The lines for one image.
#[must_use]
pub fn screen(view: &InspectView, style: Style) -> String {
    let mut lines = vec![format!("{}  {}", style.paint(Ink::Name, &visible(&view.image)), view.digest)];
    if view.available.len() > 1 {
        lines.push(format!("  {}", view.available.iter().map(|platform| visible(platform)).collect::<Vec<_>>().join("  ")));
    }
    for platform in &view.platforms {
        lines.push(String::new());
        lines.extend(of_platform(platform, view.platforms.len() > 1 || view.available.len() > 1, style));
    }
    if !view.referrers.is_empty() {
        lines.extend([String::new(), style.paint(Ink::Bold, "about it")]);
        let mut table = Table::new(&[2], &[]);
        for referrer in &view.referrers {
            let what = referrer.claim.as_deref().or(referrer.artifact_type.as_deref()).map_or("-".to_owned(), visible);
            // The tag is the digest of the image with an end.
            let end = referrer.tag.as_deref().and_then(|tag| tag.rsplit_once('.')).map_or(String::new(), |(_, end)| format!("tag .{end}"));
            let kind = referrer.kind.clone().unwrap_or_else(|| "-".to_owned());
            table.row([short(&referrer.digest), kind, what, referrer.platform.clone().unwrap_or_default(), style.paint(Ink::Dim, &end)]);
        }
        lines.extend(table.lines(style, "  "));
    }
    lines.join("\n") + "\n"
}

fn of_platform(view: &PlatformView, named: bool, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    let sizes = match view.unpacked {
        Some(unpacked) => format!("{} packed, {} of files", ByteSize(view.packed), ByteSize(unpacked)),
        None => format!("{} packed", ByteSize(view.packed)),
    };
    let head = format!("{}  {sizes}", style.paint(Ink::Bold, &visible(&view.platform)));
    lines.push(if named { format!("{head}  {}", short(&view.digest)) } else { head });
    lines.extend(config(view, style));
    let mut table = Table::new(&[4], &[0, 1, 2, 3]);
    for (at, layer) in view.layers.iter().enumerate() {
        table.row([
            (at + 1).to_string(),
            ByteSize(layer.packed).to_string(),
            layer.unpacked.map_or(String::new(), |bytes| ByteSize(bytes).to_string()),
            layer.entries.map_or(String::new(), |entries| count(entries, "entry")),
            layer.by.as_deref().map_or("-".to_owned(), visible),
            style.paint(Ink::Dim, &layer.line.as_deref().map_or_else(|| short(&layer.digest), visible)),
        ]);
    }
    lines.push("  layers".to_owned());
    lines.extend(table.lines(style, "    "));
    if let Some(files) = &view.files {
        lines.push("  files".to_owned());
        let mut table = Table::new(&[4], &[2, 3]);
        for file in files {
            let target = file.target.as_ref().map_or(String::new(), |target| format!(" -> {}", visible(target)));
            let size = if file.kind == "file" { ByteSize(file.size).to_string() } else { file.kind.clone() };
            let path = format!("{}{target}", visible(&file.path));
            table.row([file.mode.clone(), file.owner.clone(), size, file.layer.to_string(), path]);
        }
        lines.extend(table.lines(style, "    "));
    }
    if let Some(advice) = &view.advice {
        lines.push("  advice".to_owned());
        if advice.is_empty() {
            lines.push(format!("    {} nothing is carried in vain", style.mark(Mark::Done)));
        }
        lines.extend(advice.iter().flat_map(|advice| one_advice(advice, style)));
    }
    lines
}

/// The settings that decide how a container starts, and what stands in no other place.
fn config(view: &PlatformView, style: Style) -> Vec<String> {
    let inner = &view.config["config"];
    let words = |value: &Value| match value {
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).map(quoted).collect::<Vec<_>>().join(" ")),
        Value::String(text) => Some(visible(text)),
        Value::Object(fields) => Some(fields.keys().map(|name| visible(name)).collect::<Vec<_>>().join(" ")),
        _ => None,
    };
    let pairs = |value: &Value| {
        let fields = value.as_object()?;
        Some(
            fields
                .iter()
                .map(|(name, value)| quoted(&format!("{name}={}", value.as_str().unwrap_or_default())))
                .collect::<Vec<_>>()
                .join(" "),
        )
    };
    let rows = [
        ("created", words(&view.config["created"])),
        ("author", words(&view.config["author"])),
        ("entrypoint", words(&inner["Entrypoint"])),
        ("cmd", words(&inner["Cmd"])),
        ("user", words(&inner["User"])),
        ("workdir", words(&inner["WorkingDir"])),
        ("env", words(&inner["Env"])),
        ("expose", words(&inner["ExposedPorts"])),
        ("volumes", words(&inner["Volumes"])),
        ("labels", pairs(&inner["Labels"])),
        ("healthcheck", words(&inner["Healthcheck"]["Test"])),
        ("stop-signal", words(&inner["StopSignal"])),
        ("shell", words(&inner["Shell"])),
        ("onbuild", words(&inner["OnBuild"])),
        ("annotations", pairs(&view.annotations)),
    ];
    let mut table = Table::new(&[1], &[]);
    for (name, value) in rows {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            table.row([style.paint(Ink::Dim, name), value]);
        }
    }
    table.lines(style, "  ")
}

fn quoted(word: &str) -> String {
    let word = visible(word);
    if word.is_empty() || word.contains(char::is_whitespace) { format!("\"{word}\"") } else { word }
}

fn one_advice(advice: &AdviceView, style: Style) -> Vec<String> {
    let secret = advice.kind == "secret";
    let mark = style.mark(if secret { Mark::Failed } else { Mark::Warning });
    let gain = if secret || advice.kind == "large" { String::new() } else { format!("{} to win: ", ByteSize(advice.bytes)) };
    let size = if advice.kind == "large" { format!(", {}", ByteSize(advice.bytes)) } else { String::new() };
    let by = advice.by.map_or(String::new(), |by| format!(" (layer {by})"));
    let first = advice.paths.first().map_or(String::new(), |path| visible(path));
    let more = if advice.count > 1 { format!(" and {} more", advice.count - 1) } else { String::new() };
    let head = format!("    {mark} {gain}{first}{more}, layer {}: {}{by}{size}", advice.layer, advice.what);
    let at = advice.line.as_ref().map_or(String::new(), |line| format!("{}: ", visible(line)));
    vec![head, style.paint(Ink::Dim, &format!("      {at}{}", advice.help))]
}

/// The lines for two images.
#[must_use]
pub fn differences(view: &DifferenceView, style: Style) -> String {
    if view.same {
        return format!("{} {} and {} are the same image\n", style.mark(Mark::Done), visible(&view.before), visible(&view.after));
    }
    let mut lines = vec![format!("{} -> {}", visible(&view.before), visible(&view.after))];
    let mut last: Option<&str> = None;
    for row in &view.differences {
        if last != Some(row.platform.as_str()) {
            lines.push(style.paint(Ink::Bold, &visible(&row.platform)));
            last = Some(&row.platform);
        }
        let (sign, ink, text) = match (&row.before, &row.after) {
            (None, after) => ("+", Ink::Good, after.clone().unwrap_or_default()),
            (Some(before), None) => ("-", Ink::Bad, before.clone()),
            (Some(before), Some(after)) => ("~", Ink::Warn, format!("{before} -> {after}")),
        };
        let bytes = match row.bytes {
            0 => String::new(),
            bytes if bytes > 0 => format!("  +{}", ByteSize(bytes.unsigned_abs())),
            bytes => format!("  -{}", ByteSize(bytes.unsigned_abs())),
        };
        lines.push(format!("  {} {}  {}{bytes}", style.paint(ink, sign), visible(&row.place), visible(&text)));
    }
    if view.differences.is_empty() {
        lines.push("  their digests differ, but nothing that a container sees".to_owned());
    } else {
        lines.push(count(view.differences.len(), "difference"));
    }
    lines.join("\n") + "\n"
}
