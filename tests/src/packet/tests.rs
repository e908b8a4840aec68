use std::net::SocketAddr;

use proptest::prelude::*;

use super::{build::checksum, *};

fn plain(text: &str) -> Result<(IpAddr, u16)> {
    let address: SocketAddr = text.parse()?;
    Ok((address.ip(), address.port()))
}

fn frame(line: &str) -> Frame {
    Frame::parse(line, plain).expect(line)
}

/// The IPv4 header of the worked example that text books print: checksum 0xb861.
#[test]
fn the_checksum_is_the_one_of_the_example() {
    let header = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0x00, 0x01,
        0xc0, 0xa8, 0x00, 0xc7,
    ];
    assert_eq!(checksum(&header), 0xb861);
}

#[test]
fn lines_become_frames_of_the_right_length() {
    for (line, length) in [
        ("10.0.0.1:1 > 10.0.0.2:2 tcp SYN", 54),
        (
            "10.0.0.1:1 > 10.0.0.2:2 tcp SYN opts 2 tcpopts 1 data 3",
            69,
        ),
        ("10.0.0.1:1 > 10.0.0.2:2 udp data 1", 43),
        ("10.0.0.1:1 > 10.0.0.2:2 udp data 1 pad 17", 60),
        ("10.0.0.1:0 > 10.0.0.2:0 arp", 42),
        ("[fd00::1]:1 > [fd00::2]:2 udp ext hop", 70),
        ("[fd00::1]:1 > [fd00::2]:2 tcp ACK frag 0+", 82),
        ("10.0.0.1:1 > 10.0.0.2:2 tcp SYN vlan 7", 58),
        ("10.0.0.1:1 > 10.0.0.2:2 tcp SYN cut 40", 40),
    ] {
        assert_eq!(frame(line).bytes().len(), length, "{line}");
    }
}

#[test]
fn mistakes_in_a_line_are_refused() {
    for line in [
        "10.0.0.1:1 > 10.0.0.2:2 tcp SIN",
        "10.0.0.1:1 > 10.0.0.2:2 tcp SYN ttl 300",
        "10.0.0.1:1 > 10.0.0.2:2 tcp SYN seq",
        "10.0.0.1:1 > 10.0.0.2:2 udp csum 7",
        "10.0.0.1:1 > 10.0.0.2:2 udp frag 8192",
        "10.0.0.1:1 > 10.0.0.2:2 udp eth 02:00>02:01",
        "10.0.0.1:1 > [fd00::2]:2 udp",
        "10.0.0.1:1 10.0.0.2:2 udp",
    ] {
        assert!(Frame::parse(line, plain).is_err(), "{line}");
    }
}

/// Every byte of these frames is covered by a checksum or by a word of the language, so a frame
/// that was changed anywhere is never taken for a right one that reads the same.
#[test]
fn a_changed_byte_is_a_fault_or_another_description() {
    for line in [
        "10.0.0.1:1 > 10.0.0.2:2 tcp ACK,PSH seq 7 ack 9 ttl 64 tcpopts 1 data 3",
        "10.0.0.1:1 > 10.0.0.2:2 udp ttl 64 data 5",
        "[fd00::1]:1 > [fd00::2]:2 tcp SYN seq 7 ack 0 ttl 64",
        "[fd00::1]:1 > [fd00::2]:2 udp ttl 64 data 4",
        "[fd00::1]:1 > [fd00::2]:2 udp ttl 64 data 4 frag 0+ udplen 99",
        "10.0.0.1:1 > 10.0.0.2:2 udp ttl 64 data 4 frag 3 id 7",
    ] {
        let bytes = frame(line).bytes();
        assert_eq!(faults(&bytes), Vec::<String>::new(), "{line}");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x11;
            let same = read(&changed).is_some_and(|frame| frame.to_string() == line);
            assert!(!same || !faults(&changed).is_empty(), "{line}: byte {at}");
        }
    }
}

#[test]
fn faults_are_named() {
    let mut bytes = frame("10.0.0.1:1 > 10.0.0.2:2 udp data 2").bytes();
    bytes[40] ^= 0xff;
    let [fault] = &faults(&bytes)[..] else {
        panic!("one field is wrong");
    };
    assert!(fault.starts_with("UDP checksum "), "{fault}");
    assert!(faults(&bytes[..20])[0].starts_with("it cannot be read"));
    let other = frame("10.0.0.1:1 > 10.0.0.2:2 udp data 2 ttl 63").bytes();
    let names = difference(&frame("10.0.0.1:1 > 10.0.0.2:2 udp data 2").bytes(), &other);
    assert_eq!(names[0], "time to live 3f instead of 40");
    assert!(names[1].starts_with("IP checksum "), "{names:?}");
}

fn lines() -> impl Strategy<Value = String> {
    let ends = prop_oneof![
        Just(("10.0.0.1:7", "203.0.113.10:80", "opts 3")),
        Just(("[fd64::1]:7", "[2001:db8::10]:80", "ext hop,dst/2")),
    ];
    let transport = prop_oneof![
        (any::<u8>(), any::<u32>(), any::<u32>(), 0..=10usize).prop_map(
            |(flags, seq, ack, options)| {
                let names: Vec<&str> = (0..8)
                    .filter(|bit| flags & 1 << bit != 0)
                    .map(|bit| FLAGS[bit])
                    .collect();
                let names = if flags == 0 {
                    "-".to_owned()
                } else {
                    names.join(",")
                };
                format!("tcp {names} seq {seq} ack {ack} tcpopts {options}")
            }
        ),
        Just("udp".to_owned()),
        Just("udp csum 0".to_owned()),
    ];
    let words = proptest::sample::subsequence(
        vec![
            "MORE",
            "vlan 9",
            "pad 6",
            "frag 185+",
            "eth 02:00:00:00:00:aa>02:00:00:00:00:bb",
        ],
        0..=5,
    );
    (ends, transport, words, 0..1_400u16, 0..=255u8).prop_map(
        |((source, destination, more), transport, words, data, ttl)| {
            let words = words.join(" ").replace("MORE", more);
            format!("{source} > {destination} {transport} {words} data {data} ttl {ttl}")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(0x5eed),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// What is built is read back as the same frame, printed as a line that builds it again.
    #[test]
    fn a_frame_survives_its_text(line in lines()) {
        let bytes = frame(&line).bytes();
        let read = read(&bytes).expect("it can be read");
        prop_assert_eq!(faults(&bytes), Vec::<String>::new());
        let printed = read.to_string();
        prop_assert_eq!(frame(&printed).bytes(), bytes, "{}", printed);
    }

    /// Reading never panics, whatever the bytes.
    #[test]
    fn any_bytes_can_be_looked_at(mut bytes: Vec<u8>, ethertype in 0..4usize) {
        if let Some(field) = bytes.get_mut(12..14) {
            field.copy_from_slice(&[ETHER_IPV4, ETHER_IPV6, ETHER_ARP, ETHER_VLAN][ethertype].to_be_bytes());
        }
        faults(&bytes);
    }

    /// A frame cut anywhere is either unreadable or a cut frame, never a whole one.
    #[test]
    fn a_cut_frame_is_not_whole(line in lines(), share in 0.0..1.0f64) {
        // Less padding is no cut.
        let bytes = frame(&line.replace("pad 6", "")).bytes();
        let cut = (bytes.len() as f64 * share) as usize;
        if let Some(read) = read(&bytes[..cut]) {
            prop_assert_eq!(read.cut, Some(cut));
        }
    }
}
