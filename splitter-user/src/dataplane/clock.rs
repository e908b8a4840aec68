//! Owns the kernel's clocks as the daemon reads them: jiffies through the `clock` program, and
//! how many of them make a second.

use std::{
    thread,
    time::{Duration, Instant},
};

use aya::{TestRun as _, TestRunOptions, programs::Xdp};
use splitter_common::{clock::Jiffies, layout::Control};

use super::{DataPlane, DataPlaneError, load};

/// The values of CONFIG_HZ that kernels are built with (kernel/Kconfig.hz and the
/// architectures' own).
const KNOWN_HZ: [u32; 9] = [24, 48, 100, 128, 250, 256, 300, 1_000, 1_024];
const CALIBRATION: Duration = Duration::from_millis(250);

/// A measurement of jiffies that has begun: what goes on meanwhile costs no time.
pub(super) struct Calibration {
    /// Jiffies and nanoseconds.
    first: (u64, u64),
    began: Instant,
}

impl DataPlane {
    /// Jiffies, now.
    pub(super) fn read_clock(&mut self) -> Result<u64, DataPlaneError> {
        let mut out = [0; 64];
        let program = self.program(load::CLOCK)?;
        test_run(program, &[0; 64], &mut out)?;
        Ok(self.maps.control.load_word(Control::Jiffies as u32))
    }

    /// Begins to measure the jiffies per second; `None` where an earlier process has.
    pub(super) fn begin_calibration(&mut self) -> Result<Option<Calibration>, DataPlaneError> {
        let known = self.maps.control.load_word(Control::Hz as u32) as u32;
        if known != 0 {
            self.hz = known;
            return Ok(None);
        }
        Ok(Some(Calibration {
            first: self.both_clocks()?,
            began: Instant::now(),
        }))
    }

    /// Ends the measurement, after what is left of its time, and publishes what came of it.
    pub(super) fn calibrate(&mut self, begun: &Calibration) -> Result<(), DataPlaneError> {
        thread::sleep(CALIBRATION.saturating_sub(begun.began.elapsed()));
        let (first, first_ns) = begun.first;
        let (second, second_ns) = self.both_clocks()?;
        let elapsed_ns = second_ns.saturating_sub(first_ns).max(1);
        let measured = second.saturating_sub(first).saturating_mul(1_000_000_000) / elapsed_ns;
        self.hz = nearest_hz(measured as u32);
        self.maps
            .control
            .store_word(Control::Hz as u32, u64::from(self.hz));
        Ok(())
    }

    /// The time when the clock was last read.
    pub(super) fn lately(&self) -> Jiffies {
        Jiffies(self.maps.control.load_word(Control::Jiffies as u32))
    }

    fn both_clocks(&mut self) -> Result<(u64, u64), DataPlaneError> {
        let jiffies = self.read_clock()?;
        Ok((
            jiffies,
            self.maps.control.load_word(Control::MonotonicNs as u32),
        ))
    }
}

fn nearest_hz(measured: u32) -> u32 {
    let nearest = KNOWN_HZ.into_iter().min_by_key(|hz| hz.abs_diff(measured));
    nearest.unwrap_or(measured)
}

/// Runs a program once on `packet`: its return value and the length of what is in `out`.
pub(super) fn test_run(
    program: &mut Xdp,
    packet: &[u8],
    out: &mut [u8],
) -> Result<(u32, usize), DataPlaneError> {
    let options = TestRunOptions {
        data_in: Some(packet),
        data_out: Some(out),
        ..Default::default()
    };
    let result = program
        .test_run(options)
        .map_err(|error| DataPlaneError::Load(format!("BPF_PROG_TEST_RUN: {error}")))?;
    Ok((result.return_value, result.data_size_out as usize))
}

#[cfg(test)]
mod tests {
    use super::nearest_hz;

    #[test]
    fn a_measured_rate_snaps_to_a_known_one() {
        assert_eq!(
            [96, 104, 244, 305, 990, 1_004].map(nearest_hz),
            [100, 100, 250, 300, 1_000, 1_000]
        );
    }
}
