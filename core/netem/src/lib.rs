//! A seeded bad network in virtual time: loss, bursts, jitter, reordering, rate
