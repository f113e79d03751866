//! The functions of queries, as data: what the reader accepts, the documentation and completion show.

/// One function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// How it is called.
    pub form: &'static str,
    /// The least and the most arguments.
    pub arguments: (usize, usize),
    /// What it gives.
    pub doc: &'static str,
}

const fn function(name: &'static str, form: &'static str, arguments: (usize, usize), doc: &'static str) -> Function {
    Function { name, form, arguments, doc }
}

/// All functions, in the order of the documentation.
pub const FUNCTIONS: &[Function] = &[
    function("deps", "deps(X)", (1, 2), "X and all that it needs; `deps(X, 1)` goes one step far"),
    function("rdeps", "rdeps(X)", (1, 2), "X and all that needs it; `rdeps(X, 1)` goes one step far"),
    function("somepath", "somepath(A, B)", (2, 2), "one shortest way on which A needs B, from A to B; nothing when there is none"),
    function("allpaths", "allpaths(A, B)", (2, 2), "every step on some way on which A needs B"),
    function("kind", "kind(KIND)", (1, 2), "the steps of a kind: `run`, `build`, `push`, …; `kind(run, X)` takes them from X"),
    function("owner", "owner(PATH)", (1, 1), "the steps that make this path, or read it"),
    function("makers", "makers(PATH)", (1, 1), "the steps that have this path among their outputs"),
    function("readers", "readers(PATH)", (1, 1), "the steps that have this path among their inputs or copies"),
    function("inputs", "inputs(X)", (1, 1), "the files that X reads, as they stand here"),
    function("outputs", "outputs(X)", (1, 1), "the paths and patterns that X promises to make"),
];
