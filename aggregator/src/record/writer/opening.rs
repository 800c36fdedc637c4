//! Opens the database: the file, a new one that replaces a damaged one, or one in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::watch;

use super::Writer;
use crate::record::backlog::Backlog;
use crate::record::folder::{FileId, Folder, NotTaken};
use crate::record::schema::{self, Unusable};
use crate::record::store::{self, Left};
use crate::record::{RecordOptions, own_event};
use crate::strip::Gap;

/// Minimum time between two replacements of a damaged database: if it is damaged sooner, the disk itself is
/// broken.
const REPLACED: Duration = Duration::from_secs(600);

impl Writer {
    /// Opens the database, or one in memory if that fails, and returns the state that an earlier aggregator
    /// left. Publishes problems to `told`.
    pub(in crate::record) fn open(
        options: &RecordOptions,
        told: watch::Sender<Option<String>>,
        now: Timestamp,
    ) -> (Self, Left) {
        let mut writer = Self {
            folder: None,
            database: None,
            file: None,
            used_by_another: None,
            damage: None,
            backlog: Backlog::default(),
            keep: options.keep,
            failure: None,
            for_good: None,
            told,
            waiting: Arc::default(),
            lost: Arc::default(),
            taken: 0,
            tidy_at: Instant::now(),
            replaced_at: None,
            alive_at: Instant::now(),
            looked_at: now,
            intents: Vec::new(),
        };
        let mut left = Left::default();
        let opened = match &options.data {
            None => Ok(()),
            Some(data) => {
                Folder::take(data).map_err(|not_taken| writer.note_not_taken(not_taken)).and_then(|folder| {
                    writer.folder = Some(folder);
                    left = writer.open_file(true, now)?;
                    writer.backlog = std::mem::take(&mut writer.backlog).with(&left);
                    if let Some(since) = left.alive {
                        writer.backlog.marks.add_gap(Gap { since, until: now });
                    }
                    Ok(())
                })
            }
        };
        if let Err(why) = opened {
            let sentence = format!("events are kept in memory only: {why}");
            tracing::error!("{sentence}");
            writer.folder = None;
            writer.for_good = Some(sentence);
        }
        if writer.folder.is_none() {
            match schema::open_in_memory() {
                Ok(database) => writer.database = Some(database),
                Err(Unusable::Damaged(why) | Unusable::Refused(why)) => {
                    writer.for_good = Some(format!("events are not recorded: {why}"));
                }
            }
        }
        writer.tell();
        (writer, left)
    }

    /// Opens the file. Moves a damaged one aside and creates a new one.
    pub(super) fn open_file(&mut self, check: bool, now: Timestamp) -> Result<Left, String> {
        let Some(folder) = &self.folder else { return Ok(Left::default()) };
        let path = folder.database();
        let told = |why: String| format!("{}: {why}", path.display());
        let open = || -> Result<(Connection, Left), Unusable> {
            let database = schema::open(&path, check)?;
            let left = store::left(&database, now)?;
            Ok((database, left))
        };
        let opened = match self.damage.take() {
            Some(why) => Err(Unusable::Damaged(why)),
            None => open(),
        };
        let opened = match opened {
            Err(Unusable::Damaged(why)) if self.may_replace() => {
                let aside = folder.move_aside("corrupt", now).map_err(|error| {
                    self.damage = Some(why.clone());
                    told(format!("{why}, and it cannot be moved aside: {error}"))
                })?;
                self.replaced_at = Some(Instant::now());
                self.note_replacement(&path, &aside, &why, now);
                open()
            }
            opened => opened,
        };
        let (database, left) =
            opened.map_err(|(Unusable::Damaged(why) | Unusable::Refused(why))| told(why))?;
        self.database = Some(database);
        self.file = FileId::named(&path);
        Ok(left)
    }

    /// Stores the sentence that names the other aggregator, if one has the folder. Returns the sentence for
    /// either reason.
    fn note_not_taken(&mut self, not_taken: NotTaken) -> String {
        match not_taken {
            NotTaken::Used(sentence) => {
                self.used_by_another = Some(sentence.clone());
                sentence
            }
            NotTaken::Unusable(sentence) => sentence,
        }
    }

    pub(super) fn may_replace(&self) -> bool {
        self.replaced_at.is_none_or(|at| at.elapsed() > REPLACED)
    }

    fn note_replacement(&mut self, path: &Path, aside: &Path, why: &str, now: Timestamp) {
        let text = format!(
            "the record {} could not be used: {why}; it is kept as {}, and a new one is begun",
            path.display(),
            aside.display()
        );
        tracing::error!("{text}");
        self.backlog.add(own_event(now, text));
    }
}
