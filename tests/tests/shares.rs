//! The true share lies inside what is told, with four million clients on a small table and under a flood
//! of forged SYNs: through the real program, by the driver of the bench. Needs root.

use splitter_tests::bench::{
    built_object,
    crowd::{Crowd, Told, WEIGHT},
};
use splitter_user::judge::share::Share;

/// Room for established flows.
const TABLE: u32 = 65_536;
/// Answered flows of 4,096 clients, 32 each: twice as many as there is room for.
const ANSWERED: u32 = 131_072;
const CLIENTS: u32 = 4_000_000;

fn holds(share: Share, what: &str, told: &Told) {
    assert!(
        share.low <= WEIGHT && WEIGHT <= share.high,
        "{what}: {told:?}"
    );
}

#[test]
fn four_million_clients_on_a_small_table_have_the_share_that_is_told() {
    let object = built_object();
    let mut crowd = Crowd::new(&object, TABLE, ANSWERED).expect("a crowd");
    crowd.answered(ANSWERED).expect("answered");
    let told = crowd.told().expect("told");
    holds(told.clients, "clients", &told);
    holds(told.flows, "flows", &told);
    assert_eq!(told.all_flows, u64::from(ANSWERED));
    // 32 flows of a client say as much as one, and the table has half of them.
    let like = told.spread.clients();
    assert!((2_000.0..4_200.0).contains(&like), "{told:?}");

    crowd.flood(CLIENTS).expect("flooded");
    let told = crowd.told().expect("told");
    holds(told.clients, "clients", &told);
    holds(told.flows, "flows", &told);
    assert_eq!(told.all_flows, u64::from(ANSWERED + CLIENTS));
    // Of clients beyond the bits for them the events are lost, and the share stays right.
    assert!(told.all_clients > 500_000, "{told:?}");
    let width = |share: Share| share.high - share.low;
    assert!(width(told.clients) < 0.003, "{told:?}");
    assert!(width(told.flows) < 0.03, "{told:?}");
}
