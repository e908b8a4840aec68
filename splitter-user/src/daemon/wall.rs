//! Owns the time of day, for what is written beside a change, and for where the time of members of
//! cohorts begins with a boot (`cohorts/clock.rs`).
//!
//! Invariant: otherwise it comes out as text to be shown and is never read back, so that a clock that jumps
//! changes what is written beside a change and nothing else. Leases, health checks, drains and rests
//! count the kernel's ticks or the monotonic clock. History and events tell of times of day
//! too; `cargo xtask tidy` knows all of these places and finds whoever reads it elsewhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// The time of day, RFC 3339 in UTC.
pub(super) fn now_text() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// CLOCK_MONOTONIC, nanoseconds: the clock that the packet path reads.
pub(super) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The time of day at a time of CLOCK_MONOTONIC in nanoseconds, RFC 3339 in UTC with microseconds.
pub(super) fn of_monotonic(at_ns: u64) -> String {
    let ago = Duration::from_nanos(monotonic_ns().saturating_sub(at_ns));
    let at = SystemTime::now().checked_sub(ago);
    humantime::format_rfc3339_micros(at.unwrap_or(UNIX_EPOCH)).to_string()
}

/// A time of day so many seconds after the beginning of 1970, RFC 3339 in UTC; the beginning itself for one
/// that is beyond what can be told.
pub(super) fn text_of(seconds: u64) -> String {
    // The last second of the year 9999, behind which there is no such text.
    let seconds = Some(seconds).filter(|seconds| *seconds < 253_402_300_800);
    let time = UNIX_EPOCH + Duration::from_secs(seconds.unwrap_or_default());
    humantime::format_rfc3339_seconds(time).to_string()
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
