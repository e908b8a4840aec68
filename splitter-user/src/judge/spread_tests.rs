use super::*;
use crate::judge::{random::Random, share};

const WEIGHT: f64 = 0.05;
const RUNS: u64 = 300;
/// Nominal 99 %.
const AT_LEAST: usize = 291;

/// A client of the simulation.
struct Client {
    flows: u64,
    bytes: u64,
    own: bool,
}

/// Clients whose flows, and bytes of a flow, are Pareto-distributed: no variance is finite.
fn clients(random: &mut Random, count: usize, exponent: f64) -> Vec<Client> {
    let clients = (0..count).map(|_| {
        let flows = random.pareto(exponent, 20_000.0) as u64;
        Client {
            flows,
            bytes: (flows as f64 * random.pareto(1.3, 1e6)) as u64,
            own: random.unit() < WEIGHT,
        }
    });
    clients.collect()
}

/// A sample of about `part` of all flows, of which one in twenty was not answered.
fn sample(random: &mut Random, clients: &[Client], part: f64) -> Vec<Seen> {
    let seen = clients.iter().map(|client| {
        let mut seen = Seen::default();
        for _ in 0..client.flows {
            if random.unit() < part {
                if random.unit() < 0.05 {
                    seen.unanswered += 1;
                } else {
                    seen.answered += 1;
                }
            }
        }
        seen
    });
    seen.collect()
}

fn holds(share: Option<Share>) -> bool {
    let share = share.expect("counted");
    share.low <= WEIGHT && WEIGHT <= share.high
}

#[test]
fn flows_of_few_heavy_clients_have_an_interval_that_holds_the_weight() {
    for (exponent, count, widest) in [(1.2, 2_000, 0.5), (1.6, 5_000, 0.2)] {
        let (mut held, mut naive, mut widths) = (0, 0, Vec::new());
        for seed in 0..RUNS {
            let mut random = Random(seed);
            let clients = clients(&mut random, count, exponent);
            let seen = sample(&mut random, &clients, 0.3);
            let all = clients.iter().map(|client| client.flows).sum();
            let own = clients.iter().filter(|client| client.own);
            let own = own.map(|client| client.flows).sum();
            let spread = Spread::of_flows(seen.iter(), 0.95).expect("seen");
            let told = interval(own, all, spread).expect("counted");
            widths.push(told.high - told.low);
            held += usize::from(holds(Some(told)));
            naive += usize::from(holds(share::share(own, all)));
        }
        assert!(held >= AT_LEAST, "{held} at {exponent}");
        // As if every flow had drawn for itself.
        assert!(naive < RUNS as usize * 3 / 4, "{naive} at {exponent}");
        widths.sort_by(f64::total_cmp);
        let median = widths[widths.len() / 2];
        assert!(median < widest, "{median} at {exponent}");
    }
}

/// Two looks at a part of the table each, one part after the other: each has what its clients' open flows
/// brought; what others brought was seen by none.
#[test]
fn bytes_have_an_interval_that_holds_the_weight() {
    const LOOKS: u64 = 12;
    for parts in [1, 4] {
        let mut held = 0;
        for seed in 0..RUNS {
            let mut random = Random(seed ^ 0x5eed);
            let clients = clients(&mut random, 500, 1.2);
            let flows = sample(&mut random, &clients, 0.3);
            let places: Vec<(u64, bool)> = clients
                .iter()
                .map(|_| ((random.unit() * parts as f64) as u64, random.unit() < 0.8))
                .collect();
            let all: u64 = clients.iter().map(|client| client.bytes).sum();
            let mut mean = Mean::default();
            for look in 0..LOOKS {
                let clients = clients.iter().zip(&places);
                let seen: Vec<Seen> = flows
                    .iter()
                    .zip(clients)
                    .map(|(flows, (client, (place, open)))| Seen {
                        bytes: match *open && *place == look % parts {
                            true => client.bytes / LOOKS,
                            false => 0,
                        },
                        ..*flows
                    })
                    .collect();
                let part = 1.0 / parts as f64;
                let spread = Spread::of_bytes(seen.iter(), 0.95, part, all / LOOKS);
                mean.add(spread.expect("seen"), all / LOOKS);
            }
            let own = clients.iter().filter(|client| client.own);
            let own = own.map(|client| client.bytes).sum();
            let spread = mean.spread().expect("something came");
            held += usize::from(holds(interval(own, all, spread)));
        }
        assert!(held >= AT_LEAST, "{held} in {parts} parts");
    }
}

#[test]
fn one_flow_of_each_client_is_as_good_as_clients() {
    let seen = vec![
        Seen {
            answered: 1,
            ..Seen::default()
        };
        65_536
    ];
    let spread = Spread::of_flows(seen.iter(), 1.0).expect("seen");
    assert!((spread.clients() - 65_536.0).abs() < 1.0, "{spread:?}");
    let flows = interval(200_000, 4_000_000, spread).expect("counted");
    assert!(flows.low > 0.045 && flows.high < 0.055, "{flows:?}");
    let worst = Spread::at_worst(4_000_000, 4_000_000).expect("counted");
    assert!((worst.clients() - 4e6).abs() < 1.0, "{worst:?}");
    assert_eq!(spread.least(Some(worst)), worst);
    assert_eq!(worst.least(Some(spread)), worst);
    assert_eq!(worst.least(None), worst);
}

#[test]
fn one_client_with_everything_says_nothing() {
    let one = Seen {
        answered: 9_000,
        unanswered: 0,
        bytes: 1 << 40,
    };
    let all = Share {
        share: 1.0,
        low: 0.0,
        high: 1.0,
    };
    let spreads = [
        Spread::of_flows([one].iter(), 1.0),
        Spread::of_bytes([one].iter(), 1.0, 1.0, 1 << 40),
        // What nobody saw may be one client's.
        Spread::of_flows([one, one].iter(), 0.0),
        Spread::at_worst(9_000, 1),
    ];
    for spread in spreads {
        let told = interval(9_000, 9_000, spread.expect("seen")).expect("counted");
        assert_eq!(told, all);
    }
    assert_eq!(Spread::of_flows([].iter(), 1.0), None);
    assert_eq!(Spread::of_flows([Seen::default()].iter(), 1.0), None);
    assert_eq!(Spread::of_bytes([].iter(), 1.0, 1.0, 9), None);
    assert_eq!(Spread::at_worst(0, 0), None);
    assert_eq!(interval(0, 0, spreads[0].expect("seen")), None);
}

#[test]
fn a_mean_over_times_goes_by_what_came() {
    let mut mean = Mean::default();
    assert_eq!(mean.spread(), None);
    let spread = |squares| Spread {
        squares,
        largest: squares,
    };
    mean.add(spread(0.1), 300);
    mean.add(spread(0.5), 100);
    let told = mean.spread().expect("something came");
    assert!((told.squares - 0.2).abs() < 1e-12, "{told:?}");
}
