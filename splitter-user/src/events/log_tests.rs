//! Tests of the log: numbers, bounds, the file, and readers that follow.

use std::fs;
use std::time::Duration;

use super::*;
use crate::events::noticed::{Drops, Fare, Health};

fn drops(per_s: u64) -> What {
    What::Drops(Drops {
        reason: "denied".into(),
        per_s,
        ongoing: true,
    })
}

fn health(service: &str) -> What {
    What::Health(Health {
        service: service.into(),
        backend: "10.0.1.11:80".into(),
        health: Fare::Ejected,
        error: Some("it resets".into()),
    })
}

fn numbers(log: &EventLog, query: &EventQuery) -> Vec<u64> {
    log.list(query).events.iter().map(|each| each.seq).collect()
}

#[test]
fn events_are_numbered_bounded_and_found() {
    let log = EventLog::in_memory(Vec::new());
    log.tell(health("shop"));
    log.tell(drops(1));
    log.tell(health("mail"));
    let all = EventQuery::default();
    assert_eq!(numbers(&log, &all), [1, 2, 3]);
    let of_shop = EventQuery {
        service: Some("shop".into()),
        ..all.clone()
    };
    assert_eq!(numbers(&log, &of_shop), [1]);
    let text = &log.list(&of_shop).events[0].text;
    assert_eq!(text, "shop: 10.0.1.11:80 is ejected: it resets");
    let newest = EventQuery {
        limit: Some(1),
        ..all.clone()
    };
    assert_eq!(numbers(&log, &newest), [3]);
    assert_eq!(log.list(&newest).left_out, 2);
    let after = EventQuery {
        after: Some(2),
        ..all.clone()
    };
    assert_eq!(numbers(&log, &after), [3]);
    let since = |since: &str| EventQuery {
        since: Some(since.into()),
        ..all.clone()
    };
    assert_eq!(numbers(&log, &since("2026-01-01T00:00:00.000Z")).len(), 3);
    assert_eq!(numbers(&log, &since("9999-01-01T00:00:00.000Z")).len(), 0);
    for _ in 0..KEPT {
        log.tell(drops(2));
    }
    let kept = numbers(&log, &all);
    assert_eq!((kept.len(), kept[0]), (KEPT, 4), "the oldest go");
}

#[test]
fn a_log_survives_its_daemon_and_a_line_cut_short() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path());
    log.tell(health("shop"));
    log.tell(drops(1));
    let before = log.list(&EventQuery::default());
    drop(log);
    let path = dir.path().join("events.jsonl");
    let mut text = fs::read(&path).expect("kept");
    text.extend(br#"{"seq": 3, "at": "2026"#);
    fs::write(&path, text).expect("written");
    let log = EventLog::open(dir.path());
    assert_eq!(log.list(&EventQuery::default()), before);
    log.tell(health("mail"));
    drop(log);
    let log = EventLog::open(dir.path());
    assert_eq!(numbers(&log, &EventQuery::default()), [1, 2, 3]);
    let last = log.last(|what| what.concerns("mail")).expect("kept");
    assert_eq!(last.what, health("mail"));
}

#[test]
fn the_files_are_bounded_and_what_is_kept_is_the_newest() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path());
    let long = || {
        What::Drops(Drops {
            reason: "x".repeat(10_000),
            per_s: 1,
            ongoing: true,
        })
    };
    for _ in 0..200 {
        log.tell(long());
    }
    drop(log);
    let files = fs::read_dir(dir.path()).expect("a directory");
    let sizes: Vec<u64> = files
        .map(|file| file.expect("a file").metadata().expect("known").len())
        .collect();
    assert_eq!(sizes.len(), 2, "{sizes:?}");
    assert!(
        sizes.iter().all(|size| *size < (1 << 20) + 30_000),
        "{sizes:?}"
    );
    let kept = numbers(&EventLog::open(dir.path()), &EventQuery::default());
    assert!(kept.len() > 50 && kept.len() < 200, "{}", kept.len());
    assert_eq!(kept.last(), Some(&200));
}

/// The next lines, where there are some at once or soon.
async fn next(follower: &mut Follower) -> Option<Vec<EventLine>> {
    let next = tokio::time::timeout(Duration::from_secs(30), follower.next());
    next.await.expect("in time")
}

fn seqs(lines: Option<Vec<EventLine>>) -> Vec<u64> {
    let of = |line: &EventLine| match line {
        EventLine::Event(event) => event.seq,
        EventLine::Missed { missed } => panic!("{missed} missed"),
    };
    lines.expect("not the end").iter().map(of).collect()
}

#[tokio::test]
async fn a_follower_gets_what_there_is_then_what_comes_then_the_end() {
    let log = Arc::new(EventLog::in_memory(Vec::new()));
    log.tell(health("shop"));
    log.tell(health("shop"));
    let query = EventQuery {
        service: Some("shop".into()),
        limit: Some(1),
        ..EventQuery::default()
    };
    let mut follower = log.follow(query);
    assert_eq!(
        seqs(next(&mut follower).await),
        [2],
        "the limit is for the past"
    );
    let teller = Arc::clone(&log);
    let telling = tokio::spawn(async move {
        teller.tell(drops(1));
        tokio::task::yield_now().await;
        teller.tell(health("shop"));
        teller.close();
    });
    assert_eq!(seqs(next(&mut follower).await), [4]);
    assert_eq!(next(&mut follower).await, None);
    telling.await.expect("told");
}

#[tokio::test]
async fn a_slow_follower_is_told_how_many_it_missed_and_holds_nobody_up() {
    let log = Arc::new(EventLog::in_memory(Vec::new()));
    log.tell(drops(0));
    let mut follower = log.follow(EventQuery::default());
    assert_eq!(seqs(next(&mut follower).await), [1]);
    for _ in 0..KEPT + 7 {
        log.tell(drops(1));
    }
    let lines = next(&mut follower).await.expect("lines");
    assert_eq!(lines[0], EventLine::Missed { missed: 7 });
    assert_eq!(lines.len(), 1 + KEPT);
    assert!(matches!(&lines[1], EventLine::Event(event) if event.seq == 9));
}

#[tokio::test]
async fn who_knows_another_log_gets_all_of_this_one() {
    let log = Arc::new(EventLog::in_memory(Vec::new()));
    log.tell(drops(0));
    let query = EventQuery {
        after: Some(500),
        ..EventQuery::default()
    };
    assert_eq!(seqs(next(&mut log.follow(query)).await), [1]);
}
