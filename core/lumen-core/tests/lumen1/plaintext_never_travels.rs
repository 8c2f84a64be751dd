use crate::pair::{Host, meta, ms, unit};
use std::collections::HashSet;

// Sabotage: seal parity or the last datagram of a burst not at all.
#[test]
fn no_run_of_sixteen_bytes_of_a_unit_stands_in_a_datagram() {
    let mut host = Host::new(50);
    for number in 0..8 {
        let unit = unit(50_000, number);
        let runs: HashSet<&[u8]> = unit.windows(16).collect();
        for datagram in host.send(&unit, &meta(number), ms(1)) {
            assert!(!datagram.windows(16).any(|run| runs.contains(run)));
        }
    }
}

#[test]
fn equal_frames_look_different() {
    let mut host = Host::new(100);
    let mut seen = HashSet::new();
    for _ in 0..50 {
        for datagram in host.send(&[0; 3000], &meta(0), ms(1)) {
            for run in datagram[16..].chunks_exact(16) {
                assert!(seen.insert(run.to_vec()), "the same 16 bytes twice");
            }
        }
    }
}
