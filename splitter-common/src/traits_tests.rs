extern crate std;
use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const HZ: u64 = 250;
const ASKS: TraitsRow = TraitsRow {
    latch_s: 60,
    half_window_s: 600,
    normal_from: 2,
    heavy_from: 4,
    ..TraitsRow::NONE
};

fn key(client: u64) -> ClientKey {
    ClientKey {
        client: crate::address::Address([0, client]),
        service: 3,
    }
}

/// So many seconds behind the beginning of a half window, long after the boot.
fn at(seconds: u64) -> (Jiffies, u64) {
    (Jiffies((600 * 7_000_000 + seconds) * HZ), HZ)
}

#[test]
fn traits_are_packed_and_say_whether_they_were_asked_for() {
    for device in 0..16 {
        for activity in Activity::ALL {
            let traits = Traits::new(device, activity as u8);
            assert_eq!(traits.device(), usize::from(device));
            assert_eq!(traits.activity(), activity as usize);
            assert_eq!(traits.is_asked(), 1);
        }
    }
    assert_eq!(Traits::NONE.is_asked(), 0);
}

#[test]
fn what_was_found_stands_for_its_time_and_not_a_jiffy_longer() {
    let found = Traits::new(5, Activity::New as u8);
    let row = ClientRow::default().after(&ASKS, &key(1), found, at(0));
    let asked = |now: (Jiffies, u64)| row.traits(&ASKS, &key(1), 9, now);
    assert_eq!(asked(at(0)), found);
    assert_eq!(asked(at(59)), found);
    let last = (Jiffies(at(60).0.0 - 1), HZ);
    assert_eq!(asked(last), found);
    assert_eq!(row.left(&ASKS, &key(1), last), Some(1));
    assert_eq!(asked(at(60)), Traits::new(9, Activity::Light as u8));
    assert_eq!(row.left(&ASKS, &key(1), at(60)), None);
    // Jiffies' low half has gone round once, and half of it.
    for jiffies in [1u64 << 32, 1 << 31, (1 << 31) + 60 * HZ] {
        let later = (Jiffies(at(61).0.0 + jiffies), HZ);
        assert_eq!(asked(later).device(), 9, "{jiffies}");
    }
    // A flow that is answered meanwhile makes it stand no longer, nor otherwise.
    let other = Traits::new(7, Activity::Heavy as u8);
    let again = row.after(&ASKS, &key(1), other, at(30));
    assert_eq!(again.latched, row.latched);
    assert_eq!(again.flows_in_window(&ASKS, at(30)), 2);
}

#[test]
fn a_row_that_went_to_another_client_says_nothing_of_either() {
    let found = Traits::new(5, Activity::Heavy as u8);
    let row = ClientRow::default().after(&ASKS, &key(1), found, at(0));
    for other in 2..1_000 {
        if tag(&key(other)) != tag(&key(1)) {
            assert_eq!(row.traits(&ASKS, &key(other), 9, at(1)).device(), 9);
            return;
        }
    }
    panic!("all tags are the same");
}

#[test]
fn an_unused_row_is_nobodys_whatever_the_time() {
    for seconds in [0, 17_179_869, 17_179_868, 17_179_860] {
        let now = (Jiffies(seconds * HZ), HZ);
        let traits = ClientRow::default().traits(&ASKS, &key(1), 2, now);
        assert_eq!(traits, Traits::new(2, Activity::New as u8), "{seconds}");
    }
}

#[test]
fn counts_stay_where_they_are_full() {
    let mut row = ClientRow::default();
    for _ in 0..70_000 {
        row = row.after(&ASKS, &key(1), Traits::new(0, 0), at(0));
    }
    assert_eq!(row.flows_in_window(&ASKS, at(0)), 65_535);
    assert_eq!(row.flows_in_window(&ASKS, at(600)), 65_535);
    let row = row.after(&ASKS, &key(1), Traits::new(0, 0), at(600));
    assert_eq!(row.flows_in_window(&ASKS, at(600)), 65_536);
}

proptest! {
    #[test]
    fn activity_is_by_the_flows_of_two_half_windows(
        mut times in proptest::collection::vec(0..4_000u64, 0..12),
        after in 0..2_000u64,
    ) {
        times.sort_unstable();
        let now = times.last().copied().unwrap_or(0) + after;
        let row = times.iter().fold(ClientRow::default(), |row, time| {
            row.after(&ASKS, &key(1), Traits::new(0, 0), at(*time))
        });
        let half = |time: u64| time / 600;
        let counted: Vec<&u64> = times.iter().filter(|time| half(**time) + 1 >= half(now)).collect();
        prop_assert_eq!(row.flows_in_window(&ASKS, at(now)) as usize, counted.len());
        let expected = match counted.len() {
            0 => Activity::New,
            1 => Activity::Light,
            2 | 3 => Activity::Normal,
            _ => Activity::Heavy,
        };
        let stranger = ClientRow { latched: 0, ..row };
        let traits = stranger.traits(&ASKS, &key(1), 0, at(now));
        prop_assert_eq!(traits.activity(), expected as usize);
    }
}
