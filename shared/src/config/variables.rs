//! Values of variables on one host.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use regex::bytes::Regex;

use crate::name::Name;
use crate::template::{CompileError, Located, RegexTemplate, Template, UnknownVariable};

/// Variables that every host has: its name in the configuration, and its addresses.
pub(super) const BUILT_IN_VARIABLES: [&str; 2] = ["hostname", "ip"];

/// Log path that means no log: whatever is written to it is discarded (null(4)).
pub(super) const NULL_DEVICE: &str = "/dev/null";

/// Values of one host's variables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variables<'h> {
    hostname: &'h Name,
    /// Values of `${ip}`.
    addresses: &'h [IpAddr],
    /// Variables of the configuration.
    configured: &'h BTreeMap<String, String>,
}

impl<'h> Variables<'h> {
    /// Creates the variables of the host `hostname`; `addresses` are the values of `${ip}`.
    pub(super) fn new(
        hostname: &'h Name,
        addresses: &'h [IpAddr],
        configured: &'h BTreeMap<String, String>,
    ) -> Self {
        Self { hostname, addresses, configured }
    }

    /// Returns all values of each variable in `names`, in their order.
    pub(super) fn values_of<'n>(
        &self,
        names: impl IntoIterator<Item = &'n &'n str>,
    ) -> Vec<Option<Vec<String>>> {
        names.into_iter().map(|name| self.values(name)).collect()
    }

    /// Returns all values of a variable; `None` if there is no such variable.
    fn values(&self, name: &str) -> Option<Vec<String>> {
        match name {
            "hostname" => Some(vec![self.hostname.as_str().to_owned()]),
            "ip" => Some(self.addresses.iter().map(IpAddr::to_string).collect()),
            _ => self.configured.get(name).map(|value| vec![value.clone()]),
        }
    }

    /// Replaces each variable by its first value.
    ///
    /// # Errors
    /// Returns an error with the first variable that has no value.
    pub(super) fn text(&self, text: &Located<Template>) -> Result<String, UnknownVariable> {
        text.value.expand(|name| self.values(name)?.into_iter().next())
    }

    pub(super) fn texts(&self, texts: &[Located<Template>]) -> Result<Vec<String>, UnknownVariable> {
        texts.iter().map(|text| self.text(text)).collect()
    }

    pub(super) fn path(&self, path: &Located<Template>) -> Result<PathBuf, UnknownVariable> {
        self.text(path).map(PathBuf::from)
    }

    /// Returns the path of a log; `None` for that of the null device.
    pub(super) fn log(&self, path: Option<&Located<Template>>) -> Result<Option<PathBuf>, UnknownVariable> {
        let log = path.map(|path| self.text(path)).transpose()?;
        Ok(log.filter(|log| log != NULL_DEVICE).map(PathBuf::from))
    }

    pub(super) fn regex(&self, regex: &Located<RegexTemplate>) -> Result<Regex, CompileError> {
        regex.value.compile(|name| self.values(name))
    }
}
