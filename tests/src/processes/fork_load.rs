//! Load of short-lived processes that run `/bin/true`.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Interval between two batches of processes.
const TICK: Duration = Duration::from_millis(10);

/// Thread that starts the processes until this is dropped.
#[derive(Debug)]
pub struct ForkLoad {
    ended: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl ForkLoad {
    /// Starts `a_second` processes per second, evenly, and every five seconds `burst`
    /// more as fast as possible.
    pub fn new(a_second: u32, burst: usize) -> Self {
        let (ended, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (is_ended, count) = (Arc::clone(&ended), Arc::clone(&made));
        let thread = std::thread::spawn(move || {
            let began = Instant::now();
            let mut next_burst = began + Duration::from_secs(5);
            let mut even = 0;
            while !is_ended.load(Ordering::Relaxed) {
                let due = began.elapsed().as_millis() * u128::from(a_second) / 1000;
                let mut wanted = usize::try_from(due).unwrap_or_default() - even;
                even += wanted;
                if Instant::now() >= next_burst {
                    next_burst += Duration::from_secs(5);
                    wanted += burst;
                }
                for _ in 0..wanted {
                    if let Ok(mut child) = spawn_true() {
                        let _ = child.wait();
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                std::thread::sleep(TICK);
            }
        });
        Self { ended, made, thread: Some(thread) }
    }

    /// Returns the number of processes started.
    pub fn started(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

impl Drop for ForkLoad {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // If the thread panicked, the panic has been printed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn spawn_true() -> std::io::Result<Child> {
    Command::new("/bin/true").stdin(Stdio::null()).stdout(Stdio::null()).spawn()
}
