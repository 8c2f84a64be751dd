use super::{slot::SLOT_HEAD, *};

pub fn fixed(n: u8) -> Fixed {
    Fixed {
        session: SessionId([n; 16]),
        fingerprint: [n; 32],
        client: "living room".into(),
        channel: n.into(),
        secret: [n; 32],
        mode: (1280, 720, 60_000),
        app: Some("x".repeat(256)),
        parity_percent: 20,
        datagram_len: 1400,
    }
}

const TALL: Mode = Mode { width: 1080, height: 8192, refresh_mhz: 500_000 };

fn way(port: u16) -> Destination {
    Destination { to: ([127, 0, 0, 1], port).into(), from: Some([127, 0, 0, 1].into()) }
}

/// Sabotage: keep a number in the process and write it later.
#[test]
fn the_next_incarnation_goes_on_at_numbers_nobody_has_seen() {
    let record = Record::make(&fixed(1), 5).unwrap();
    assert_eq!((&record).reserve(10), Some(0));
    assert_eq!((&record).reserve(1), Some(10));
    record.set_next_frame(7);
    record.set_bitrate(6);
    record.set_mode(TALL);
    record.set_texts(9);
    record.set_way(Road::Video, way(1), 3);
    record.set_way(Road::Video, way(2), 4);
    let kept = record.duplicate().unwrap();
    let (next, known) = Record::adopt(kept).unwrap();
    assert_eq!(known, fixed(1));
    assert_eq!((&next).reserve(1), Some(11));
    assert_eq!((next.next_frame(), next.bitrate()), (7, 6));
    assert_eq!((next.mode(), next.texts()), (TALL, 9));
    assert_eq!(next.way(Road::Video), Some((way(2), 4)));
}

/// Sabotage: read this version alone, or take the zeroes behind an older record's end for a mode of 0×0.
#[test]
fn a_record_of_the_version_before_is_read() {
    let record = Record::make(&fixed(1), 5).unwrap();
    {
        let mut memory = record.lock();
        memory.bytes_mut()[MAGIC.len()] = 1;
        memory.bytes_mut()[MODE..TEXTS + 8].fill(0);
    }
    let (next, known) = Record::adopt(record.duplicate().unwrap()).unwrap();
    assert_eq!(known, fixed(1));
    assert_eq!((next.mode(), next.texts()), (Mode { width: 1280, height: 720, refresh_mhz: 60_000 }, 0));
    assert!(Record::adopt(record.duplicate().unwrap()).is_ok(), "it is of this version now");
}

/// Sabotage: leave out the checksum, or use one slot.
#[test]
fn a_way_that_was_half_written_is_the_one_before() {
    let record = Record::make(&fixed(1), 5).unwrap();
    record.set_way(Road::Video, way(1), 3);
    record.set_way(Road::Video, way(2), 4);
    record.lock().bytes_mut()[WAYS[0] + SLOT_HEAD] ^= 1;
    assert_eq!(record.way(Road::Video), Some((way(1), 3)));
}

#[test]
fn foreign_and_damaged_memory_is_no_record() {
    let spoil = |at: usize| {
        let record = Record::make(&fixed(1), 5).unwrap();
        record.lock().bytes_mut()[at] ^= 1;
        Record::adopt(record.duplicate().unwrap())
    };
    for at in [0, 9, FIXED, FIXED + SLOT_HEAD + 3] {
        assert!(matches!(spoil(at), Err(RecordError::Unreadable)), "{at}");
    }
    let fd = std::fs::File::open("/dev/null").unwrap().into();
    let null = Stored { name: "session-x".into(), fd };
    assert!(matches!(Record::adopt(null), Err(RecordError::Memory(_))));
}

/// Sabotage: adopt without end.
#[test]
fn a_session_that_kills_its_incarnations_is_given_up() {
    let record = Record::make(&fixed(1), 5).unwrap();
    let adopt = || Record::adopt(record.duplicate().unwrap());
    assert!((0..MAX_ADOPTIONS).all(|_| adopt().is_ok()));
    assert!(matches!(adopt(), Err(RecordError::Deadly)));
    record.forgive();
    assert!(adopt().is_ok());
    (1..MAX_ADOPTIONS).for_each(|_| drop(adopt()));
    record.leave();
    assert!(adopt().is_ok(), "an incarnation that was asked to end did not die of it");
}
