//! Words of enums, written once for each.

/// Implements the words of an enum without fields from one list: `ALL` in the order of the list, `word`,
/// `from_word`, and `Display`, which writes the word and respects the width.
macro_rules! words {
    ($type:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// All values.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// Returns the word for people, files and the wire.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// Returns the value with this word.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.word() == word)
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use crate::plan::StepState;

    #[test]
    fn each_value_has_one_word_that_leads_back_to_it() {
        assert_eq!(StepState::ALL.map(StepState::word)[..2], ["waiting", "under way"]);
        for state in StepState::ALL {
            assert_eq!(StepState::from_word(state.word()), Some(state));
        }
        assert_eq!(StepState::from_word("Waiting"), None);
        assert_eq!(format!("{:>5}|{}", StepState::Done, StepState::UnderWay), " done|under way");
    }
}
