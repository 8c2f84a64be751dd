//! The address of the network card through which a client is reached: what wakes this machine when it sleeps.
//!
//! The kernel's tables say it without a socket of its own family, which the unit's sandbox does not give.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A card whose address nobody knows; clients ignore it.
const NONE: [u8; 6] = [0; 6];

/// The card through which `local` talks to `remote`.
pub fn address(local: IpAddr, remote: IpAddr) -> [u8; 6] {
    let name = match (local.to_canonical(), remote.to_canonical()) {
        (local, _) if local.is_loopback() => None,
        (IpAddr::V6(local), _) => read("/proc/self/net/if_inet6").and_then(|table| of_address(&table, local)),
        (_, IpAddr::V4(remote)) => read("/proc/self/net/route").and_then(|table| of_route(&table, remote)),
        _ => None,
    };
    let text = name.and_then(|name| read(&format!("/sys/class/net/{name}/address")));
    text.and_then(|text| parse(text.trim())).unwrap_or(NONE)
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The card that has `local`, in a table of `/proc/net/if_inet6`'s form.
fn of_address(table: &str, local: Ipv6Addr) -> Option<String> {
    table.lines().find_map(|line| {
        let (digits, rest) = line.split_once(' ')?;
        let address = Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?);
        (address == local).then(|| rest.split_whitespace().last().map(str::to_owned))?
    })
}

/// The card of the narrowest route to `remote`, in a table of `/proc/net/route`'s form.
fn of_route(table: &str, remote: Ipv4Addr) -> Option<String> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace();
        let name = fields.next()?;
        // The kernel writes addresses as numbers of its own byte order.
        let number = |text: &str| {
            u32::from_str_radix(text, 16).ok().map(|number| Ipv4Addr::from(number.to_ne_bytes()))
        };
        let (to, mask) = (number(fields.next()?)?, number(fields.nth(5)?)?);
        (remote & mask == to).then(|| (mask, name.to_owned()))
    });
    routes.max().map(|(_, name)| name)
}

fn parse(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Provenance: tables of Linux 6.1 on a little-endian machine.
    #[cfg(target_endian = "little")]
    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        wlan0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";

    /// Sabotage: take the first route that fits.
    #[cfg(target_endian = "little")]
    #[test]
    fn the_narrowest_route_names_the_card() {
        assert_eq!(of_route(ROUTES, Ipv4Addr::new(192, 168, 1, 9)).as_deref(), Some("wlan0"));
        assert_eq!(of_route(ROUTES, Ipv4Addr::new(10, 0, 0, 1)).as_deref(), Some("eth0"));
    }

    #[test]
    fn addresses_are_read() {
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
            fe800000000000000042acfffe110002 02 40 20 80     eth0\n";
        let local: Ipv6Addr = "fe80::42:acff:fe11:2".parse().unwrap();
        assert_eq!(of_address(table, local).as_deref(), Some("eth0"));
        assert_eq!(parse("02:42:ac:11:00:02"), Some([2, 0x42, 0xac, 0x11, 0, 2]));
        assert_eq!(parse("02:42:ac:11:00"), None);
        assert_eq!(
            address(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()),
            NONE,
            "loopback has none"
        );
    }
}
