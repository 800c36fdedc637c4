//! Reads of files for a delivery, off the runtime: a disk or a network mount may hang, and must hold up neither
//! the other channels nor the program.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rta_shared::config::notify::SecretText;
use tokio::time::timeout;

use super::DeliveryError;

/// Time limit of a read.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads under way, by the name of their source.
static UNDER_WAY: Mutex<BTreeMap<String, SourceReads>> = Mutex::new(BTreeMap::new());

/// Reads of one source.
#[derive(Debug, Default)]
struct SourceReads {
    count: usize,
    /// True once a read has exceeded its time limit: until it ends the source is not read again, which would
    /// take one more thread with each attempt.
    is_hung: bool,
}

/// Reads a secret.
///
/// # Errors
/// Returns an error if it cannot be read, or not in time.
pub(crate) async fn read_secret(secret: &SecretText) -> Result<String, DeliveryError> {
    let (name, secret) = (secret.to_string(), secret.clone());
    read_off_runtime(name, move || secret.read()).await
}

/// Runs `read`, which reads the source of this name.
///
/// # Errors
/// Returns its error, or one if it does not end in time.
pub(super) async fn read_off_runtime<T: Send + 'static>(
    name: String,
    read: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, DeliveryError> {
    let hangs = || DeliveryError::Failed(format!("{name} cannot be read: its disk does not answer"));
    let Some(mark) = ReadMark::begin(&name) else { return Err(hangs()) };
    let reading = tokio::task::spawn_blocking(move || {
        let read = read();
        drop(mark);
        read
    });
    match timeout(READ_TIMEOUT, reading).await {
        Ok(Ok(read)) => read.map_err(DeliveryError::Failed),
        Ok(Err(error)) => Err(DeliveryError::Failed(format!("the aggregator failed: {error}"))),
        Err(_) => {
            // It may have ended in this moment.
            if let Some(reads) = under_way().get_mut(&name) {
                reads.is_hung = true;
            }
            Err(hangs())
        }
    }
}

fn under_way() -> MutexGuard<'static, BTreeMap<String, SourceReads>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Mark of a read under way, which ends when this is dropped.
struct ReadMark(String);

impl ReadMark {
    /// Returns the mark; `None` if an earlier read of the source hangs.
    fn begin(name: &str) -> Option<Self> {
        let mut under_way = under_way();
        let reads = under_way.entry(name.to_owned()).or_default();
        if reads.is_hung {
            return None;
        }
        reads.count += 1;
        Some(Self(name.to_owned()))
    }
}

impl Drop for ReadMark {
    fn drop(&mut self) {
        let mut under_way = under_way();
        if let Some(reads) = under_way.get_mut(&self.0) {
            reads.count -= 1;
            if reads.count == 0 {
                under_way.remove(&self.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn hanging_read_fails_in_time_and_takes_one_thread() {
        let (release, hang) = mpsc::channel::<()>();
        let name = || "the file /hanging".to_owned();
        tokio::time::pause();
        let first = read_off_runtime(name(), move || {
            let _ = hang.recv();
            Ok(())
        });
        // Time does not pass by itself while a blocking task runs.
        let advance = async {
            tokio::task::yield_now().await;
            tokio::time::advance(READ_TIMEOUT * 2).await;
        };
        let (first, ()) = tokio::join!(first, advance);
        let hangs = Err(DeliveryError::Failed(
            "the file /hanging cannot be read: its disk does not answer".to_owned(),
        ));
        assert_eq!(first, hangs);
        assert_eq!(read_off_runtime(name(), || Ok(())).await, hangs, "it is not read again");
        assert_eq!(read_off_runtime("another".to_owned(), || Ok(7)).await, Ok(7));
        drop(release);
        while read_off_runtime(name(), || Ok(())).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}
