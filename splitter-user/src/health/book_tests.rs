//! Tests of what is known of backends.

use super::*;
use crate::config::parse_str;
use crate::health::serve;

const S: fn(u64) -> Duration = Duration::from_secs;

fn config(health: &str) -> Config {
    let text = format!(
        "[[interface]]\nname = \"eth0\"\n[service.shop]\nvips = [\"203.0.113.10:80/tcp\"]\n\
         health = {{ {health} }}\n[service.shop.version.stable]\nbaseline = true\n\
         backends = [\"10.0.0.1:80\", \"10.0.0.2:80\", \"10.0.0.3:80\"]\n"
    );
    parse_str("test.toml", &text).expect("a valid configuration")
}

fn report(last: u8, health: Health) -> Report {
    Report {
        key: Key {
            service: "shop".into(),
            backend: format!("10.0.0.{last}:80"),
        },
        health,
        error: (health == Health::Unhealthy).then(|| "refused".into()),
    }
}

const ACTIVE: fn(&Backend) -> AdminState = |_| AdminState::Active;

fn weights(book: &Book, service: &Service, now: Duration) -> Vec<u16> {
    let served = serve(service, None, |_, backend| {
        book.standing(service, backend, AdminState::Active, now)
    });
    let backends = served.service.versions[0].backends.iter();
    backends.map(|backend| backend.weight).collect()
}

#[test]
fn who_is_out_stays_out_over_a_restart() {
    let config = config("check = \"tcp\", passive = {}");
    let shop = &config.services[0];
    let mut book = Book::default();
    assert!(book.report(&report(1, Health::Healthy), "then"));
    assert!(book.report(&report(2, Health::Unhealthy), "then"));
    assert!(!book.report(&report(2, Health::Unhealthy), "later"));
    let third = &shop.versions[0].backends[2];
    let ejected = (0..10).find_map(|second| {
        let cells = Cells {
            begun: second * 100,
            ..Cells::default()
        };
        book.look(shop, &third.to_string(), cells, S(second), "then")
    });
    assert!(matches!(ejected, Some(Change::Ejected(_))), "{ejected:?}");
    // Two of three are out, which is more than half.
    assert_eq!(weights(&book, shop, S(9)), [1, 1, 1]);
    let records = book.records();
    assert_eq!(records["shop"].len(), 2, "{records:?}");
    let mut book = Book::restored(&records, &config, S(0));
    let healthy = |book: &Book| {
        let backends = shop.versions[0].backends.iter();
        backends
            .map(|backend| book.is_healthy(shop, backend))
            .collect::<Vec<_>>()
    };
    assert_eq!(healthy(&book), [true, false, false]);
    assert!(book.report(&report(2, Health::Healthy), "now"));
    assert_eq!(weights(&book, shop, S(1)), [1, 1, 0]);
    let returned = book.look(shop, &third.to_string(), Cells::default(), S(31), "now");
    assert_eq!(returned, Some(Change::Returned));
    assert_eq!(healthy(&book), [true; 3]);
    // Without a check its old result is nobody's business.
    let without = self::config("slow_start = \"1s\"");
    let book = Book::restored(&records, &without, S(0));
    assert!(book.is_healthy(&without.services[0], third));
}

#[test]
fn a_backend_that_comes_back_grows_in_ten_steps() {
    let config = config("check = \"tcp\", slow_start = \"30s\"");
    let shop = &config.services[0];
    let mut book = Book::default();
    book.begin_slow_starts(shop, shop, ACTIVE, S(0));
    assert_eq!(weights(&book, shop, S(0)), [1, 1, 1], "they were there");
    book.report(&report(1, Health::Unhealthy), "then");
    book.begin_slow_starts(shop, shop, ACTIVE, S(100));
    let mut before = shop.clone();
    before.versions[0].backends[0].weight = 0;
    assert_eq!(weights(&book, shop, S(100)), [0, 1, 1]);
    book.report(&report(1, Health::Healthy), "now");
    book.begin_slow_starts(shop, &before, ACTIVE, S(200));
    book.settle(&config, S(229));
    assert_eq!(book.unsettled().len(), 1, "a slow start goes on by itself");
    book.settle(&config, S(230));
    assert!(book.unsettled().is_empty());
    let mut tables: Vec<Vec<u16>> = (0..=400)
        .map(|tenth| weights(&book, shop, Duration::from_millis(200_000 + tenth * 100)))
        .collect();
    tables.dedup();
    let parts: Vec<Vec<u16>> = (1..PARTS).map(|part| vec![part, 10, 10]).collect();
    assert_eq!(tables[..9], parts);
    assert_eq!(tables[9..], [vec![1, 1, 1]], "at most ten tables");
    // Once more out and in begins anew.
    book.report(&report(1, Health::Unhealthy), "then");
    book.begin_slow_starts(shop, shop, ACTIVE, S(300));
    book.report(&report(1, Health::Healthy), "now");
    book.begin_slow_starts(shop, &before, ACTIVE, S(301));
    assert_eq!(weights(&book, shop, S(301)), [1, 10, 10]);
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut config = config("check = \"tcp\"");
    let mut book = Book::default();
    book.report(&report(1, Health::Unhealthy), "then");
    book.report(&report(2, Health::Unhealthy), "then");
    config.services[0].versions[0].backends.remove(0);
    book.keep_only(&config);
    assert_eq!(book.records()["shop"].len(), 1);
    config.services.clear();
    book.keep_only(&config);
    assert!(book.records().is_empty());
}
