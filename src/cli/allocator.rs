//! How this process gives memory back to the system.

/// Blocks of this size and more are mapped on their own, and go back to the system when they are
/// freed. It is glibc's own default, but only until the first large block is freed: then glibc
/// raises it, up to 32 MiB, and large blocks share the heap with small ones.
const MAPPED_FROM: i32 = 128 * 1024;

/// Keeps the memory of a long run flat. sled's write buffers are large, and small blocks that live
/// longer settle between them: without this, a scheduler grew by 30 MiB in 5,000 jobs although it
/// never held more than 4 MiB more. Other C libraries do not move their threshold.
pub fn give_large_blocks_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: changes a parameter of the allocator; called before other threads exist. A refusal is
    // harmless.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
    }
}
