//! Notes on an instance beside its health: running action, systemd unit, autostart, maintenance.

use jiff::Timestamp;
use rta_shared::autostart::Autostart;
use rta_shared::overview::InstanceOverview;

/// Returns the notes for the table: only those that explain the other columns or matter beside them.
pub(crate) fn short_notes(instance: &InstanceOverview) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(hold) = &instance.action {
        let since = hold.since.strftime("%H:%M:%S UTC");
        notes.push(format!("{} for {} since {since}", hold.kind.in_progress_text(), hold.by));
    }
    match &instance.autostart {
        Some(autostart) if autostart.given_up => notes.push("autostart has given up".to_owned()),
        Some(autostart) if autostart.flapping => notes.push("flapping".to_owned()),
        _ => {}
    }
    notes.extend(instance.maintenance.as_ref().map(|maintenance| maintenance.sentence()));
    notes
}

/// Returns all notes, for the moment `now`.
pub(crate) fn all_notes(instance: &InstanceOverview, now: Timestamp) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(instance.action.as_ref().map(ToString::to_string));
    notes.extend(instance.unit.as_ref().map(|unit| format!("unit {unit}")));
    notes.extend(instance.autostart.as_ref().map(|autostart| autostart_note(autostart, now)));
    notes.extend(instance.maintenance.as_ref().map(|maintenance| maintenance.sentence()));
    notes
}

fn autostart_note(autostart: &Autostart, now: Timestamp) -> String {
    let mut words = match (autostart.given_up, autostart.wanted) {
        (true, _) => "autostart has given up until somebody starts it".to_owned(),
        (false, true) => "autostart on".to_owned(),
        (false, false) => "autostart off".to_owned(),
    };
    if !autostart.why.is_empty() {
        words.push_str(&format!(" ({})", autostart.why));
    }
    if autostart.flapping {
        words.push_str(", flapping");
    }
    match autostart.restarts {
        0 => {}
        1 => words.push_str(", started again once"),
        restarts => words.push_str(&format!(", started again {restarts} times")),
    }
    if !autostart.waiting_for.is_empty() {
        words.push_str(&format!(", waiting for {}", autostart.waiting_for));
    }
    if let Some(next) = autostart.next_at {
        let seconds = next.duration_since(now).as_secs().max(0);
        words.push_str(&format!(", next attempt in {seconds} s"));
    }
    if !autostart.last_end.is_empty() {
        words.push_str(&format!(", last end: {}", autostart.last_end));
    }
    words
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn autostart_says_what_it_will_do_and_why() {
        let now = Timestamp::UNIX_EPOCH;
        let autostart = Autostart {
            wanted: true,
            why: "started by ann".to_owned(),
            restarts: 2,
            next_at: Some(now + SignedDuration::from_secs(5)),
            given_up: false,
            flapping: true,
            last_end: "exit status 1".to_owned(),
            restarts_total: 7,
            waiting_for: String::new(),
        };
        assert_eq!(
            autostart_note(&autostart, now),
            "autostart on (started by ann), flapping, started again 2 times, next attempt in 5 s, \
             last end: exit status 1"
        );
        let given_up = Autostart {
            wanted: false,
            why: String::new(),
            restarts: 0,
            next_at: None,
            given_up: true,
            flapping: false,
            last_end: String::new(),
            restarts_total: 7,
            waiting_for: String::new(),
        };
        assert_eq!(autostart_note(&given_up, now), "autostart has given up until somebody starts it");
    }
}
