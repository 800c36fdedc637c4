//! Values that are shared by pointer and never change: parts of reports and overviews.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Immutable value that clones share. Overviews consist of these, so that publishing another one copies
/// pointers, and [`Snapshot::ptr_eq`] finds what has not changed without comparing it.
///
/// Reads like the value itself. Changing one that others share copies it first, so that they keep theirs.
#[derive(Debug, Default)]
pub struct Snapshot<T>(Arc<T>);

impl<T> Snapshot<T> {
    /// Creates the snapshot of a value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(value))
    }

    /// Returns true if both are the same value in memory, and hence equal. Equal values may be different ones
    /// in memory.
    pub fn ptr_eq(a: &Self, b: &Self) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }

    /// Returns the address of the value, which identifies it as long as a snapshot of it exists.
    pub fn address(this: &Self) -> usize {
        Arc::as_ptr(&this.0).addr()
    }
}

impl<T> Snapshot<T> {
    /// Returns the value for changes; `None` if others share it.
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        Arc::get_mut(&mut this.0)
    }
}

impl<T: Clone> Snapshot<T> {
    /// Returns the value; copies it if others share it.
    pub fn into_inner(this: Self) -> T {
        Arc::unwrap_or_clone(this.0)
    }
}

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Snapshot<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Snapshot<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: PartialEq> PartialEq for Snapshot<T> {
    fn eq(&self, other: &Self) -> bool {
        Self::ptr_eq(self, other) || self.0 == other.0
    }
}

impl<T: Eq> Eq for Snapshot<T> {}

impl<T> From<T> for Snapshot<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Serialize> Serialize for Snapshot<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reaches_no_other_owner() {
        let before = Snapshot::new(vec![1, 2]);
        let mut after = before.clone();
        assert!(Snapshot::ptr_eq(&before, &after));
        after.push(3);
        assert_eq!((before.len(), after.len()), (2, 3));
        assert!(!Snapshot::ptr_eq(&before, &after) && before != after);
        assert_eq!(before, Snapshot::new(vec![1, 2]));
        let shared = after.clone();
        assert_eq!(Snapshot::get_mut(&mut after), None);
        drop(shared);
        assert_eq!(Snapshot::get_mut(&mut after), Some(&mut vec![1, 2, 3]));
        assert_eq!(serde_json::to_string(&after).unwrap(), "[1,2,3]");
    }
}
