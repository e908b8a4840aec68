//! What is measured of servers of many kinds, against what they and their clients say.

use std::{
    io,
    time::{Duration, Instant},
};

use serde_json::Value;
use splitter_tests::{
    client::wire,
    demo::{self, DemoOptions, Scenario},
    supervise::StopFlag,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stage::{ANSWER_AFTER, ROUNDS, Seen, Stage, read_to};

const HEAD_END: &[u8] = b"\r\n\r\n";
const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: splitter.test\r\n\r\n";
const HTTP1: &str = "protocol = \"http1\"";
/// Between two segments that must not become one.
const APART: Duration = Duration::from_millis(20);

#[test]
fn an_upload_of_10_mb_is_one_turn_from_its_end_on() {
    const UPLOAD: usize = 10_000_000;
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n";
    let stage = Stage::new(HTTP1, |mut stream| async move {
        stream.read_exact(&mut vec![0; HEAD.len() + UPLOAD]).await?;
        let whole = Instant::now();
        tokio::time::sleep(ANSWER_AFTER).await;
        // How long this took the server is all that the client can know of it.
        let took = format!("{:020}", whole.elapsed().as_micros());
        let answer = format!("HTTP/1.1 201 So\r\nContent-Length: 20\r\n\r\n{took}");
        stream.write_all(answer.as_bytes()).await
    });
    let waited = stage.rounds(|mut stream| async move {
        stream.write_all(HEAD).await?;
        stream.write_all(&vec![b'x'; UPLOAD]).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let took_us = answer[answer.len() - 20..].parse().expect("a number");
        Ok(vec![Duration::from_micros(took_us)])
    });
    let wanted = Seen {
        handshakes: ROUNDS,
        turns: ROUNDS,
        http_2xx: ROUNDS,
        ..Seen::default()
    };
    stage.shows(&wanted, waited);
}

#[test]
fn a_body_whose_segment_begins_like_a_status_is_no_answer() {
    const REST: &[u8] = b"HTTP/1.1 500 No\r\n\r\n";
    let stage = Stage::new(HTTP1, |mut stream| async move {
        loop {
            read_to(&mut stream, HEAD_END).await?;
            tokio::time::sleep(ANSWER_AFTER).await;
            let head = format!("HTTP/1.1 200 So\r\nContent-Length: {}\r\n", REST.len());
            stream.write_all(head.as_bytes()).await?;
            // The head's last line, so that what the client looks for comes with the body.
            stream.write_all(b"\r\n").await?;
            tokio::time::sleep(APART).await;
            stream.write_all(REST).await?;
        }
    });
    let waited = stage.rounds(|mut stream| async move {
        let mut waited = Vec::new();
        for _ in 0..2 {
            stream.write_all(ASK).await?;
            waited.push(read_to(&mut stream, REST).await?);
        }
        Ok(waited)
    });
    let wanted = Seen {
        handshakes: ROUNDS,
        turns: 2 * ROUNDS,
        http_2xx: 2 * ROUNDS,
        ..Seen::default()
    };
    stage.shows(&wanted, waited);
}

#[test]
fn what_a_web_socket_pushes_is_no_turn_and_no_http() {
    // Text frames, unmasked by the server and masked with nothing by the client (RFC 6455, 5.2).
    const PUSHED: &[u8] = b"\x81\x05HTTP/";
    const ASKED: &[u8] = b"\x81\x83\0\0\0\0who";
    const ANSWERED: &[u8] = b"\x81\x02me";
    let stage = Stage::new(HTTP1, |mut stream| async move {
        read_to(&mut stream, HEAD_END).await?;
        tokio::time::sleep(ANSWER_AFTER).await;
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        stream.write_all(switch).await?;
        for _ in 0..3 {
            tokio::time::sleep(APART).await;
            stream.write_all(PUSHED).await?;
        }
        read_to(&mut stream, ASKED).await?;
        tokio::time::sleep(ANSWER_AFTER).await;
        stream.write_all(ANSWERED).await?;
        // Until the client has gone.
        stream.read_u8().await.map(|_| ())
    });
    let waited = stage.rounds(|mut stream| async move {
        let ask = b"GET / HTTP/1.1\r\nHost: splitter.test\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(ask).await?;
        let mut waited = vec![read_to(&mut stream, HEAD_END).await?];
        stream.read_exact(&mut [0; 3 * PUSHED.len()]).await?;
        stream.write_all(ASKED).await?;
        waited.push(read_to(&mut stream, ANSWERED).await?);
        Ok(waited)
    });
    let wanted = Seen {
        handshakes: ROUNDS,
        turns: 2 * ROUNDS,
        http_other: ROUNDS,
        ..Seen::default()
    };
    stage.shows(&wanted, waited);
}

#[test]
fn a_server_that_speaks_first_is_measured_from_what_it_is_asked() {
    let stage = Stage::new("", |mut stream| async move {
        stream.write_all(b"220 splitter.test\r\n").await?;
        loop {
            read_to(&mut stream, b"\r\n").await?;
            tokio::time::sleep(ANSWER_AFTER).await;
            stream.write_all(b"250 so\r\n").await?;
        }
    });
    let waited = stage.rounds(|mut stream| async move {
        read_to(&mut stream, b"\r\n").await?;
        let mut waited = Vec::new();
        for ask in ["EHLO me\r\n", "NOOP\r\n"] {
            stream.write_all(ask.as_bytes()).await?;
            waited.push(read_to(&mut stream, b"\r\n").await?);
        }
        Ok(waited)
    });
    let wanted = Seen {
        handshakes: ROUNDS,
        turns: 2 * ROUNDS,
        ..Seen::default()
    };
    stage.shows(&wanted, waited);
}

#[test]
fn resets_are_told_apart_by_side_and_by_whether_the_server_had_spoken() {
    // The server resets early or late, or waits for its client to do so.
    let stage = Stage::new("", |mut stream| async move {
        let mut word = [0; 5];
        stream.read_exact(&mut word).await?;
        match &word {
            b"early" => return stream.set_zero_linger(),
            b"waits" => {}
            _ => stream.write_all(&word).await?,
        }
        if &word == b"later" {
            stream.read_exact(&mut word).await?;
            return stream.set_zero_linger();
        }
        stream.read_u8().await.map(|_| ())
    });
    let waited = stage.rounds(|stream| async move {
        let (source, target) = (stream.local_addr()?.ip(), stream.peer_addr()?);
        drop(stream);
        for word in [b"early", b"later", b"waits", b"speak"] {
            let mut stream = wire::connect(source, target).await.expect("connected");
            stream.write_all(word).await?;
            if matches!(word, b"later" | b"speak") {
                stream.read_exact(&mut [0; 5]).await?;
            }
            if word == b"later" {
                stream.write_all(word).await?;
            }
            if matches!(word, b"early" | b"later") {
                let end = stream.read_u8().await.expect_err("reset");
                assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
            } else {
                // So that the server has the word before it has the reset.
                tokio::time::sleep(APART).await;
                stream.set_zero_linger()?;
            }
        }
        Ok(Vec::new())
    });
    let wanted = Seen {
        handshakes: 5 * ROUNDS,
        turns: 2 * ROUNDS,
        resets: [2 * ROUNDS; 2],
        resets_early: [ROUNDS; 2],
        ..Seen::default()
    };
    stage.shows(&wanted, waited);
}

#[test]
fn the_scenario_of_the_demo_agrees_and_writes_down_what_it_saw() {
    let dir = tempfile::tempdir().expect("a directory");
    let json = dir.path().join("measure.json");
    let options = DemoOptions {
        scenario: Scenario::Measure,
        json: Some(json.clone()),
        same_interface: false,
    };
    assert!(demo::run(&options, &StopFlag::default()).expect("carried out"));
    let text = std::fs::read_to_string(&json).expect("written");
    let told: Value = serde_json::from_str(&text).expect("JSON");
    for version in ["stable", "canary"] {
        let version = &told["versions"][version];
        for (measured, expected) in [
            ("http_5xx", "expected_5xx"),
            ("resets_by_server", "expected_resets"),
        ] {
            assert!(version[expected].as_u64() > Some(0), "{version}");
            assert_eq!(version[measured], version[expected], "{version}");
        }
        assert!(version["turn_p50_us"].is_u64() && version["expected_turn_p50_us"].is_u64());
    }
}
