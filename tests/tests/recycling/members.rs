//! Lines of the table of members, which the daemon gives to other addresses while programs read them.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use splitter_common::{
    address::Address,
    cohort::{self, MemberRow, Membership},
};
use splitter_user::model::Limits;

use crate::lab::{Lab, Packet, config, frame};

const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const STABLE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 10);
/// The one backend that members have, which takes nobody.
const GONE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 11);
/// Who is a member all the time, and who comes and goes; twelve others never are.
const STAY: u8 = 20;
const COME_AND_GO: u8 = 20;
const OTHERS: u8 = 12;
/// How often a packet of a member is decided in a row.
const TIMES: u32 = 20_000;
/// How often each thread has all packets go by, at the least, and how often rows change.
const ROUNDS: u64 = 60;
const CHANGES: u32 = 200_000;
/// Generous: it takes seconds.
const LIMIT: Duration = Duration::from_secs(120);

fn client(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 100, 0, number)
}

/// A member of the cohort that is asked for, behind so many others.
fn member(number: u8, others: u32) -> (Address, MemberRow) {
    let address = Address::from(IpAddr::V4(client(number)));
    let of = |name| Membership {
        cohort: cohort::number(name),
        until: 0,
    };
    let others = ["one", "two", "three"].into_iter().take(others as usize);
    let memberships: Vec<_> = others.chain(["beta"]).map(of).collect();
    (address, MemberRow::new(address, &memberships))
}

/// Those of members are dropped and leave no flow, so that each time is decided anew; taken for
/// somebody else's one would get another destination.
fn packets() -> Vec<Packet> {
    let others = STAY + COME_AND_GO..STAY + COME_AND_GO + OTHERS;
    let packet = |number: u8| {
        let (address, member) = (client(number), number < STAY);
        Packet {
            frame: frame(&format!("{address}:40000 > {VIP}:80 tcp SYN")),
            times: if member { TIMES } else { 1 },
            may_go: Box::new(move |source, destination| {
                source == address && destination == if member { VIP } else { STABLE }
            }),
        }
    };
    (0..STAY).chain(others).map(packet).collect()
}

/// Members' rows change all the time, and others come and go, in lines and beside them: who is a member
/// stays one, and nobody else becomes one.
fn who_is_a_member_is_found(room: u32) {
    let mut lab = Lab::with(
        "members",
        Limits {
            flows: 1_024,
            pending: 1_024,
            cohort_members: room,
            ..Limits::default()
        },
    );
    let mut config = config(&format!(
        "[service.shop]\nvips = [\"{VIP}:80/tcp\"]\n\
         version.stable = {{ baseline = true, backends = [\"{STABLE}:80\"] }}\n\
         version.canary = {{ weight = \"0%\", backends = [\"{GONE}:80\"], on_empty = \"drop\" }}\n\
         [[service.shop.segment]]\nname = \"beta\"\nmatch = {{ cohort = \"beta\" }}\n\
         weight = {{ canary = \"100%\" }}\n"
    ));
    for backend in &mut config.services[0].versions[1].backends {
        (backend.weight, backend.leaving) = (0, true);
    }
    lab.commit(&config);
    let members = lab.plane.members();
    let stay: Vec<_> = (0..STAY).map(|number| member(number, 0)).collect();
    members.put(&stay).expect("room");
    lab.under_traffic(&packets(), |_, traffic| {
        let begin = Instant::now();
        let mut changes = 0_u32;
        while traffic.rounds() < ROUNDS || changes < CHANGES {
            assert!(begin.elapsed() < LIMIT, "{changes}, {}", traffic.rounds());
            let comes = STAY + (changes % u32::from(COME_AND_GO)) as u8;
            let stays = (changes % u32::from(STAY)) as u8;
            let others = (changes / u32::from(STAY)) % 4;
            if (changes / u32::from(COME_AND_GO)).is_multiple_of(2) {
                members.put(&[member(comes, others)]).expect("room");
            } else {
                members.remove(&[member(comes, 0).0]).expect("removed");
            }
            members.put(&[member(stays, others)]).expect("room");
            changes += 1;
        }
    });
    let count = members.count().expect("counted");
    assert!(
        (u64::from(STAY)..=u64::from(STAY + COME_AND_GO)).contains(&count),
        "{count}"
    );
}

/// Two homes and nine lines in all: most members stand beside them, and lines are taken again at once.
#[test]
fn a_member_stays_one_where_most_stand_beside_the_lines() {
    who_is_a_member_is_found(1);
}

/// Thirty-eight homes for forty members: most stand in lines, and go from one to another.
#[test]
fn a_member_stays_one_where_most_stand_in_lines() {
    who_is_a_member_is_found(25);
}
