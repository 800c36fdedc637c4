//! Values with their positions in configuration files.

use std::fmt;

/// Position in one of the sources of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceLocation {
    /// Index of the source in the list.
    pub(crate) source: usize,
    /// Offset in bytes.
    pub(crate) offset: usize,
}

/// Value with the position where it was written.
///
/// Two values are equal if they are equal without their positions: a configuration whose lines have only
/// moved is the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct Located<T> {
    /// Value.
    pub value: T,
    /// Position; that of the first byte of all sources for a value that was not read from a source.
    pub(crate) place: SourceLocation,
}

impl<T> Located<T> {
    /// Returns a reference to the value, with the same position.
    pub(crate) fn as_ref(&self) -> Located<&T> {
        Located { value: &self.value, place: self.place }
    }

    /// Replaces the value by the result of `change`, and keeps the position.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: change(self.value), place: self.place }
    }
}

impl<T> From<T> for Located<T> {
    /// Returns a value that was not read from a source.
    fn from(value: T) -> Self {
        Self { value, place: SourceLocation::default() }
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}

impl<T: fmt::Display> fmt::Display for Located<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
