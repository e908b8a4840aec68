use splitter_common::{
    address::Address,
    clock::Jiffies,
    cohort::{self, MemberRow},
};

use super::*;
use crate::database::DatabaseError;

const HZ: u64 = 100;
/// When the tests' boot is seen first.
const BEGIN: u64 = 1_000_000;
const WALL_MS: u64 = 1_800_000_000_000;

fn now(boot: &str, jiffies: u64, wall_ms: u64) -> Now {
    Now {
        boot: boot.into(),
        jiffies: Jiffies(jiffies),
        hz: HZ as u32,
        wall_ms,
    }
}

/// So many seconds behind the beginning.
fn at(seconds: u64) -> Jiffies {
    Jiffies(BEGIN + seconds * HZ)
}

fn open(dir: &tempfile::TempDir, now: &Now) -> Store {
    let (store, told) = Store::open(dir.path(), now).expect("opened");
    assert_eq!(told, None);
    store
}

/// With cohorts `alpha` and `beta`.
fn store(dir: &tempfile::TempDir) -> Store {
    let mut store = open(dir, &now("one", BEGIN, WALL_MS));
    for name in ["alpha", "beta"] {
        store.create(name, ("root", "now", None), &[]).expect(name);
    }
    store
}

fn lines(text: &str) -> Lines {
    parse(text.as_bytes(), None)
}

fn put(store: &mut Store, cohort: &str, text: &str, seconds: u64) -> Put {
    let put = store.put(cohort, lines(text), false, 100, at(seconds));
    let put = put.expect("room");
    assert!(put.done, "{put:?}");
    put
}

/// What the kernel would be told of every address: cohort numbers and ends.
fn table(store: &Store, now: Jiffies) -> Vec<(String, Vec<(u32, u64)>)> {
    let mut all = Vec::new();
    let each = |rows: &[(Address, MemberRow)]| -> Result<(), DatabaseError> {
        all.extend(rows.iter().map(|(address, row)| {
            let of = row.memberships(*address).map(|of| (of.cohort, of.until));
            (std::net::IpAddr::from(*address).to_string(), of.collect())
        }));
        Ok(())
    };
    store.rows(now, each).expect("read");
    all
}

#[test]
fn members_end_by_ticks_and_survive_a_restart_with_the_rest_of_their_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let (alpha, beta) = (cohort::number("alpha"), cohort::number("beta"));
    {
        let mut store = store(&dir);
        put(&mut store, "beta", "10.0.0.1,60s,jane\n10.0.0.2", 0);
        let told = put(&mut store, "alpha", "10.0.0.1,30s\n2001:db8::1,10s", 0);
        assert_eq!((told.added, told.renewed), (2, 0));
        let row = told.changes.put[0].1;
        let of: Vec<_> = row.memberships(told.changes.put[0].0).collect();
        assert_eq!(of.len(), 2, "a row says all of its address");
    }
    // The clock was set an hour ahead meanwhile: that changes nothing.
    let hour_ms = 3_600_000;
    let mut store = open(&dir, &now("one", at(20).0, WALL_MS + hour_ms));
    let of = |address: &str, of: &[(u32, u64)]| (address.to_owned(), of.to_vec());
    assert_eq!(
        table(&store, at(20)),
        [
            // In the order of their bytes, of which IPv4 has zeros first.
            of("10.0.0.1", &[(alpha, at(30).0), (beta, at(60).0)]),
            of("10.0.0.2", &[(beta, 0)]),
            of("2001:db8::1", &[]),
        ]
    );
    let told = memberships(
        dir.path(),
        lines("10.0.0.1").good[0].address,
        at(20),
        HZ as u32,
    );
    let told = told.expect("read");
    let told: Vec<_> = told
        .iter()
        .map(|of| (&of.cohort[..], of.left_ms, of.reference.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("alpha", Some(10_000), None),
            ("beta", Some(40_000), Some("jane"))
        ]
    );
    let (swept, changes) = store.sweep(10, at(20)).expect("swept");
    assert_eq!((swept, changes.gone.len(), changes.put.len()), (1, 1, 0));
    let (swept, changes) = store.sweep(10, at(30)).expect("swept");
    assert_eq!((swept, changes.gone.len(), changes.put.len()), (1, 0, 1));
    assert_eq!((store.addresses(), store.cohorts()["beta"].members), (2, 2));
    drop(store);
    // Another boot: the wall clock says how long the host was down.
    let down_ms = 15_000;
    let boot = now("two", 77, WALL_MS + 30_000 + down_ms);
    let store = open(&dir, &boot);
    let ends: Vec<_> = table(&store, Jiffies(77))
        .into_iter()
        .map(|(_, of)| of)
        .collect();
    assert_eq!(ends, [vec![(beta, 77 + 15 * HZ)], vec![(beta, 0)]]);
}

#[test]
fn an_import_with_a_bad_line_changes_nothing_unless_it_may_be_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(&dir);
    put(&mut store, "beta", "10.0.0.1,60s", 0);
    let text = "10.0.0.1,5s\n10.0.0.2\nnobody\n10.0.0.2,5s,again";
    let refused = store
        .put("beta", lines(text), false, 100, at(1))
        .expect("room");
    assert_eq!((refused.done, refused.added), (false, 0));
    assert_eq!(
        (refused.left_out.bad[0].line, refused.left_out.bad_count),
        (3, 1)
    );
    assert_eq!((store.addresses(), table(&store, at(1)).len()), (1, 1));
    let until = |store: &Store| table(store, at(1))[0].1[0].1;
    assert_eq!(until(&store), at(60).0);
    let done = store
        .put("beta", lines(text), true, 100, at(1))
        .expect("room");
    assert_eq!(
        (done.added, done.renewed, done.left_out.bad_count),
        (1, 1, 1)
    );
    assert_eq!(until(&store), at(6).0, "renewed");
    let again = memberships(
        dir.path(),
        lines("10.0.0.2").good[0].address,
        at(2),
        HZ as u32,
    );
    let again = again.expect("read").remove(0);
    assert_eq!(
        (again.left_ms, again.reference.as_deref()),
        (Some(4_000), Some("again"))
    );
    let full = store.put("beta", lines("10.0.0.1\n10.0.0.3"), true, 2, at(2));
    let full = full.expect_err("no room").to_string();
    assert!(full.contains("room for 2 addresses"), "{full}");
    assert_eq!(table(&store, at(2)).len(), 2, "nothing was changed");
    put(&mut store, "beta", "10.0.0.1", 2);
}

#[test]
fn an_address_is_in_four_cohorts_and_in_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(&dir);
    for name in ["c", "d", "e"] {
        store.create(name, ("root", "now", None), &[]).expect(name);
    }
    for (name, text) in [
        ("alpha", "10.0.0.1,5s"),
        ("beta", "10.0.0.1"),
        ("c", "10.0.0.1"),
        ("d", "10.0.0.1"),
    ] {
        put(&mut store, name, text, 0);
    }
    let refused = store
        .put("e", lines("10.0.0.1\n10.0.0.2"), true, 100, at(4))
        .expect("room");
    let told = &refused.left_out.bad[0];
    assert!(
        told.line == 1
            && told
                .error
                .contains("in 4 cohorts already (alpha, beta, c, d)"),
        "{told:?}"
    );
    assert_eq!(refused.added, 1);
    // One whose time is up takes no room, swept or not.
    put(&mut store, "e", "10.0.0.1", 5);
    assert_eq!(table(&store, at(5))[0].1.len(), 4);
    let address = lines("10.0.0.1").good[0].address;
    let changes = store
        .remove("e", address, at(5))
        .expect("removed")
        .expect("it was");
    assert_eq!(changes.put[0].1.memberships(address).count(), 3);
    assert_eq!(store.remove("e", address, at(5)).expect("asked"), None);
    assert!(store.stands(address).expect("read"));
}

#[test]
fn deleted_cohorts_leave_the_others_of_their_members() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(&dir);
    put(&mut store, "alpha", "10.0.0.1\n10.0.0.2", 0);
    put(&mut store, "beta", "10.0.0.2", 0);
    let (count, changes) = store.delete("alpha", at(1)).expect("deleted");
    assert_eq!((count, changes.gone.len(), changes.put.len()), (2, 1, 1));
    assert_eq!(store.addresses(), 1);
    let none = store.delete("alpha", at(1)).expect_err("gone").to_string();
    assert_eq!(none, "no cohort \"alpha\"");
    drop(store);
    let store = open(&dir, &now("one", at(2).0, WALL_MS));
    let left: Vec<(&str, u64)> = store
        .cohorts()
        .iter()
        .map(|(name, cohort)| (&name[..], cohort.members))
        .collect();
    assert_eq!((left, store.addresses()), (vec![("beta", 1)], 1));
}

#[test]
fn what_is_foreseen_is_what_comes_and_nothing_stays_of_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(&dir);
    put(&mut store, "alpha", "10.0.0.1\n10.0.0.2,1h", 0);
    let before = (table(&store, at(1)), store.cohorts().clone());
    let more = |store: &mut Store| {
        let put = store.put("beta", lines("10.0.0.2\n10.0.0.3"), false, 100, at(1))?;
        let address = lines("10.0.0.1").good[0].address;
        let removed = store.remove("alpha", address, at(1))?;
        store.create("gamma", ("root", "now", None), &[])?;
        Ok((put, removed, store.delete("beta", at(1))?))
    };
    let foreseen = store.foresee(more).expect("foreseen");
    assert_eq!((foreseen.0.added, foreseen.0.changes.put.len()), (2, 2));
    assert_eq!(foreseen.2.0, 2);
    let refused = store.foresee(|store| store.create("beta", ("root", "now", None), &[]));
    assert!(
        matches!(refused, Err(CohortError::Exists(_))),
        "{refused:?}"
    );
    assert_eq!((table(&store, at(1)), store.cohorts().clone()), before);
    assert_eq!(store.addresses(), 2);
    let reopened = open(&dir, &now("one", at(1).0, WALL_MS));
    assert_eq!(
        (table(&reopened, at(1)), reopened.cohorts().clone()),
        before
    );
    drop(reopened);
    assert_eq!(more(&mut store).expect("done"), foreseen);
    assert_eq!(store.addresses(), 1);
}

#[test]
fn names_that_draw_the_same_number_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(&dir);
    // Found by trying: of 24 bits, some pair of a few thousand names has the same.
    let mut seen = std::collections::HashMap::new();
    let (first, second) = (0..)
        .find_map(|nth: u32| {
            let name = format!("c{nth}");
            let other = seen.insert(cohort::number(&name), name.clone())?;
            Some((other, name))
        })
        .expect("a pair");
    for asked in [vec![first.clone()], Vec::new()] {
        if asked.is_empty() {
            store
                .create(&first, ("root", "now", None), &[])
                .expect("free");
        }
        let refused = store.create(&second, ("root", "now", None), &asked);
        let refused = refused.expect_err("the same").to_string();
        let wanted = format!("\"{second}\" draws the same number as \"{first}\"");
        assert!(refused.starts_with(&wanted), "{refused}");
    }
    let exists = store
        .create("beta", ("root", "now", None), &[])
        .expect_err("twice");
    assert!(matches!(exists, CohortError::Exists(_)));
    let name = store
        .create("Beta!", ("root", "now", None), &[])
        .expect_err("no name");
    assert!(name.to_string().contains("write 1 to 63 of a-z"), "{name}");
}

#[test]
fn a_damaged_database_is_moved_aside_and_told() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(
        dir.path().join("cohorts.db"),
        "no database, or none of ours".repeat(50),
    )
    .expect("written");
    let (store, told) = Store::open(dir.path(), &now("one", 1, WALL_MS)).expect("opened");
    assert!(store.cohorts().is_empty());
    let told = told.expect("told");
    assert!(
        told.contains("what there was is in") && dir.path().join("cohorts.db.damaged").exists()
    );
}
