//! Tests of questions, and what the tests of the single methods share.

use rta_shared::config::{Source, load_sources};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::reasons::MAX_TEXT_LENGTH;
use super::*;

/// Returns the question of a probe that is configured by `keys`.
pub(in crate::probe) fn question(keys: &str) -> ProbeMethod {
    let text = format!(
        "[[component]]\nname = 'app'\ncriteria = [{{ regex = 'no such process' }}]\nlog = '/app.log'\nprobe = {{ {keys} }}\n\
         [[environment]]\nname = 'E'\nhost = [{{ name = 'h', components = ['app'] }}]"
    );
    let platform = load_sources(&[Source { name: "x".to_owned(), text }]).unwrap();
    let config = platform.host_config(platform.find_host("h").unwrap(), &[]).unwrap();
    config.components[0].probe.clone().unwrap().question
}

#[test]
fn questions_are_shown_on_one_short_line_without_passwords() {
    let http = |url: &str| ProbeMethod::http(url.parse().unwrap());
    let command = |words: &[&str]| ProbeMethod::command(words.iter().copied());
    let rows = [
        (ProbeMethod::tcp("127.0.0.1:9092"), "tcp 127.0.0.1:9092"),
        (http("http://127.0.0.1:3000/api/health?x=1"), "GET http://127.0.0.1:3000/api/health?x=1"),
        (http("https://h:8443/x"), "GET https://h:8443/x"),
        (http("http://admin:secret@[::1]"), "GET http://[::1]/"),
        (http("http://127.0.0.1/x?token=s3cret&y=1"), "GET http://127.0.0.1/x?token=***&y=1"),
        (command(&["nodetool", "a\nb"]), r"command nodetool a\nb"),
        (command(&["nodetool", "-pw", "s3cret", "status"]), "command nodetool -pw *** status"),
        (question("log = 'started$'"), "log 'started$'"),
    ];
    for (question, expected) in rows {
        assert_eq!(format_question(&question), expected);
    }
    let long = format_question(&command(&[&"é".repeat(5_000)]));
    assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_TEXT_LENGTH + 1, true));
}

#[tokio::test]
async fn timeout_shows_what_came_before_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut ping = [0; 4];
        stream.read_exact(&mut ping).await.unwrap();
        stream.write_all(b"-LOADING dataset in memory\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let question = question(&format!("tcp = '{address}', send = 'PING', expect = 'PONG'"));
    let mut prober = Prober::new(question, Duration::from_millis(500), RunLog::new(None, None, None));
    let reason = prober.run_attempt().await.unwrap_err();
    assert_eq!(reason, format!("tcp {address}: no answer within 0.5 s but \"-LOADING dataset in memory\""));
    server.abort();
}
