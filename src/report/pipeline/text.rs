//! Lines of YAML by depth. Values that come from a plan are quoted or stand in block texts.

/// A file that grows line by line.
pub(super) struct Text(String);

impl Text {
    pub(super) fn new() -> Self {
        Self(String::new())
    }

    /// A line at a depth, two blanks each; an empty text is an empty line.
    pub(super) fn line(&mut self, depth: usize, text: &str) -> &mut Self {
        if !text.is_empty() {
            self.0.extend(std::iter::repeat_n("  ", depth));
            self.0.push_str(text);
        }
        self.0.push('\n');
        self
    }

    pub(super) fn comments(&mut self, depth: usize, lines: &[String]) -> &mut Self {
        for line in lines {
            self.line(depth, &format!("# {}", crate::base::words::visible(line)));
        }
        self
    }

    /// `name: |` with commands below.
    pub(super) fn script(&mut self, depth: usize, name: &str, commands: &[String]) -> &mut Self {
        self.line(depth, &format!("{name}: |"));
        for command in commands {
            self.line(depth + 1, command);
        }
        self
    }

    /// Variables with their values; nothing when there are none.
    pub(super) fn variables(&mut self, depth: usize, name: &str, variables: &[(String, String)]) -> &mut Self {
        if !variables.is_empty() {
            self.line(depth, &format!("{name}:"));
            for (name, value) in variables {
                self.line(depth + 1, &format!("{name}: {value}"));
            }
        }
        self
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A text in double quotes, as YAML and JSON both read it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
