//! What the producer offers, reads and writes beside its pictures.

use super::{
    Manner, Memory, Picture, Pointing,
    node::{Inner, kind, stride},
    timeline::SYNC_TIMELINE,
};
use pipewire::spa::{
    pod::{
        ChoiceValue, Object, Property, PropertyFlags, Value, deserialize::PodDeserializer,
        serialize::PodSerializer,
    },
    sys,
    utils::{Choice, ChoiceEnum, ChoiceFlags, Fraction, Id, Rectangle},
};

pub fn write_meta(kind: u32, bytes: &mut [u8], picture: &Picture) {
    let mut words: Vec<u32> = Vec::new();
    match kind {
        sys::SPA_META_VideoDamage => {
            words.extend(picture.damage.iter().flat_map(|rect| [rect.x, rect.y, rect.width, rect.height]));
            words.extend([0; 4]);
        }
        sys::SPA_META_Cursor => match picture.pointing {
            None => words.push(0),
            Some(Pointing { x, y, bitmap }) => {
                words.extend([1, 0, x as u32, y as u32, 1, 2, if bitmap.is_some() { 28 } else { 0 }]);
                if let Some((side, byte)) = bitmap {
                    words.extend([sys::SPA_VIDEO_FORMAT_RGBA, side, side, side * 4, 20]);
                    words.extend(vec![u32::from_ne_bytes([byte; 4]); (side * side) as usize]);
                }
            }
        },
        _ => return,
    }
    for (at, word) in bytes.chunks_exact_mut(4).zip(words) {
        at.copy_from_slice(&word.to_ne_bytes());
    }
}

/// Into a `struct spa_meta_sync_timeline`: when it is drawn, and when nobody looks at it any more.
pub fn write_points(bytes: &mut [u8], [acquire, release]: [u64; 2]) {
    bytes[8..16].copy_from_slice(&acquire.to_ne_bytes());
    bytes[16..24].copy_from_slice(&release.to_ne_bytes());
}

pub fn read_format(pod: &[u8]) -> ((u32, u32), u32) {
    let (_, Value::Object(object)) = PodDeserializer::deserialize_any_from(pod).unwrap() else { panic!() };
    let find =
        |key| object.properties.iter().find(|property| property.key == key).map(|property| &property.value);
    let size = match find(sys::SPA_FORMAT_VIDEO_size).unwrap() {
        Value::Rectangle(size) => *size,
        Value::Choice(ChoiceValue::Rectangle(Choice(_, ChoiceEnum::None(size)))) => *size,
        other => panic!("{other:?}"),
    };
    let rate = match find(sys::SPA_FORMAT_VIDEO_maxFramerate) {
        Some(
            Value::Fraction(Fraction { num, denom })
            | Value::Choice(ChoiceValue::Fraction(Choice(_, ChoiceEnum::None(Fraction { num, denom })))),
        ) => num * 1000 / denom,
        _ => 0,
    };
    ((size.width, size.height), rate)
}

/// Whether a format has a modifier, and whether that is fixed.
pub fn modifier(pod: &[u8]) -> Option<Option<i64>> {
    let (_, Value::Object(object)) = PodDeserializer::deserialize_any_from(pod).unwrap() else { panic!() };
    let found = object.properties.iter().find(|property| property.key == sys::SPA_FORMAT_VIDEO_modifier)?;
    match (&found.value, found.flags.contains(PropertyFlags::DONT_FIXATE)) {
        (Value::Long(one) | Value::Choice(ChoiceValue::Long(Choice(_, ChoiceEnum::None(one)))), false) => {
            Some(Some(*one))
        }
        _ => Some(None),
    }
}

fn bytes(type_: u32, id: u32, properties: Vec<Property>) -> Vec<u8> {
    let value = Value::Object(Object { type_, id, properties });
    PodSerializer::serialize(std::io::Cursor::new(Vec::new()), &value).unwrap().0.into_inner()
}

fn range(default: i32, min: i32, max: i32) -> Value {
    Value::Choice(ChoiceValue::Int(Choice(ChoiceFlags::empty(), ChoiceEnum::Range { default, min, max })))
}

/// As Mutter offers it: any size up to a large one unless it has its own, a fixed rate of 0, any largest rate.
pub fn format_param(manner: &Manner, size: Option<(u32, u32)>, modifiers: &[u64]) -> Vec<u8> {
    let rectangle = |width, height| Rectangle { width, height };
    let size = match size {
        Some((width, height)) => Value::Rectangle(rectangle(width, height)),
        None => Value::Choice(ChoiceValue::Rectangle(Choice(
            ChoiceFlags::empty(),
            ChoiceEnum::Range {
                default: rectangle(640, 480),
                min: rectangle(1, 1),
                max: rectangle(8192, 8192),
            },
        ))),
    };
    let fraction = |num| Fraction { num, denom: 1 };
    let rates = ChoiceEnum::Range { default: fraction(60), min: fraction(1), max: fraction(1000) };
    let mut properties = vec![
        Property::new(sys::SPA_FORMAT_mediaType, Value::Id(Id(sys::SPA_MEDIA_TYPE_video))),
        Property::new(sys::SPA_FORMAT_mediaSubtype, Value::Id(Id(sys::SPA_MEDIA_SUBTYPE_raw))),
        Property::new(sys::SPA_FORMAT_VIDEO_format, Value::Id(Id(manner.format))),
        Property::new(sys::SPA_FORMAT_VIDEO_size, size),
        Property::new(sys::SPA_FORMAT_VIDEO_framerate, Value::Fraction(fraction(0))),
        Property::new(
            sys::SPA_FORMAT_VIDEO_maxFramerate,
            Value::Choice(ChoiceValue::Fraction(Choice(ChoiceFlags::empty(), rates))),
        ),
    ];
    let alternatives: Vec<i64> = modifiers.iter().map(|modifier| modifier.cast_signed()).collect();
    if let Some(&default) = alternatives.first() {
        let choice = Choice(ChoiceFlags::empty(), ChoiceEnum::Enum { default, alternatives });
        let mut modifier =
            Property::new(sys::SPA_FORMAT_VIDEO_modifier, Value::Choice(ChoiceValue::Long(choice)));
        modifier.flags = PropertyFlags::MANDATORY | PropertyFlags::DONT_FIXATE;
        properties.push(modifier);
    }
    if manner.memory != Memory::Memfd && manner.modifiers.is_empty() {
        // Linear, and nothing else: such buffers or none.
        let mut modifier = Property::new(sys::SPA_FORMAT_VIDEO_modifier, Value::Long(0));
        modifier.flags = PropertyFlags::MANDATORY;
        properties.push(modifier);
    }
    bytes(sys::SPA_TYPE_OBJECT_Format, sys::SPA_PARAM_EnumFormat, properties)
}

pub fn buffer_params(inner: &Inner) -> Vec<Vec<u8>> {
    let (min, max) = inner.manner.buffers;
    let kind = kind(inner);
    let size = (stride(inner) * inner.size.1).cast_signed();
    let buffers = |blocks, more: Option<Property>| {
        let mut properties = vec![
            Property::new(sys::SPA_PARAM_BUFFERS_buffers, range(max, min, max)),
            Property::new(sys::SPA_PARAM_BUFFERS_blocks, Value::Int(blocks)),
            Property::new(sys::SPA_PARAM_BUFFERS_size, Value::Int(size)),
            Property::new(sys::SPA_PARAM_BUFFERS_stride, Value::Int(stride(inner).cast_signed())),
            Property::new(sys::SPA_PARAM_BUFFERS_align, Value::Int(16)),
            Property::new(sys::SPA_PARAM_BUFFERS_dataType, Value::Int(1 << kind)),
        ];
        properties.extend(more);
        bytes(sys::SPA_TYPE_OBJECT_ParamBuffers, sys::SPA_PARAM_Buffers, properties)
    };
    let meta = |kind, size| {
        let kind = Property::new(sys::SPA_PARAM_META_type, Value::Id(Id(kind)));
        let size = Property::new(sys::SPA_PARAM_META_size, size);
        bytes(sys::SPA_TYPE_OBJECT_ParamMeta, sys::SPA_PARAM_Meta, vec![kind, size])
    };
    let mut params = Vec::new();
    if inner.manner.timelines {
        // As KWin offers it: first with the two timelines and only to who takes the metadata with their points.
        // 7: SPA_PARAM_BUFFERS_metaType of PipeWire 1.2.
        let mut timeline = Property::new(7, Value::Int(1 << SYNC_TIMELINE));
        timeline.flags = PropertyFlags::MANDATORY;
        params.extend([buffers(3, Some(timeline)), meta(SYNC_TIMELINE, Value::Int(24))]);
    }
    params.extend([
        buffers(1, None),
        meta(sys::SPA_META_Header, Value::Int(32)),
        meta(sys::SPA_META_VideoDamage, range(16 * 16, 16, 16 * 16)),
        // Mutter's own, of which it does not depart.
        meta(sys::SPA_META_Cursor, Value::Int(48 + 384 * 384 * 4)),
    ]);
    params
}
