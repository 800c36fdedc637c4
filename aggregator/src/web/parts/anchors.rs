//! Anchors of instances and environments: IDs of elements and parts of addresses.

use rta_shared::name::Name;
use rta_shared::overview::InstanceId;

/// Returns the anchor of an instance's row.
pub(crate) fn anchor(id: &InstanceId) -> String {
    format!("{}.{}.{}", slug(id.environment.as_str()), slug(id.host.as_str()), slug(id.component.as_str()))
}

/// Returns the ID of an environment's element. No [`slug`] contains a colon, so that the ID is unique.
pub(crate) fn environment_id(name: &Name) -> String {
    format!("env:{}", slug(name.as_str()))
}

/// Converts a name to a part of an element's ID and of an address. Different names give different results.
pub(crate) fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for letter in name.to_lowercase().chars() {
        match letter {
            ' ' => slug.push('_'),
            '-' => slug.push('-'),
            letter if letter.is_alphanumeric() => slug.push(letter),
            letter => slug.push_str(&format!("~{:x}~", u32::from(letter))),
        }
    }
    slug
}
