//! Tests of server and client together, over a real unix socket, with a daemon of straw.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

mod straw;
mod trace;

use axum::body::Bytes;
use straw::Straw;

use super::types::{
    BackendSet, BackendVerb, ClientQuery, CohortCreate, CohortDelete, CohortImport, EvidenceReset,
    FlowQuery, FlowsToReset, HistoryQuery, MemberAdd, MemberRemove, ReloadRequest, Simulate,
    SimulateClient, WeightSet,
};
use super::{BindError, Client, ClientError, Refusal, bind, serve};
use crate::events::{EventLine, EventQuery};

/// A daemon of straw on a socket in a directory that does not exist yet.
fn daemon() -> (tempfile::TempDir, PathBuf, Client) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("run/splitter.sock");
    let listener = bind(&path).expect("bound");
    tokio::spawn(serve(listener, Arc::new(Straw), std::future::pending()));
    (directory, path.clone(), Client::new(path))
}

fn weights(dry_run: bool) -> WeightSet {
    let weights = BTreeMap::from([("canary".to_owned(), "5%".to_owned())]);
    WeightSet {
        weights,
        segment: None,
        flows: None,
        reason: None,
        dry_run,
    }
}

#[tokio::test]
async fn requests_reach_the_daemon_and_answers_come_back() {
    let (_directory, _, client) = daemon();
    assert_eq!(client.service_list().await.expect("listed")[0].name, "shop");
    let change = client
        .set_weights("shop", &weights(true))
        .await
        .expect("changed");
    assert_eq!((change.generation, change.dry_run), (7, true));
    assert_eq!(change.after["canary"], "5%");
    let drain = BackendSet {
        verb: BackendVerb::Drain,
        backend: "[2001:db8::11]:80".into(),
        version: None,
        weight: None,
        flows: None,
        reason: None,
        dry_run: true,
    };
    let change = client
        .change_backend("shop", &drain)
        .await
        .expect("changed");
    assert_eq!(
        (change.backend, change.after),
        (drain.backend, "Drain".into())
    );
    assert!(client.backends("till").await.is_err());
    let error = client.service("a/b").await.expect_err("none");
    assert_eq!(error.to_string(), "no service \"a/b\"");
    for (asked, named) in [(Some("a/b"), "a/b"), (None, "every one")] {
        let weights = client.weights(asked).await.expect("told");
        assert_eq!(weights[0].service, named);
    }
    let wanted = ReloadRequest { dry_run: true };
    let reload = client.reload(wanted).await.expect("said");
    assert_eq!((reload.generation, reload.dry_run), (7, true));
    let mut wanted = FlowQuery {
        version: Some("v 1".into()),
        client: Some("2001:db8::/64".into()),
        pending: true,
        limit: 5,
    };
    let flows = client.flows("shop", &wanted).await.expect("listed");
    assert_eq!(
        (flows.flows[0].client.as_str(), flows.more),
        ("2001:db8::/64", 5)
    );
    assert_eq!(flows.flows[0].version, "v 1");
    wanted.version = None;
    let ended = FlowsToReset {
        version: Some("canary".to_owned()),
        dry_run: true,
        ..FlowsToReset::default()
    };
    let ended = client.reset_flows("shop", &ended).await.expect("reset");
    assert_eq!((ended.versions["canary"], ended.dry_run), (3, true));
    let counted = client.count_flows("shop", &wanted).await.expect("counted");
    assert_eq!((counted.service.as_str(), counted.flows), ("shop", 3));
    let query = ClientQuery {
        version: Some("v 1".into()),
        limit: 7,
    };
    let clients = client.clients("shop", &query).await.expect("listed");
    assert_eq!((clients.service.as_str(), clients.more), ("shop", 7));
    let wanted = HistoryQuery {
        since: Some("2026-01-02T03:04:05Z".into()),
        version: Some("v 1".into()),
        ..HistoryQuery::default()
    };
    let history = client.history("a/b", &wanted).await.expect("told");
    assert_eq!(
        (Some(history.from), Some(history.service)),
        (wanted.since, wanted.version)
    );
    assert_eq!(history.until, "");
    let vip = "[2001:db8::1]:443/udp".parse().expect("a VIP");
    let address = "2001:db8::9".parse().expect("an address");
    let why = client
        .explain("shop", address, Some(77), Some(vip))
        .await
        .expect("explained");
    assert_eq!(
        (why.vip.as_str(), why.client.as_str()),
        ("[2001:db8::1]:443/udp", "2001:db8::9 Some(77)")
    );
    let one = SimulateClient {
        device: None,
        address,
        port: Some(65_535),
        vip: Some(vip),
    };
    let mut wanted = Simulate {
        // As many as may be, and as long as they can be.
        clients: vec![one.clone(); Simulate::MOST],
        weights: [("v 1".to_owned(), "7%".to_owned())].into(),
        segment: Some("staff".into()),
    };
    let told = client.simulate("a b", &wanted).await.expect("told");
    assert_eq!(
        (told.service.as_str(), told.clients.len()),
        ("a b", Simulate::MOST)
    );
    let told = told.clients[Simulate::MOST - 1].clone();
    assert_eq!(
        [told.version, told.backend, told.note, told.would_be].map(Option::unwrap_or_default),
        ["[2001:db8::1]:443/udp", "65535", "staff", "7%"]
    );
    wanted.clients.push(one);
    let refused = client.simulate("a b", &wanted).await.expect_err("too many");
    assert!(
        refused.to_string().contains("more than the 4096"),
        "{refused}"
    );
    let who = client.whois(address).await.expect("told");
    assert_eq!(who.address, "2001:db8::9");
}

#[tokio::test]
async fn evidence_is_told_and_begun_anew() {
    let (_directory, _, client) = daemon();
    let told = client.evidence("a b").await.expect("told");
    assert_eq!(told.service, "a b");
    let wanted = EvidenceReset {
        reason: Some("because".into()),
    };
    let told = client.reset_evidence("shop", &wanted).await;
    assert_eq!(
        told.expect("reset").not_judged.as_deref(),
        Some("because"),
        "the reason arrives"
    );
}

#[tokio::test]
async fn cohorts_are_asked_for_and_an_import_of_any_length_arrives() {
    let (_directory, _, client) = daemon();
    let wanted = CohortCreate {
        name: "be ta".into(),
        reason: Some("why".into()),
        dry_run: false,
    };
    let made = client.create_cohort(&wanted).await.expect("made");
    assert_eq!((made.name.as_str(), made.reason), ("be ta", wanted.reason));
    let wanted = MemberAdd {
        address: "2001:db8::7".into(),
        ttl: Some("30m".into()),
        reference: Some("user".into()),
        dry_run: true,
    };
    let added = client.add_member("be ta", &wanted).await.expect("added");
    assert!(added.dry_run);
    assert_eq!(
        (added.cohort, added.address, added.until, Some(added.change)),
        (
            "be ta".into(),
            wanted.address.clone(),
            wanted.ttl,
            wanted.reference
        )
    );
    let address = wanted.address;
    let gone = MemberRemove {
        address: address.clone(),
        dry_run: false,
    };
    let refused = client.remove_member("be ta", &gone).await;
    let refused = refused.expect_err("refused").to_string();
    assert_eq!(refused, "2001:db8::7 of be ta");
    let told = client.memberships(&address).await.expect("told");
    assert_eq!(told.address, address);
    let wanted = CohortImport {
        ttl: Some("1h & more".into()),
        skip_bad: true,
        reason: None,
        dry_run: true,
    };
    // More than any other body may have.
    let part = Bytes::from(vec![b'x'; 100_000]);
    let parts = futures_util::stream::iter((0..30).map(move |_| Ok(part.clone())));
    let done = client
        .import_members("be ta", &wanted, parts)
        .await
        .expect("arrives");
    assert_eq!((done.added, done.renewed), (3_000_000, 9));
    assert!(done.dry_run);
    let broken = futures_util::stream::iter([Err(std::io::ErrorKind::InvalidData.into())]);
    let broken = client.import_members("be ta", &wanted, broken).await;
    assert!(
        broken.is_err(),
        "what cannot be read is never taken for its end"
    );
    let deleted = client
        .delete_cohort("be ta", &CohortDelete::default())
        .await;
    assert_eq!(deleted.expect("deleted").members, 5);
    assert_eq!(client.cohorts().await.expect("listed").room, 0);
}

#[tokio::test]
async fn events_are_a_list_and_lines_that_end_with_the_log() {
    let (_directory, _, client) = daemon();
    let mut query = EventQuery {
        since: Some("2026-01-02T03:04:05Z".into()),
        after: Some(1),
        ..EventQuery::default()
    };
    let list = client.events(&query).await.expect("listed");
    let texts: Vec<&str> = list
        .events
        .iter()
        .map(|event| event.text.as_str())
        .collect();
    assert_eq!(texts, ["a reload by root was refused: no"]);
    query.after = None;
    let mut lines = Vec::new();
    let all = |line: EventLine| {
        lines.push(line);
        ControlFlow::Continue(())
    };
    client.follow_events(&query, all).await.expect("to the end");
    assert_eq!(lines.len(), 2);
    assert!(matches!(&lines[0], EventLine::Event(event) if event.seq == 1));
    let mut taken = 0;
    let one = |_| {
        taken += 1;
        ControlFlow::Break(())
    };
    client.follow_events(&query, one).await.expect("broken off");
    assert_eq!(taken, 1);
    query.since = Some("yesterday".into());
    for refused in [
        client
            .events(&query)
            .await
            .expect_err("no time")
            .to_string(),
        client
            .follow_events(&query, |_| ControlFlow::Continue(()))
            .await
            .expect_err("no time")
            .to_string(),
    ] {
        assert!(refused.starts_with("since=yesterday: "), "{refused}");
    }
}

#[tokio::test]
async fn refusals_keep_their_kind_and_their_hint() {
    let (_directory, _, client) = daemon();
    let refused = |error| match error {
        ClientError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    };
    let error = client.status().await.expect_err("refused");
    assert_eq!(
        refused(error),
        Refusal::internal("the kernel is gone").with_hint("reboot")
    );
    let error = client
        .set_weights("busy", &weights(false))
        .await
        .expect_err("refused");
    assert_eq!(refused(error), Refusal::conflict("a release is running"));
    let error = client
        .set_weights("a/b ?", &weights(false))
        .await
        .expect_err("refused");
    assert_eq!(
        refused(error),
        Refusal::not_found("no service \"a/b ?\"").with_hint("shop")
    );
    let error = client.reload(ReloadRequest::default()).await;
    let told = refused(error.expect_err("refused"));
    assert!(
        matches!(&told, Refusal::Invalid { what, .. } if what.ends_with("a.toml:1:1: no")),
        "{told}"
    );
    let mut large = weights(false);
    large.reason = Some("x".repeat(70_000));
    let error = client
        .set_weights("shop", &large)
        .await
        .expect_err("refused");
    assert!(matches!(refused(error), Refusal::Invalid { .. }));
}

/// What the daemon says to a request in plain bytes.
async fn raw(path: PathBuf, request: &'static str) -> String {
    let talk = move || {
        let mut stream = std::os::unix::net::UnixStream::connect(path)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    tokio::task::spawn_blocking(talk)
        .await
        .expect("joined")
        .expect("answered")
}

#[tokio::test]
async fn everything_is_answered_in_json() {
    let (_directory, path, _client) = daemon();
    for (request, status, fragment) in [
        ("GET /nowhere HTTP/1.1", "404", "no such path"),
        ("DELETE /v1/status HTTP/1.1", "405", "another method"),
        (
            "GET /v1/services/shop/explain?client=x HTTP/1.1",
            "400",
            "ask with ?client=ADDRESS",
        ),
        (
            "GET /v1/services/shop/explain?client=10.0.0.1&prot=1 HTTP/1.1",
            "400",
            "prot",
        ),
        (
            "GET /v1/services/shop/explain?client=10.0.0.1&vip=x HTTP/1.1",
            "400",
            "is no VIP",
        ),
        (
            "GET /v1/services/shop/flows?limit=x HTTP/1.1",
            "400",
            "ask with ?version=NAME",
        ),
        (
            "POST /v1/services/shop/weights HTTP/1.1\r\nContent-Length: 2",
            "400",
            "weight change",
        ),
        (
            "POST /v1/reload HTTP/1.1\r\nContent-Length: 2",
            "400",
            "send {} or",
        ),
    ] {
        let body = if request.contains("Content-Length") {
            "no"
        } else {
            ""
        };
        let text = format!("{request}\r\nHost: x\r\nConnection: close\r\n\r\n{body}");
        let answer = raw(path.clone(), text.leak()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(
            answer.contains("content-type: application/json"),
            "{answer}"
        );
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        assert!(
            body.contains("\"error\":") && body.contains(fragment),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
    let (_directory, path, _client) = daemon();
    assert!(matches!(bind(&path), Err(BindError::Taken(_))));
    let mode = path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o660);
    let dead = path.with_file_name("dead.sock");
    drop(bind(&dead).expect("bound"));
    let error = Client::new(&dead).service_list().await.expect_err("dead");
    assert!(matches!(error, ClientError::NotListening(_)), "{error}");
    drop(bind(&dead).expect("replaced"));
    let file = path.with_file_name("file");
    std::fs::write(&file, "").expect("written");
    assert!(matches!(bind(&file), Err(BindError::NoSocket(_))));
    let entries = std::fs::read_dir(file.parent().expect("a directory")).expect("listed");
    assert_eq!(entries.count(), 3, "no hidden socket stays behind");
    let error = Client::new(path.with_file_name("none"))
        .status()
        .await
        .expect_err("no socket");
    assert!(
        error.to_string().contains("start it with `splitter serve`"),
        "{error}"
    );
}
