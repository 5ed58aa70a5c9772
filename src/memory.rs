//! How memory goes back to the system.

/// Allocations from this size on are mapped apart and unmapped when freed: 4 MiB, below the 19 MiB of a password hash.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: libc::c_int = 4 << 20;

/// Has glibc give large blocks back. Left alone it raises its threshold with the first large block that is freed, takes the
/// next ones from its arenas, and keeps what small allocations stand behind: 360 logins left 300 MiB, a storm of them 900.
/// The price is that every large block is paid for with fresh pages; the password threads keep theirs while passwords wait.
/// Call it first of all, before there are threads.
pub fn give_large_blocks_back() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(
            unsafe_code,
            reason = "a parameter of the allocator, for which there is no safe call"
        )]
        // SAFETY: two integers; glibc takes a lock of its own, and no memory of ours is involved.
        let set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM) };
        // It can only be refused for a value above 32 MiB; then everything works as it did before.
        debug_assert_eq!(set, 1);
    }
}
