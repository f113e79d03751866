//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::affected::Affected;
use super::completion::Shell;
use super::diff::Diff;
use super::graph::Graph;
use super::query::Query;
use super::watch::Watch;
use super::why::Why;

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "kiln",
    version,
    about = "Builds, tests, scans and publishes what build.kdl says, and never does the same work twice",
    long_about = "Builds, tests, scans and publishes what build.kdl says, and never does the same work twice.\n\n`kiln` alone lists the targets of the plan. `kiln TARGET…` is short for `kiln run TARGET…`.",
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 ok, 1 a step failed, 2 command line, 3 fault in the plan, 4 a policy refused, 5 registry, daemon, disk or network, 70 a bug, 130 interrupted."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options that every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// The plan [default: build.kdl here or in the nearest folder above]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The project's root [default: the folder of the plan]
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Sets a `param` of the plan
    #[arg(long = "set", global = true, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Chooses a `profile` of the plan; of several, a later one wins
    #[arg(long, global = true, env = "KILN_PROFILE", value_name = "NAME", value_delimiter = ',', hide_env_values = true)]
    pub profile: Vec<String>,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,
    /// Prints one JSON value per line instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// Where results are kept [default: the user's cache folder]
    #[arg(long, global = true, env = "KILN_CACHE_DIR", value_name = "DIR", hide_env_values = true)]
    pub cache_dir: Option<PathBuf>,
    /// Refuses whatever the lock does not pin, and never writes it
    #[arg(long, global = true, env = "KILN_FROZEN", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub frozen: bool,
    /// Opens no connection: what is pinned and in the store is used, anything else is a fault
    #[arg(long, global = true, env = "KILN_OFFLINE", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub offline: bool,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal that has it, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs targets, or the plan's default
    Run(Run),
    /// Runs targets, and runs them again whenever what they read has changed
    Watch(Watch),
    /// Shows what `run` would do and why; executes no step
    Plan(Plan),
    /// Compares the plan with another one: steps, tags and bases that differ (also `kiln plan diff`)
    Diff(Diff),
    /// Answers a question about the graph: `rdeps(owner("src/main.go")) ^ kind(run)`
    Query(Query),
    /// Lists the targets that changes since a commit can affect
    Affected(Affected),
    /// Says whether a step would run, and what changed in what it takes in since it last ran
    Why(Why),
    /// Draws what waits for what
    Graph(Graph),
    /// Reports every fault of the plan; executes nothing, connects to nothing
    Check,
    /// Lists the targets
    List,
    /// Prints a pipeline that runs the plan: checks for reviews, releases for tags
    Ci(super::ci::Ci),
    /// Writes plans in their one form; keeps comments, order and every value
    Fmt(Fmt),
    /// Puts an image of the plan into the local Docker daemon
    Load {
        /// The image
        image: String,
        /// The name in the daemon [default: NAME:kiln]
        #[arg(long, value_name = "NAME:TAG")]
        name: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// Shows what an image is made of; `inspect diff` compares two
    Inspect(super::inspect::Inspect),
    /// Builds an image twice under different circumstances and says where the two differ
    Verify(super::reproduce::Reproduce),
    /// Lists what stands in the registries
    Tags(super::tags::Tags),
    /// Clears repositories by the plan's rules; without `--yes` it only says what would go
    Prune(super::prune::Prune),
    /// Gives an image in a registry another name, there or elsewhere, with all that is about it
    Promote(super::promote::Promote),
    /// Logs in at a registry and keeps the login where other tools find it
    Login(super::login::Login),
    /// Removes the login at a registry
    Logout(super::login::Logout),
    /// Pins what the plan names and what can move: base images, remote plans, tools
    Lock(LockHow),
    /// Says whether a key or an identity vouches for an image in a registry: by a signature, or by a signed claim
    VerifySignature(super::verify::Verify),
    /// Prints the log of a step's last run, or of another run
    Log(super::log::Log),
    /// Lists the runs on record; `verify` tells whether anybody changed them
    History(super::history::History),
    /// Shows a recorded run again, as it was shown when it happened
    Replay(super::replay::Replay),
    /// Removes what steps made, as it was recorded; nothing else
    Clean(super::clean::Clean),
    /// Looks after the store of results
    #[command(subcommand)]
    Cache(super::cache::Cache),
    /// Explains the code of a fault
    Explain {
        /// For instance `plan::circle`
        code: String,
    },
    /// Prints the language as data (JSON), as the reader knows it
    Schema {
        /// Instead, the JSON Schema of a command's `--json`: plan, list, graph, query, diff, affected, why, inspect, inspect-diff or verify
        #[arg(value_name = "COMMAND")]
        of: Option<String>,
    },
    /// Prints what makes a shell complete kiln's words
    Completion {
        /// The shell
        shell: Shell,
    },
    /// What the last of these words can become; asked by the scripts of `completion`
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The words of the command line behind `kiln`
        #[arg(last = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// A target
    #[command(external_subcommand)]
    Targets(Vec<String>),
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Targets or steps: `web`, `web/scan`, `web/build@arm64`, `compile[bin=api]`
    pub targets: Vec<String>,
    #[command(flatten)]
    pub how: How,
}

/// How steps are carried out.
#[derive(Debug, Clone, Default, Args)]
pub struct How {
    /// Steps at the same time [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub jobs: Option<u16>,
    /// After a failure, goes on with what does not depend on it
    #[arg(short, long)]
    pub keep_going: bool,
    /// Runs the named steps even if their results are known
    #[arg(long)]
    pub force: bool,
    /// Also lists cached steps and prints every log
    #[arg(short, long)]
    pub verbose: bool,
    /// Writes a report at the end: junit, trace or markdown
    #[arg(long = "report", value_name = "KIND=FILE")]
    pub reports: Vec<super::reports::ReportTo>,
}

/// Options of `lock`.
#[derive(Debug, Args)]
pub struct LockHow {
    /// Asks anew what these names mean, or all of them
    #[arg(long, value_name = "NAME", num_args = 0..)]
    pub update: Option<Vec<String>>,
    /// Writes nothing; exit code 1 when a pin would change
    #[arg(long, conflicts_with = "update")]
    pub check: bool,
}

/// Options of `fmt`.
#[derive(Debug, Args)]
pub struct Fmt {
    /// KDL files [default: the plan and the files of the project that it includes]
    pub files: Vec<PathBuf>,
    /// Writes nothing: lists the files that would change, and exits with 1 if there is one
    #[arg(long)]
    pub check: bool,
    /// Writes nothing: shows the lines that would change
    #[arg(long)]
    pub diff: bool,
    /// Turns KDL 1 into KDL 2 on the way
    #[arg(long)]
    pub upgrade: bool,
    /// Reads standard input and prints it formatted
    #[arg(long, conflicts_with_all = ["files", "check", "diff"])]
    pub stdin: bool,
}

/// Options of `plan`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Plan {
    /// Targets or steps [default: the plan's default]
    pub targets: Vec<String>,
    /// Prints only the digest of the whole plan
    #[arg(long, conflicts_with = "targets")]
    pub digest: bool,
    /// With --json: each step's key and all that goes into it, for `why --against` elsewhere
    #[arg(long, requires = "json")]
    pub keys: bool,
    #[command(subcommand)]
    pub other: Option<PlanOther>,
}

/// What `plan` can be followed by besides targets.
#[derive(Debug, Subcommand)]
pub enum PlanOther {
    /// Compares the plan with another one (also `kiln diff`)
    Diff(Diff),
}

/// The languages of `graph`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Graphviz
    Dot,
    /// Mermaid, for Markdown
    Mermaid,
    /// A drawing for a browser
    Svg,
    /// Nodes and edges
    Json,
}
