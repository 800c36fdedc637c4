//! First causes of errors.

use std::error::Error;

/// Returns the first cause of `error`, which says most: the last in the chain of its sources, or itself.
pub fn deepest_source<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut deepest = error;
    while let Some(deeper) = deepest.source() {
        deepest = deeper;
    }
    deepest
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// Error with a number of causes, of which each says how many there are below it.
    #[derive(Debug)]
    struct Nested(u32, Option<Box<Nested>>);

    impl fmt::Display for Nested {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} below", self.0)
        }
    }

    impl Error for Nested {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|below| below as &(dyn Error + 'static))
        }
    }

    #[test]
    fn last_cause_is_returned_and_an_error_without_one_itself() {
        let nested =
            |causes| (1..=causes).fold(Nested(0, None), |below, at| Nested(at, Some(Box::new(below))));
        for causes in 0..4 {
            assert_eq!(deepest_source(&nested(causes)).to_string(), "0 below");
        }
    }
}
