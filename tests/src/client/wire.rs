//! Owns the client's half of the conversation, for tasks that already run in the right namespace.
//!
//! Invariant: nothing here waits longer than [`ASK_LIMIT`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{ASK_LIMIT, AskError, Reply};
use crate::sys;

/// The payload of a UDP question, which must come back.
const UDP_PAYLOAD: &[u8] = b"who is there?";
/// The ports that questions by UDP come from.
const UDP_PORTS: Range<u16> = 10_000..60_000;
/// More than the longest answer head and naming line, in bytes.
const HEAD_MAX: usize = 4_096;

/// Asks for a path over a new TCP connection.
///
/// # Errors
///
/// When no right answer came.
pub async fn get(source: IpAddr, target: SocketAddr, path: &str) -> Result<Reply, AskError> {
    let whole = async {
        let mut stream = connect(source, target).await?;
        ask(&mut stream, path).await
    };
    timeout(ASK_LIMIT, whole)
        .await
        .unwrap_or(Err(AskError::Timeout))
}

/// Opens a TCP connection from an address; the kernel chooses the port.
///
/// # Errors
///
/// When the connection does not come about.
pub async fn connect(source: IpAddr, target: SocketAddr) -> Result<TcpStream, AskError> {
    let open = async {
        let socket = match source {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        sys::bind_address_without_port(socket.as_fd())?;
        socket.bind(SocketAddr::new(source, 0))?;
        let stream = socket.connect(target).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    timeout(ASK_LIMIT, open)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| classify(&error))
}

/// Asks for a path over an open connection, which stays open.
///
/// # Errors
///
/// When no right answer came. The connection is then of no further use.
pub async fn ask(stream: &mut TcpStream, path: &str) -> Result<Reply, AskError> {
    let exchange = async {
        let request = format!("GET {path} HTTP/1.1\r\nHost: splitter.test\r\n\r\n");
        let sent = stream.write_all(request.as_bytes()).await;
        sent.map_err(|error| classify(&error))?;
        read_answer(stream).await
    };
    timeout(ASK_LIMIT, exchange)
        .await
        .unwrap_or(Err(AskError::Timeout))
}

/// Sends bytes over an open connection and reads until an answer ends so.
///
/// # Errors
///
/// When no such answer came. The connection is then of no further use.
pub async fn exchange(stream: &mut TcpStream, ask: &[u8], end: &[u8]) -> Result<(), AskError> {
    let exchange = async {
        let sent = stream.write_all(ask).await;
        sent.map_err(|error| classify(&error))?;
        let mut buffer = Vec::with_capacity(512);
        while !buffer.ends_with(end) {
            read_more(stream, &mut buffer).await?;
        }
        Ok(())
    };
    timeout(ASK_LIMIT, exchange)
        .await
        .unwrap_or(Err(AskError::Timeout))
}

/// Asks by one UDP datagram from a new port.
///
/// # Errors
///
/// When no right answer came.
pub async fn udp_ask(source: IpAddr, target: SocketAddr) -> Result<Reply, AskError> {
    let socket = udp_socket(source, target).await?;
    udp_ask_on(&socket).await
}

/// A UDP socket that sends to one target and takes answers from nobody else.
///
/// Its port is the next in turn: the kernel's choice is random, and a port that comes back within
/// the life of its flow is that flow, with the version it had.
///
/// # Errors
///
/// When the source address is not there.
pub async fn udp_socket(source: IpAddr, target: SocketAddr) -> Result<UdpSocket, AskError> {
    let open = async {
        let socket = bind_next_port(source).await?;
        socket.connect(target).await?;
        Ok(socket)
    };
    open.await.map_err(|error: io::Error| classify(&error))
}

/// Binds to the next port that nobody holds.
async fn bind_next_port(source: IpAddr) -> io::Result<UdpSocket> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    for _ in 0..UDP_PORTS.len() {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed) % UDP_PORTS.len();
        let port = UDP_PORTS.start + turn as u16;
        match UdpSocket::bind(SocketAddr::new(source, port)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Asks by one datagram from an open socket: the same flow every time.
///
/// # Errors
///
/// When no right answer came.
pub async fn udp_ask_on(socket: &UdpSocket) -> Result<Reply, AskError> {
    let mut buffer = [0; HEAD_MAX];
    let exchange = async {
        socket.send(UDP_PAYLOAD).await?;
        socket.recv(&mut buffer).await
    };
    let length = timeout(ASK_LIMIT, exchange)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| classify(&error))?;
    let reply = parse_body(&buffer[..length])?;
    if !buffer[..length].ends_with(UDP_PAYLOAD) || reply.filler_bytes != UDP_PAYLOAD.len() {
        return Err(wrong(&buffer[..length]));
    }
    Ok(reply)
}

/// Does a task for every client, at most `parallel` at a time, in the namespace of the caller.
pub async fn for_each<T, F>(
    clients: Vec<IpAddr>,
    parallel: usize,
    work: impl Fn(IpAddr) -> F + Send + Sync + 'static,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (clients, work) = (Arc::new(clients), Arc::new(work));
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..parallel.max(1) {
        let (clients, work, next) = (clients.clone(), work.clone(), next.clone());
        workers.spawn(async move {
            let mut results = Vec::new();
            while let Some(client) = clients.get(next.fetch_add(1, Ordering::Relaxed)) {
                results.push(work(*client).await);
            }
            results
        });
    }
    workers.join_all().await.into_iter().flatten().collect()
}

async fn read_answer(stream: &mut TcpStream) -> Result<Reply, AskError> {
    let mut buffer = Vec::with_capacity(512);
    let (head_end, length) = loop {
        if let Some(found) = parse_head(&buffer)? {
            break found;
        }
        read_more(stream, &mut buffer).await?;
    };
    while buffer.len() < head_end + length {
        read_more(stream, &mut buffer).await?;
    }
    if buffer.len() > head_end + length {
        return Err(wrong(&buffer));
    }
    parse_body(&buffer[head_end..])
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), AskError> {
    match stream.read_buf(buffer).await {
        Ok(0) => Err(AskError::Closed),
        Ok(_) => Ok(()),
        Err(error) => Err(classify(&error)),
    }
}

/// Where the body begins and how long it is, once the head is complete.
fn parse_head(buffer: &[u8]) -> Result<Option<(usize, usize)>, AskError> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if buffer.len() > HEAD_MAX {
            Err(wrong(buffer))
        } else {
            Ok(None)
        };
    };
    let head = std::str::from_utf8(&buffer[..end]).map_err(|_| wrong(buffer))?;
    let length = head
        .starts_with("HTTP/1.1 200 ")
        .then(|| {
            head.lines()
                .find_map(|l| l.strip_prefix("Content-Length: "))
        })
        .flatten()
        .and_then(|length| length.parse().ok())
        .ok_or_else(|| wrong(buffer))?;
    Ok(Some((end + 4, length)))
}

/// Reads the naming line and counts what is behind it.
fn parse_body(body: &[u8]) -> Result<Reply, AskError> {
    let end = body.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| wrong(body))?;
    let line = std::str::from_utf8(&body[..end]).map_err(|_| wrong(body))?;
    let words: Vec<&str> = line.split(' ').collect();
    let [version, backend, server, client] = words[..] else {
        return Err(wrong(body));
    };
    Ok(Reply {
        version: version.to_owned(),
        backend: backend.to_owned(),
        server: server.parse().map_err(|_| wrong(body))?,
        client: client.parse().map_err(|_| wrong(body))?,
        filler_bytes: body.len() - end - 1,
    })
}

fn wrong(data: &[u8]) -> AskError {
    let shown = &data[..data.len().min(80)];
    AskError::WrongData(String::from_utf8_lossy(shown).into_owned())
}

fn classify(error: &io::Error) -> AskError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => AskError::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => AskError::Reset,
        io::ErrorKind::TimedOut => AskError::Timeout,
        _ => AskError::Other(error.to_string()),
    }
}
