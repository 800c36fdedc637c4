//! Texts with variables: `${name}`.

mod form;
mod located;

use std::fmt;

use regex::bytes::Regex;

pub use self::form::{Form, Resolved, Templated};
pub use self::located::{Located, SourceLocation};

/// Text in which `${name}` is replaced by a variable's value. `$${` is an escaped `${`; any other `$` is
/// literal, so that regexes need no escaping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<TemplatePart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Literal(String),
    Variable(String),
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// Returns a sentence if a `${` is not closed, or if a name contains other characters than ASCII letters,
    /// digits, `_` and `-`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                literal.push_str(before);
                literal.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            literal.push_str(&rest[..at]);
            let (name, after) = rest[at + 2..].split_once('}').ok_or_else(|| {
                "\"${\" is not closed by \"}\"; write \"$${\" for the two characters".to_owned()
            })?;
            if !is_variable_name(name) {
                return Err(format!(
                    "\"${{{name}}}\" is no variable: a name has letters, digits, \"_\" and \"-\""
                ));
            }
            if !literal.is_empty() {
                parts.push(TemplatePart::Literal(std::mem::take(&mut literal)));
            }
            parts.push(TemplatePart::Variable(name.to_owned()));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// Returns the variables of the text in order, including repetitions.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Variable(name) => Some(name.as_str()),
            TemplatePart::Literal(_) => None,
        })
    }

    /// Replaces each variable by the result of `value`.
    ///
    /// # Errors
    /// Returns an error with the first variable that has no value.
    pub fn expand(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, UnknownVariable> {
        let mut expanded = String::new();
        for part in &self.parts {
            match part {
                TemplatePart::Literal(text) => expanded.push_str(text),
                TemplatePart::Variable(name) => {
                    expanded.push_str(&value(name).ok_or_else(|| UnknownVariable(name.clone()))?);
                }
            }
        }
        Ok(expanded)
    }
}

/// Returns true if `name` is valid within `${}`.
pub(crate) fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Regex in which a variable matches its values literally: special characters in them have no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexTemplate(Template);

impl RegexTemplate {
    /// Parses a regex with variables.
    ///
    /// # Errors
    /// Returns a sentence if [`Template::parse`] fails, or if the regex is invalid whatever its variables
    /// contain.
    pub fn parse(text: &str) -> Result<Self, String> {
        let template = Self(Template::parse(text)?);
        match template.compile(|name| Some(vec![name.to_owned()])) {
            Ok(_) => Ok(template),
            Err(CompileError::Regex(error)) => Err(error),
            Err(CompileError::Unknown(variable)) => Err(variable.to_string()),
        }
    }

    /// Returns the text of the regex.
    pub(crate) fn template(&self) -> &Template {
        &self.0
    }

    /// Compiles the regex; each variable matches any of its values.
    ///
    /// # Errors
    /// Returns an error if a variable has no value, or if the regex crate rejects the regex.
    pub fn compile(&self, values: impl Fn(&str) -> Option<Vec<String>>) -> Result<Regex, CompileError> {
        let pattern = self.0.expand(|name| {
            // An empty list of values would leave an empty group, which matches everywhere.
            let values = values(name).filter(|values| !values.is_empty())?;
            let escaped: Vec<_> = values.iter().map(|value| regex::escape(value)).collect();
            Some(format!("(?:{})", escaped.join("|")))
        })?;
        Regex::new(&pattern).map_err(|error| CompileError::Regex(reason(&error)))
    }
}

impl fmt::Display for RegexTemplate {
    /// Writes the regex as it was configured.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Template {
    /// Writes the text as it was configured.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            TemplatePart::Literal(text) => f.write_str(&text.replace("${", "$${")),
            TemplatePart::Variable(name) => write!(f, "${{{name}}}"),
        })
    }
}

/// Returns the last line of the regex crate's message, which names the error; the lines above it show the
/// pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!("not a regex: {}", last.strip_prefix("error: ").unwrap_or(last))
}

/// Variable that has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable(pub String);

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "variable \"{}\" has no value", self.0)
    }
}

/// Reason why a regex with variables could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// A variable has no value.
    Unknown(UnknownVariable),
    /// The regex crate rejects the regex, for this reason.
    Regex(String),
}

impl From<UnknownVariable> for CompileError {
    fn from(variable: UnknownVariable) -> Self {
        Self::Unknown(variable)
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(variable) => variable.fmt(f),
            Self::Regex(reason) => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, UnknownVariable> {
        Template::parse(text).unwrap().expand(|name| (name == "home").then(|| "/opt/k.1".to_owned()))
    }

    #[test]
    fn variables_are_replaced_and_dollars_stay() {
        assert_eq!(expand("${home}/bin").as_deref(), Ok("/opt/k.1/bin"));
        assert_eq!(expand("a$ $x $1 ${home}$").as_deref(), Ok("a$ $x $1 /opt/k.1$"));
        assert_eq!(expand("$${home} $$${home}").as_deref(), Ok("${home} $${home}"));
        assert_eq!(expand(""), Ok(String::new()));
        assert_eq!(expand("${hme}"), Err(UnknownVariable("hme".to_owned())));
    }

    #[test]
    fn broken_templates_are_told() {
        assert!(Template::parse("a ${home").unwrap_err().contains("not closed"));
        assert!(Template::parse("${}").unwrap_err().contains("no variable"));
        assert!(Template::parse("${a b}").unwrap_err().contains("${a b}"));
    }

    #[test]
    fn a_value_in_a_regex_is_literal_text() {
        let template = RegexTemplate::parse("^spark://${ip}:7077$").unwrap();
        let regex = template.compile(|_| Some(vec!["15.0.0.1".to_owned(), "fe80::1".to_owned()])).unwrap();
        assert!(regex.is_match(b"spark://15.0.0.1:7077"));
        assert!(regex.is_match(b"spark://fe80::1:7077"));
        assert!(!regex.is_match(b"spark://15x0.0.1:7077"));
        assert!(!regex.is_match(b"spark://15.0.0.11:7077"));
    }

    #[test]
    fn a_variable_without_values_matches_nothing_by_accident() {
        let template = RegexTemplate::parse("^${ip}$").unwrap();
        assert!(matches!(template.compile(|_| None), Err(CompileError::Unknown(_))));
        assert!(matches!(template.compile(|_| Some(vec![])), Err(CompileError::Unknown(_))));
    }

    #[test]
    fn a_bad_regex_is_told_in_one_line() {
        assert_eq!(RegexTemplate::parse("a(b").unwrap_err(), "not a regex: unclosed group");
    }
}
