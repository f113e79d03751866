//! `kiln schema`: the language, or the form of a command's JSON, as data.

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::words;
use crate::plan;
use crate::report::schemas;

use super::output::Output;

/// Prints a schema and gives the exit code.
pub fn schema(output: &Output, of: Option<&str>) -> u8 {
    let text = match of {
        None => Some(plan::spec::schema_json()),
        Some(name) => schemas::schema(name),
    };
    if let Some(text) = text {
        output.answer(&text);
        return 0;
    }
    let shown = words::shorten(&words::visible(of.unwrap_or_default()), 80);
    let fault = Diagnostic::new(Class::Usage, "cli::no-schema", format!("no schema is published for `{shown}`"));
    let help = match words::closest(of.unwrap_or_default(), schemas::NAMES.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}; without a name, the language's own is printed", words::list(schemas::NAMES, "and")),
    };
    output.faults(fault.help(help).into())
}
