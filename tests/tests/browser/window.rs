//! Real browser: headless Chromium, driven by chromedriver (W3C WebDriver).

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rta_tests::{OutputReader, wait_for};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{By, ChromiumLikeCapabilities as _, Cookie, DesiredCapabilities, WebDriver};

/// Switches for running as root and without network requests of the browser's own.
const SWITCHES: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];
/// Time limit that only broken pages exceed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Browser with one window, closed when this is dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    window: WebDriver,
    driver: Child,
    _profile: TempDir,
}

/// Number of attempts to start a driver, before each of which the port of the last one was taken.
const DRIVER_ATTEMPTS: usize = 5;

/// Starts a driver, and returns it with its port. `None` if none is installed: the test is then skipped with a loud
/// message.
fn start_driver() -> Option<(Child, u16)> {
    for _ in 0..DRIVER_ATTEMPTS {
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // The browser is in the driver's process group, so both can be ended at once.
            .process_group(0)
            .spawn();
        let mut driver = match driver {
            Ok(driver) => driver,
            Err(error) => {
                skipped(&format!("there is no chromedriver ({error}); install chromium-driver"));
                return None;
            }
        };
        let said = OutputReader::collect(driver.stdout.take().expect("the output is piped"));
        let port = wait_for("the driver to listen, or to end", || {
            let lines = said.lines();
            let port = lines.iter().find_map(|line| {
                let port = line.strip_prefix("ChromeDriver was started successfully on port ")?;
                port.trim_end_matches('.').parse::<u16>().ok()
            });
            // It takes a free port of one kind of address and the same one of the other, which may be taken.
            let mut has_ended = || driver.try_wait().expect("the driver is a child").is_some();
            port.map(Some).or_else(|| has_ended().then_some(None))
        });
        if let Some(port) = port {
            return Some((driver, port));
        }
    }
    panic!("the driver ended {DRIVER_ATTEMPTS} times before it listened");
}

/// Setting for JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Enabled, the default of browsers.
    On,
    /// Disabled.
    Off,
}

impl Browser {
    /// Opens a browser with a window 1280 pixels wide. `None` if none is installed: the test is then
    /// skipped with a loud message.
    pub(crate) async fn open(script: Script) -> Option<Self> {
        Self::open_with(script, &[]).await
    }

    /// Opens a browser with additional switches.
    pub(crate) async fn open_with(script: Script, more: &[&str]) -> Option<Self> {
        // The client of the driver leaves the choice to the program. Another test may have made it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (driver, port) = start_driver()?;
        let profile = TempDir::new().expect("a folder can be made");
        let mut wanted = DesiredCapabilities::chrome();
        let folder = format!("--user-data-dir={}", profile.path().display());
        let size = "--window-size=1280,900";
        let switches = SWITCHES.iter().chain(more).copied();
        for switch in switches.chain([folder.as_str(), size]) {
            wanted.add_arg(switch).expect("a switch can be added");
        }
        if script == Script::Off {
            let off = json!({"profile.managed_default_content_settings.javascript": 2});
            wanted.add_experimental_option("prefs", off).expect("a preference can be added");
        }
        let window = WebDriver::new(format!("http://127.0.0.1:{port}"), wanted).await;
        Some(Self { window: window.expect("the browser begins"), driver, _profile: profile })
    }

    /// Loads a page.
    pub(crate) async fn goto(&self, address: &str) {
        self.window.goto(address).await.expect("the page is loaded");
    }

    /// Returns the current address.
    pub(crate) async fn address(&self) -> String {
        self.window.current_url().await.expect("there is a page").to_string()
    }

    /// Returns the browser's cookies for the current page.
    pub(crate) async fn cookies(&self) -> Vec<Cookie> {
        self.window.get_all_cookies().await.expect("the cookies can be read")
    }

    /// Sets the size of the page in CSS pixels, as on a phone.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": true});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Sets the colour scheme of the system.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        self.window.cdp().send_raw(command, parameters).await.expect("the browser obeys");
    }

    /// Runs a script in the page and returns its result.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.window.execute(script, Vec::new()).await.expect("the script runs").json().clone()
    }

    /// Clicks the element that this selector finds.
    pub(crate) async fn press(&self, selector: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let pressed = match self.window.find(By::Css(selector.to_owned())).await {
                Ok(element) => element.click().await,
                Err(error) => Err(error),
            };
            match pressed {
                Ok(()) => return,
                Err(error) => assert!(Instant::now() < deadline, "{selector}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Types into the element that this selector finds.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let field = self.window.find(By::Css(selector.to_owned())).await.expect("there is such a field");
        field.send_keys(text).await.expect("it can be typed into");
    }

    /// Returns the visible text of the page.
    pub(crate) async fn text(&self) -> String {
        match self.window.find(By::Tag("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until the page shows this text; returns all visible text.
    pub(crate) async fn reads(&self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text().await;
            if text.contains(wanted) {
                return text;
            }
            assert!(Instant::now() < deadline, "waited in vain for \"{wanted}\":\n{text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Reloads a page until it shows this text; returns all visible text.
    pub(crate) async fn goto_until(&self, address: &str, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.goto(address).await;
            let text = self.text().await;
            if text.contains(wanted) {
                return text;
            }
            assert!(Instant::now() < deadline, "waited in vain for \"{wanted}\":\n{text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the element that this selector finds has exactly this text.
    pub(crate) async fn shows(&self, selector: &str, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = match self.window.find(By::Css(selector.to_owned())).await {
                Ok(element) => element.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            if text == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "waited in vain for \"{wanted}\" in {selector}: {text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the violations of the WCAG 2.2 rules A and AA that axe-core finds in the page, one sentence
    /// each. `None` if axe-core is not installed: the test is then skipped with a loud message.
    pub(crate) async fn violations(&self) -> Option<Vec<String>> {
        let Some(axe) = axe() else {
            skipped("RTA_AXE does not name axe-core's axe.min.js");
            return None;
        };
        let library = std::fs::read_to_string(axe).expect("axe-core can be read");
        self.run(&library).await;
        let ask = "const done = arguments[arguments.length - 1];
            axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})
               .then(found => done(found.violations.map(one =>
                   `${one.id}: ${one.help}: ` + one.nodes.map(node => node.html + ' ' + node.failureSummary).join(' | '))));";
        let found = self.window.execute_async(ask, Vec::new()).await.expect("axe-core runs");
        Some(found.convert().expect("axe-core answers with sentences"))
    }

    /// Closes the browser.
    pub(crate) async fn close(self) {
        // Failures are ignored, because dropping kills the browser.
        let _ = self.window.clone().quit().await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = i32::try_from(self.driver.id()).ok().and_then(Pid::from_raw);
        // An error means that they have ended.
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        let _ = self.driver.wait();
    }
}

/// Prints that a test is skipped; panics in the gate.
fn skipped(why: &str) {
    use std::io::Write as _;
    assert!(std::env::var_os("RTA_GATE").is_none(), "{why}");
    // Standard error may be closed.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Returns the path of axe-core, if installed.
fn axe() -> Option<PathBuf> {
    let named = std::env::var_os("RTA_AXE").map(PathBuf::from);
    named.filter(|path| path.is_file())
}
