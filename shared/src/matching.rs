//! Criteria against one process's command line.

use regex::bytes::Regex;

use crate::process::CommandLine;

/// One test on a command line: a regex that is searched in one argument, never in the arguments joined.
#[derive(Clone, Debug)]
pub struct Criterion {
    /// Which argument: from 0, from the end when negative, any one when `None`.
    pub index: Option<i32>,
    /// Searched, not matched whole: `java` is found in `/opt/java/bin/java`. On bytes: arguments need not be UTF-8.
    pub regex: Regex,
}

impl Criterion {
    /// Whether this criterion holds on `line`. An index past the end does not hold.
    pub fn holds(&self, line: &CommandLine) -> bool {
        match self.index {
            Some(index) => line.argument(index).is_some_and(|argument| self.regex.is_match(argument)),
            None => line.arguments().any(|argument| self.regex.is_match(argument)),
        }
    }
}

/// Whether every one of `criteria` holds on `line`. No criteria match no process.
pub fn matches(criteria: &[Criterion], line: &CommandLine) -> bool {
    !criteria.is_empty() && criteria.iter().all(|criterion| criterion.holds(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn criterion(index: Option<i32>, regex: &str) -> Criterion {
        Criterion { index, regex: Regex::new(regex).unwrap() }
    }

    /// Index, regex, command line, and whether the criterion holds on it.
    type Row<'a> = (Option<i32>, &'a str, &'a [&'a [u8]], bool);

    #[test]
    fn criteria_hold_as_the_table_says() {
        let rows: &[Row<'_>] = &[
            (Some(0), "java", &[b"/opt/java/jdk1.8.0_72/bin/java"], true),
            (Some(0), "^java$", &[b"/opt/java/bin/java"], false),
            (Some(1), "java", &[b"java"], false),
            (Some(-1), "server", &[b"java", b"config/server.properties"], true),
            (Some(-3), "java", &[b"java", b"x"], false),
            (None, "kafka", &[b"java", b"-x", b"kafka.Kafka"], true),
            // Never on joined text: the boundary between arguments is a boundary.
            (None, "a b", &[b"a", b"b"], false),
            (None, "a b", &[b"a b"], true),
            // Bytes that are no UTF-8, before and after what is sought.
            (Some(1), "sklearn", &[b"java", b"\xff\xfesklearn\xff"], true),
            (Some(1), "^$", &[b"java", b""], true),
        ];
        for (index, regex, arguments, expected) in rows {
            let line = CommandLine::from_arguments(*arguments);
            assert_eq!(
                criterion(*index, regex).holds(&line),
                *expected,
                "{index:?} {regex:?} on {arguments:?}"
            );
        }
    }

    #[test]
    fn all_criteria_must_hold_on_one_process() {
        let criteria = [criterion(Some(0), "java"), criterion(Some(1), "kafka")];
        assert!(matches(&criteria, &CommandLine::from_arguments(["java", "kafka"])));
        assert!(!matches(&criteria, &CommandLine::from_arguments(["java", "tomcat"])));
        assert!(!matches(&criteria, &CommandLine::new()));
    }

    #[test]
    fn no_criteria_match_nothing() {
        assert!(!matches(&[], &CommandLine::from_arguments(["java"])));
    }
}
