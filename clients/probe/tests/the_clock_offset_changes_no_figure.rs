//! The figures are on one clock, found by round trips: a client whose clock is wrong by 5 s reports the same.

use crate::{
    host::{Host, Script},
    probe::summary,
};

// Sabotage: take the host's times as they are (`to_local` = identity); or judge the stamp against number + 1.
#[test]
fn the_clock_offset_changes_no_figure() {
    let host = Host::start(Script { forges_one_in: Some(10), ..Script::default() });
    let home = tempfile::tempdir().unwrap();
    for offset in ["0", "5"] {
        let summary = summary(home.path(), &host.address, &["--frames", "60", "--clock-offset", offset]);
        let number = |path: &str| {
            summary.pointer(path).and_then(|v| v.as_f64()).unwrap_or_else(|| panic!("{path} in {summary:#}"))
        };
        let expected = -1e9 * offset.parse::<f64>().unwrap();
        assert!((number("/clock/offset_ns") - expected).abs() < 50e6, "{summary:#}");
        // A wrong clock would show here as 0 or as 5,000,000.
        for way in ["total", "dequeued_to_encoded", "sent_to_received"] {
            let p50 = number(&format!("/latency_us/{way}/p50"));
            assert!((1.0..1_000_000.0).contains(&p50), "{way}: {p50}");
        }
        let of_ways: f64 =
            ["dequeued_to_encoded", "encoded_to_sent", "sent_to_received", "received_to_decoded"]
                .iter()
                .map(|way| number(&format!("/latency_us/{way}/p50")))
                .sum();
        let total = number("/latency_us/total/p50");
        assert!((of_ways - total).abs() < total * 0.5, "{of_ways} is not about {total}");

        assert_eq!(summary["stamp"]["strictly_rising"], true, "{summary:#}");
        assert_eq!(summary["stamp"]["skipped"], 0);
        assert_eq!(summary["stamp"]["unreadable"], 0);
        assert!(number("/stamp/text_psnr_min_db") >= 35.0, "{summary:#}");
        assert!(number("/stamp/patch_error_max") <= 3.0, "{summary:#}");
        assert!(number("/frames") >= 60.0);
        assert!(number("/network/forged") > 5.0, "{summary:#}");
        assert_eq!(summary["network"]["lost"], 0);
    }
}
