//! Owns floods: so many packets of pretended senders, and no more, from one interface.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::netns::Netns;
use crate::packet::{Frame, Macs};
use crate::sys;

/// Frames that are sent without a pause; more than a queue holds would be lost.
const BURST: u32 = 64;
const PAUSE: Duration = Duration::from_millis(1);

/// What a flood consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// TCP SYNs, each of another flow.
    Syns,
    /// Datagrams, each of another flow.
    Datagrams,
}

/// Sends `packets` to `target`, by IPv4, out of an interface to the load balancer's own one, whose
/// MAC is `to`. Their senders are all of 10.100.128.0/17, which nobody has.
///
/// # Errors
///
/// When there is no such interface or a packet cannot be sent.
pub fn send(
    netns: &Netns,
    interface: &str,
    to: [u8; 6],
    target: SocketAddr,
    flood: Flood,
    packets: u32,
) -> Result<()> {
    let SocketAddr::V4(_) = target else {
        bail!("{target}: floods are of IPv4");
    };
    let socket = netns
        .run(|| sys::frames_of(interface, false))
        .with_context(|| interface.to_owned())?;
    let macs: Macs = ([2, 0, 0, 0, 0xf1, 0], to);
    let kind = match flood {
        Flood::Syns => "tcp SYN seq 7",
        Flood::Datagrams => "udp data 9",
    };
    let mut frame = Frame::parse(&format!("0.0.0.0:1 > {target} {kind}"), |end| {
        let socket: SocketAddr = end.parse()?;
        Ok((socket.ip(), socket.port()))
    })?;
    frame.macs = Some(macs);
    for number in 0..packets {
        let [_, _, high, low] = number.to_be_bytes();
        let sender = Ipv4Addr::new(10, 100, 128 | high & 0x7f, low);
        // Another port each time that the addresses have gone round.
        frame.source = (IpAddr::V4(sender), 1_024 + (number >> 15) as u16);
        match rustix::io::write(&socket, &frame.bytes()) {
            Ok(_) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::NOBUFS) => thread::sleep(PAUSE),
            Err(error) => return Err(error).context("cannot send"),
        }
        if number % BURST == BURST - 1 {
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}
