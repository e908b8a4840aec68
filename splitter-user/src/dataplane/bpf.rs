//! Owns the commands of bpf(2) that aya does not have, or not for what is pinned by others.
//!
//! Source: include/uapi/linux/bpf.h, `union bpf_attr`.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

pub(super) const BPF_MAP_GET_NEXT_KEY: libc::c_long = 4;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
pub(super) const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
const BPF_LINK_UPDATE: libc::c_long = 29;
const BPF_LINK_DETACH: libc::c_long = 34;
const BPF_LINK_TYPE_XDP: u32 = 6;

/// The arguments of `BPF_OBJ_GET`.
#[repr(C)]
struct ObjGet {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// The arguments of `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct GetInfo {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The beginning of `struct bpf_link_info` for a link of XDP, with room for what may follow.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    link_type: u32,
    id: u32,
    prog_id: u32,
    padding: u32,
    ifindex: u32,
    rest: [u32; 11],
}

/// What a link of XDP holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct XdpLinkInfo {
    /// The program's id.
    pub(super) program: u32,
    /// The interface's number; 0 once the interface is gone.
    pub(super) ifindex: u32,
}

/// The arguments of `BPF_LINK_DETACH`.
#[repr(C)]
struct LinkDetach {
    link_fd: u32,
}

/// The arguments of `BPF_LINK_UPDATE`.
#[repr(C)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

/// The arguments of `BPF_MAP_GET_NEXT_KEY`.
#[repr(C)]
pub(super) struct NextKey {
    pub(super) map_fd: u32,
    pub(super) padding: u32,
    pub(super) key: u64,
    pub(super) next_key: u64,
}

/// The arguments of `BPF_MAP_LOOKUP_BATCH`, `BPF_MAP_UPDATE_BATCH` and `BPF_MAP_DELETE_BATCH`.
#[repr(C)]
pub(super) struct Batch {
    pub(super) in_batch: u64,
    pub(super) out_batch: u64,
    pub(super) keys: u64,
    pub(super) values: u64,
    pub(super) count: u32,
    pub(super) map_fd: u32,
    pub(super) elem_flags: u64,
    pub(super) flags: u64,
}

/// Elements of an array map from `first` on, as many as `keys` has room for, and how many came.
/// `values` takes what a look-up of each writes: of a per-CPU array a value of every possible CPU,
/// each filled up to words. The position is the key before: `generic_map_lookup_batch` in
/// kernel/bpf/syscall.c, for per-CPU arrays since 5.13.
pub(super) fn array_batch(
    map: &OwnedFd,
    first: u32,
    keys: &mut [u32],
    values: &mut [u64],
    words_each: usize,
) -> io::Result<usize> {
    let (before, mut behind) = (first.wrapping_sub(1), 0u32);
    let room = keys.len().min(values.len() / words_each.max(1));
    let mut batch = Batch {
        in_batch: if first == 0 {
            0
        } else {
            (&raw const before) as u64
        },
        out_batch: (&raw mut behind) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: room as u32,
        map_fd: map.as_raw_fd() as u32,
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads and writes four bytes of position, and writes at most `count` keys of
    // four bytes and as many values; the caller says how many words each takes, and there is room
    // for all of them. It writes their number into `batch`.
    #[allow(unsafe_code, reason = "bpf(2); see the module")]
    let told = unsafe { command_mut(BPF_MAP_LOOKUP_BATCH, &mut batch) };
    match told {
        Ok(_) => Ok(batch.count as usize),
        // The array ends here.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(batch.count as usize),
        Err(error) => Err(error),
    }
}

/// Whether there is what was asked for.
pub(super) fn found(told: io::Result<libc::c_long>) -> io::Result<bool> {
    match told {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives a pinned link a pinned program instead of the one that it has.
pub(super) fn update_link(link: &Path, program: &Path) -> io::Result<()> {
    let (link, program) = (open(link)?, open(program)?);
    let update = LinkUpdate {
        link_fd: link.as_raw_fd() as u32,
        new_prog_fd: program.as_raw_fd() as u32,
        flags: 0,
        old_prog_fd: 0,
    };
    // SAFETY: the arguments name open file descriptors and no memory.
    #[allow(unsafe_code, reason = "bpf(2); see the module")]
    unsafe { command(BPF_LINK_UPDATE, &update) }.map(drop)
}

/// How many keys a pinned map has, at most `limit`: under traffic a walk may begin anew, since a
/// key that is gone has no next one. `key_size` is the map's own, in bytes.
pub(super) fn count_keys(map: &Path, key_size: u32, limit: u32) -> io::Result<u64> {
    let map = open(map)?;
    let (mut key, mut next) = (vec![0u8; key_size as usize], vec![0u8; key_size as usize]);
    for count in 0..limit {
        let ask = NextKey {
            map_fd: map.as_raw_fd() as u32,
            padding: 0,
            key: if count == 0 { 0 } else { key.as_ptr() as u64 },
            next_key: next.as_mut_ptr() as u64,
        };
        // SAFETY: the kernel reads one key and writes one, of the map's own key size, which is that
        // of both buffers.
        #[allow(unsafe_code, reason = "bpf(2); see the module")]
        let told = unsafe { command(BPF_MAP_GET_NEXT_KEY, &ask) };
        match told {
            Ok(_) => std::mem::swap(&mut key, &mut next),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(u64::from(count)),
            Err(error) => return Err(error),
        }
    }
    Ok(u64::from(limit))
}

/// Takes the program of a pinned link off its interface before it returns. Removing the pin alone
/// lets the kernel do that some time later, and until then the interface is busy.
pub(super) fn detach_link(pin: &Path) -> io::Result<()> {
    let link = open(pin)?;
    let detach = LinkDetach {
        link_fd: link.as_raw_fd() as u32,
    };
    // SAFETY: the arguments name an open file descriptor and no memory.
    #[allow(unsafe_code, reason = "bpf(2); see the module")]
    unsafe { command(BPF_LINK_DETACH, &detach) }.map(drop)
}

/// What a pinned link holds; `None` when it is no link of XDP.
pub(super) fn xdp_link(pin: &Path) -> io::Result<Option<XdpLinkInfo>> {
    let link = open(pin)?;
    let mut info = LinkInfo::default();
    let get = GetInfo {
        bpf_fd: link.as_raw_fd() as u32,
        info_len: size_of::<LinkInfo>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: the kernel writes at most `info_len` bytes into `info`, which outlives the call.
    #[allow(unsafe_code, reason = "bpf(2); see the module")]
    unsafe { command(BPF_OBJ_GET_INFO_BY_FD, &get) }?;
    Ok(
        (info.link_type == BPF_LINK_TYPE_XDP).then_some(XdpLinkInfo {
            program: info.prog_id,
            ifindex: info.ifindex,
        }),
    )
}

/// What is pinned at a path.
fn open(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let get = ObjGet {
        pathname: path.as_ptr() as u64,
        bpf_fd: 0,
        file_flags: 0,
    };
    // SAFETY: the path outlives the call, which makes a new file descriptor or fails.
    #[allow(unsafe_code, reason = "bpf(2); see the module")]
    unsafe {
        command(BPF_OBJ_GET, &get).map(|fd| OwnedFd::from_raw_fd(fd as i32))
    }
}

/// One bpf(2) call.
///
/// # Safety
///
/// What `arguments` points to must be valid for the command.
#[allow(unsafe_code, reason = "bpf(2); see the module")]
pub(super) unsafe fn command<T>(number: libc::c_long, arguments: &T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads at most the size given; the rest is the caller's promise.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            number,
            std::ptr::from_ref(arguments),
            size_of::<T>(),
        )
    };
    outcome(answer)
}

/// One bpf(2) call that writes an answer into its arguments.
///
/// # Safety
///
/// As for [`command`].
#[allow(unsafe_code, reason = "bpf(2); see the module")]
pub(super) unsafe fn command_mut<T>(
    number: libc::c_long,
    arguments: &mut T,
) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads and writes at most the size given; the rest is the caller's promise.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            number,
            std::ptr::from_mut(arguments),
            size_of::<T>(),
        )
    };
    outcome(answer)
}

fn outcome(answer: libc::c_long) -> io::Result<libc::c_long> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}
