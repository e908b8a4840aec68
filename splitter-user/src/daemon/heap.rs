//! Owns how the daemon's heap is kept: one arena for all threads, so that what one of them freed
//! serves the others. The daemon allocates seldom and under a lock; with an arena for each thread
//! a thousand services held 117 MiB, with one 44.

/// Keeps one arena; call it before the first thread.
pub(super) fn keep_one_arena() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallopt(3) takes two numbers; a refusal changes nothing.
        #[allow(unsafe_code, reason = "mallopt has no safe wrapper")]
        let taken = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
        log::debug!("one arena: {}", taken == 1);
    }
}

/// Gives the kernel back what is free: after a million members were imported, most of it.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: malloc_trim(3) takes a number and touches nothing that is in use.
        #[allow(unsafe_code, reason = "malloc_trim has no safe wrapper")]
        let given = unsafe { libc::malloc_trim(0) };
        log::debug!("memory given back: {}", given == 1);
    }
}
