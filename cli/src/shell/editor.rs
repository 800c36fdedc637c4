//! The line editor: history and Tab.

use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter, Validator};

use super::completion::Vocabulary;

/// The prompt of the specification, phase 3.
const PROMPT: &str = "rta>> ";

/// Reads lines from a terminal.
pub(super) struct Prompt {
    editor: Editor<Tab, DefaultHistory>,
    history: Option<PathBuf>,
}

impl Prompt {
    /// A prompt that keeps its history in the file `history`.
    pub(super) fn new(history: Option<PathBuf>) -> Result<Self, ReadlineError> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .history_ignore_space(true)
            .auto_add_history(true)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Tab::default()));
        if let Some(file) = &history {
            // The first time there is none; one that cannot be read is no reason not to work.
            let _ = editor.load_history(file);
        }
        Ok(Self { editor, history })
    }

    /// Replaces the names that Tab knows.
    pub(super) fn learn(&mut self, vocabulary: Vocabulary) {
        if let Some(tab) = self.editor.helper_mut() {
            tab.vocabulary = vocabulary;
        }
    }

    pub(super) fn read(&mut self) -> Result<String, ReadlineError> {
        let line = self.editor.readline(PROMPT)?;
        if let Some(file) = &self.history {
            // A history that cannot be kept is no reason not to work.
            let _ = file.parent().map(std::fs::create_dir_all);
            let _ = self.editor.append_history(file);
        }
        Ok(line)
    }
}

#[derive(Default, Helper, Highlighter, Hinter, Validator)]
struct Tab {
    vocabulary: Vocabulary,
}

impl Completer for Tab {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> Result<(usize, Vec<String>), ReadlineError> {
        Ok(self.vocabulary.complete(&line[..position]))
    }
}
