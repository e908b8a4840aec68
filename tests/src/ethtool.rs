//! Owns the offload settings of interfaces, by ioctl: machines of this kind have no `ethtool`.

use anyhow::{Context, Result};

use crate::netns::Netns;
use crate::sys;

/// `ETHTOOL_STXCSUM` of `linux/ethtool.h`.
const SET_TX_CHECKSUM: u32 = 0x17;
/// `ETHTOOL_SGRO`.
const SET_GRO: u32 = 0x2c;

/// Prepares an end of a veth pair for frames that an XDP program forwards.
///
/// TX checksum offload goes off, because XDP forwards a partial checksum as it is and the receiver
/// then drops the segment. GRO goes on, because a veth end without GRO or an XDP program of its own
/// loses every frame that was redirected to its peer.
///
/// # Errors
///
/// When the interface is not in the namespace.
pub fn prepare_veth(netns: &Netns, interface: &str) -> Result<()> {
    set_tx_checksum(netns, interface, false)?;
    set_gro(netns, interface, true)
}

/// Switches TX checksum offload, and with it segmentation offload.
///
/// # Errors
///
/// When the interface is not in the namespace.
pub fn set_tx_checksum(netns: &Netns, interface: &str, on: bool) -> Result<()> {
    set(netns, interface, SET_TX_CHECKSUM, on).with_context(|| {
        let label = netns.label();
        format!("cannot set TX checksum offload of {interface} in {label}")
    })
}

/// Switches generic receive offload, and with it NAPI on a veth.
///
/// # Errors
///
/// When the interface is not in the namespace.
pub fn set_gro(netns: &Netns, interface: &str, on: bool) -> Result<()> {
    set(netns, interface, SET_GRO, on)
        .with_context(|| format!("cannot set GRO of {interface} in {}", netns.label()))
}

fn set(netns: &Netns, interface: &str, option: u32, on: bool) -> std::io::Result<()> {
    netns.run(|| sys::ethtool_set(interface, option, u32::from(on)))
}
