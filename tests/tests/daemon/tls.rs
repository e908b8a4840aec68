//! What is measured of a TLS 1.3 server that gives out session tickets: with and without keep-alive,
//! and with sessions that are taken up again.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use rcgen::generate_simple_self_signed;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, HandshakeKind, RootCertStore, ServerConfig,
        pki_types::{PrivateKeyDer, ServerName},
        version::TLS13,
    },
};

use crate::stage::{ANSWER_AFTER, ROUNDS, Seen, Stage, read_to};

const NAME: &str = "splitter.test";
const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: splitter.test\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";

/// Both ends; the server gives out so many tickets at each handshake.
fn both_ends(tickets: usize) -> (TlsAcceptor, TlsConnector) {
    let made = generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("trusted");
    let mut server = ServerConfig::builder_with_protocol_versions(&[&TLS13])
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a server's configuration");
    server.send_tls13_tickets = tickets;
    let client = ClientConfig::builder_with_protocol_versions(&[&TLS13])
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server).into(), Arc::new(client).into())
}

/// Answers every question until the client says that it ends, and says so too.
async fn serve(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    while read_to(&mut stream, b"\r\n\r\n").await.is_ok() {
        tokio::time::sleep(ANSWER_AFTER).await;
        stream.write_all(ANSWER).await?;
        stream.flush().await?;
    }
    stream.shutdown().await
}

/// Asks so many times over one connection. The first question leaves with the end of the handshake, as it
/// does where a client has it ready. Says how long the others took, and how the session began.
async fn ask(
    connector: TlsConnector,
    stream: TcpStream,
    times: u64,
) -> io::Result<(Vec<Duration>, Option<HandshakeKind>)> {
    let name = ServerName::try_from(NAME).expect("a name");
    let mut stream = connector
        .connect_with(name, stream, |connection| {
            connection.writer().write_all(ASK).expect("taken");
        })
        .await?;
    stream.flush().await?;
    read_to(&mut stream, ANSWER).await?;
    let mut waited = Vec::new();
    for _ in 1..times {
        stream.write_all(ASK).await?;
        stream.flush().await?;
        waited.push(read_to(&mut stream, ANSWER).await?);
    }
    let kind = stream.get_ref().1.handshake_kind();
    stream.shutdown().await?;
    // The server says that it ends too, and closes.
    let end = stream.read(&mut [0]).await?;
    assert_eq!(end, 0, "nothing else is said");
    Ok((waited, kind))
}

fn all_but_the_first_question_of_a_connection_are_measured(tickets: usize, times: u64) {
    let (acceptor, connector) = both_ends(tickets);
    let stage = Stage::new("protocol = \"http1\"", move |stream| {
        serve(acceptor.clone(), stream)
    });
    let (kinds, told) = std::sync::mpsc::channel();
    let kinds = std::sync::Mutex::new(kinds);
    let waited = stage.rounds(move |stream| {
        let asked = ask(connector.clone(), stream, times);
        let kinds = kinds.lock().expect("whole").clone();
        async move {
            let (waited, kind) = asked.await?;
            kinds.send(kind).expect("taken");
            Ok(waited)
        }
    });
    let resumed = told
        .into_iter()
        .filter(|kind| *kind == Some(HandshakeKind::Resumed))
        .count() as u64;
    let resumable = if tickets > 0 { ROUNDS - 1 } else { 0 };
    assert_eq!(resumed, resumable, "the tickets are used");
    let wanted = Seen {
        handshakes: ROUNDS,
        turns: (times - 1) * ROUNDS,
        tls_setup: 2 * ROUNDS,
        ..Seen::default()
    };
    stage.shows(&wanted, waited);
}

#[test]
fn tls_with_tickets_and_keep_alive() {
    all_but_the_first_question_of_a_connection_are_measured(2, 4);
}

#[test]
fn tls_with_tickets_and_without_keep_alive() {
    all_but_the_first_question_of_a_connection_are_measured(2, 1);
}

#[test]
fn tls_without_tickets() {
    all_but_the_first_question_of_a_connection_are_measured(0, 3);
}
