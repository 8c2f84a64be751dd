//! The smallest thing that systemd takes for a stage: it says READY and stays. Tests of `lumenctl run` use it.
#![forbid(unsafe_code)]

use std::io;
use std::os::unix::net::UnixDatagram;

fn main() -> io::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("--sweep") {
        return Ok(());
    }
    if std::env::var_os("TOY_FAILS").is_some() {
        eprintln!("toy: the configuration is wrong");
        std::process::exit(78);
    }
    let address = std::env::var("NOTIFY_SOCKET").map_err(io::Error::other)?;
    UnixDatagram::unbound()?.send_to(b"READY=1", address)?;
    println!("toy: ready");
    loop {
        std::thread::park();
    }
}
