//! Offers as pods, and answers from pods.

use super::*;

const MODE: Mode = Mode { width: 1280, height: 720, refresh_mhz: 59_940 };

fn properties(pod: &[u8]) -> (u32, Vec<Property>) {
    let Value::Object(object) = PodDeserializer::deserialize_any_from(pod).unwrap().1 else { panic!() };
    (object.id, object.properties)
}

fn value(pod: &[u8], key: u32) -> Option<Value> {
    properties(pod).1.into_iter().find(|property| property.key == key).map(|property| property.value)
}

// Sabotage: offer a range of rates first, or a size other than the client's.
#[test]
fn the_first_offer_fixes_size_and_rate_and_later_ones_take_any() {
    let formats = Wish { mode: MODE, modifiers: vec![], sync: false }.formats();
    let rate = Value::Fraction(Fraction { num: 2997, denom: 50 });
    assert_eq!(value(&formats[0], sys::SPA_FORMAT_VIDEO_maxFramerate), Some(rate));
    let size = Value::Rectangle(Rectangle { width: 1280, height: 720 });
    assert_eq!(value(&formats[0], sys::SPA_FORMAT_VIDEO_size), Some(size));
    assert!(matches!(value(&formats[2], sys::SPA_FORMAT_VIDEO_size), Some(Value::Choice(_))));
    assert!(formats.iter().all(|pod| value(pod, sys::SPA_FORMAT_VIDEO_modifier).is_none()));
}

// Sabotage: offer shared memory before dmabufs, or leave it out.
#[test]
fn dmabufs_are_asked_for_first_and_shared_memory_after_them() {
    let wish = Wish { mode: MODE, modifiers: vec![0, 7], sync: false };
    let formats = wish.formats();
    let modifiers: Vec<bool> =
        formats.iter().map(|pod| value(pod, sys::SPA_FORMAT_VIDEO_modifier).is_some()).collect();
    assert_eq!(modifiers, [true, false, true, false, true, false]);
    let format = Format {
        spa: sys::SPA_VIDEO_FORMAT_BGRx,
        pixel: PixelFormat::Bgrx,
        width: 1280,
        height: 720,
        refresh_mhz: 60_000,
        modifier: None,
    };
    let fixed = wish.fixate(format, 7);
    assert_eq!(answer(&fixed[0]), Some(Answer::Fixed(Format { modifier: Some(7), ..format })));
    assert_eq!(value(&fixed[0], sys::SPA_FORMAT_VIDEO_modifier), Some(Value::Long(7)));
    assert_eq!(fixed.len(), 1 + wish.params().len());
}

// Sabotage: ask for timelines after plain buffers, of memfds, or without the metadata that has the points.
#[test]
fn timelines_are_asked_for_first_and_only_of_dmabufs() {
    let pods = |modifiers: &[u64], sync| Wish { mode: MODE, modifiers: modifiers.to_vec(), sync }.params();
    let blocks = |pods: &[Pod]| -> Vec<_> {
        let values = |pod: &Pod| Some((value(pod, sys::SPA_PARAM_BUFFERS_blocks)?, value(pod, META_TYPE)));
        let buffers = pods.iter().filter(|pod| properties(pod).0 == sys::SPA_PARAM_Buffers);
        buffers.filter_map(values).collect()
    };
    let metas = |pods: &[Pod]| pods.iter().filter(|pod| properties(pod).0 == sys::SPA_PARAM_Meta).count();
    let (plain, synced) = ((Value::Int(1), None), (Value::Int(3), Some(Value::Int(512))));
    let both = [synced.clone(), synced, plain.clone(), plain.clone()];
    assert_eq!(blocks(&pods(&[0], true)), both);
    for pods in [pods(&[], true), pods(&[0], false)] {
        assert_eq!((blocks(&pods), metas(&pods)), (vec![plain.clone(), plain.clone()], 4));
    }
    assert_eq!(metas(&pods(&[0], true)), 5);
}

#[test]
fn answers_are_read_and_foreign_ones_refused() {
    let pod = |format: u32, modifier: Option<(Value, PropertyFlags)>| {
        let mut list = vec![
            Property::new(sys::SPA_FORMAT_mediaType, Value::Id(Id(sys::SPA_MEDIA_TYPE_video))),
            Property::new(sys::SPA_FORMAT_mediaSubtype, Value::Id(Id(sys::SPA_MEDIA_SUBTYPE_raw))),
            Property::new(sys::SPA_FORMAT_VIDEO_format, Value::Id(Id(format))),
            Property::new(sys::SPA_FORMAT_VIDEO_size, Value::Rectangle(Rectangle { width: 64, height: 32 })),
            Property::new(
                sys::SPA_FORMAT_VIDEO_maxFramerate,
                Value::Fraction(Fraction { num: 2997, denom: 50 }),
            ),
        ];
        list.extend(modifier.map(|(value, flags)| modifier_property(value, flags)));
        object(sys::SPA_TYPE_OBJECT_Format, sys::SPA_PARAM_Format, list)
    };
    let spa = sys::SPA_VIDEO_FORMAT_RGBA;
    let plain =
        Format { spa, pixel: PixelFormat::Rgbx, width: 64, height: 32, refresh_mhz: 59_940, modifier: None };
    assert_eq!(answer(&pod(spa, None)), Some(Answer::Fixed(plain)));
    let one = (Value::Long(0), PropertyFlags::MANDATORY);
    assert_eq!(answer(&pod(spa, Some(one))), Some(Answer::Fixed(Format { modifier: Some(0), ..plain })));
    let choice = Wish { mode: MODE, modifiers: vec![3, 0], sync: false }.modifier_choice();
    let answered = answer(&pod(spa, Some((choice.value, choice.flags))));
    assert!(matches!(answered, Some(Answer::Choose(format, list)) if format == plain && list[0] == 3));
    assert_eq!(answer(&pod(sys::SPA_VIDEO_FORMAT_NV12, None)), None);
    assert_eq!(answer(&[1, 2, 3]), None);
    let nv12 = offered(&pod(sys::SPA_VIDEO_FORMAT_NV12, None)).unwrap();
    assert_eq!(nv12, Offered { text: "SPA format 23 64x32".into(), readable: false });
}
