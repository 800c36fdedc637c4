//! Proposes a name for what a command line runs: `kafka server`.

use super::candidates::{CandidateSet, file_tail};
use super::command_line_structure::{MainForm, base_name, language};
use crate::process::CommandLine;

/// Words of class names that any program could have.
const GENERIC: [&str; 10] =
    ["main", "bootstrap", "launcher", "app", "application", "daemon", "start", "starter", "runner", "cli"];
/// First parts of package names, before the name of the maker.
const DOMAINS: [&str; 7] = ["org", "com", "net", "io", "de", "fr", "uk"];
/// Makers of many products: the product's name follows theirs.
const MAKERS: [&str; 4] = ["apache", "github", "example", "eclipse"];
const MOST_WORDS: usize = 6;
const LONGEST_WORD: usize = 40;

/// Returns words that name the process with this command line: at least one.
pub(super) fn proposed_name(line: &CommandLine, offer: &CandidateSet) -> String {
    let argument = |at: usize| String::from_utf8_lossy(at_index(line, at)).into_owned();
    let mut words = NameWords::default();
    match offer.anatomy.mains.last() {
        Some((at, MainForm::Whole)) if offer.anatomy.is_java => words.class(&argument(*at)),
        Some((at, MainForm::Whole)) => words.add(&argument(*at)),
        Some((at, MainForm::FileName)) => words.stem(at_index(line, *at)),
        None => words.add(language(at_index(line, 0))),
    }
    for at in &offer.anatomy.words {
        words.add(&argument(*at));
    }
    if let Some(at) = offer.configuration {
        words.stem(file_tail(at_index(line, at)));
    }
    match words.0.is_empty() {
        true => "component".to_owned(),
        false => words.0.join(" "),
    }
}

fn at_index(line: &CommandLine, at: usize) -> &[u8] {
    i32::try_from(at).ok().and_then(|at| line.argument(at)).unwrap_or_default()
}

#[derive(Default)]
struct NameWords(Vec<String>);

impl NameWords {
    /// Adds the new words of `text` in lower case, split at every character that is not a letter or digit.
    fn add(&mut self, text: &str) {
        for word in text.split(|character: char| !character.is_alphanumeric()) {
            let word = word.to_lowercase();
            let fits = !word.is_empty() && word.chars().count() <= LONGEST_WORD && self.0.len() < MOST_WORDS;
            if fits && !self.0.contains(&word) {
                self.0.push(word);
            }
        }
    }

    /// Adds the name of a file without its extension.
    fn stem(&mut self, path: &[u8]) {
        let name = String::from_utf8_lossy(base_name(path)).into_owned();
        self.add(name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem));
    }

    /// Adds the product and the specific words of a class: `spark master` for
    /// `org.apache.spark.deploy.master.Master`.
    fn class(&mut self, class: &str) {
        // "app/com.example.Main" is the class of a module.
        let class = class.rsplit('/').next().unwrap_or(class);
        let mut packages: Vec<&str> = class.split('.').collect();
        let simple = packages.pop().unwrap_or(class);
        let product = packages.iter().find(|part| !DOMAINS.contains(part) && !MAKERS.contains(part));
        self.add(product.copied().unwrap_or_default());
        for word in camel_words(simple).iter().filter(|word| !GENERIC.contains(&word.to_lowercase().as_str()))
        {
            // "CassandraDaemon" of org.apache.cassandra would repeat the product.
            self.add(word);
        }
        if self.0.is_empty() {
            self.add(simple);
        }
    }
}

/// Splits a name in camel case: `QuorumPeerMain` into `Quorum`, `Peer`, `Main`; `HTTPServer` into `HTTP`,
/// `Server`.
fn camel_words(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut words: Vec<String> = Vec::new();
    for (at, character) in characters.iter().enumerate() {
        let after_lower = at > 0 && !characters[at - 1].is_uppercase();
        let before_lower = characters.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins = character.is_uppercase() && (after_lower || before_lower);
        match words.last_mut() {
            Some(word) if !begins => word.push(*character),
            _ => words.push(character.to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::candidates::collect_candidates;
    use super::super::pattern::PatternVariables;
    use super::*;

    #[test]
    fn names_are_those_that_people_use() {
        let rows = [
            ("java -cp x kafka.Kafka config/server.properties", "kafka server"),
            (
                "java org.apache.zookeeper.server.quorum.QuorumPeerMain config/zookeeper.properties",
                "zookeeper quorum peer",
            ),
            ("java org.apache.spark.deploy.master.Master --ip h", "spark master"),
            ("java org.apache.cassandra.service.CassandraDaemon", "cassandra"),
            ("java org.apache.catalina.startup.Bootstrap start", "catalina"),
            ("java org.kairosdb.core.Main -c run -p conf/kairosdb.properties", "kairosdb"),
            (
                "java org.apache.spark.deploy.SparkSubmit rta_processor_simple.py accelerometer sklearn",
                "rta processor simple accelerometer sklearn",
            ),
            ("java -m app/com.example.HTTPServer", "http server"),
            ("java -jar /opt/x/metrics-store.jar", "metrics store"),
            ("java Main", "main"),
            ("grafana-server --config=/etc/grafana/grafana.ini", "grafana server"),
            ("/usr/bin/python3.11 -m http.server 8000", "http server"),
            ("/usr/sbin/redis-server *:6379", "redis server"),
            ("///", "component"),
        ];
        for (line, name) in rows {
            let line = CommandLine::from_arguments(line.split(' '));
            assert_eq!(proposed_name(&line, &collect_candidates(&line, &PatternVariables::none())), name);
        }
    }
}
