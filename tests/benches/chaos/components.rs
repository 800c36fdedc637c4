//! What the hosts carry, and what needs what.

/// A component on one host.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) component: &'static str,
    /// Position of its host.
    pub(crate) host: usize,
    /// Position in [`INSTANCES`] of the instance that it needs.
    pub(crate) needs: Option<usize>,
    /// How its process comes about.
    pub(crate) launch: Launch,
}

/// How a component's process comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Launch {
    /// At once.
    Direct,
    /// By a script that needs four seconds.
    Slow,
    /// At once, and again when it has ended by itself.
    Restarted,
    /// At once; SIGTERM does not end it.
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
    /// Returns true if a plan for the instance at `other` may act on this one, too: one of them needs the other.
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
        // The first process of a host is the lease of all others.
        format!(
            "[[component]]\nname = \"{component}\"\ncriteria = [{{ regex = '^--token={component}$' }}]\n\
             depends_on = [{needs}]\n{restart}[component.start]\ncommand = [{command}]\nuser = \"root\"\n\
             environment = {{ STAND_IN_LEASE = \"1\"{ignores} }}\nlog = \"{folder}/{component}.log\"\n\
             settle = \"300ms\"\ntimeout = \"20s\"\n[component.stop]\ntimeout = \"2s\"\n"
        )
    }
}
