//! Owns what is remembered of clients, and the rules by which their devices are known. Each of these is a
//! function of its own, for its room on the stack, and so that it is walked once.

use aya_ebpf::{
    btf_maps::{Array, LruHashMap},
    helpers::generated::bpf_jiffies64,
    macros::btf_map,
};
use splitter_common::{
    address::Address,
    capacity::KNOWN_CLIENTS,
    clock::Jiffies,
    device::{DeviceRules, UNKNOWN},
    layout::{ClientKey, Control},
    traits::{ClientRow, Traits, TraitsRow},
};

use crate::maps::{self, MMAPABLE};

/// Two sets, of which one is in force.
#[btf_map]
static DEVICE_RULES: Array<DeviceRules, 2, MMAPABLE> = Array::new();
#[btf_map]
static CLIENTS: LruHashMap<ClientKey, ClientRow, { KNOWN_CLIENTS as usize }> = LruHashMap::new();

/// The device class of the SYN whose signature was kept.
#[inline(never)]
pub(crate) fn device() -> u32 {
    let side = maps::control(Control::Devices) as u32 & 1;
    let rules = DEVICE_RULES.get(side);
    match rules.zip(maps::signature()) {
        Some((rules, words)) => rules.class_of(&words) as u32,
        None => UNKNOWN as u32,
    }
}

/// The traits of a client; `device` is the class of its SYN.
#[inline(never)]
pub(crate) fn traits(asks: &TraitsRow, service: u64, a: u64, b: u64, device: u32) -> u32 {
    let key = key(service, a, b);
    let row = CLIENTS.get_ptr(&key).map_or(ClientRow::default(), read);
    row.traits(asks, &key, device as u8, now()).0 as u32
}

/// Remembers a client one of whose flows was answered.
#[inline(never)]
pub(crate) fn learn(asks: &TraitsRow, service: u64, a: u64, b: u64, traits: u32) {
    let key = key(service, a, b);
    let traits = Traits(traits as u16);
    match CLIENTS.get_ptr_mut(&key) {
        Some(row) => {
            let after = read(row).after(asks, &key, traits, now());
            // SAFETY: the element stays mapped for the program run and is aligned for its words; one
            // that was recycled meanwhile is another client's, to whom the tag makes it a stranger's.
            unsafe {
                (&raw mut (*row).latched).write_volatile(after.latched);
                (&raw mut (*row).counted).write_volatile(after.counted);
            }
        }
        None => {
            let row = ClientRow::default().after(asks, &key, traits, now());
            // Without room this client is not remembered.
            let _refused = CLIENTS.insert(&key, &row, 0);
        }
    }
}

#[inline(always)]
fn read(row: *const ClientRow) -> ClientRow {
    // SAFETY: as in `learn`; each word is read once.
    unsafe {
        ClientRow {
            latched: (&raw const (*row).latched).read_volatile(),
            counted: (&raw const (*row).counted).read_volatile(),
        }
    }
}

#[inline(always)]
const fn key(service: u64, a: u64, b: u64) -> ClientKey {
    ClientKey {
        client: Address([a, b]),
        service,
    }
}

/// The time, and how many jiffies a second has.
#[inline(always)]
fn now() -> (Jiffies, u64) {
    // SAFETY: the helper takes nothing and only reads a clock.
    (
        Jiffies(unsafe { bpf_jiffies64() }),
        maps::control(Control::Hz),
    )
}
