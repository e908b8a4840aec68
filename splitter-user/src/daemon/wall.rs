//! Owns the wall clock: the one place of the daemon that reads it.
//!
//! Invariant: it comes out as text to be shown and is never read back, so that a clock that jumps
//! changes what is written beside a change and nothing else. Leases, health checks, drains and rests
//! count the kernel's ticks or the monotonic clock. `cargo xtask tidy` finds whoever reads it elsewhere.

use std::time::SystemTime;

/// The time of day, RFC 3339 in UTC.
pub(super) fn now_text() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
