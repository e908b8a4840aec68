//! A trace over the socket: its question, its lines, its end.

use std::ops::ControlFlow;

use super::super::types::{TraceLine, TraceQuery};
use super::daemon;

#[tokio::test]
async fn a_trace_is_lines_until_it_ends() {
    let (_directory, _, client) = daemon();
    let mut query = TraceQuery {
        client: "2001:db8::/64".into(),
        service: Some("shop".into()),
        seconds: Some(9),
    };
    let mut lines = Vec::new();
    let all = |line: TraceLine| {
        lines.push(line);
        ControlFlow::Continue(())
    };
    client.trace(&query, all).await.expect("to the end");
    let ended = TraceLine::Ended { ended_after_s: 9 };
    assert_eq!(lines, [TraceLine::Untold { untold: 7 }, ended]);
    query.service = Some("none".into());
    let refused = client.trace(&query, |_| ControlFlow::Continue(())).await;
    let refused = refused.expect_err("no service").to_string();
    assert_eq!(refused, "no service \"none\"");
}
