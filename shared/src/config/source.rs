//! Configuration files, and the problems found there.

use std::fmt;

use crate::template::SourceLocation;

/// Text of one configuration file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Name used in messages: the file's path.
    pub name: String,
    /// Content of the file.
    pub text: String,
}

/// Problem in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the file.
    pub file: String,
    /// Line and column in characters, both from 1; `None` if the problem concerns the whole file.
    pub position: Option<(usize, usize)>,
    /// Description of the problem and its remedy, as one sentence.
    pub message: String,
}

impl fmt::Display for Problem {
    /// Writes `platform/dev.toml:12:3: component "kafka server": ...`, the format of compilers, so that
    /// editors can jump there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some((line, column)) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// All problems of a configuration, in the order of files and lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// Problems; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for LoadError {
    /// Writes one problem per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

impl From<Problem> for LoadError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// Collector of the problems of a load, so that all are reported at once.
#[derive(Debug)]
pub(super) struct Problems<'s> {
    sources: &'s [Source],
    found: Vec<(SourceLocation, String)>,
}

impl<'s> Problems<'s> {
    pub(super) fn new(sources: &'s [Source]) -> Self {
        Self { sources, found: Vec::new() }
    }

    /// Adds a problem, unless the same one has been added before.
    pub(super) fn report(&mut self, place: SourceLocation, message: impl Into<String>) {
        let problem = (place, message.into());
        if !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }

    /// Returns `file:line` of a position, for a problem that refers to a second one.
    pub(super) fn describe(&self, place: SourceLocation) -> String {
        let (source, (line, _)) = self.locate(place);
        format!("{source}:{line}")
    }

    fn locate(&self, place: SourceLocation) -> (&'s str, (usize, usize)) {
        match self.sources.get(place.source) {
            Some(source) => (&source.name, position(&source.text, place.offset)),
            None => ("", (1, 1)),
        }
    }

    /// Returns Ok if no problem was added, otherwise an error with all problems.
    pub(super) fn into_result(mut self) -> Result<(), LoadError> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort_by_key(|(place, _)| *place);
        let problems = self
            .found
            .iter()
            .map(|(place, message)| {
                let (file, position) = self.locate(*place);
                Problem { file: file.to_owned(), position: Some(position), message: message.clone() }
            })
            .collect();
        Err(LoadError { problems })
    }
}

/// Returns the line and column of the byte at `offset`, both from 1, the column in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "a = 1\nbä = 2\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 6), (2, 1));
        assert_eq!(position(text, 10), (2, 4));
        // In the middle of a character, and past the end.
        assert_eq!(position(text, 8), (2, 2));
        assert_eq!(position(text, 99), (3, 1));
    }

    #[test]
    fn problems_come_in_the_order_of_the_files_and_once() {
        let sources =
            ["a.toml", "b.toml"].map(|name| Source { name: name.to_owned(), text: "x\ny".to_owned() });
        let mut problems = Problems::new(&sources);
        problems.report(SourceLocation { source: 1, offset: 0 }, "third");
        problems.report(SourceLocation { source: 0, offset: 2 }, "second");
        problems.report(SourceLocation { source: 0, offset: 0 }, "first");
        problems.report(SourceLocation { source: 0, offset: 0 }, "first");
        let error = problems.into_result().unwrap_err();
        assert_eq!(error.to_string(), "a.toml:1:1: first\na.toml:2:1: second\nb.toml:1:1: third");
    }
}
