use std::path::{Path, PathBuf};

use super::*;
use crate::{
    model::tests::{service_of, version_of},
    state::Since,
};

fn of_generation(generation: u32) -> State {
    let mut state = State::default();
    state.numbers.generation = generation;
    state
}

/// One with so many services, of a few pages each.
fn large(services: usize) -> State {
    let mut state = of_generation(9);
    for nth in 0..services {
        let since = Since {
            at: "x".repeat(10_000),
            ..Since::default()
        };
        state.since.insert(format!("service-{nth}"), since.into());
    }
    state
}

fn generation_in(path: &Path) -> u32 {
    let state = load(path).expect("read").expect("saved before");
    state.numbers.generation
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.db");
    (dir, path)
}

#[test]
fn a_change_is_synced_and_leaves_one_file() {
    let (dir, path) = place();
    save(&path, &of_generation(7), None).expect("saved");
    let names = fs::read_dir(dir.path()).expect("read").count();
    assert_eq!((generation_in(&path), names), (7, 1));
    let db = open(&path).expect("opened");
    let synchronous: u32 = db
        .pragma_query_value(None, "synchronous", |row| row.get(0))
        .expect("told");
    let journal: String = db
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .expect("told");
    assert_eq!((synchronous, journal.as_str()), (3, "delete"));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// What lies on disk in the middle of a change, as a power cut or kill leaves it.
#[test]
fn a_change_that_is_cut_leaves_the_state_before() {
    let (dir, path) = place();
    save(&path, &of_generation(7), None).expect("saved");
    let mut db = open(&path).expect("opened");
    // So small that pages are written before the end.
    db.pragma_update(None, "cache_size", 1).expect("set");
    let change = db.transaction().expect("begun");
    for (part, value) in parts(&large(50), None).expect("JSON") {
        let row = params![part, value];
        change
            .execute("INSERT OR REPLACE INTO state VALUES (?1, ?2)", row)
            .expect("written");
    }
    let cut = tempfile::tempdir().expect("a directory");
    for name in ["state.db", "state.db-journal"] {
        fs::copy(dir.path().join(name), cut.path().join(name)).expect("copied");
    }
    let len = |path: &Path| fs::metadata(path).expect("there").len();
    let copy = cut.path().join("state.db");
    assert!(len(&copy) > 100_000, "pages were written");
    assert_eq!(generation_in(&copy), 7);
    change.commit().expect("done");
    drop(db);
    assert_eq!(generation_in(&path), 9);
}

#[test]
fn a_full_disk_refuses_the_change_and_keeps_the_state() {
    let (_dir, path) = place();
    save(&path, &of_generation(7), None).expect("saved");
    let mut db = open(&path).expect("opened");
    db.pragma_update_and_check(None, "max_page_count", 8, |_| Ok(()))
        .expect("set");
    let error = write(&mut db, &large(50), None).map_err(told(&path));
    let error = error.expect_err("no room").to_string();
    assert!(
        error.contains("state.db") && error.contains("full"),
        "{error}"
    );
    drop(db);
    assert_eq!(generation_in(&path), 7);
}

#[test]
fn what_is_damaged_is_told_at_a_start_and_written_anew_by_a_daemon() {
    let (dir, path) = place();
    save(&path, &large(50), None).expect("saved");
    let whole = fs::read(&path).expect("read");
    let mut torn = whole.clone();
    torn[whole.len() / 2..].fill(0x5a);
    let other = {
        let db = Connection::open(&path).expect("opened");
        db.pragma_update(None, "user_version", 99).expect("set");
        drop(db);
        fs::read(&path).expect("read")
    };
    let cases = [
        (torn, "move it away"),
        (whole[..whole.len() / 2].to_vec(), "move it away"),
        (b"{\"format\": 2}".repeat(100), "not a database"),
        (other, "format 99, not 1"),
    ];
    for (bytes, says) in cases {
        fs::write(&path, bytes).expect("written");
        let error = load(&path).expect_err("damaged").to_string();
        assert!(error.contains(says), "{error}");
        save(&path, &of_generation(8), None).expect("saved");
        assert_eq!(generation_in(&path), 8);
        assert!(dir.path().join("state.db.damaged").exists());
    }
    // Moved away under the daemon.
    fs::remove_file(&path).expect("removed");
    assert_eq!(load(&path).expect("nothing"), None);
    save(&path, &of_generation(9), None).expect("saved");
    assert_eq!(generation_in(&path), 9);
}

/// Services by the commit that last changed them.
fn with_numbers(services: &[(&str, u32)]) -> State {
    let mut state = State::default();
    for (name, generation) in services {
        let numbers = ServiceNumbers {
            number: 1,
            born: 1,
            generation: *generation,
            applied: service_of(vec![version_of("stable", true, 1_000_000)]).into(),
            ending: None,
            judged: None,
            salt_id: "1".into(),
            segments: BTreeMap::new(),
            frontends: BTreeMap::new(),
            versions: BTreeMap::new(),
            backends: BTreeMap::new(),
        };
        let numbers = numbers.into();
        state.numbers.services.insert((*name).to_owned(), numbers);
    }
    state
}

#[test]
fn numbers_are_written_where_they_changed_and_all_of_them_after_somebody_else() {
    let (_dir, path) = place();
    let first = with_numbers(&[("shop", 1), ("mail", 1)]);
    let put = |state: &State, last| {
        let stamp = save(&path, state, last).expect("saved");
        stamp.expect("it is there")
    };
    let kept = || load(&path).expect("read").expect("saved before");
    let stamp = put(&first, None);
    assert_eq!(kept(), first);
    // By what is said of the last change `mail` stands there as it is.
    let said = with_numbers(&[("shop", 1), ("mail", 7)]);
    let last = |state, stamp| Some(Last { state, stamp });
    let stamp = put(
        &with_numbers(&[("shop", 2), ("mail", 7)]),
        last(&said, stamp),
    );
    assert_eq!(kept(), with_numbers(&[("shop", 2), ("mail", 1)]));
    let db = open(&path).expect("opened");
    db.execute("DELETE FROM state WHERE part = 'numbers/shop'", [])
        .expect("deleted");
    drop(db);
    let second = with_numbers(&[("shop", 2), ("mail", 7)]);
    let stamp = put(&second, last(&second, stamp));
    assert_eq!(kept(), second, "somebody else has written");
    let third = with_numbers(&[("shop", 2)]);
    put(&third, last(&second, stamp));
    assert_eq!(kept(), third, "a service that is gone");
}
