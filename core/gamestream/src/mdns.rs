//! What is answered to a question of multicast DNS, without a socket: RFC 6762 and 6763, as far as one service needs them.
//!
//! ```text
//! _nvstream._tcp.local  PTR  NAME._nvstream._tcp.local ─ SRV ─► HOST.local : port ─ A ─► address
//!                                                     └ TXT ─► nothing
//! ```
//! Names are written without compression; those that are read may have it. Answers go to the group alone, so that nobody
//! outside of the link can be made to receive them.

use std::net::Ipv4Addr;

/// What Moonlight looks for.
const SERVICE: [&str; 3] = ["_nvstream", "_tcp", "local"];
/// What lists services.
const SERVICES: [&str; 4] = ["_services", "_dns-sd", "_udp", "local"];

const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;
const SRV: u16 = 33;
const ANY: u16 = 255;

/// Internet, and "this replaces what you knew" for what is ours alone.
const CLASS: u16 = 1;
const OURS: u16 = 0x8001;

/// Seconds that others may keep an answer: what RFC 6762 has for names of hosts.
const TTL: u32 = 120;

/// Questions that are read of one packet, labels of a name, and jumps within it.
const MAX_QUESTIONS: u16 = 32;
const MAX_LABELS: usize = 16;
const MAX_JUMPS: usize = 16;

/// The service, as one interface has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// One label: letters, digits, hyphens.
    pub name: String,
    /// The host's label in `.local`.
    pub host: String,
    /// Port of plain HTTP.
    pub port: u16,
    /// Of the interface.
    pub address: Ipv4Addr,
}

/// A host's name as one label of at most 63 characters.
pub fn label(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let label: String = name.split('.').next().unwrap_or_default().chars().map(plain).take(63).collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "lumen".to_owned() } else { label.to_owned() }
}

impl Service {
    /// The answer to a packet, if it asks for anything of this service.
    pub fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut reader = Reader { packet, at: 0 };
        let (_id, flags, questions) = (reader.u16()?, reader.u16()?, reader.u16()?);
        // Only questions (no answers of others), of the one kind there is.
        if flags & 0xf800 != 0 {
            return None;
        }
        reader.at = 12;
        let mut records = Records::default();
        for _ in 0..questions.min(MAX_QUESTIONS) {
            let (name, kind) = (reader.name()?, reader.u16()?);
            reader.u16()?;
            self.add(&name, kind, &mut records);
        }
        records.packet()
    }

    /// What is said unasked when the service begins.
    pub fn announcement(&self) -> Vec<u8> {
        let mut records = Records::default();
        self.add(&SERVICE.map(str::to_owned), PTR, &mut records);
        records.packet().unwrap_or_default()
    }

    fn add(&self, name: &[String], kind: u16, records: &mut Records) {
        let is = |wanted: &[&str]| {
            name.len() == wanted.len()
                && name.iter().zip(wanted).all(|(one, other)| one.eq_ignore_ascii_case(other))
        };
        let wants = |of: u16| kind == of || kind == ANY;
        let instance = [self.name.as_str(), SERVICE[0], SERVICE[1], SERVICE[2]];
        let host = [self.host.as_str(), "local"];
        if is(&SERVICES) && wants(PTR) {
            records.add(&SERVICES, PTR, CLASS, &encoded(&SERVICE));
        }
        let is_browsed = is(&SERVICE) && wants(PTR);
        if is_browsed {
            records.add(&SERVICE, PTR, CLASS, &encoded(&instance));
        }
        if is_browsed || is(&instance) && wants(SRV) {
            let target = encoded(&host);
            records.add(&instance, SRV, OURS, &[&[0; 4][..], &self.port.to_be_bytes(), &target].concat());
        }
        if is_browsed || is(&instance) && wants(TXT) {
            records.add(&instance, TXT, OURS, &[0]);
        }
        if is_browsed || is(&instance) && wants(SRV) || is(&host) && wants(A) {
            records.add(&host, A, OURS, &self.address.octets());
        }
    }
}

fn encoded(name: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name {
        bytes.push(u8::try_from(label.len()).unwrap_or(0));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

/// Answers of one packet, each once.
#[derive(Default)]
struct Records(Vec<Vec<u8>>);

impl Records {
    fn add(&mut self, name: &[&str], kind: u16, class: u16, value: &[u8]) {
        let length = u16::try_from(value.len()).unwrap_or(0);
        let mut record = encoded(name);
        record.extend([kind.to_be_bytes(), class.to_be_bytes()].concat());
        record.extend(TTL.to_be_bytes());
        record.extend(length.to_be_bytes());
        record.extend(value);
        if !self.0.contains(&record) {
            self.0.push(record);
        }
    }

    fn packet(self) -> Option<Vec<u8>> {
        let count = u16::try_from(self.0.len()).ok().filter(|count| *count > 0)?;
        // An authoritative answer without a question.
        let head = [[0, 0], [0x84, 0], [0, 0], count.to_be_bytes(), [0, 0], [0, 0]].concat();
        Some([head, self.0.concat()].concat())
    }
}

struct Reader<'a> {
    packet: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn u16(&mut self) -> Option<u16> {
        let bytes = self.packet.get(self.at..)?.first_chunk()?;
        self.at += 2;
        Some(u16::from_be_bytes(*bytes))
    }

    /// The labels of a name; each jump must lead back, so that none is taken twice.
    fn name(&mut self) -> Option<Vec<String>> {
        let (mut labels, mut at, mut jumps) = (Vec::new(), self.at, 0);
        let mut end = None;
        loop {
            let length = usize::from(*self.packet.get(at)?);
            match length {
                0 => break,
                1..64 => {
                    let label = self.packet.get(at + 1..at + 1 + length)?;
                    labels.push(String::from_utf8_lossy(label).into_owned());
                    at += 1 + length;
                }
                192.. => {
                    let low = usize::from(*self.packet.get(at + 1)?);
                    end = end.or(Some(at + 2));
                    let to = (length - 192) << 8 | low;
                    jumps += 1;
                    if to >= at || jumps > MAX_JUMPS {
                        return None;
                    }
                    at = to;
                }
                _ => return None,
            }
            if labels.len() > MAX_LABELS {
                return None;
            }
        }
        self.at = end.unwrap_or(at + 1);
        Some(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn service() -> Service {
        Service {
            name: "tower".into(),
            host: "lumen-00ff".into(),
            port: 47989,
            address: Ipv4Addr::new(192, 0, 2, 7),
        }
    }

    fn question(name: &[&str], kind: u16) -> Vec<u8> {
        let head = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        [head, encoded(name), kind.to_be_bytes().to_vec(), vec![0, 1]].concat()
    }

    // Provenance: the answer that python-zeroconf's DNSIncoming reads as these four records (checked by hand).
    const BROWSED: &str = "\
        000084000000000400000000095f6e7673747265616d045f746370056c6f63616c00000c00010000\
        0078001c05746f776572095f6e7673747265616d045f746370056c6f63616c0005746f776572095f\
        6e7673747265616d045f746370056c6f63616c000021800100000078001800000000bb750a6c756d\
        656e2d30306666056c6f63616c0005746f776572095f6e7673747265616d045f746370056c6f6361\
        6c0000108001000000780001000a6c756d656e2d30306666056c6f63616c00000180010000007800\
        04c0000207";

    /// Sabotage: leave out the address, or the SRV record.
    #[test]
    fn who_browses_gets_all_it_needs_in_one_answer() {
        let answer = service().answer(&question(&SERVICE, PTR)).unwrap();
        assert_eq!(crate::hex::encode(&answer), BROWSED);
        assert_eq!(service().announcement(), answer);
        let upper = service().answer(&question(&["_NVSTREAM", "_TCP", "Local"], PTR));
        assert_eq!(upper.unwrap(), answer, "letters of any case");
    }

    /// Sabotage: answer whatever is asked.
    #[test]
    fn questions_for_others_and_answers_of_others_are_not_answered() {
        let answer = |packet: &[u8]| service().answer(packet);
        assert_eq!(answer(&question(&["_ipp", "_tcp", "local"], PTR)), None);
        assert_eq!(answer(&question(&["lumen-00ff", "local"], SRV)), None);
        assert!(answer(&question(&["lumen-00ff", "local"], A)).is_some());
        assert!(answer(&question(&["tower", "_nvstream", "_tcp", "local"], TXT)).is_some());
        assert!(answer(&question(&SERVICES, PTR)).is_some());
        let mut said = question(&SERVICE, PTR);
        said[2] = 0x84;
        assert_eq!(answer(&said), None);
    }

    /// Sabotage: let a jump lead forward.
    #[test]
    fn a_name_that_jumps_is_read_and_one_that_circles_is_not() {
        let mut two = question(&["_x", "_tcp", "local"], PTR);
        two[5] = 2;
        // `_nvstream` and then the `_tcp.local` of the first question.
        two.extend([&[9][..], b"_nvstream", &[0xc0, 15], &[0, 12, 0, 1]].concat());
        assert!(service().answer(&two).is_some());
        let circle = [&question(&[], PTR)[..12], &[0xc0, 12, 0, 12, 0, 1]].concat();
        assert_eq!(service().answer(&circle), None);
    }

    #[test]
    fn a_hosts_name_becomes_one_label() {
        assert_eq!(label("tower.example.org"), "tower");
        assert_eq!(label("Ada's tower"), "Ada-s-tower");
        assert_eq!(label(&"x".repeat(90)).len(), 63);
        assert_eq!(label("..."), "lumen");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = service().answer(&bytes);
            let mut asked = question(&SERVICE, PTR);
            asked.truncate(12);
            asked.extend(bytes);
            if let Some(answer) = service().answer(&asked) {
                prop_assert!(answer.len() <= 512);
            }
        }
    }
}
