//! Standard output, which may be a pipe that nobody reads to its end (`lumenctl status | head`).

use std::io::{self, ErrorKind, Write};

/// Prints text. A reader that has gone has read what it wanted.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
