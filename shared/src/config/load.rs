//! Loads a platform from the files of a folder.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::parse::RawConfig;
use super::platform::Platform;
use super::source::{LoadError, Problem, Problems, Source};
use super::validate::validate;
use crate::sanitize::hex;

/// Reads every `*.toml` file of `folder` as one configuration, except hidden files and those in subfolders.
///
/// # Errors
/// Returns all problems: of files that cannot be read, otherwise of their content.
pub fn load_folder(folder: &Path) -> Result<Platform, LoadError> {
    load_sources(&read_folder(folder)?)
}

/// Loads a configuration from texts in memory.
///
/// # Errors
/// Returns all problems of the texts.
pub fn load_sources(sources: &[Source]) -> Result<Platform, LoadError> {
    let mut problems = Problems::new(sources);
    let mut raw = RawConfig::default();
    for (index, source) in sources.iter().enumerate() {
        raw.add(index, source, &mut problems);
    }
    let mut platform = validate(&raw, &mut problems);
    problems.into_result()?;
    platform.digest = digest(sources);
    Ok(platform)
}

/// Computes the digest of the files' names and contents. The folder's path is excluded, because it differs
/// between hosts.
fn digest(sources: &[Source]) -> String {
    let mut hasher = Sha256::new();
    for source in sources {
        let name = Path::new(&source.name).file_name().unwrap_or_default();
        // Each part is preceded by its length, so that no other split of the same bytes has the same digest.
        for part in [name.as_encoded_bytes(), source.text.as_bytes()] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hex(&hasher.finalize()[..6])
}

fn read_folder(folder: &Path) -> Result<Vec<Source>, LoadError> {
    let describe_error =
        |path: &Path, message: String| Problem { file: path.display().to_string(), position: None, message };
    if folder.is_file() {
        return Err(describe_error(folder, "this is a file; give the folder that holds it".to_owned()).into());
    }
    let entries = fs::read_dir(folder)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
        })
        .map_err(|error| describe_error(folder, format!("the folder cannot be read: {error}")))?;
    let mut paths: Vec<PathBuf> = entries.into_iter().filter(|path| is_configuration(path)).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(describe_error(folder, "the folder holds no .toml file".to_owned()).into());
    }
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match fs::read_to_string(&path) {
            Ok(text) => sources.push(Source { name: path.display().to_string(), text }),
            Err(error) => problems.push(describe_error(&path, format!("the file cannot be read: {error}"))),
        }
    }
    if problems.is_empty() { Ok(sources) } else { Err(LoadError { problems }) }
}

/// Returns true for a configuration file. Hidden files are excluded, because editors leave them beside the
/// file that is being edited.
fn is_configuration(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    path.extension().is_some_and(|extension| extension == "toml") && !hidden && !path.is_dir()
}
