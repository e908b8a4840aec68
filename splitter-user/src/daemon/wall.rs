//! Owns the time of day, for what is written beside a change, and for where the time of members of
//! cohorts begins with a boot (`cohorts/clock.rs`).
//!
//! Invariant: otherwise it comes out as text to be shown and is never read back, so that a clock that jumps
//! changes what is written beside a change and nothing else. Leases, health checks, drains and rests
//! count the kernel's ticks or the monotonic clock. History and events tell of times of day
//! too; `cargo xtask tidy` knows all of these places and finds whoever reads it elsewhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time of day, RFC 3339 in UTC.
pub(super) fn now_text() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// What it will be in so long.
pub(super) fn text_in(left: Duration) -> String {
    let at = SystemTime::now().checked_add(left);
    humantime::format_rfc3339_seconds(at.unwrap_or(UNIX_EPOCH)).to_string()
}

/// Milliseconds since 1970.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
