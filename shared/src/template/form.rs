//! Forms of a configuration's texts, by which its structures are written only once.

use std::fmt::{Debug, Display};
use std::path::PathBuf;

use regex::bytes::Regex;
use tonic::transport::Uri;

use super::{Located, RegexTemplate, Template};

mod sealed {
    pub trait Sealed {}
}

/// Form of the texts in a structure of the configuration: as written ([`Templated`]) or for one host
/// ([`Resolved`]).
pub trait Form: sealed::Sealed + Clone + Debug + Default + PartialEq + Eq + 'static {
    /// Text.
    type Text: Clone + Debug + Default + Display + PartialEq + Eq;
    /// Path of a file or folder.
    type Path: Clone + Debug + Default + PartialEq + Eq;
    /// URL.
    type Url: Clone + Debug + Display + PartialEq + Eq;
    /// Regex. A compiled one has no equality; compare the texts that `Display` writes.
    type Regex: Clone + Debug + Display;
}

/// Texts as written: with variables, and with their positions in the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Templated;

impl sealed::Sealed for Templated {}

impl Form for Templated {
    type Text = Located<Template>;
    type Path = Located<Template>;
    type Url = Located<Template>;
    type Regex = Located<RegexTemplate>;
}

/// Texts for one host: every variable is replaced, every regex compiled, every URL parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolved;

impl sealed::Sealed for Resolved {}

impl Form for Resolved {
    type Text = String;
    type Path = PathBuf;
    type Url = Uri;
    type Regex = Regex;
}
