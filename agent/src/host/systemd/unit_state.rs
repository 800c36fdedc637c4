//! Status of a systemd unit, and its description.

use rta_shared::unit::UnitReport;

/// Status of a unit that systemd knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnitState {
    /// Property ActiveState.
    pub(crate) active: String,
    /// Property SubState.
    pub(crate) sub: String,
    /// Property Result; empty if the unit's type has none.
    pub(crate) result: String,
    /// Properties ExecMainCode and ExecMainStatus of a service: the end of its main process, in terms of
    /// waitid(2); 0 before.
    pub(crate) main_code: i32,
    pub(crate) main_status: i32,
}

impl UnitState {
    /// Returns true if nothing of the unit runs, and nothing is about to.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }

    /// Returns true if the unit runs, or has run to its end and remains active.
    pub(crate) fn is_active(&self) -> bool {
        self.active == "active"
    }

    /// Formats the status, such as `failed: exit-code, status 1` or `inactive (dead)`.
    pub(crate) fn describe(&self) -> String {
        if self.active != "failed" {
            return format!("{} ({})", self.active, self.sub);
        }
        let mut sentence = "failed".to_owned();
        if !self.result.is_empty() {
            sentence.push_str(": ");
            sentence.push_str(&self.result);
        }
        // Codes of siginfo(5): CLD_EXITED, CLD_KILLED, CLD_DUMPED.
        match self.main_code {
            1 => sentence.push_str(&format!(", status {}", self.main_status)),
            2 | 3 => sentence.push_str(&format!(", signal {}", self.main_status)),
            _ => {}
        }
        sentence
    }

    /// Converts the status for the report.
    pub(crate) fn into_report(self, unit: &str) -> UnitReport {
        UnitReport {
            name: unit.to_owned(),
            active_state: self.active,
            sub_state: self.sub,
            result: self.result,
            error: None,
        }
    }
}

/// Returns the reason why a job did not end with "done", as a sentence.
pub(crate) fn describe_failed_job(result: &str, verb: &str, unit: &str, state: &UnitState) -> String {
    match result {
        "canceled" => format!("systemd: the {verb} of {unit} was canceled: something else asked otherwise"),
        "timeout" => format!("systemd: the {verb} of {unit} took too long; it is {}", state.describe()),
        "dependency" => format!(
            "systemd: a unit that {unit} needs did not start; see \"systemctl list-dependencies {unit}\""
        ),
        _ if state.active == "failed" => format!("systemd: {unit} {}", state.describe()),
        _ => format!("systemd: the {verb} of {unit} was not done ({result}); it is {}", state.describe()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(result: &str, main_code: i32, main_status: i32) -> UnitState {
        UnitState {
            active: "failed".into(),
            sub: "failed".into(),
            result: result.into(),
            main_code,
            main_status,
        }
    }

    #[test]
    fn unit_failure_quotes_result() {
        assert_eq!(
            describe_failed_job("failed", "start", "kafka.service", &failed("exit-code", 1, 1)),
            "systemd: kafka.service failed: exit-code, status 1"
        );
        assert_eq!(failed("signal", 2, 9).describe(), "failed: signal, signal 9");
        assert_eq!(failed("start-limit-hit", 0, 0).describe(), "failed: start-limit-hit");
    }

    #[test]
    fn failed_job_has_a_reason() {
        let state = UnitState { active: "inactive".into(), sub: "dead".into(), ..UnitState::default() };
        assert!(
            describe_failed_job("dependency", "start", "k.service", &state).contains("that k.service needs")
        );
        assert!(describe_failed_job("canceled", "start", "k.service", &state).contains("was canceled"));
        assert_eq!(
            describe_failed_job("skipped", "start", "k.service", &state),
            "systemd: the start of k.service was not done (skipped); it is inactive (dead)"
        );
    }
}
