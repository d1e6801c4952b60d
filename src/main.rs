//! The binary: arguments, then the server or one command.

use std::process::ExitCode;

fn main() -> ExitCode {
    vestibule::cli::run()
}
