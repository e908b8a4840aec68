//! Tests of probes against servers of straw on loopback.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that gives every connection the same answer and tells what it was asked.
async fn server(answer: &'static str) -> (SocketAddr, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    let (tell, asked) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4_096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let _nobody_waits = tell.send(head).await;
            let _gone = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}

fn check(question: Question) -> Check {
    Check {
        question,
        port: None,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        rise: 1,
        fall: 1,
    }
}

fn http(expect_status: &[(u16, u16)], expect_body: Option<&str>) -> HttpQuestion {
    HttpQuestion {
        method: HttpMethod::Get,
        path: "/healthz?deep=1".into(),
        host: Some("shop.example".into()),
        expect_status: expect_status.to_vec(),
        expect_body: expect_body.map(str::to_owned),
    }
}

async fn told(address: SocketAddr, question: HttpQuestion) -> Result<(), String> {
    let answer = ask(address, &check(Question::Http(question))).await;
    answer.map_err(|error| error.to_string())
}

#[tokio::test]
async fn status_and_body_are_matched() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nall is well ok";
    let (address, mut asked) = server(ok).await;
    assert_eq!(told(address, http(&[(200, 299)], None)).await, Ok(()));
    let head = asked.recv().await.expect("asked").to_lowercase();
    assert!(
        head.starts_with("get /healthz?deep=1 http/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains("host: shop.example\r\n"), "{head}");
    assert_eq!(
        told(address, http(&[(200, 200)], Some("well"))).await,
        Ok(())
    );
    let why = told(address, http(&[(204, 204), (300, 399)], None)).await;
    let why = why.expect_err("another status");
    assert!(
        why.ends_with("answers with status 200, not 204, 300-399"),
        "{why}"
    );
    let why = told(address, http(&[(200, 200)], Some("ill"))).await;
    assert!(
        why.expect_err("not there")
            .starts_with("\"ill\" is not in the body")
    );
    let mut head = http(&[(200, 200)], None);
    head.method = HttpMethod::Head;
    head.host = None;
    while asked.try_recv().is_ok() {}
    assert_eq!(told(address, head).await, Ok(()));
    let head = asked.recv().await.expect("asked").to_lowercase();
    assert!(
        head.starts_with("head ") && head.contains(&format!("host: {address}\r\n")),
        "{head}"
    );
}

#[tokio::test]
async fn other_answers_are_told_apart() {
    let (address, _asked) = server("SSH-2.0-OpenSSH\r\n").await;
    let why = told(address, http(&[(200, 200)], None)).await;
    assert!(
        why.expect_err("no HTTP")
            .contains("does not answer in HTTP")
    );
    assert!(ask(address, &check(Question::Tcp)).await.is_ok());
    let (mute, _asked) = server("").await;
    let mut hasty = check(Question::Http(http(&[(200, 200)], None)));
    hasty.timeout = Duration::from_millis(50);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let silent = listener.local_addr().expect("an address");
    let why = ask(silent, &hasty)
        .await
        .expect_err("nobody reads")
        .to_string();
    assert_eq!(why, format!("no answer from {silent} within 50ms"));
    let why = told(mute, http(&[(200, 200)], None)).await;
    assert!(why.expect_err("closed").contains("does not answer in HTTP"));
    drop(listener);
    let why = ask(silent, &check(Question::Tcp))
        .await
        .expect_err("closed")
        .to_string();
    assert!(why.contains("refused"), "{why}");
}
