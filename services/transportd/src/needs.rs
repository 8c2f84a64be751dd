//! What transportd needs of its machine: its ports, and room in the kernel for the largest picture.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use lumen_stage::Need;

use crate::{
    config::Config,
    gamestream,
    occupant::is_held_by,
    sockets::{self, Kind, SEND_BUFFER, SocketError},
};

/// What the kernel calls our own process: 15 characters.
const OURSELVES: &str = "lumen-transport";

/// Looks at this machine.
pub fn needs(config: &Config) -> Vec<Need> {
    let lumen1 =
        [port::<UdpSocket>(config.listen, "listen"), port::<UdpSocket>(config.video(), "video_port")];
    let moonlight = gamestream::sockets::places(&config.gamestream).into_iter().flatten();
    let moonlight: Vec<_> = moonlight
        .map(|place| {
            if place.is_udp {
                port::<UdpSocket>(place.address, place.setting)
            } else {
                port::<TcpListener>(place.address, place.setting)
            }
        })
        .collect();
    let mut needs = vec![ports("ports of lumen/1", &lumen1, Need::missing)];
    needs.push(match moonlight.as_slice() {
        [] => Need::worse(
            "ports of Moonlight",
            "transportd.toml turns it off",
            "set enabled = true in [gamestream] there",
        ),
        all => ports("ports of Moonlight", all, Need::worse),
    });
    needs.extend([reach(config), send_buffer()]);
    needs
}

fn ports(of: &str, found: &[Result<(), String>], bad: fn(&str, String, String) -> Need) -> Need {
    match found.iter().find_map(|one| one.as_ref().err()) {
        None => Need::met(of, "free, or lumen's own"),
        // The message ends with what to do.
        Some(message) => {
            let (what, mend) = message.split_once("; ").unwrap_or((message, "lumenctl logs transportd"));
            bad(of, what.to_owned(), mend.to_owned())
        }
    }
}

/// Whether the port could be had.
fn port<S: Kind>(address: SocketAddr, setting: &'static str) -> Result<(), String> {
    match sockets::bind::<S>(address, setting) {
        Ok(_) => Ok(()),
        Err(SocketError::Taken { transport, .. }) if is_held_by(OURSELVES, transport, address) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// From where clients of lumen/1 may come.
fn reach(config: &Config) -> Need {
    if config.listen.ip().is_loopback() {
        Need::worse(
            "reach",
            "lumen/1 listens for this machine alone",
            "set listen = \"[::]:47777\" in transportd.toml (/etc/lumen, or ~/.config/lumen)",
        )
    } else {
        Need::met("reach", format!("lumen/1 listens on {}", config.listen))
    }
}

/// Whether an IDR goes out in one go.
fn send_buffer() -> Need {
    let given = UdpSocket::bind("127.0.0.1:0").and_then(|socket| {
        let socket = socket2::SockRef::from(&socket);
        // Refused quietly above the limit; what was given is what counts.
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        socket.send_buffer_size()
    });
    match given {
        Ok(given) if given >= SEND_BUFFER => Need::met("send buffer", format!("{} KiB", given >> 10)),
        given => Need::worse(
            "send buffer",
            format!(
                "the kernel gives {} KiB of the {} KiB that the largest pictures need to leave in one go",
                given.unwrap_or(0) >> 10,
                SEND_BUFFER >> 10
            ),
            format!(
                "echo net.core.wmem_max={SEND_BUFFER} | sudo tee /etc/sysctl.d/60-lumen.conf && sudo sysctl --system"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gamestream::config::Settings;

    fn config(listen: &str) -> Config {
        let gamestream = Settings { enabled: false, ..Settings::default() };
        Config { listen: listen.parse().unwrap(), video_port: 0, gamestream, ..Config::default() }
    }

    /// Sabotage: take an address that cannot be bound for a port that is free.
    #[test]
    fn taken_port_is_named_with_its_setting() {
        let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
        let taken = needs(&config(&holder.local_addr().unwrap().to_string()));
        let port = holder.local_addr().unwrap().port().to_string();
        assert!(taken[0].says.contains(&port), "{taken:?}");
        assert!(taken[0].mend.contains("`listen`"), "{taken:?}");
        drop(holder);
        assert_eq!(needs(&config("127.0.0.1:0"))[0], Need::met("ports of lumen/1", "free, or lumen's own"));
    }
}
