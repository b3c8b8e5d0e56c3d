//! The `scheduler` binary.

fn main() -> std::process::ExitCode {
    // First of all: the stages of a process tree rely on being alone in their process.
    if let Some(code) = crewlog::agent::child_entry(std::env::args_os()) {
        std::process::exit(code);
    }
    crewlog::cli::scheduler(std::env::args_os()).into()
}
