//! For how long a program held other keys than its client.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What is held from each moment on, in milliseconds.
pub type Held = Vec<(u64, BTreeSet<u32>)>;

/// What a client holds whose script is of presses and releases alone, each of which was done at the time of `acts`.
pub fn client(script: &str, acts_ns: &[u64]) -> Held {
    let mut held = BTreeSet::new();
    let acts = script.lines().zip(acts_ns);
    let done = acts.filter_map(|(line, at_ns)| {
        let mut words = line.split(' ').skip(1);
        let (verb, code) = (words.next()?, words.next()?.parse().ok()?);
        match verb {
            "press" => held.insert(code),
            _ => held.remove(&code),
        };
        Some((at_ns / 1_000_000, held.clone()))
    });
    done.collect()
}

/// How long each key was, at a time, held by the program and not by the client, or the other way round.
pub fn spans(client: &Held, program: &Held) -> Vec<Duration> {
    let told = |held: &Held, is_client: bool| {
        held.iter().map(|(at, held)| (*at, is_client, held.clone())).collect::<Vec<_>>()
    };
    let mut all = [told(client, true), told(program, false)].concat();
    all.sort_by_key(|(at, ..)| *at);
    let (mut said, mut heard) = (BTreeSet::new(), BTreeSet::new());
    let mut since: BTreeMap<u32, u64> = BTreeMap::new();
    let mut spans = Vec::new();
    for (at, is_client, held) in all {
        if is_client {
            said = held
        } else {
            heard = held
        }
        let apart: BTreeSet<u32> = said.symmetric_difference(&heard).copied().collect();
        since.retain(|code, began| {
            let is_apart = apart.contains(code);
            if !is_apart {
                spans.push(Duration::from_millis(at - *began));
            }
            is_apart
        });
        for code in apart {
            since.entry(code).or_insert(at);
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: begin a span anew with each thing that happens, or look at what sticks alone.
    #[test]
    fn a_key_that_sticks_or_is_missing_is_timed() {
        let client = client("0 press 30\n1 release 30\n2 press 57\n", &[5_000_000, 9_000_000, 20_000_000]);
        let program = vec![(6, [30].into()), (12, [30].into()), (109, [].into()), (150, [57].into())];
        let ms: Vec<u128> = spans(&client, &program).iter().map(Duration::as_millis).collect();
        assert_eq!(ms, [1, 100, 130]);
    }
}
