//! `kiln graph --format svg`: a drawing that needs no other program.
//! In: a [`GraphView`]. Out: one SVG file, the same for the same graph. Never: a font that must be there, a script, a name that
//! ends its own quotes.

use std::fmt::Write as _;

use crate::base::words::{shorten, visible};

use super::graph::GraphView;
use super::layers::{self, Size};

/// The width of a character of the font, in the units of the drawing.
const CHARACTER: f64 = 7.3;
/// The height of a line.
const LINE: f64 = 17.0;
/// Between a box and its text.
const PADDING: f64 = 10.0;
/// Around all.
const MARGIN: f64 = 20.0;
/// The longest text of a line, in characters.
const LONGEST: usize = 48;
/// The most steps that a box lists.
const ROWS: usize = 24;

/// A box: one target, or one target with its steps.
struct Block {
    title: String,
    kind: String,
    rows: Vec<String>,
}

impl Block {
    fn size(&self) -> Size {
        let longest = self.rows.iter().chain([&self.title]).map(|text| text.chars().count()).max().unwrap_or(0);
        let lines = 1.0 + self.rows.len() as f64;
        let extra = if self.rows.is_empty() { 12.0 } else { 20.0 };
        Size { width: longest as f64 * CHARACTER + 2.0 * PADDING, height: lines * LINE + extra }
    }
}

/// The drawing. Steps of one target stand in one box; an edge goes from a target to those that wait for it.
#[must_use]
pub fn svg(view: &GraphView) -> String {
    let (blocks, edges) = blocks(view);
    let sizes: Vec<Size> = blocks.iter().map(Block::size).collect();
    let drawn = layers::layout(&sizes, &layers::reduced(blocks.len(), &edges));
    let (width, height) = (drawn.size.width + 2.0 * MARGIN, drawn.size.height + 2.0 * MARGIN);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"12\">\n"
    );
    text.push_str("<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 1 L7 4 L0 7 z\" fill=\"#8a94a3\"/></marker></defs>\n");
    let _ = writeln!(text, "<rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"#ffffff\"/>");
    text.push_str("<g fill=\"none\" stroke=\"#8a94a3\" stroke-width=\"1.2\" marker-end=\"url(#tip)\">\n");
    for points in &drawn.edges {
        let _ = writeln!(text, "<path d=\"{}\"/>", curve(points));
    }
    text.push_str("</g>\n");
    for ((block, size), (x, y)) in blocks.iter().zip(&sizes).zip(&drawn.boxes) {
        draw(&mut text, block, *size, x + MARGIN, y + MARGIN);
    }
    text + "</svg>\n"
}

/// Targets in the order of the graph, and which of them wait for which.
fn blocks(view: &GraphView) -> (Vec<Block>, Vec<(usize, usize)>) {
    let mut places = indexmap::IndexMap::<&str, Block>::new();
    for node in &view.nodes {
        let block = places.entry(&node.target).or_insert_with(|| Block {
            title: shorten(&visible(&node.target), LONGEST),
            kind: node.kind.clone(),
            rows: Vec::new(),
        });
        // A step that is called like its target needs no line of its own.
        if node.name != node.target {
            let short = node.name.strip_prefix(&node.target).unwrap_or(&node.name);
            block.rows.push(shorten(&visible(short.strip_prefix('/').unwrap_or(short)), LONGEST));
        }
    }
    for block in places.values_mut().filter(|block| block.rows.len() > ROWS) {
        let more = block.rows.len() - (ROWS - 1);
        block.rows.truncate(ROWS - 1);
        block.rows.push(format!("and {more} more"));
    }
    let target = |at: usize| places.get_index_of(view.nodes[at].target.as_str());
    let mut edges: Vec<(usize, usize)> =
        view.sound_edges().filter_map(|edge| Some((target(edge.from)?, target(edge.to)?))).filter(|(from, to)| from != to).collect();
    edges.sort_unstable();
    edges.dedup();
    (places.into_values().collect(), edges)
}

/// Straight where an edge passes a column, bent between two.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (at, (x, y)) in points.iter().map(|(x, y)| (x + MARGIN, y + MARGIN)).enumerate() {
        let Some((left, above)) = at.checked_sub(1).map(|before| (points[before].0 + MARGIN, points[before].1 + MARGIN)) else {
            let _ = write!(path, "M{x:.1} {y:.1}");
            continue;
        };
        if (above - y).abs() < 0.05 {
            let _ = write!(path, " L{x:.1} {y:.1}");
        } else {
            let half = (left + x) / 2.0;
            let _ = write!(path, " C{half:.1} {above:.1} {half:.1} {y:.1} {x:.1} {y:.1}");
        }
    }
    path
}

fn draw(text: &mut String, block: &Block, size: Size, x: f64, y: f64) {
    let (fill, stroke) = match block.kind.as_str() {
        "run" | "task" => ("#eaf2fd", "#3b78c2"),
        "group" => ("#f4f4f5", "#8b8f98"),
        "service" | "up" => ("#fdf1e3", "#c77d1e"),
        _ => ("#e8f6ee", "#2f9160"),
    };
    let Size { width, height } = size;
    let _ = write!(text, "<g><title>{}</title>", entities(&block.title));
    let _ = writeln!(
        text,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\" fill=\"{fill}\" stroke=\"{stroke}\"/>"
    );
    let baseline = y + LINE + 0.5;
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{baseline:.1}\" font-weight=\"bold\" fill=\"#1b2430\">{}</text>",
        x + PADDING,
        entities(&block.title)
    );
    if !block.rows.is_empty() {
        let _ = writeln!(text, "<path d=\"M{x:.1} {:.1} h{width:.1}\" stroke=\"{stroke}\" stroke-width=\"0.6\"/>", y + LINE + 8.0);
    }
    for (row, words) in block.rows.iter().enumerate() {
        let line = baseline + LINE * (row as f64 + 1.0) + 6.0;
        let _ = writeln!(text, "<text x=\"{:.1}\" y=\"{line:.1}\" fill=\"#3d4755\">{}</text>", x + PADDING, entities(words));
    }
    text.push_str("</g>\n");
}

fn entities(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
