//! The binary: arguments, then the server or one command.

use std::process::ExitCode;

/// Asks for huge pages, which hashing is faster on (`docs/decisions/0008-allocator.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    vestibule::cli::run()
}
