//! The tags that a run would move, from which image to which.
//! In: places with their tags. Out: lines, and the same for programs. Never: asks a registry.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::words::{count, visible};

use super::paint::{Ink, Mark};
use super::style::Style;
use super::table::Table;
use super::tags::short;

/// What would become of the tags of one image in one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlaceMoves {
    /// The step that would move them.
    pub step: String,
    /// The repository, or the layout: `ghcr.io/acme/web`, `oci:dist/web`.
    pub place: String,
    /// The image that they would name; null where it is not built yet.
    pub image: Option<String>,
    /// The step that makes the image.
    pub made_by: String,
    /// The tags that are new or would move; those that name the image already are not listed.
    pub tags: Vec<Move>,
    /// Why the place did not say what stands there; null where it did.
    pub unknown: Option<String>,
}

/// A tag that is new or would move.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Move {
    /// The tag.
    pub tag: String,
    /// What it names now; null where it is new.
    pub from: Option<String>,
    /// Whether the plan forbids it, so that the run would be refused.
    pub may_not: bool,
}

/// The lines; none when no tag moves.
#[must_use]
pub fn lines(places: &[PlaceMoves], style: Style) -> Vec<String> {
    let mut table = Table::new(&[1, 2], &[]);
    let mut any = false;
    for place in places.iter().filter(|place| !place.tags.is_empty() || place.unknown.is_some()) {
        any = true;
        let to = place.image.as_deref().map_or_else(|| format!("what {} makes", visible(&place.made_by)), short);
        let mut name = style.paint(Ink::Name, &visible(&place.place));
        if let Some(why) = &place.unknown {
            table.row([name, String::new(), format!("{} not known: {}", style.mark(Mark::Warning), visible(why))]);
            continue;
        }
        for (from, may_not, tags) in grouped(&place.tags) {
            let from = from.map_or_else(|| "new".to_owned(), short);
            let change = if may_not {
                format!("{} may not move: {from} stands there, not {to}", style.mark(Mark::Failed))
            } else {
                format!("{from} → {to}")
            };
            table.row([std::mem::take(&mut name), style.paint(Ink::Bold, &tags.join(" ")), change]);
        }
    }
    if !any {
        return Vec::new();
    }
    let moved: usize = places.iter().map(|place| place.tags.len()).sum();
    let head = if moved == 0 { "tags".to_owned() } else { format!("{} would be put", count(moved, "tag")) };
    [style.paint(Ink::Bold, &head)].into_iter().chain(table.lines(style, "  ")).collect()
}

/// Tags that go the same way together, in the order in which their first ones come.
fn grouped(tags: &[Move]) -> Vec<(Option<&str>, bool, Vec<String>)> {
    let mut groups: Vec<(Option<&str>, bool, Vec<String>)> = Vec::new();
    for one in tags {
        let from = one.from.as_deref();
        match groups.iter_mut().find(|(known, may_not, _)| *known == from && *may_not == one.may_not) {
            Some((_, _, names)) => names.push(visible(&one.tag)),
            None => groups.push((from, one.may_not, vec![visible(&one.tag)])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: &str) -> String {
        format!("sha256:{}", byte.repeat(32))
    }

    fn moved(tag: &str, from: Option<&str>) -> Move {
        Move { tag: tag.to_owned(), from: from.map(digest), may_not: false }
    }

    #[test]
    fn tags_that_go_the_same_way_stand_in_one_line() {
        let place = PlaceMoves {
            step: "web/tag:ghcr".to_owned(),
            place: "ghcr.io/acme/web".to_owned(),
            image: Some(digest("cc")),
            made_by: "web/index".to_owned(),
            tags: vec![moved("1.4.3", None), moved("1.4", Some("ab")), moved("1", Some("ab")), moved("latest", Some("ef"))],
            unknown: None,
        };
        let later = PlaceMoves { place: "oci:dist/web".to_owned(), image: None, tags: vec![moved("1", Some("ab"))], ..place.clone() };
        let fixed = Move { may_not: true, ..moved("1.4.2", Some("ab")) };
        let refused = PlaceMoves { place: "b/web".to_owned(), tags: vec![fixed], ..place.clone() };
        let down = PlaceMoves { place: "c/web".to_owned(), tags: Vec::new(), unknown: Some("it is down".to_owned()), ..place.clone() };
        let done = PlaceMoves { tags: Vec::new(), ..place.clone() };
        let text = lines(&[place, later, refused, down, done.clone()], Style { width: 160, ..Style::PLAIN }).join("\n");
        assert_eq!(
            text,
            "6 tags would be put\n\
             \u{20} ghcr.io/acme/web  1.4.3   new → sha256:cccccccccccc\n\
             \u{20}                   1.4 1   sha256:abababababab → sha256:cccccccccccc\n\
             \u{20}                   latest  sha256:efefefefefef → sha256:cccccccccccc\n\
             \u{20} oci:dist/web      1       sha256:abababababab → what web/index makes\n\
             \u{20} b/web             1.4.2   ✗ may not move: sha256:abababababab stands there, not sha256:cccccccccccc\n\
             \u{20} c/web                     ! not known: it is down"
        );
        assert_eq!(lines(&[done], Style::PLAIN), Vec::<String>::new());
    }
}
