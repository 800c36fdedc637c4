//! Line editor: history, Tab completion, and hints from the history.

use std::borrow::Cow;
use std::path::PathBuf;

use clap::Command;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Context, Editor, Helper, Validator};

use super::completion::complete;
use crate::names::PlatformNames;
use crate::output::OutputStyle;

/// Line editor on a terminal.
pub(super) struct PromptEditor {
    editor: Editor<PromptHelper, DefaultHistory>,
    history: Option<PathBuf>,
}

impl PromptEditor {
    /// Creates a prompt for the commands of `definition`, with its history in the file `history`.
    pub(super) fn new(
        definition: Command,
        history: Option<PathBuf>,
        style: OutputStyle,
    ) -> Result<Self, ReadlineError> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .history_ignore_space(true)
            .auto_add_history(true)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(PromptHelper {
            definition,
            names: PlatformNames::default(),
            environment: String::new(),
            hinter: HistoryHinter::new(),
            style,
        }));
        if let Some(file) = &history {
            // The file does not exist at first use; an unreadable history does not stop the shell.
            let _ = editor.load_history(file);
        }
        Ok(Self { editor, history })
    }

    /// Replaces the names offered by Tab and the environment they are looked up in; an empty
    /// `environment` means all.
    pub(super) fn set_names(&mut self, names: &PlatformNames, environment: &str) {
        if let Some(tab) = self.editor.helper_mut() {
            tab.names.clone_from(names);
            environment.clone_into(&mut tab.environment);
        }
    }

    pub(super) fn read_line(&mut self) -> Result<String, ReadlineError> {
        // Prompt as required by the specification, phase 3, with the current environment.
        let prompt = match self.editor.helper().map(|tab| tab.environment.as_str()).unwrap_or_default() {
            "" => "rta>> ".to_owned(),
            environment => format!("rta {}>> ", rta_shared::sanitize::printable(environment)),
        };
        let line = self.editor.readline(&prompt)?;
        if let Some(file) = &self.history {
            // A history that cannot be saved does not stop the shell.
            let _ = file.parent().map(std::fs::create_dir_all);
            let _ = self.editor.append_history(file);
        }
        Ok(line)
    }
}

#[derive(Helper, Validator)]
struct PromptHelper {
    definition: Command,
    names: PlatformNames,
    environment: String,
    hinter: HistoryHinter,
    style: OutputStyle,
}

impl Completer for PromptHelper {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> Result<(usize, Vec<String>), ReadlineError> {
        let typed = line.get(..position).unwrap_or(line);
        Ok(complete(&self.definition, &self.names, &self.environment, typed))
    }
}

impl Hinter for PromptHelper {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, context: &Context<'_>) -> Option<String> {
        // Without colour, a hint could not be distinguished from typed text.
        if self.style.colour { self.hinter.hint(line, position, context) } else { None }
    }
}

impl Highlighter for PromptHelper {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\u{1b}[2m{hint}\u{1b}[0m"))
    }
}
