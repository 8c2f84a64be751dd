//! One datagram in twenty is lost: with parity each frame is whole, without it some are not.

use crate::{
    host::{Host, Script},
    probe::summary,
};

// Sabotage: count a recovered frame as lost, or throw parity shards away.
#[test]
fn parity_mends_what_the_network_loses() {
    let home = tempfile::tempdir().unwrap();
    let stream = |parity: &str| {
        let host = Host::start(Script { loses_one_in: Some(20), ..Script::default() });
        summary(home.path(), &host.address, &["--frames", "60", "--parity", parity])
    };
    let with = stream("50");
    assert_eq!(with["network"]["lost"], 0, "{with:#}");
    assert!(with["network"]["recovered"].as_u64().unwrap() > 3, "{with:#}");
    assert_eq!(with["stamp"]["skipped"], 0);
    let without = stream("0");
    assert!(without["network"]["lost"].as_u64().unwrap() > 3, "{without:#}");
    assert_eq!(without["network"]["recovered"], 0);
    assert_eq!(without["stamp"]["strictly_rising"], true);
}
