//! Owns raw access to the members of cohorts: the lines of their table and the table beside it.

use aya_ebpf::{
    btf_maps::{Array, HashMap},
    helpers::generated::bpf_jiffies64,
    macros::btf_map,
};
use splitter_common::{
    address::Address,
    capacity::{COHORT_MEMBERS, COHORTS_ASKED, COHORTS_OF_MEMBER, member_lines, members_beside},
    clock::Jiffies,
    cohort,
    layout::Control,
    members::{self, BESIDE, Hash, Head, LOOKS, MemberLine, NOWHERE},
};

use super::{MMAPABLE, NO_PREALLOC, control, volatile};

/// That what was read is of an address, above the conditions that hold of it.
const STANDS: u64 = 1 << 32;

#[btf_map]
static MEMBERS: Array<MemberLine, { member_lines(COHORT_MEMBERS) as usize }, MMAPABLE> =
    Array::new();
#[btf_map]
static MEMBERS_BESIDE: HashMap<
    Address,
    MemberLine,
    { members_beside(COHORT_MEMBERS) as usize },
    NO_PREALLOC,
> = HashMap::new();

/// The conditions of the cohorts in `asked` that hold of an address.
#[inline(always)]
pub(crate) fn cohorts(asked: &[u32; COHORTS_ASKED], a: u64, b: u64) -> u32 {
    // Once more where the element became another's while it was read, or while the kernel looked for it: it
    // gives what it took out of a hash to the next address at once, under whoever goes along its links.
    for _ in 0..LOOKS {
        let told = match member_place(a, b) {
            NOWHERE => break,
            BESIDE => of_beside(asked, a, b),
            line => of_line(asked, line, a, b),
        };
        if told != 0 {
            return told as u32;
        }
    }
    0
}

/// Where an address stands, see [`members::locate`]. A global function, for the reason of [`super::listed`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn member_place(a: u64, b: u64) -> u32 {
    members::locate(
        Hash::of(Address([a, b]), control(Control::MemberKey)),
        control(Control::MemberHomes) as u32,
        // A line begins with its head.
        |home| Head(volatile(MEMBERS.get_ptr(home).map(<*const _>::cast))),
        |line| MEMBERS.get_ptr(line).is_some_and(|line| is_of(line, a, b)),
    )
}

/// Whether a line is that of an address.
#[inline(always)]
fn is_of(line: *const MemberLine, a: u64, b: u64) -> bool {
    // SAFETY: a pointer from a look-up stays valid for the program run and is aligned for its fields, which
    // are written word by word.
    let Address([one, two]) = unsafe { (&raw const (*line).address).read_volatile() };
    one == a && two == b
}

/// What a line tells of an address, above it [`STANDS`]; 0 where the line is another's now.
#[inline(never)]
fn of_line(asked: &[u32; COHORTS_ASKED], line: u32, a: u64, b: u64) -> u64 {
    let Some(line) = MEMBERS.get_ptr(line) else {
        return 0;
    };
    // SAFETY: as in `is_of`.
    let owner = || unsafe { (&raw const (*line).owner).read_volatile() };
    let before = owner();
    let found = of_row(asked, line, a, b);
    if before as u32 != 0 && before == owner() {
        found
    } else {
        0
    }
}

/// The same of who stands beside the lines; 0 also where nobody is found.
#[inline(never)]
fn of_beside(asked: &[u32; COHORTS_ASKED], a: u64, b: u64) -> u64 {
    let Some(line) = MEMBERS_BESIDE.get_ptr(Address([a, b])) else {
        return 0;
    };
    // The kernel writes its words in their order.
    // SAFETY: as in `is_of`.
    let last = unsafe { (&raw const (*line).owner).read_volatile() };
    let found = of_row(asked, line, a, b);
    // SAFETY: as in `is_of`.
    let first = unsafe { (&raw const (*line).head).read_volatile() };
    if last == first { found } else { 0 }
}

/// The conditions that hold of an address by its element, which may become another's at any time, address
/// first.
#[inline(always)]
fn of_row(asked: &[u32; COHORTS_ASKED], line: *const MemberLine, a: u64, b: u64) -> u64 {
    let mut found = 0;
    for at in 0..COHORTS_OF_MEMBER {
        // SAFETY: as in `is_of`; the index is in range.
        let word = unsafe { (&raw const (*line).words[at]).read_volatile() };
        let word = cohort::unseal(word, Address([a, b]));
        // Those that are used come first.
        if word == 0 {
            break;
        }
        found |= of_word(asked, word);
    }
    if is_of(line, a, b) {
        STANDS | found as u64
    } else {
        0
    }
}

/// What one word says; a function of its own, for its room on the stack.
#[inline(never)]
fn of_word(asked: &[u32; COHORTS_ASKED], word: u64) -> u32 {
    // SAFETY: the helper takes nothing and only reads a clock.
    let now = Jiffies(unsafe { bpf_jiffies64() });
    cohort::conditions_of_word(asked, word, now)
}
