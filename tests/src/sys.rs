//! Owns the crate's unsafe code: the few system calls that have no safe wrapper.
//!
//! Invariant: `unsafe` stands nowhere else in this crate, and every function here is safe to call
//! with any argument.

use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// Puts the calling thread into a network namespace of its own.
///
/// # Errors
///
/// When the kernel refuses, mostly for want of CAP_SYS_ADMIN.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: only the network namespace is unshared; the table of file descriptors, which is what
    // makes the call unsafe, stays shared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.map_err(io::Error::from)
}

/// Makes the child of `command` start in the network namespace `netns` and die with the thread
/// that starts it.
pub(crate) fn confine(command: &mut Command, netns: Arc<OwnedFd>) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        use std::os::fd::AsFd;
        rustix::thread::move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the signal was asked for.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec and makes only system calls: it neither
    // allocates nor takes a lock.
    unsafe { command.pre_exec(prepare) };
}

/// Sets one of the on/off or number options of ethtool on an interface of the calling thread's
/// network namespace.
///
/// # Errors
///
/// When there is no such interface, its name is too long, or the driver refuses.
pub(crate) fn ethtool_set(interface: &str, option: u32, value: u32) -> io::Result<()> {
    /// `struct ethtool_value` of `linux/ethtool.h`.
    #[repr(C)]
    struct EthtoolValue {
        command: u32,
        data: u32,
    }

    // SAFETY: `ifreq` is plain C data, for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // One byte is kept for the terminating zero.
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    let mut argument = EthtoolValue {
        command: option,
        data: value,
    };
    request.ifr_ifru.ifru_data = (&raw mut argument).cast();

    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    // SAFETY: SIOCETHTOOL takes an `ifreq` whose data points to the structure of its command, here
    // an `ethtool_value`; both live until the call returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Lets a socket be bound to an address whose port is chosen at `connect`, so that one port serves
/// many destinations.
///
/// # Errors
///
/// When the kernel refuses.
pub(crate) fn bind_address_without_port(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).map_err(io::Error::other)?;
    // SAFETY: the option takes an `int`, and pointer and length describe one.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A descriptor as a path that another process of the same user can open.
pub(crate) fn descriptor_path(descriptor: &OwnedFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_raw_fd())
}

/// Attaches a program that passes everything to an interface of the calling thread's network
/// namespace, natively; it stays until the returned link is closed.
///
/// # Errors
///
/// When there is no such interface or the kernel refuses.
pub(crate) fn attach_xdp_pass(interface: &str) -> io::Result<OwnedFd> {
    const BPF_PROG_LOAD: u32 = 5;
    const BPF_LINK_CREATE: u32 = 28;
    const BPF_PROG_TYPE_XDP: u64 = 6;
    const BPF_XDP: u64 = 37;
    const XDP_FLAGS_DRV_MODE: u64 = 4;
    /// `r0 = XDP_PASS; exit`, as `struct bpf_insn`.
    static PASS: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];
    let ifindex = ifindex(interface)?;
    // `union bpf_attr`: prog_type and insn_cnt, insns, license.
    let license = c"GPL";
    let load = [
        BPF_PROG_TYPE_XDP | (PASS.len() as u64) << 32,
        PASS.as_ptr() as u64,
        license.as_ptr() as u64,
        0,
        0,
        0,
    ];
    let program = bpf(BPF_PROG_LOAD, &load)?;
    // prog_fd and target_ifindex, attach_type and flags.
    let fd = program.as_raw_fd() as u64;
    bpf(
        BPF_LINK_CREATE,
        &[
            fd | u64::from(ifindex) << 32,
            BPF_XDP | XDP_FLAGS_DRV_MODE << 32,
        ],
    )
}

/// The number of an interface of the calling thread's network namespace.
///
/// # Errors
///
/// When there is no such interface.
pub(crate) fn ifindex(interface: &str) -> io::Result<u32> {
    let name = std::ffi::CString::new(interface)?;
    // SAFETY: `name` is a C string that outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        ifindex => Ok(ifindex),
    }
}

/// A socket of whole frames on an interface of the calling thread's network namespace: what is
/// written leaves by it, what comes in by it is read, and with `sent_too` what leaves. Reading does
/// not wait.
///
/// # Errors
///
/// When there is no such interface or the kernel refuses.
pub(crate) fn frames_of(interface: &str, sent_too: bool) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd as _;
    let every_protocol = (libc::ETH_P_ALL as u16).to_be();
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the call takes three numbers.
    let result = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(every_protocol)) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call returned a new file descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(result) };
    let on = libc::c_int::from(!sent_too);
    // SAFETY: the option takes an `int`, and pointer and length describe one.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `sockaddr_ll` is plain C data, for which all zeroes is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = every_protocol;
    address.sll_ifindex = ifindex(interface)?.cast_signed();
    // SAFETY: pointer and length describe the address, which outlives the call.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

/// A `bpf` command that makes a file descriptor.
fn bpf(command: u32, attributes: &[u64]) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: the kernel reads `attributes` only up to the length given; pointers in it are to
    // statics or outlive the call in the caller.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            size_of_val(attributes),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the command returned a new file descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}
