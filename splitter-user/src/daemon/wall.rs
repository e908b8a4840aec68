//! Owns the time of day as text, for what is written beside a change.
//!
//! Invariant: it comes out as text to be shown and is never read back, so that a clock that jumps
//! changes what is written beside a change and nothing else. Leases, health checks, drains and rests
//! count the kernel's ticks or the monotonic clock. History and events tell of times of day
//! too; `cargo xtask tidy` knows all of these places and finds whoever reads it elsewhere.

use std::time::SystemTime;

/// The time of day, RFC 3339 in UTC.
pub(super) fn now_text() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
