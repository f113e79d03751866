//! `when`: whether a target takes part in this plan.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::words;
use crate::plan::target::LeftOut;
use crate::plan::value::engine::display;
use crate::syntax::document::{Node, Scalar};

use super::view::{View, children, shown};

/// The first condition that does not hold. One that rests on a stand-in holds, and nothing more is said about the target's place
/// among the others: whoever may ask will know.
pub(in crate::plan) fn left_out(view: &View<'_, '_>, node: &Node, name: &Span) -> Option<LeftOut> {
    let mut found = None;
    for value in children(view.cx, node, "when").filter_map(|child| child.args.first()).filter(|value| view.cx.is_good_value(value)) {
        let (text, met) = view.cx.watch(|| view.cx.value(view.locals, value).map(|value| display(&value).map_err(str::to_owned)));
        if !met.is_empty() {
            view.cx.taint(name, met);
            continue;
        }
        match text {
            None => {}
            Some(Ok(text)) if text == "true" => {}
            Some(Ok(text)) if text == "false" => {
                let condition = if let Scalar::String(text) = &value.scalar { text.clone() } else { text };
                found = found.or(Some(LeftOut { condition: words::visible(&condition), span: value.span.clone() }));
            }
            Some(other) => {
                let (is, plain) = match &other {
                    Ok(text) => {
                        (format!(", and this is `{}`", shown(text)), !matches!(&value.scalar, Scalar::String(text) if text.contains("${")))
                    }
                    Err(why) => (format!(": {why}"), false),
                };
                let fault = Diagnostic::plan("plan::when", format!("a condition is true or false{is}"), &value.span, "neither");
                view.cx.fault(match &other {
                    Ok(text) if plain => fault.help(format!("write it as an expression: `when \"${{{}}}\"`", shown(text))),
                    _ => fault.help(
                        "compare it: `when \"${git.branch == 'main'}\"`, `when \"${name in ['a', 'b']}\"`, `when \"${env.CI is defined}\"`",
                    ),
                });
            }
        }
    }
    found
}
