//! Tests of what `devices` prints.

use super::*;
use crate::api::types::DeviceRuleLine;
use crate::model::{TcpOption, signature};

fn list() -> DeviceList {
    let parse = |word| TcpOption::parse(word).expect("an option");
    let rule = DeviceRule {
        class: "linux-like".to_owned(),
        ttl: Some(64),
        options: Some("mss sack ts nop ws".split(' ').map(parse).collect()),
        window: None,
        mss: None,
        window_scale: None,
    };
    let line = DeviceRuleLine {
        rule,
        built_in: true,
        asked_by: vec!["shop/desks".to_owned()],
    };
    DeviceList { rules: vec![line] }
}

fn syn(client: &str, options: &[u8], window: u16) -> Seen {
    let mut tcp = vec![0; 20];
    tcp[12] = ((5 + options.len() / 4) << 4) as u8;
    tcp[14..16].copy_from_slice(&window.to_be_bytes());
    tcp.extend(options);
    Seen::Flow {
        client: client.parse().expect("an address"),
        client_port: 1,
        to: client.parse().expect("an address"),
        port: 443,
        protocol: crate::model::Protocol::Tcp,
        bytes: 60,
        syn: signature(55, &tcp),
    }
}

#[test]
fn rules_are_told_as_they_are_asked() {
    assert_eq!(
        rules(&list()),
        "\x20 CLASS       RULE                                FROM      ASKED FOR BY\n  \
         linux-like  ttl 64, options mss sack ts nop ws  built in  shop/desks\n"
    );
}

#[test]
fn syns_are_told_with_their_classes_and_a_rule_for_the_unknown() {
    let mut looks = Looks::new(&list()).expect("rules");
    let linux = |time: u8| {
        [
            2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, time, 0, 0, 0, 0, 1, 3, 3, 7,
        ]
    };
    for (client, time) in [("192.0.2.1", 1), ("192.0.2.1", 2), ("192.0.2.2", 3)] {
        looks.take(&syn(client, &linux(time), 64_240));
    }
    looks.take(&syn("2001:db8::1", &[2, 4, 5, 160, 1, 1, 4, 2], 8_192));
    looks.take(&Seen::Other);
    assert_eq!(
        syns(&looks.told()),
        "\x20 CLASS       SYNS CLIENTS SHOWS\n  \
         linux-like     3       2 ttl 64, options mss sack ts nop ws, window 64240\n  \
         unknown        1       1 ttl 64, options mss nop nop sack, window 8192\n\n\
         A rule for the first that no rule knows; leave out what need not be so:\n\n\
         [[device]]\nclass = \"NAME\"\nttl = 64\noptions = \"mss nop nop sack\"\nwindow = 8192\n"
    );
    assert_eq!(
        syns(&Looks::new(&list()).expect("rules").told()),
        "no SYN in the capture\n"
    );
}
