//! Mail to a server of the test, over TLS from the first byte, or after STARTTLS; and to a real one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rta_tests::{CertificateFiles, TestCa, wait_for};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Platform, RULES};

/// Mail server that keeps what it receives.
struct MailServer {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    /// Starts a server over TLS; with `is_starttls` it begins in clear text, and takes no mail before
    /// STARTTLS.
    fn start(certificate: &CertificateFiles, is_starttls: bool) -> Self {
        let chain = CertificateDer::pem_file_iter(&certificate.certificate).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mails = Arc::<Mutex<Vec<String>>>::default();
        let server = Self { address, mails: Arc::clone(&mails) };
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                // A sender that goes away leaves no mail.
                let stream = stream.unwrap();
                if is_starttls && begin_tls(&stream).is_err() {
                    continue;
                }
                let mail = receive(StreamOwned::new(connection, stream), !is_starttls);
                mails.lock().unwrap().extend(mail.ok().flatten());
            }
        });
        server
    }

    fn wait_for_mails(&self, count: usize) -> Vec<String> {
        wait_for(&format!("{count} mails"), || {
            Some(self.mails.lock().unwrap().clone()).filter(|all| all.len() >= count)
        })
    }
}

/// Speaks SMTP in clear text until the client begins TLS. It refuses everything else.
fn begin_tls(mut stream: &TcpStream) -> std::io::Result<()> {
    // The client sends nothing after STARTTLS before it has the answer.
    let mut reader = BufReader::new(stream);
    stream.write_all(b"220 test\r\n")?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        match line.split([' ', '\r']).next().unwrap_or_default() {
            "EHLO" => stream.write_all(b"250-test\r\n250 STARTTLS\r\n")?,
            "STARTTLS" => return stream.write_all(b"220 go on\r\n"),
            _ => stream.write_all(b"530 say STARTTLS first\r\n")?,
        }
        line.clear();
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}

/// Speaks SMTP over TLS, and returns the mail with its envelope.
fn receive(
    stream: StreamOwned<ServerConnection, TcpStream>,
    is_greeting: bool,
) -> std::io::Result<Option<String>> {
    let mut reader = BufReader::new(stream);
    let mut mail = String::new();
    if is_greeting {
        reader.get_mut().write_all(b"220 test\r\n")?;
    }
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let answer = match line.split([' ', '\r']).next().unwrap_or_default() {
            "EHLO" => "250-test\r\n250 AUTH PLAIN\r\n",
            "AUTH" => "235 yes\r\n",
            "MAIL" | "RCPT" => {
                mail.push_str(&line);
                "250 yes\r\n"
            }
            "DATA" => {
                reader.get_mut().write_all(b"354 go on\r\n")?;
                loop {
                    line.clear();
                    reader.read_line(&mut line)?;
                    if line == ".\r\n" {
                        break;
                    }
                    mail.push_str(&line);
                }
                reader.get_mut().write_all(b"250 taken\r\n")?;
                return Ok(Some(mail));
            }
            _ => "250 yes\r\n",
        };
        reader.get_mut().write_all(answer.as_bytes())?;
    }
}

#[test]
fn outage_is_mailed_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let ca = TestCa::new(folder.path().join("pki"));
    let certificate = ca.create_host("localhost");
    let server = MailServer::start(&certificate, false);
    let password = folder.path().join("password");
    std::fs::write(&password, "secret").unwrap();
    let channel = |server: &MailServer, tls: &str, ca: &str| {
        format!(
            "{RULES}[[channel]]\nname = \"ops\"\n[channel.mail]\nserver = \"localhost\"\nport = {}\n{tls}\
             user = \"rta\"\npassword = {{ file = \"{}\" }}\nfrom = \"rta <rta@example.com>\"\n\
             to = [\"ops@example.com\", \"boss@example.com\"]\n{ca}",
            server.address.port(),
            password.display()
        )
    };
    let own_ca = format!("ca = \"{}\"\n", ca.ca().display());
    let trusted = channel(&server, "tls = \"tls\"\n", &own_ca);
    let platform = Platform::start(1, &trusted);
    platform.stop_kafka();
    let mail = server.wait_for_mails(1).remove(0);
    for expected in [
        "MAIL FROM:<rta@example.com>",
        "RCPT TO:<ops@example.com>",
        "RCPT TO:<boss@example.com>",
        // "[rta critical] component 0 on h0000 (E) is do" in base64.
        "Subject: =?utf-8?B?W3J0YSBjcml0aWNhbF0gY29tcG9uZW50IDAgb24gaDAwMDAgKEUpIGlzIGRv?=",
        "Message-ID: <rta-",
        "Date: ",
    ] {
        assert!(mail.contains(expected), "{expected}\n{mail}");
    }
    platform.start_kafka();
    let mail = server.wait_for_mails(2).remove(1);
    // "[rta over] component 0 on h0000 (E) has recov" in base64.
    let subject = "=?utf-8?B?W3J0YSBvdmVyXSBjb21wb25lbnQgMCBvbiBoMDAwMCAoRSkgaGFzIHJlY292?=";
    assert!(mail.contains(subject), "{mail}");
    // A server whose certificate is not trusted gets nothing.
    super::write_private(&platform.file, &channel(&server, "tls = \"tls\"\n", ""));
    let refused = wait_for("the test to be refused", || {
        let reported = platform.cluster.aggregator.rta_output(&["notify", "test", "ops"]);
        (!reported.contains("was delivered")).then_some(reported)
    });
    assert!(refused.contains("could not be sent a test"), "{refused}");
    // STARTTLS is the default: the login and the mail are sent after it.
    let later = MailServer::start(&certificate, true);
    super::write_private(&platform.file, &channel(&later, "", &own_ca));
    wait_for("the test to be delivered", || {
        let reported = platform.cluster.aggregator.rta_output(&["notify", "test", "ops"]);
        reported.contains("was delivered").then_some(())
    });
    let mail = later.wait_for_mails(1).remove(0);
    assert!(mail.contains("RCPT TO:<boss@example.com>") && mail.contains("Message-ID: <rta-"), "{mail}");
}

/// Running aiosmtpd, which ends when this is dropped.
struct RealMailServer {
    child: Child,
    address: SocketAddr,
}

impl RealMailServer {
    /// Starts the server, which appends mails to a file; `None` if it is not installed. In the gate it must be.
    fn start(certificate: &CertificateFiles, mails: &Path) -> Option<Self> {
        // Debian's package is for Debian's Python, which need not be the first one.
        let has_it = |python: &&str| {
            let imported =
                Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
            imported.is_ok_and(|status| status.success())
        };
        let Some(python) = ["/usr/bin/python3", "python3"].into_iter().find(has_it) else {
            assert!(std::env::var_os("RTA_GATE").is_none(), "python3-aiosmtpd is not installed");
            // Standard error may be closed.
            let _ = writeln!(std::io::stderr(), "SKIPPED: python3-aiosmtpd is not installed");
            return None;
        };
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(python);
        command.args(["-c", include_str!("aiosmtpd.py"), &address.port().to_string()]);
        command.args([certificate.certificate.as_path(), &certificate.key, mails]);
        let child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the mail server to listen", || TcpStream::connect(address).ok());
        Some(Self { child, address })
    }
}

impl Drop for RealMailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn real_mail_server_receives_begin_and_end_after_starttls() {
    let folder = tempfile::tempdir().unwrap();
    let ca = TestCa::new(folder.path().join("pki"));
    let mails = folder.path().join("mails");
    let Some(server) = RealMailServer::start(&ca.create_host("localhost"), &mails) else { return };
    let text = format!(
        "{RULES}[[channel]]\nname = \"ops\"\n[channel.mail]\nserver = \"localhost\"\nport = {}\n\
         from = \"rta@example.com\"\nto = [\"ops@example.com\"]\nca = \"{}\"\n",
        server.address.port(),
        ca.ca().display()
    );
    let platform = Platform::start(1, &text);
    let received = |count: usize| {
        wait_for(&format!("{count} mails"), || {
            let text = std::fs::read_to_string(&mails).unwrap_or_default();
            (text.matches("True rta@example.com ['ops@example.com']").count() == count).then_some(text)
        })
    };
    platform.stop_kafka();
    received(1);
    platform.start_kafka();
    let text = received(2);
    // Both are of one thread.
    let threads: Vec<&str> = text.lines().filter(|line| line.starts_with("References: ")).collect();
    assert!(threads.len() == 2 && threads[0] == threads[1], "{text}");
}
