//! The XDP programs of the bench. [`driver`] makes packets and hands them to the program under
//! test by a tail call; [`floors`] and [`tables`] are what that program is compared with. Nothing of this is ever
//! attached to a host's interface.
#![no_std]
#![no_main]
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "the xdp macro emits public items without docs"
)]

mod driver;
mod floors;
mod frame;
mod layout;
mod tables;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
