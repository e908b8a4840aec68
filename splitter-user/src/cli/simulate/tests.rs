//! Tests of captures, which are made here in every form.

use std::io::{self, Read};

use super::capture::each_frame;
use super::frame::{Link, Seen, seen};
use super::source::{Kind, Source};
use crate::model::Protocol;

/// Makes captures.
pub(in crate::cli) mod captures {
    use std::net::IpAddr;

    /// What stands before the numbers of a file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::cli) struct Form {
        pub(in crate::cli) big_endian: bool,
        pub(in crate::cli) nanoseconds: bool,
        pub(in crate::cli) blocks: bool,
    }

    impl Form {
        pub(in crate::cli) fn all() -> impl Iterator<Item = Self> {
            (0..8).map(|bits| Self {
                big_endian: bits & 1 != 0,
                nanoseconds: bits & 2 != 0,
                blocks: bits & 4 != 0,
            })
        }

        fn u32(self, number: u32) -> [u8; 4] {
            match self.big_endian {
                true => number.to_be_bytes(),
                false => number.to_le_bytes(),
            }
        }

        fn u16(self, number: u16) -> [u8; 2] {
            match self.big_endian {
                true => number.to_be_bytes(),
                false => number.to_le_bytes(),
            }
        }

        /// A file of frames, each with its length on the wire.
        pub(in crate::cli) fn file(self, link: u16, frames: &[(Vec<u8>, u32)]) -> Vec<u8> {
            match self.blocks {
                true => self.pcapng(link, frames),
                false => self.pcap(link, frames),
            }
        }

        fn pcap(self, link: u16, frames: &[(Vec<u8>, u32)]) -> Vec<u8> {
            let magic = if self.nanoseconds {
                0xa1b2_3c4d
            } else {
                0xa1b2_c3d4
            };
            let mut file = self.u32(magic).to_vec();
            file.extend([self.u16(2), self.u16(4)].concat());
            for number in [0, 0, 262_144, u32::from(link)] {
                file.extend(self.u32(number));
            }
            for (frame, length) in frames {
                for number in [1_700_000_000, 7, frame.len() as u32, *length] {
                    file.extend(self.u32(number));
                }
                file.extend(frame);
            }
            file
        }

        fn block(self, kind: u32, mut body: Vec<u8>) -> Vec<u8> {
            body.resize(body.len().next_multiple_of(4), 0);
            let length = self.u32(body.len() as u32 + 12);
            [&self.u32(kind)[..], &length, &body, &length].concat()
        }

        fn pcapng(self, link: u16, frames: &[(Vec<u8>, u32)]) -> Vec<u8> {
            let version = [self.u16(1), self.u16(0)].concat();
            let section = [&self.u32(0x1a2b_3c4d)[..], &version, &[0xff; 8]].concat();
            let mut file = self.block(0x0a0d_0d0a, section);
            let mut interface = [self.u16(link), self.u16(0)].concat();
            interface.extend(self.u32(262_144));
            if self.nanoseconds {
                // if_tsresol: 10^-9; then the end of the options.
                interface.extend([&self.u16(9)[..], &self.u16(1), &[9, 0, 0, 0], &[0; 4]].concat());
            }
            file.extend(self.block(1, interface));
            // A comment, which no reader needs: a block of a type of its own.
            file.extend(self.block(0x0bad, b"whatever".to_vec()));
            for (at, (frame, length)) in frames.iter().enumerate() {
                let body = match at {
                    // The short form, for a frame that is all there.
                    0 if frame.len() as u32 == *length => {
                        let block = [&self.u32(*length)[..], frame].concat();
                        file.extend(self.block(3, block));
                        continue;
                    }
                    _ => [0, 0, 7, frame.len() as u32, *length].map(|number| self.u32(number)),
                };
                file.extend(self.block(6, [&body.concat()[..], frame].concat()));
            }
            file
        }
    }

    /// An IP packet of TCP or UDP with so much payload.
    pub(in crate::cli) fn packet(
        from: (&str, u16),
        to: (&str, u16),
        protocol: u8,
        payload: usize,
    ) -> Vec<u8> {
        let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
        let mut segment = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
        match protocol {
            6 => segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]),
            _ => segment.extend([(8 + payload as u16).to_be_bytes(), [0; 2]].concat()),
        }
        segment.resize(segment.len() + payload, 0);
        let length = segment.len() as u16;
        match (address(from.0), address(to.0)) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut packet = vec![0x45, 0];
                packet.extend((20 + length).to_be_bytes());
                packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
                packet.extend([from.octets(), to.octets()].concat());
                [packet, segment].concat()
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut packet = vec![0x60, 0, 0, 0];
                packet.extend(length.to_be_bytes());
                packet.extend([protocol, 64]);
                packet.extend([from.octets(), to.octets()].concat());
                [packet, segment].concat()
            }
            other => panic!("two families: {other:?}"),
        }
    }

    /// It behind an Ethernet header with so many tags.
    pub(in crate::cli) fn ethernet(packet: &[u8], tags: usize) -> Vec<u8> {
        let ethertype: [u8; 2] = if packet[0] >> 4 == 4 {
            [8, 0]
        } else {
            [0x86, 0xdd]
        };
        let mut frame = vec![2; 12];
        for tag in [[0x88, 0xa8, 0, 5], [0x81, 0, 0, 7]]
            .iter()
            .rev()
            .take(tags)
            .rev()
        {
            frame.extend(tag);
        }
        frame.extend(ethertype);
        frame.extend(packet);
        frame
    }

    /// It behind what Linux writes.
    pub(in crate::cli) fn cooked(packet: &[u8], newer: bool) -> Vec<u8> {
        let ethertype: [u8; 2] = if packet[0] >> 4 == 4 {
            [8, 0]
        } else {
            [0x86, 0xdd]
        };
        let header = match newer {
            true => [&ethertype[..], &[0; 18]].concat(),
            false => [&[0; 14][..], &ethertype].concat(),
        };
        [&header[..], packet].concat()
    }

    /// A frame as a whole.
    pub(in crate::cli) fn whole(frame: Vec<u8>) -> (Vec<u8>, u32) {
        let length = frame.len() as u32;
        (frame, length)
    }

    /// A little of everything, to the services of the fixed daemon.
    pub(in crate::cli) fn day() -> Vec<u8> {
        let shop = ("203.0.113.10", 443);
        let mut frames = Vec::new();
        for (client, port, payload) in [
            ("198.51.100.7", 40_000, 0),
            ("198.51.100.7", 40_000, 500),
            ("198.51.100.7", 40_001, 1_000),
            ("198.51.100.9", 40_000, 10),
            ("192.0.2.4", 40_000, 200),
            ("192.0.2.5", 40_000, 300),
        ] {
            let packet = packet((client, port), shop, 6, payload);
            frames.push(whole(ethernet(&packet, usize::from(port) % 3)));
        }
        let to_none = packet(("198.51.100.7", 53), ("192.0.2.53", 53), 17, 9);
        frames.push(whole(ethernet(&to_none, 0)));
        let mut later = packet(("192.0.2.4", 1), shop, 6, 8);
        later[6..8].copy_from_slice(&[0, 100]);
        frames.push(whole(ethernet(&later, 0)));
        let short = ethernet(&packet(("192.0.2.4", 1), shop, 6, 8), 0);
        frames.push((short[..40].to_vec(), short.len() as u32));
        let form = Form {
            big_endian: false,
            nanoseconds: false,
            blocks: false,
        };
        form.file(1, &frames)
    }
}

use captures::{Form, cooked, ethernet, packet, whole};

const CLIENT: (&str, u16) = ("198.51.100.7", 40_000);
const CLIENT_V6: (&str, u16) = ("2001:db8::7", 40_001);
const VIP: (&str, u16) = ("203.0.113.10", 443);
const VIP_V6: (&str, u16) = ("2001:db8::10", 443);

/// Gives what it has in small pieces, as a pipe may.
struct Pieces<R>(R, usize);

impl<R: Read> Read for Pieces<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.1);
        self.0.read(&mut into[..most])
    }
}

fn open(file: Vec<u8>, piece: usize) -> anyhow::Result<Source> {
    let from = Pieces(io::Cursor::new(file), piece);
    Source::of("day.pcap".to_owned(), Box::new(from))
}

/// Without what a SYN shows, of which `devices` has tests.
fn bare(mut seen: Seen) -> Seen {
    if let Seen::Flow { syn, .. } = &mut seen {
        *syn = None;
    }
    seen
}

fn read(file: Vec<u8>, piece: usize) -> Result<Vec<Seen>, String> {
    let source = open(file, piece).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    let count = each_frame(&source.name, source.kind, source.reader, |seen| {
        found.push(bare(seen));
        Ok(())
    });
    let count = count.map_err(|error| error.to_string())?;
    assert_eq!(count, found.len() as u64);
    Ok(found)
}

fn flow(from: (&str, u16), to: (&str, u16), protocol: Protocol, bytes: u64) -> Seen {
    Seen::Flow {
        syn: None,
        client: from.0.parse().expect("an address"),
        client_port: from.1,
        to: to.0.parse().expect("an address"),
        port: to.1,
        protocol,
        bytes,
    }
}

#[test]
fn captures_of_every_form_say_the_same() {
    let four = packet(CLIENT, VIP, 6, 1_000);
    let six = packet(CLIENT_V6, VIP_V6, 17, 3);
    // As much of it as `tcpdump -s 96` keeps.
    let cut = ethernet(&four, 0)[..96].to_vec();
    let frames = [
        whole(ethernet(&four, 0)),
        whole(ethernet(&six, 2)),
        (cut, 14 + 1_040),
    ];
    let expected = [
        flow(CLIENT, VIP, Protocol::Tcp, 1_040),
        flow(CLIENT_V6, VIP_V6, Protocol::Udp, 51),
        flow(CLIENT, VIP, Protocol::Tcp, 1_040),
    ];
    for form in Form::all() {
        for piece in [1, 7, 1_000_000] {
            let found = read(form.file(1, &frames), piece);
            assert_eq!(found.as_deref(), Ok(&expected[..]), "{form:?}");
        }
    }
}

#[test]
fn a_capture_may_be_longer_than_what_is_held() {
    let frame = ethernet(&packet(CLIENT, VIP, 6, 60_000), 0);
    let frames = vec![whole(frame); 20];
    for form in Form::all() {
        assert_eq!(
            read(form.file(1, &frames), 10_000).map(|all| all.len()),
            Ok(20)
        );
    }
    // One block that is longer, of a type that says nothing.
    let long = ethernet(&[vec![0x45], vec![0; 400_000]].concat(), 0);
    let form = Form {
        big_endian: true,
        nanoseconds: false,
        blocks: true,
    };
    let found = read(form.file(1, &[whole(long), frames[0].clone()]), 10_000);
    assert_eq!(found.map(|all| all.len()), Ok(2));
}

#[test]
fn frames_are_read_behind_each_link_layer() {
    let four = packet(CLIENT, VIP, 6, 20);
    let six = packet(CLIENT_V6, VIP_V6, 6, 20);
    let told = [
        flow(CLIENT, VIP, Protocol::Tcp, 60),
        flow(CLIENT_V6, VIP_V6, Protocol::Tcp, 80),
    ];
    for (packet, told) in [&four, &six].into_iter().zip(told) {
        let cases = [
            (1, ethernet(packet, 0)),
            (1, ethernet(packet, 1)),
            (1, ethernet(packet, 2)),
            (0x2400_0001, ethernet(packet, 0)),
            (101, packet.clone()),
            (228, packet.clone()),
            (113, cooked(packet, false)),
            (276, cooked(packet, true)),
        ];
        for (number, frame) in cases {
            let link = Link::of(number).expect("known");
            let whole = seen(link, &frame, frame.len());
            assert!(
                matches!(whole, Seen::Flow { syn: Some(_), .. }),
                "{whole:?}"
            );
            assert_eq!(bare(whole), told, "{number}");
            for length in 0..frame.len() {
                // Whatever is cut is never something else.
                let cut = bare(seen(link, &frame[..length], frame.len()));
                assert!(!matches!(cut, Seen::Flow { .. }) || cut == told, "{cut:?}");
                let cut = seen(link, &frame[..length], length);
                assert!(!matches!(cut, Seen::Flow { .. }), "{cut:?}");
            }
        }
    }
    assert!(
        Link::of(127)
            .expect_err("foreign")
            .contains("link type 127")
    );
    let to: std::net::IpAddr = VIP.0.parse().expect("an address");
    let mut later = four.clone();
    later[6..8].copy_from_slice(&[0, 100]);
    assert_eq!(seen(Link::Ip, &later, later.len()), Seen::Later { to });
    let mut icmp = four.clone();
    icmp[9] = 1;
    assert_eq!(seen(Link::Ip, &icmp, icmp.len()), Seen::Other);
    let arp = [&[2; 12][..], &[8, 6], &[0; 28]].concat();
    assert_eq!(seen(Link::Ethernet, &arp, arp.len()), Seen::Other);
}

#[test]
fn what_is_no_capture_or_breaks_off_is_told() {
    let frames = [whole(ethernet(&packet(CLIENT, VIP, 6, 100), 0))];
    for form in Form::all() {
        let file = form.file(1, &frames);
        let header = if form.blocks { 28 } else { 24 };
        for length in 4..file.len() {
            match read(file[..length].to_vec(), 1_000_000) {
                // No frame has begun.
                Ok(found) => assert!(found.is_empty() && length >= header, "{form:?} {length}"),
                Err(told) => assert!(told.contains("breaks off"), "{form:?} {length}: {told}"),
            }
        }
        assert_eq!(read(file, 1_000_000).map(|all| all.len()), Ok(1));
        let told = read(form.file(127, &frames), 1_000_000).expect_err("foreign");
        assert!(told.contains("frames of link type 127"), "{told}");
    }
    let magic = [0xa1, 0xb2, 0xc3, 0xd4];
    assert!(read(magic.to_vec(), 9).is_err());
    assert!(read([&magic[..], &[7; 200]].concat(), 9).is_err());
    assert!(read([&[0x0a, 0x0d, 0x0d, 0x0a][..], &[7; 200]].concat(), 9).is_err());
    for begin in [&[0x1f, 0x8b, 8][..], &[0x28, 0xb5, 0x2f, 0xfd], b"\xfd7zXZ"] {
        let told = open(begin.to_vec(), 9)
            .err()
            .expect("compressed")
            .to_string();
        assert!(told.contains("unpack it first"), "{told}");
    }
    let kind = |text: &[u8]| open(text.to_vec(), 1).expect("opened").kind;
    assert_eq!([kind(b""), kind(b"10.0.0.1\n")], [Kind::List; 2]);
}
