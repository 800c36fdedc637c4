//! Configuration files, and the problems found there.

use std::cell::OnceCell;
use std::collections::HashMap;
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
    /// Offsets of the lines of each source, found with the first position in it.
    lines: Vec<OnceCell<Vec<usize>>>,
    /// Each problem, with its number in the order in which they were found.
    found: HashMap<(SourceLocation, String), usize>,
}

impl<'s> Problems<'s> {
    pub(super) fn new(sources: &'s [Source]) -> Self {
        let lines = sources.iter().map(|_| OnceCell::new()).collect();
        Self { sources, lines, found: HashMap::new() }
    }

    /// Adds a problem, unless the same one has been added before.
    pub(super) fn report(&mut self, place: SourceLocation, message: impl Into<String>) {
        let order = self.found.len();
        self.found.entry((place, message.into())).or_insert(order);
    }

    /// Returns `file:line` of a position, for a problem that refers to a second one.
    pub(super) fn describe(&self, place: SourceLocation) -> String {
        let (source, (line, _)) = self.locate(place);
        format!("{source}:{line}")
    }

    fn locate(&self, place: SourceLocation) -> (&'s str, (usize, usize)) {
        match (self.sources.get(place.source), self.lines.get(place.source)) {
            (Some(source), Some(lines)) => {
                let lines = lines.get_or_init(|| line_starts(&source.text));
                (&source.name, position(&source.text, lines, place.offset))
            }
            _ => ("", (1, 1)),
        }
    }

    /// Returns Ok if no problem was added, otherwise an error with all problems.
    pub(super) fn into_result(mut self) -> Result<(), LoadError> {
        if self.found.is_empty() {
            return Ok(());
        }
        let mut found: Vec<_> = std::mem::take(&mut self.found).into_iter().collect();
        found.sort_unstable_by_key(|((place, _), order)| (*place, *order));
        let problems = found
            .into_iter()
            .map(|((place, message), _)| {
                let (file, position) = self.locate(place);
                Problem { file: file.to_owned(), position: Some(position), message }
            })
            .collect();
        Err(LoadError { problems })
    }
}

/// Returns the offset at which each line of `text` begins.
fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// Returns the line and column of the byte at `offset`, both from 1, the column in characters. `lines` are the
/// beginnings of the lines.
fn position(text: &str, lines: &[usize], offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let line = lines.partition_point(|start| *start <= end);
    let line_start = line.checked_sub(1).and_then(|at| lines.get(at)).copied().unwrap_or_default();
    (line, text[line_start..end].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "a = 1\nbä = 2\n";
        let lines = line_starts(text);
        let position = |text, offset| position(text, &lines, offset);
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
