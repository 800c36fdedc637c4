//! Rules of a component, each written once for both forms of its texts: with variables
//! ([`Templated`](crate::template::Templated)) and for one host ([`Resolved`](crate::template::Resolved)).
//!
//! Each type has a function that resolves it and one that lists its texts. They take it apart by its fields:
//! with a new text, it does not compile until the text is resolved and listed.

mod exit;
mod limits;
mod notes;
mod part;
mod probe;
mod probe_answer;
mod process_settings;
mod restart;
mod start;
mod stop;

pub use self::exit::SuccessExitStatus;
pub use self::limits::{ByteAmount, ByteUnit, LimitRules, OpenFilesLimit, RestartLimit, SustainedLimit};
pub use self::notes::{ComponentNotes, Labels, NamedLink};
pub use self::part::{Part, ProcessCount, same_parts};
pub use self::probe::{CommandProbe, HttpProbe, ProbeMethod, ProbeRule, TcpProbe, TlsCheck};
pub use self::probe_answer::{AnswerTest, Comparison, JsonTest, Pattern, RangeInText, StatusSet};
pub use self::process_settings::{LimitedResource, ProcessSettings, ResourceLimit};
pub use self::restart::{RestartRule, RestartWhen};
pub use self::start::{CommandRule, EnvironmentFile, StartEngine, StartRule};
pub use self::stop::{StopRule, StopScope, StopSignal};
