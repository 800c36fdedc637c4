//! Hiding of a password that is on the command line, where every user of the host can read it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::location::{Environment, PostgresLocation};
use super::redact::redact_url;

/// Variable with the password.
const PASSWORD_VARIABLE: &str = "PGPASSWORD";

/// Starts this program again in the same process if its command line has the password of a database. The
/// password is in the environment then, which only the same user and root can read.
///
/// # Errors
/// Returns an error, as a sentence, if that is not possible.
pub fn hide_password() -> Result<(), String> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let Some((arguments, password)) = without_password(&arguments) else { return Ok(()) };
    let describe_error = |error: std::io::Error| {
        format!("the password of --store cannot be hidden: {error}; put it into {PASSWORD_VARIABLE}")
    };
    // Not /proc/self/exe, which would become the name of the process.
    let mut program = Command::new(std::env::current_exe().map_err(describe_error)?);
    if let Some((name, others)) = arguments.split_first() {
        program.arg0(name).args(others);
    }
    Err(describe_error(program.env(PASSWORD_VARIABLE, password).exec()))
}

/// Returns the arguments without the password, and the password; `None` if there is none.
fn without_password(arguments: &[OsString]) -> Option<(Vec<OsString>, String)> {
    let environment = Environment { password: None, password_file: None, ..Environment::of_process() };
    arguments.iter().enumerate().find_map(|(at, argument)| {
        let text = argument.to_str()?;
        let (flag, url) = text.split_at(text.find("postgres")?);
        let location = PostgresLocation::parse_with(url, &environment).ok()?;
        let password = String::from_utf8(location.config.get_password()?.to_vec()).ok()?;
        let mut without = arguments.to_vec();
        without[at] = format!("{flag}{}", redact_url(url)).into();
        Some((without, password))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(arguments: &[&str]) -> Option<(Vec<String>, String)> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let (arguments, password) = without_password(&arguments)?;
        Some((arguments.into_iter().map(|argument| argument.into_string().unwrap()).collect(), password))
    }

    #[test]
    fn password_leaves_the_arguments() {
        let url = "postgres://ann:s3%63ret@localhost/rta";
        let expected = |argument: &str| {
            let arguments = ["rta-aggregator", argument].map(str::to_owned).to_vec();
            Some((arguments, "s3cret".to_owned()))
        };
        assert_eq!(without(&["rta-aggregator", url]), expected("postgres://ann@localhost/rta"));
        let joined = format!("--store={url}");
        assert_eq!(without(&["rta-aggregator", &joined]), expected("--store=postgres://ann@localhost/rta"));
        assert_eq!(without(&["rta-aggregator", "--store", "postgres://ann@localhost/rta"]), None);
        assert_eq!(without(&["rta-aggregator", "--data", "/var/lib/postgres"]), None);
    }
}
