//! Names, words and texts that rows refer to by number. The writer knows all names and words, and the texts
//! that it wrote last. One of several writers reads what the others have added before it writes.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use rta_shared::name::Name;
use rta_shared::overview::InstanceId;

use super::truncate_text;
use crate::store::sql::{SqlSession, StoreError, values};

/// Age up to which a written text is used for further events. Retention keeps a text for this much longer
/// than events.
const TEXT_REUSE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Maximum number of texts that are remembered, some 10 MB.
const MAX_TEXTS: usize = 50_000;
/// Maximum length of a text that is remembered. Longer ones hold log lines, which do not repeat.
const MAX_REUSED_BYTES: usize = 200;

/// Instance, host or environment, by the numbers of their names; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(super) environment: i64,
    pub(super) host: i64,
    pub(super) component: i64,
}

/// Numbers of everything that rows refer to.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    /// By the name's folded form, which equals a name's other spellings.
    names: HashMap<Name, i64>,
    shown_names: HashMap<i64, Name>,
    words: HashMap<String, i64>,
    shown_words: HashMap<i64, String>,
    places: HashMap<Place, i64>,
    shown_places: HashMap<i64, Place>,
    texts: HashMap<String, (i64, Timestamp)>,
    last_text: i64,
    last_place: i64,
    /// Age up to which texts are used again.
    text_reuse: SignedDuration,
}

impl Dictionary {
    /// Reads all names and words. A database in memory gives each event a text of its own, which is deleted
    /// with it.
    pub(crate) fn read(session: &mut dyn SqlSession, is_in_memory: bool) -> Result<Self, StoreError> {
        let mut read = Self {
            text_reuse: if is_in_memory { SignedDuration::ZERO } else { TEXT_REUSE },
            last_text: super::read_greatest(session, "texts")?,
            ..Self::default()
        };
        session.query("SELECT id, name FROM names", &[], &mut |row| {
            read.add_name(row.integer(0)?, row.name(1)?);
            Ok(true)
        })?;
        session.query("SELECT id, word FROM words", &[], &mut |row| {
            read.add_word(row.integer(0)?, row.text(1)?);
            Ok(true)
        })?;
        read.read_places(session)?;
        Ok(read)
    }

    /// Reads the number of the last text.
    pub(super) fn read_last_text(&mut self, session: &mut dyn SqlSession) -> Result<(), StoreError> {
        self.last_text = super::read_greatest(session, "texts")?.max(self.last_text);
        Ok(())
    }

    /// Reads all places. Retention deletes those that no row refers to.
    pub(crate) fn read_places(&mut self, session: &mut dyn SqlSession) -> Result<(), StoreError> {
        self.places.clear();
        self.shown_places.clear();
        session.query("SELECT id, environment, host, component FROM places", &[], &mut |row| {
            let place =
                Place { environment: row.integer(1)?, host: row.integer(2)?, component: row.integer(3)? };
            self.add_place(row.integer(0)?, place);
            Ok(true)
        })
    }

    /// Reads the names, words and places that other writers have added since; a place that retention deleted
    /// stays. Names that are spelt in another way since stay as they are.
    pub(crate) fn read_new(&mut self, session: &mut dyn SqlSession) -> Result<(), StoreError> {
        let count = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
        let (names, words) = (count(self.names.len()), count(self.words.len()));
        session.query("SELECT id, name FROM names WHERE id > ?1", values![names], &mut |row| {
            self.add_name(row.integer(0)?, row.name(1)?);
            Ok(true)
        })?;
        session.query("SELECT id, word FROM words WHERE id > ?1", values![words], &mut |row| {
            self.add_word(row.integer(0)?, row.text(1)?);
            Ok(true)
        })?;
        let sql = "SELECT id, environment, host, component FROM places WHERE id > ?1";
        session.query(sql, values![self.last_place], &mut |row| {
            let place =
                Place { environment: row.integer(1)?, host: row.integer(2)?, component: row.integer(3)? };
            self.add_place(row.integer(0)?, place);
            Ok(true)
        })
    }

    fn add_place(&mut self, id: i64, place: Place) {
        self.last_place = self.last_place.max(id);
        self.places.insert(place, id);
        self.shown_places.insert(id, place);
    }

    fn add_name(&mut self, id: i64, name: Name) {
        self.names.insert(name.clone(), id);
        self.shown_names.insert(id, name);
    }

    fn add_word(&mut self, id: i64, word: String) {
        self.words.insert(word.clone(), id);
        self.shown_words.insert(id, word);
    }

    /// Returns the number of an instance's place; `None` if no row refers to it.
    pub(super) fn find_place(&self, instance: &InstanceId) -> Option<i64> {
        let place = Place {
            environment: self.find_name(&instance.environment)?,
            host: self.find_name(&instance.host)?,
            component: self.find_name(&instance.component)?,
        };
        self.places.get(&place).copied()
    }

    /// Returns the place with this number.
    pub(super) fn place(&self, id: i64) -> Result<Place, StoreError> {
        let place = self.shown_places.get(&id).copied();
        place.ok_or_else(|| StoreError::other(format!("place {id} is missing")))
    }

    /// Returns the instance at the place with this number.
    pub(super) fn instance(&self, id: i64) -> Result<InstanceId, StoreError> {
        let Place { environment, host, component } = self.place(id)?;
        Ok(InstanceId {
            environment: self.name(environment)?,
            host: self.name(host)?,
            component: self.name(component)?,
        })
    }

    /// Returns the instance with its names spelt as in the database; names that are not there stay as they are.
    pub(crate) fn spell_instance(&self, instance: InstanceId) -> InstanceId {
        let spell = |name: Name| {
            let spelt = self.find_name(&name).and_then(|id| self.shown_names.get(&id));
            spelt.cloned().unwrap_or(name)
        };
        InstanceId {
            environment: spell(instance.environment),
            host: spell(instance.host),
            component: spell(instance.component),
        }
    }

    /// Returns the share of all places that fit, where 0 fits any name.
    pub(super) fn share_of_places(&self, wanted: Place) -> f64 {
        let fits = |wanted: i64, found: i64| wanted == 0 || wanted == found;
        let count = self.places.keys().filter(|place| {
            fits(wanted.environment, place.environment)
                && fits(wanted.host, place.host)
                && fits(wanted.component, place.component)
        });
        let (fitting, all) = (count.count(), self.places.len().max(1));
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let share = fitting as f64 / all as f64;
        share
    }

    /// Returns the number of a name; `None` if no row refers to it.
    pub(super) fn find_name(&self, name: &Name) -> Option<i64> {
        self.names.get(name).copied()
    }

    /// Returns the number of a word; `None` if no row refers to it.
    pub(super) fn find_word(&self, word: &str) -> Option<i64> {
        self.words.get(word).copied()
    }

    /// Returns the name with this number.
    pub(super) fn name(&self, id: i64) -> Result<Name, StoreError> {
        self.shown_names.get(&id).cloned().ok_or_else(|| StoreError::other(format!("name {id} is missing")))
    }

    /// Returns the word with this number.
    pub(super) fn word(&self, id: i64) -> Result<&str, StoreError> {
        let word = self.shown_words.get(&id).map(String::as_str);
        word.ok_or_else(|| StoreError::other(format!("word {id} is missing")))
    }

    /// Returns the number of a name, and writes the name if it is new or spelt in another way.
    pub(super) fn write_name(
        &mut self,
        session: &mut dyn SqlSession,
        name: &Name,
    ) -> Result<i64, StoreError> {
        if let Some(id) = self.find_name(name) {
            if self.shown_names.get(&id).is_some_and(|shown| shown.as_str() != name.as_str()) {
                session.queue("UPDATE names SET name = ?1 WHERE id = ?2", values![name.as_str(), id])?;
                self.shown_names.insert(id, name.clone());
            }
            return Ok(id);
        }
        let id = next_id(self.names.len());
        session.queue(
            "INSERT INTO names (id, key, name) VALUES (?1, ?2, ?3)",
            values![id, name.folded(), name.as_str()],
        )?;
        self.add_name(id, name.clone());
        Ok(id)
    }

    /// Returns the number of a word, and writes the word if it is new.
    pub(super) fn write_word(&mut self, session: &mut dyn SqlSession, word: &str) -> Result<i64, StoreError> {
        if let Some(id) = self.find_word(word) {
            return Ok(id);
        }
        let id = next_id(self.words.len());
        session.queue("INSERT INTO words (id, word) VALUES (?1, ?2)", values![id, word])?;
        self.add_word(id, word.to_owned());
        Ok(id)
    }

    /// Returns the number of a text, and writes it unless it was written lately.
    pub(super) fn write_text(
        &mut self,
        session: &mut dyn SqlSession,
        text: &str,
        at: Timestamp,
    ) -> Result<i64, StoreError> {
        let reuse = self.text_reuse;
        let is_fresh = |written: Timestamp| {
            let age = at.duration_since(written);
            (SignedDuration::ZERO..reuse).contains(&age)
        };
        if let Some((id, _)) = self.texts.get(text).filter(|(_, written)| is_fresh(*written)) {
            return Ok(*id);
        }
        self.last_text += 1;
        session.queue(
            "INSERT INTO texts (id, at, text) VALUES (?1, ?2, ?3)",
            values![self.last_text, at, &truncate_text(text)],
        )?;
        if text.len() <= MAX_REUSED_BYTES && !reuse.is_zero() {
            if self.texts.len() >= MAX_TEXTS {
                self.texts.clear();
            }
            self.texts.insert(text.to_owned(), (self.last_text, at));
        }
        Ok(self.last_text)
    }

    /// Returns the number of a place, and writes the place if it is new; 0 if there are no names.
    pub(super) fn write_place(
        &mut self,
        session: &mut dyn SqlSession,
        names: [Option<&Name>; 3],
    ) -> Result<i64, StoreError> {
        let mut ids = [0; 3];
        for (id, name) in ids.iter_mut().zip(names) {
            if let Some(name) = name {
                *id = self.write_name(session, name)?;
            }
        }
        let [environment, host, component] = ids;
        let place = Place { environment, host, component };
        if place == Place::default() {
            return Ok(0);
        }
        if let Some(id) = self.places.get(&place) {
            return Ok(*id);
        }
        let id = self.last_place + 1;
        session.queue(
            "INSERT INTO places (id, environment, host, component) VALUES (?1, ?2, ?3, ?4)",
            values![id, environment, host, component],
        )?;
        self.add_place(id, place);
        Ok(id)
    }

    /// Returns the time before which texts may be deleted when events before `cutoff` are.
    pub(super) fn text_cutoff(&self, cutoff: Timestamp) -> Timestamp {
        cutoff.checked_sub(self.text_reuse).unwrap_or(Timestamp::MIN)
    }
}

/// Returns the next number of a table whose rows are never deleted.
fn next_id(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX - 1) + 1
}
