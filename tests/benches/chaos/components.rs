//! Components of the hosts, and their dependencies.

/// Component on one host.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) component: &'static str,
    /// Position of its host.
    pub(crate) host: usize,
    /// Position in [`INSTANCES`] of the instance that it depends on.
    pub(crate) needs: Option<usize>,
    /// Launch behaviour of its process.
    pub(crate) launch: Launch,
}

/// Launch behaviour of a component's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Launch {
    /// Immediate.
    Direct,
    /// By a script that takes four seconds.
    Slow,
    /// Immediate; restarted after it ends unexpectedly.
    Restarted,
    /// Immediate; ignores SIGTERM.
    Stubborn,
}

/// Every instance of the platform.
pub(crate) const INSTANCES: [Instance; 9] = [
    Instance { component: "broker", host: 0, needs: None, launch: Launch::Direct },
    Instance { component: "slow", host: 0, needs: None, launch: Launch::Slow },
    Instance { component: "job", host: 0, needs: Some(0), launch: Launch::Direct },
    Instance { component: "store", host: 1, needs: None, launch: Launch::Direct },
    Instance { component: "detector", host: 1, needs: Some(0), launch: Launch::Direct },
    Instance { component: "writer", host: 1, needs: Some(3), launch: Launch::Slow },
    Instance { component: "keeper", host: 2, needs: None, launch: Launch::Restarted },
    Instance { component: "stubborn", host: 2, needs: None, launch: Launch::Stubborn },
    Instance { component: "chart", host: 2, needs: Some(3), launch: Launch::Direct },
];

impl Instance {
    /// Returns true if a plan for the instance at `other` may also act on this one, because
    /// one depends on the other.
    pub(crate) fn is_related(&self, other: usize) -> bool {
        let other = &INSTANCES[other];
        let needs = |one: &Self, needed: &Self| {
            one.needs.is_some_and(|at| INSTANCES[at].component == needed.component)
        };
        self.component == other.component || needs(self, other) || needs(other, self)
    }

    /// Returns its table of the configuration; `stand_in` is the program that plays it.
    pub(crate) fn table(&self, stand_in: &str, folder: &str) -> String {
        let Self { component, .. } = self;
        let needs = self.needs.map_or(String::new(), |at| format!("\"{}\"", INSTANCES[at].component));
        let script = format!("sleep 4; exec {stand_in} --token={component}");
        let command = match self.launch {
            Launch::Slow => format!("\"/bin/bash\", \"-c\", \"{script}\""),
            Launch::Direct | Launch::Restarted | Launch::Stubborn => {
                format!("\"{stand_in}\", \"--token={component}\"")
            }
        };
        let ignores = if self.launch == Launch::Stubborn { ", STAND_IN_IGNORES = \"TERM\"" } else { "" };
        let restart = if self.launch == Launch::Restarted {
            "restart = { when = \"always\", backoff = \"500ms\", limit = 1000 }\n"
        } else {
            ""
        };
        // Stand-ins end with PID 1 of their host.
        format!(
            "[[component]]\nname = \"{component}\"\ncriteria = [{{ regex = '^--token={component}$' }}]\n\
             depends_on = [{needs}]\n{restart}[component.start]\ncommand = [{command}]\nuser = \"root\"\n\
             environment = {{ STAND_IN_LEASE = \"1\"{ignores} }}\nlog = \"{folder}/{component}.log\"\n\
             settle = \"300ms\"\ntimeout = \"20s\"\n[component.stop]\ntimeout = \"2s\"\n"
        )
    }
}
