//! Owns the measure of how busy the machine is, so that a load test can show that it was not
//! starved.

use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time since boot, in clock ticks, over all cores.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    busy: u64,
    idle: u64,
}

/// A measurement that has begun.
#[derive(Clone, Copy, Debug)]
pub struct CpuMeter {
    begin: Ticks,
}

impl CpuMeter {
    /// Begins to measure.
    ///
    /// # Errors
    ///
    /// When `/proc/stat` cannot be read.
    pub fn start() -> Result<Self> {
        Ok(Self {
            begin: Ticks::read()?,
        })
    }

    /// The part of all cores that was busy since the start, 0 ..= 1, whoever used them. Time that a
    /// hypervisor took away counts as neither busy nor idle.
    ///
    /// # Errors
    ///
    /// When `/proc/stat` cannot be read.
    pub fn busy_fraction(&self) -> Result<f64> {
        let now = Ticks::read()?;
        let busy = now.busy.saturating_sub(self.begin.busy);
        let idle = now.idle.saturating_sub(self.begin.idle);
        Ok(busy as f64 / (busy + idle).max(1) as f64)
    }
}

/// The part of all cores that is busy during an interval from now, 0 ..= 1.
///
/// # Errors
///
/// When `/proc/stat` cannot be read.
pub fn cpu_busy_fraction(interval: Duration) -> Result<f64> {
    let meter = CpuMeter::start()?;
    std::thread::sleep(interval);
    meter.busy_fraction()
}

impl Ticks {
    fn read() -> Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        Self::parse(&stat).context("/proc/stat is not as documented in proc(5)")
    }

    /// Reads the first line: `cpu user nice system idle iowait irq softirq steal ..`.
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let numbers: Option<Vec<u64>> = line.split_whitespace().map(|n| n.parse().ok()).collect();
        let [user, nice, system, idle, iowait, irq, softirq, ..] = numbers?[..] else {
            return None;
        };
        Some(Self {
            busy: user + nice + system + irq + softirq,
            idle: idle + iowait,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Ticks;

    #[test]
    fn reads_the_line_of_all_cores() {
        let ticks = Ticks::parse("cpu  10 1 20 300 40 2 3 99 0 0\ncpu0 1 1 1 1\n").unwrap();
        assert_eq!((ticks.busy, ticks.idle), (36, 340));
        assert!(Ticks::parse("cpu0 1 2 3").is_none());
    }
}
