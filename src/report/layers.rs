//! A layered drawing: boxes in columns, so that every edge points to the right, with few crossings.
//! In: the sizes of boxes and the edges between them. Out: places and curves; the same input always gives the same drawing.
//! Never: words or colours.
//!
//! After Sugiyama: columns by longest path, places for edges that pass columns, order by the means of neighbours, heights by
//! least squares (pool adjacent violators), so that straight edges stay straight.

use std::collections::{HashMap, HashSet};

/// Between two columns: the least, the most, and the part of the steepest edge that it should be.
const COLUMN_GAP: (f64, f64, f64) = (60.0, 200.0, 0.15);
/// Between two boxes of a column.
const ROW_GAP: f64 = 18.0;
/// Between two edges that pass a column.
const LANE_GAP: f64 = 8.0;
/// How often the order of columns is improved.
const SWEEPS: usize = 12;
/// The most boxes for which edges that say nothing new are looked for.
const REDUCIBLE: usize = 20_000;

/// The size of a box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// From left to right.
    pub width: f64,
    /// From top to bottom.
    pub height: f64,
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// The upper left corner of each box.
    pub boxes: Vec<(f64, f64)>,
    /// The points of each edge, from its first box to its last.
    pub edges: Vec<Vec<(f64, f64)>>,
    /// The size of all.
    pub size: Size,
}

/// Leaves out edges that follow from others: of a→b, b→c and a→c the last. Edges of circles stay.
#[must_use]
pub fn reduced(count: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let order = order(count, edges);
    if count > REDUCIBLE || edges.iter().any(|(from, to)| order[*from] >= order[*to]) {
        return edges.to_vec();
    }
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, to) in edges {
        next[*from].push(*to);
    }
    let words = count.div_ceil(64);
    let mut reach = vec![0_u64; words * count];
    let mut by_order: Vec<usize> = (0..count).collect();
    by_order.sort_by_key(|at| order[*at]);
    let mut kept = HashSet::new();
    for from in by_order.into_iter().rev() {
        next[from].sort_by_key(|to| order[*to]);
        next[from].dedup();
        for to in next[from].clone() {
            if reach[from * words + to / 64] >> (to % 64) & 1 == 1 {
                continue;
            }
            kept.insert((from, to));
            reach[from * words + to / 64] |= 1 << (to % 64);
            for word in 0..words {
                reach[from * words + word] |= reach[to * words + word];
            }
        }
    }
    edges.iter().copied().filter(|edge| kept.contains(edge)).collect()
}

/// A number for each box, such that edges go from lower to higher ones; only edges that close a circle do not.
fn order(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut open = vec![0_usize; count];
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, to) in edges.iter().filter(|(from, to)| from != to) {
        open[*to] += 1;
        next[*from].push(*to);
    }
    let mut order = vec![usize::MAX; count];
    let mut ready: std::collections::BTreeSet<usize> = (0..count).filter(|at| open[*at] == 0).collect();
    let mut first_left = 0;
    for place in 0..count {
        // Where only circles are left, one is cut at the box that was declared first.
        let at = ready.pop_first().unwrap_or_else(|| {
            while order[first_left] != usize::MAX {
                first_left += 1;
            }
            first_left
        });
        order[at] = place;
        for to in &next[at] {
            open[*to] = open[*to].saturating_sub(1);
            if open[*to] == 0 && order[*to] == usize::MAX {
                ready.insert(*to);
            }
        }
    }
    order
}

/// A box, or the place where an edge passes a column.
struct Item {
    column: usize,
    height: f64,
    /// The box; `None` for a lane.
    node: Option<usize>,
    before: Vec<usize>,
    after: Vec<usize>,
}

/// Items of a column that stand as near to each other as they may, and move together.
struct Pool {
    mean: f64,
    weight: f64,
    /// Each with its distance from the first item of the column.
    items: Vec<(usize, f64)>,
}

struct Drawing {
    items: Vec<Item>,
    columns: Vec<Vec<usize>>,
    /// The items along each edge.
    ways: Vec<Vec<usize>>,
    middle: Vec<f64>,
}

/// Lays boxes out.
#[must_use]
pub fn layout(sizes: &[Size], edges: &[(usize, usize)]) -> Layout {
    let order = order(sizes.len(), edges);
    // An edge of a circle that points back is laid out as if it pointed on.
    let forward: Vec<(usize, usize)> =
        edges.iter().map(|(from, to)| if order[*from] <= order[*to] { (*from, *to) } else { (*to, *from) }).collect();
    let column = columns(sizes.len(), &forward, &order);
    let mut drawing = Drawing::new(sizes, &forward, &column, &order);
    drawing.arrange();
    drawing.raise();
    drawing.finish(sizes, edges, &forward)
}

/// The column of each box: as far left as its needs allow, then as near to what waits for it as that allows.
fn columns(count: usize, edges: &[(usize, usize)], order: &[usize]) -> Vec<usize> {
    let mut by_order: Vec<usize> = (0..count).collect();
    by_order.sort_by_key(|at| order[*at]);
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut before = vec![0_usize; count];
    for (from, to) in edges.iter().filter(|(from, to)| from != to) {
        after[*from].push(*to);
        before[*to] += 1;
    }
    let mut column = vec![0_usize; count];
    for at in &by_order {
        for to in &after[*at] {
            column[*to] = column[*to].max(column[*at] + 1);
        }
    }
    for at in by_order.iter().rev().filter(|at| before[**at] == 0) {
        if let Some(nearest) = after[*at].iter().map(|to| column[*to]).min() {
            column[*at] = nearest.saturating_sub(1);
        }
    }
    column
}

impl Drawing {
    fn new(sizes: &[Size], edges: &[(usize, usize)], column: &[usize], order: &[usize]) -> Self {
        let item = |column, height, node| Item { column, height, node, before: Vec::new(), after: Vec::new() };
        let mut items: Vec<Item> = sizes.iter().enumerate().map(|(at, size)| item(column[at], size.height, Some(at))).collect();
        let mut ways = Vec::with_capacity(edges.len());
        for (from, to) in edges {
            let mut way = vec![*from];
            for lane in column[*from] + 1..column[*to] {
                items.push(item(lane, 0.0, None));
                way.push(items.len() - 1);
            }
            way.push(*to);
            for pair in way.windows(2).filter(|pair| pair[0] != pair[1]) {
                items[pair[0]].after.push(pair[1]);
                items[pair[1]].before.push(pair[0]);
            }
            ways.push(way);
        }
        let mut columns: Vec<Vec<usize>> = vec![Vec::new(); items.iter().map(|item| item.column + 1).max().unwrap_or(0)];
        let mut all: Vec<usize> = (0..items.len()).collect();
        all.sort_by_key(|at| items[*at].node.map_or(usize::MAX, |node| order[node]));
        for at in all {
            columns[items[at].column].push(at);
        }
        let middle = vec![0.0; items.len()];
        Self { items, columns, ways, middle }
    }

    /// Orders each column by the means of its neighbours' places, back and forth, and keeps the best order seen.
    fn arrange(&mut self) {
        let mut best = (self.crossings(), self.columns.clone());
        for sweep in 0..SWEEPS {
            let forth = sweep % 2 == 0;
            let count = self.columns.len();
            for step in 1..count {
                let at = if forth { step } else { count - 1 - step };
                let place = self.places();
                let mean = |item: usize| {
                    let near = if forth { &self.items[item].before } else { &self.items[item].after };
                    (!near.is_empty()).then(|| near.iter().map(|other| place[*other] as f64).sum::<f64>() / near.len() as f64)
                };
                let mut keyed: Vec<(f64, usize)> = Vec::with_capacity(self.columns[at].len());
                let mut last = -1.0;
                for item in &self.columns[at] {
                    // What has no neighbour on this side stays behind the one above it.
                    last = mean(*item).unwrap_or(last);
                    keyed.push((last, *item));
                }
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.columns[at] = keyed.into_iter().map(|(_, item)| item).collect();
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.columns.clone());
            }
        }
        self.columns = best.1;
    }

    fn places(&self) -> Vec<usize> {
        let mut place = vec![0; self.items.len()];
        for column in &self.columns {
            for (at, item) in column.iter().enumerate() {
                place[*item] = at;
            }
        }
        place
    }

    /// Pairs of edges that cross between two columns, counted with a tree of sums.
    fn crossings(&self) -> u64 {
        let place = self.places();
        let mut total = 0;
        for pair in self.columns.windows(2) {
            let mut sums = vec![0_u64; pair[1].len() + 1];
            let mut seen = 0;
            for item in &pair[0] {
                let mut ends: Vec<usize> = self.items[*item].after.iter().map(|other| place[*other]).collect();
                ends.sort_unstable();
                for end in &ends {
                    let (mut below, mut at) = (0, end + 1);
                    while at > 0 {
                        below += sums[at];
                        at &= at - 1;
                    }
                    total += seen - below;
                }
                for end in ends {
                    seen += 1;
                    let mut at = end + 1;
                    while at < sums.len() {
                        sums[at] += 1;
                        at += at & at.wrapping_neg();
                    }
                }
            }
        }
        total
    }

    /// Gives each item a height near its neighbours'.
    fn raise(&mut self) {
        for column in self.columns.clone() {
            self.settle(&column, |_| None);
        }
        for sweep in 0..SWEEPS * 2 {
            let order: Vec<Vec<usize>> = if sweep % 2 == 0 { self.columns.clone() } else { self.columns.iter().rev().cloned().collect() };
            for column in order {
                let middle = self.middle.clone();
                let wish = |at: usize| {
                    let item: &Item = &self.items[at];
                    let near: Vec<f64> = item.before.iter().chain(&item.after).map(|other| middle[*other]).collect();
                    (!near.is_empty()).then(|| near.iter().sum::<f64>() / near.len() as f64)
                };
                let wishes: HashMap<usize, f64> = column.iter().filter_map(|at| Some((*at, wish(*at)?))).collect();
                self.settle(&column, |at| wishes.get(&at).copied());
            }
        }
    }

    /// Puts the items of a column as near to their wishes as order and gaps allow: the least sum of squares.
    fn settle(&mut self, column: &[usize], wish: impl Fn(usize) -> Option<f64>) {
        // With the gaps taken away, only the order is left to be kept: neighbours out of order are pooled at their mean.
        let mut offset = 0.0;
        let mut pools: Vec<Pool> = Vec::new();
        let mut above: Option<usize> = None;
        for at in column {
            if let Some(above) = above {
                let gap = if self.items[above].node.is_some() && self.items[*at].node.is_some() { ROW_GAP } else { LANE_GAP };
                offset += self.items[above].height / 2.0 + gap + self.items[*at].height / 2.0;
            }
            above = Some(*at);
            // A lane bends less willingly than a box moves; what nobody pulls is moved by all.
            let weight = if self.items[*at].node.is_none() { 4.0 } else { 1.0 };
            let (wish, weight) = wish(*at).map_or((self.middle[*at], 0.01), |wish| (wish, weight));
            let mut pool = Pool { mean: wish - offset, weight, items: vec![(*at, offset)] };
            while let Some(last) = pools.pop_if(|last| last.mean > pool.mean) {
                let weight = last.weight + pool.weight;
                let mean = (last.mean * last.weight + pool.mean * pool.weight) / weight;
                pool = Pool { mean, weight, items: [last.items, pool.items].concat() };
            }
            pools.push(pool);
        }
        for pool in pools {
            for (at, offset) in pool.items {
                self.middle[at] = pool.mean + offset;
            }
        }
    }

    fn finish(self, sizes: &[Size], edges: &[(usize, usize)], forward: &[(usize, usize)]) -> Layout {
        let top = (0..self.items.len()).map(|at| self.middle[at] - self.items[at].height / 2.0).fold(f64::INFINITY, f64::min);
        let bottom = (0..self.items.len()).map(|at| self.middle[at] + self.items[at].height / 2.0).fold(f64::NEG_INFINITY, f64::max);
        let widths: Vec<f64> = self
            .columns
            .iter()
            .map(|column| column.iter().filter_map(|at| self.items[*at].node).map(|node| sizes[node].width).fold(0.0, f64::max))
            .collect();
        let mut lefts = Vec::with_capacity(widths.len());
        let mut x = 0.0;
        for (width, column) in widths.iter().zip(&self.columns) {
            lefts.push(x);
            let rises = column.iter().flat_map(|at| self.items[*at].after.iter().map(|to| (self.middle[*at] - self.middle[*to]).abs()));
            let (least, most, part) = COLUMN_GAP;
            x += width + (rises.fold(0.0, f64::max) * part).clamp(least, most);
        }
        let y = |at: usize| self.middle[at] - top;
        let boxes = (0..sizes.len()).map(|node| (lefts[self.items[node].column], y(node) - sizes[node].height / 2.0)).collect();
        let way = |way: &[usize], turned: bool| {
            let mut points = Vec::new();
            for (place, at) in way.iter().enumerate() {
                let (left, width) = (lefts[self.items[*at].column], widths[self.items[*at].column]);
                match self.items[*at].node {
                    Some(node) if place == 0 => points.push((left + sizes[node].width, y(*at))),
                    Some(_) => points.push((left, y(*at))),
                    None => points.extend([(left, y(*at)), (left + width, y(*at))]),
                }
            }
            if turned {
                points.reverse();
            }
            points
        };
        let edges = self.ways.iter().zip(edges.iter().zip(forward)).map(|(items, (edge, forward))| way(items, edge != forward)).collect();
        let height = if self.items.is_empty() { 0.0 } else { bottom - top };
        Layout { boxes, edges, size: Size { width: lefts.last().zip(widths.last()).map_or(0.0, |(left, width)| left + width), height } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_edge_that_follows_from_others_is_left_out() {
        assert_eq!(reduced(3, &[(0, 1), (1, 2), (0, 2)]), [(0, 1), (1, 2)]);
        assert_eq!(reduced(4, &[(0, 1), (1, 2), (2, 3), (0, 3), (0, 2)]), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(reduced(2, &[(0, 1), (1, 0)]), [(0, 1), (1, 0)]);
        assert_eq!(layout(&[], &[]).size, Size { width: 0.0, height: 0.0 });
    }

    proptest! {
        #[test]
        fn boxes_never_overlap_and_edges_point_on(edges in proptest::collection::vec((0_usize..24, 0_usize..24), 0..60)) {
            let sizes: Vec<Size> = (0..24).map(|at| Size { width: 60.0 + (at % 5) as f64 * 20.0, height: 24.0 + (at % 3) as f64 * 30.0 }).collect();
            let down: Vec<(usize, usize)> = edges.iter().copied().filter(|(from, to)| from < to).collect();
            let drawn = layout(&sizes, &down);
            prop_assert_eq!(&drawn, &layout(&sizes, &down));
            for a in 0..24 {
                for b in a + 1..24 {
                    let ((ax, ay), (bx, by)) = (drawn.boxes[a], drawn.boxes[b]);
                    let apart = ax + sizes[a].width <= bx || bx + sizes[b].width <= ax || ay + sizes[a].height <= by + 0.01 || by + sizes[b].height <= ay + 0.01;
                    prop_assert!(apart, "{a} {b}");
                }
                prop_assert!(drawn.boxes[a].0 >= 0.0 && drawn.boxes[a].1 >= -0.01);
                prop_assert!(drawn.boxes[a].1 + sizes[a].height <= drawn.size.height + 0.01);
            }
            for ((from, to), way) in down.iter().zip(&drawn.edges) {
                prop_assert!(drawn.boxes[*from].0 + sizes[*from].width < drawn.boxes[*to].0);
                prop_assert!(way.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            }
            // Circles are drawn too.
            prop_assert_eq!(layout(&sizes, &edges).edges.len(), edges.len());
            // What is left out can still be reached.
            let kept = reduced(24, &down);
            let reach = |edges: &[(usize, usize)]| {
                let mut found: Vec<(usize, usize)> = edges.to_vec();
                loop {
                    let more: Vec<(usize, usize)> = found.iter().flat_map(|(a, b)| edges.iter().filter(move |(c, _)| b == c).map(move |(_, d)| (*a, *d))).filter(|pair| !found.contains(pair)).collect();
                    if more.is_empty() {
                        found.sort_unstable();
                        found.dedup();
                        return found;
                    }
                    found.extend(more);
                    found.sort_unstable();
                    found.dedup();
                }
            };
            prop_assert_eq!(reach(&kept), reach(&down));
        }
    }
}
