//! Reading a text that may hold variables.

use super::super::source::{At, Problems};
use super::super::template::Template;

pub(super) fn template(
    text: At<String>,
    owner: &str,
    key: &str,
    problems: &mut Problems<'_>,
) -> Option<At<Template>> {
    // A NUL ends an argument for the kernel: nothing after it would arrive.
    let parsed = match text.value.contains('\0') {
        true => Err("a text for the system cannot hold a NUL character".to_owned()),
        false => Template::parse(&text.value),
    };
    match parsed {
        Ok(value) => Some(At { value, place: text.place }),
        Err(reason) => {
            problems.report(text.place, format!("{owner}: key \"{key}\": {reason}"));
            None
        }
    }
}
