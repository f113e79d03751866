//! `matrix`: a target that exists once for every combination of the values of its variables.
//! In: the node of a target. Out: its cells in order. Never: more of them than [`CELL_LIMIT`]; they are counted before they are built.

use std::collections::HashSet;
use std::rc::Rc;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::Cell;
use crate::base::words;
use crate::syntax::document::{Node, Prop};

use super::cx::{CELL_LIMIT, Cx};
use super::expand::{Instance, count, distinct, free_name};
use super::param::ParamKind;
use super::read::view::{Text, View, children, was_written};
use super::value::{Locals, Variable};

/// The most times that a row is held against a cell, and that a row gives a cell a variable.
const WORK_LIMIT: usize = 10_000_000;
const GIVEN_LIMIT: usize = 500_000;

/// One cell.
pub(super) struct MatrixCell {
    /// Its variables: first those that name it, then what `include` gives it besides.
    pub vars: Vec<Variable>,
    /// How many of them name it.
    axes: usize,
    /// What `include` gives some cell, this one or others.
    pub given: Rc<[String]>,
}

impl MatrixCell {
    /// The only one of a target without matrix.
    pub(super) fn none() -> Self {
        Self { vars: Vec::new(), axes: 0, given: Rc::default() }
    }

    /// Its name: the values of the variables of the matrix.
    pub(super) fn name(&self) -> Cell {
        Cell(self.vars[..self.axes].iter().map(|var| (var.name.clone(), var.value.clone())).collect())
    }
}

/// The names that differ from cell to cell, each where it was written.
pub(super) fn variables(target: &Node) -> impl Iterator<Item = (&str, &Span)> {
    let matrix = target.children.iter().flatten().filter(|child| child.name.text == "matrix");
    let inside = matrix.flat_map(|matrix| matrix.children.iter().flatten());
    inside.flat_map(|node| {
        let own = (!matches!(node.name.text.as_str(), "exclude" | "include")).then_some(&node.name);
        let given = node.props.iter().filter(|_| node.name.text == "include").map(|prop| &prop.name);
        own.into_iter().chain(given).map(|name| (name.text.as_str(), &name.span))
    })
}

/// One variable of a matrix with its values.
struct Axis {
    name: String,
    span: Span,
    values: Vec<Text>,
    /// Whether its values rest on stand-ins.
    open: bool,
}

impl Axis {
    fn variable(&self, value: &str) -> Variable {
        Variable { name: self.name.clone(), value: value.to_owned(), kind: ParamKind::Text, span: self.span.clone() }
    }
}

/// An `exclude` or `include` node.
struct Row {
    /// Variables of the matrix, by number, with their values.
    fits: Vec<(usize, String)>,
    /// Further variables.
    gives: Vec<Variable>,
    span: Span,
}

impl Row {
    fn fits(&self, vars: &[Variable]) -> bool {
        self.fits.iter().all(|(axis, value)| vars[*axis].value == *value)
    }
}

/// The cells of a target's matrix, in order: the last variable changes fastest, then those that `include` adds. A target without
/// matrix has one cell without variables. `None` when the matrix cannot be built, which is reported.
pub(super) fn cells(cx: &Cx<'_>, instance: &Instance<'_>) -> Option<Vec<MatrixCell>> {
    let locals = Locals { hidden: Vec::new(), ..instance.locals() };
    let view = View { cx, locals: &locals };
    let Some(matrix) = children(cx, instance.node, "matrix").next() else {
        return (!was_written(instance.node, "matrix")).then(|| vec![MatrixCell::none()]);
    };
    let axes = axes(&view, matrix)?;
    let excluded = rows(&view, matrix, "exclude", &axes)?;
    let included = rows(&view, matrix, "include", &axes)?;
    let mut cells = combinations(&axes);
    if cells.len().saturating_mul(excluded.len() + included.len()) > WORK_LIMIT {
        let rows = words::count(excluded.len() + included.len(), "row");
        too_large(cx, matrix, format!("the matrix holds {} against {rows}", words::count(cells.len(), "cell")));
        return None;
    }
    cells.retain(|cell| !excluded.iter().any(|row| row.fits(cell)));
    if !include(cx, matrix, &axes, &included, &mut cells) {
        return None;
    }
    if cells.is_empty() {
        let fault = Diagnostic::plan("plan::matrix", "`exclude` leaves no cell of the matrix", &matrix.name.span, "nothing is left");
        axes.iter().all(|axis| !axis.open).then(|| cx.fault(fault.help("exclude less")));
        return None;
    }
    let mut given: Vec<String> = Vec::new();
    for var in included.iter().flat_map(|row| &row.gives) {
        if !given.contains(&var.name) {
            given.push(var.name.clone());
        }
    }
    let given: Rc<[String]> = given.into();
    Some(cells.into_iter().map(|vars| MatrixCell { vars, axes: axes.len(), given: Rc::clone(&given) }).collect())
}

fn too_large(cx: &Cx<'_>, matrix: &Node, message: String) {
    let fault = Diagnostic::plan("plan::matrix-size", message, &matrix.name.span, "counted here");
    cx.fault(fault.help("give its variables fewer values"));
}

fn axes(view: &View<'_, '_>, matrix: &Node) -> Option<Vec<Axis>> {
    let cx = view.cx;
    let (mut axes, mut good) = (Vec::new(), true);
    for node in matrix.children.iter().flatten().filter(|node| !matches!(node.name.text.as_str(), "exclude" | "include")) {
        if matches!(node.name.text.as_str(), "platform" | "platforms") {
            let written = node.args.iter().map(|value| words::visible(value.span.text())).collect::<Vec<_>>().join(" ");
            let fault = Diagnostic::plan("plan::bad-name", "platforms are no variable of a matrix", &node.name.span, "not in the matrix");
            cx.fault(fault.help(format!("write `platforms {}` beside it; `${{platform}}` is each of them", words::shorten(&written, 60))));
            good = false;
            continue;
        }
        let named = free_name(view, &node.name.text, &node.name.span);
        let values = if cx.is_good(node) { distinct(view, &node.args, &node.name.text, &node.name.span) } else { None };
        match (named, values) {
            (Some(()), Some((values, open))) => {
                one_text(cx, &values);
                axes.push(Axis { name: node.name.text.clone(), span: node.name.span.clone(), values, open });
            }
            _ => good = false,
        }
    }
    if !good {
        return None;
    }
    // Properties of `matrix` are reported where they stand.
    if axes.is_empty() && matrix.props.is_empty() {
        let fault = Diagnostic::plan("plan::matrix", "`matrix` has no variables", &matrix.name.span, "no variable");
        cx.fault(fault.help("write one per line in its block: `matrix { bin api worker }`"));
    }
    let total = axes.iter().map(|axis| axis.values.len() as u128).fold(1, u128::saturating_mul);
    if total > CELL_LIMIT as u128 {
        too_large(cx, matrix, format!("the matrix has {}; at most {CELL_LIMIT} are built", count(total, "cell")));
        return None;
    }
    (!axes.is_empty()).then_some(axes)
}

/// Warns of a whole list in one text: `go "1.23,1.24"` is one value.
pub(super) fn one_text(cx: &Cx<'_>, values: &[Text]) {
    let [(text, span)] = values else { return };
    let parts: Vec<&str> = text.split([',', ' ']).filter(|part| !part.is_empty()).collect();
    if parts.len() > 1 && !span.text().contains("${") {
        let written = parts.iter().map(|part| format!("\"{}\"", words::visible(part))).collect::<Vec<_>>().join(" ");
        let fault = Diagnostic::plan("plan::one-value", "this is one value with others in it", span, "taken as one value");
        cx.fault(fault.help(format!("values stand one after the other: {}", words::shorten(&format!("`{written}`"), 120))).warning());
    }
}

fn combinations(axes: &[Axis]) -> Vec<Vec<Variable>> {
    let mut cells = vec![Vec::new()];
    for axis in axes {
        let longer = cells.iter().flat_map(|cell: &Vec<Variable>| {
            axis.values.iter().map(move |(value, _)| {
                let mut cell = cell.clone();
                cell.push(axis.variable(value));
                cell
            })
        });
        cells = longer.collect();
    }
    cells
}

/// The `exclude` or `include` nodes of a matrix, their variables checked.
fn rows(view: &View<'_, '_>, matrix: &Node, word: &str, axes: &[Axis]) -> Option<Vec<Row>> {
    let (mut found, mut good) = (Vec::new(), true);
    for node in matrix.children.iter().flatten().filter(|node| node.name.text == word) {
        if !view.cx.is_good(node) {
            good = false;
            continue;
        }
        let mut row = Row { fits: Vec::new(), gives: Vec::new(), span: node.name.span.clone() };
        for prop in &node.props {
            good &= match axes.iter().position(|axis| axis.name == prop.name.text) {
                Some(index) => fitting(view, prop, word, &axes[index]).map(|value| row.fits.push((index, value))),
                None if word == "include" => giving(view, prop, axes).map(|var| row.gives.push(var)),
                None => {
                    no_variable(view.cx, prop, axes);
                    None
                }
            }
            .is_some();
        }
        if node.props.is_empty() {
            let fault = Diagnostic::plan("plan::matrix", format!("`{word}` names no variable"), &node.name.span, "no variable");
            view.cx.fault(fault.help(format!("write `{word} {}=…`", axes.first().map_or("variable", |axis| axis.name.as_str()))));
            good = false;
        }
        found.push(row);
    }
    good.then_some(found)
}

fn no_variable(cx: &Cx<'_>, prop: &Prop, axes: &[Axis]) {
    let message = format!("the matrix has no variable `{}`", words::visible(&prop.name.text));
    let fault = Diagnostic::plan("plan::matrix", message, &prop.name.span, "not a variable of the matrix");
    let names = || axes.iter().map(|axis| axis.name.as_str());
    cx.fault(match cx.near(&prop.name.text, names()) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault.help(format!("it has: {}", names().collect::<Vec<_>>().join(", "))),
    });
}

/// The value that a row gives a variable of the matrix.
fn fitting(view: &View<'_, '_>, prop: &Prop, word: &str, axis: &Axis) -> Option<String> {
    let (value, span) = view.text(&prop.value)?;
    let known = || axis.values.iter().map(|(value, _)| value.as_str());
    if word == "exclude" && !axis.open && view.cx.taint_of(&span).is_none() && !known().any(|known| known == value) {
        let message = format!("`{}` never has the value `{}`", axis.name, words::visible(&value));
        let fault = Diagnostic::plan("plan::matrix", message, &span, "excludes nothing");
        view.cx.fault(fault.help(match view.cx.near(&value, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "leave it out".to_owned(),
        }));
        return None;
    }
    Some(value)
}

/// A variable that only cells with this row have. One whose name is nearly that of a variable of the matrix is a slip.
fn giving(view: &View<'_, '_>, prop: &Prop, axes: &[Axis]) -> Option<Variable> {
    let name = &prop.name.text;
    let long = |word: &str| word.chars().count() > 2;
    if words::closest(name, axes.iter().map(|axis| axis.name.as_str())).is_some_and(|near| long(near) && long(name)) {
        no_variable(view.cx, prop, axes);
        return None;
    }
    free_name(view, name, &prop.name.span)?;
    let (text, met) = view.cx.watch(|| view.text(&prop.value));
    view.cx.taint(&prop.name.span, met);
    let (value, _) = text?;
    Some(Variable { name: name.clone(), value, kind: ParamKind::Text, span: prop.name.span.clone() })
}

/// Carries the `include` rows out, in order. A row with further variables gives them to the cells that it fits; one that fits none, or
/// has none, adds its cells: a variable that it does not name has each of its values. False when that went wrong, which is reported.
fn include(cx: &Cx<'_>, matrix: &Node, axes: &[Axis], rows: &[Row], cells: &mut Vec<Vec<Variable>>) -> bool {
    let (mut good, mut given) = (true, 0_usize);
    for row in rows {
        let mut there: HashSet<Vec<String>> = HashSet::new();
        for cell in cells.iter_mut().filter(|cell| row.fits(cell)) {
            there.insert(cell[..axes.len()].iter().map(|var| var.value.clone()).collect());
            give(cell, row, axes.len());
            given += row.gives.len();
        }
        if given > GIVEN_LIMIT {
            too_large(cx, matrix, format!("`include` gives cells more than {GIVEN_LIMIT} variables"));
            return false;
        }
        if !row.gives.is_empty() && !there.is_empty() {
            continue;
        }
        let open: Vec<&Axis> =
            axes.iter().enumerate().filter(|(at, _)| !row.fits.iter().any(|(axis, _)| axis == at)).map(|(_, axis)| axis).collect();
        let more = open.iter().map(|axis| axis.values.len() as u128).fold(1, u128::saturating_mul);
        if more.saturating_add(cells.len() as u128) > CELL_LIMIT as u128 + there.len() as u128 {
            too_large(cx, matrix, format!("`include` brings the matrix to more than {CELL_LIMIT} cells"));
            return false;
        }
        let before = cells.len();
        for mut cell in combinations_of(axes, row) {
            if !there.contains(&cell.iter().map(|var| var.value.clone()).collect::<Vec<_>>()) {
                give(&mut cell, row, axes.len());
                cells.push(cell);
            }
        }
        if cells.len() == before {
            let fault = Diagnostic::plan("plan::matrix", "`include` adds a cell that is there already", &row.span, "adds nothing");
            cx.fault(fault.help("leave it out, or give the cell a further variable: `include … name=\"value\"`"));
            good = false;
        }
    }
    good
}

/// The cells that a row stands for.
fn combinations_of(axes: &[Axis], row: &Row) -> Vec<Vec<Variable>> {
    let narrowed = axes.iter().enumerate().map(|(at, axis)| {
        let said = row.fits.iter().find(|(index, _)| *index == at).map(|(_, value)| vec![(value.clone(), row.span.clone())]);
        Axis { name: axis.name.clone(), span: axis.span.clone(), values: said.unwrap_or_else(|| axis.values.clone()), open: axis.open }
    });
    combinations(&narrowed.collect::<Vec<_>>())
}

/// Gives a cell the further variables of a row; a later row wins.
fn give(cell: &mut Vec<Variable>, row: &Row, axes: usize) {
    for var in &row.gives {
        match cell[axes..].iter_mut().find(|known| known.name == var.name) {
            Some(known) => known.clone_from(var),
            None => cell.push(var.clone()),
        }
    }
}
