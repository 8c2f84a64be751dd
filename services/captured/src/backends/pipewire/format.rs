//! What is asked of the node and what it answered: formats, buffers and metadata, as PipeWire's pods.

use super::meta;
use lumen_ipc::{
    Mode,
    pool::{MAX_BUFFERS, PixelFormat},
};
use pipewire::spa::{
    pod::{
        ChoiceValue, Object, Property, PropertyFlags, Value, deserialize::PodDeserializer,
        serialize::PodSerializer,
    },
    sys,
    utils::{Choice, ChoiceEnum, ChoiceFlags, Fraction, Id, Rectangle},
};
use std::io::Cursor;

/// The pixel formats that everybody downstream reads, best first: SPA's number, its name, and ours. An alpha byte is
/// taken for an unused one, because a desktop has no holes.
const FORMATS: [(u32, &str, PixelFormat); 4] = [
    (sys::SPA_VIDEO_FORMAT_BGRx, "BGRx", PixelFormat::Bgrx),
    (sys::SPA_VIDEO_FORMAT_BGRA, "BGRA", PixelFormat::Bgrx),
    (sys::SPA_VIDEO_FORMAT_RGBx, "RGBx", PixelFormat::Rgbx),
    (sys::SPA_VIDEO_FORMAT_RGBA, "RGBA", PixelFormat::Rgbx),
];
/// Fastest rate that is not refused, hertz.
const MOST_HZ: u32 = 1000;
/// Areas asked for: more than [`lumen_ipc::Damage`] keeps would be united anyway.
const REGIONS: usize = lumen_ipc::Damage::MAX_RECTS;
/// Largest cursor bitmap that room is asked for, pixels a side. Because Mutter wants to give 384, and gives no cursor at
/// all where it may not.
const CURSOR_SIDE: usize = 1024;
/// Buffers asked for: two at the reader, one kept, one on its way back, one being drawn, and one to spare.
const BUFFERS: i32 = 6;
/// Fewest that can be handed on.
const FEWEST: i32 = 5;
/// `SPA_PARAM_BUFFERS_metaType` of spa/param/buffers.h, since PipeWire 1.2: metadata without which these buffers are none.
const META_TYPE: u32 = 7;
/// Blocks of a buffer with timelines: the picture, and the timelines of its acquire and release points.
const SYNC_BLOCKS: i32 = 3;

/// A pod in its serialised form.
pub(super) type Pod = Vec<u8>;

/// What we want of a node.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// The mode to fix.
    pub mode: Mode,
    /// Format modifiers under which dmabufs are wanted, best first; without one, memfds are.
    pub modifiers: Vec<u64>,
    /// Dmabufs are wanted with timelines, where the producer has them.
    pub sync: bool,
}

/// A format on which both sides agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    /// SPA's number of it.
    spa: u32,
    /// How a pixel lies.
    pub pixel: PixelFormat,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Thousandths of a hertz; 0 where the producer does not know.
    pub refresh_mhz: u32,
    /// Of dmabufs; `None` for other memory.
    pub modifier: Option<u64>,
}

/// What the other side set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// This.
    Fixed(Format),
    /// This, with one of these modifiers: we have to choose.
    Choose(Format, Vec<u64>),
}

impl Wish {
    /// All parameters of the stream, best first.
    pub fn params(&self) -> Vec<Pod> {
        [self.formats(), self.buffers(), metas(self.syncs())].concat()
    }

    /// The parameters that choose `modifier` for `format`; the others stay below it, in case it fails.
    pub fn fixate(&self, format: Format, modifier: u64) -> Vec<Pod> {
        let size = Value::Rectangle(Rectangle { width: format.width, height: format.height });
        let rate = Value::Fraction(fraction(format.refresh_mhz));
        let mut chosen =
            format_properties(Value::Id(Id(format.spa)), size, (format.refresh_mhz > 0).then_some(rate));
        chosen.push(modifier_property(Value::Long(modifier.cast_signed()), PropertyFlags::MANDATORY));
        [vec![format_pod(chosen)], self.params()].concat()
    }

    fn formats(&self) -> Vec<Pod> {
        let Mode { width, height, refresh_mhz } = self.mode;
        let size = || Value::Rectangle(Rectangle { width, height });
        let rate = Value::Fraction(fraction(refresh_mhz));
        // A rate that is not fixed gives 60 Hz on Mutter; a node that has a size or a rate of its own refuses another.
        let variants = [(size(), Some(rate)), (size(), None), (any_size(width, height), None)];
        let memories = [(!self.modifiers.is_empty()).then(|| self.modifier_choice()), None];
        let first = usize::from(self.modifiers.is_empty());
        let mut pods = Vec::new();
        for (size, rate) in variants {
            for modifier in memories.iter().skip(first) {
                let mut properties = format_properties(format_choice(), size.clone(), rate.clone());
                properties.extend(modifier.clone());
                pods.push(format_pod(properties));
            }
        }
        pods
    }

    fn modifier_choice(&self) -> Property {
        let list: Vec<i64> = self.modifiers.iter().map(|modifier| modifier.cast_signed()).collect();
        let default = list.first().copied().unwrap_or_default();
        let value = Value::Choice(ChoiceValue::Long(Choice(
            ChoiceFlags::empty(),
            ChoiceEnum::Enum { default, alternatives: list },
        )));
        modifier_property(value, PropertyFlags::MANDATORY | PropertyFlags::DONT_FIXATE)
    }

    fn syncs(&self) -> bool {
        self.sync && !self.modifiers.is_empty()
    }

    /// Six buffers; where the producer cannot give five, what it can. With timelines rather than without.
    fn buffers(&self) -> Vec<Pod> {
        let memfd = 1i32 << sys::SPA_DATA_MemFd;
        let kinds = if self.modifiers.is_empty() { memfd } else { memfd | 1 << sys::SPA_DATA_DmaBuf };
        let most = MAX_BUFFERS as i32;
        let counts = [(BUFFERS, FEWEST, BUFFERS + 2), (FEWEST, 1, most)];
        let pods = counts.map(|count| buffers_pod(count, 1, kinds, None));
        let timeline = Property {
            key: META_TYPE,
            flags: PropertyFlags::MANDATORY,
            value: Value::Int(1 << meta::SYNC_TIMELINE),
        };
        let synced =
            |count| buffers_pod(count, SYNC_BLOCKS, 1 << sys::SPA_DATA_DmaBuf, Some(timeline.clone()));
        let synced = counts.iter().filter(|_| self.syncs()).map(|count| synced(*count));
        synced.chain(pods).collect()
    }
}

/// So many buffers (by default, at least, at most) of so many blocks, in one of these kinds of memory.
fn buffers_pod((default, min, max): (i32, i32, i32), blocks: i32, kinds: i32, more: Option<Property>) -> Pod {
    let mut properties = vec![
        Property::new(sys::SPA_PARAM_BUFFERS_buffers, int(ChoiceEnum::Range { default, min, max })),
        Property::new(sys::SPA_PARAM_BUFFERS_blocks, Value::Int(blocks)),
        Property::new(
            sys::SPA_PARAM_BUFFERS_dataType,
            int(ChoiceEnum::Flags { default: kinds, flags: Vec::new() }),
        ),
    ];
    properties.extend(more);
    object(sys::SPA_TYPE_OBJECT_ParamBuffers, sys::SPA_PARAM_Buffers, properties)
}

/// Header, changed areas, cursor, how the picture lies, and its points where it has timelines.
fn metas(sync: bool) -> Vec<Pod> {
    let areas = (meta::REGION_BYTES * REGIONS) as i32;
    let areas = ChoiceEnum::Range { default: areas, min: meta::REGION_BYTES as i32, max: areas };
    let [default, min, max] = [64, 1, CURSOR_SIDE].map(|side| meta::cursor_room(side) as i32);
    let sizes = [
        (sys::SPA_META_Header, Value::Int(meta::HEADER_BYTES as i32)),
        (sys::SPA_META_VideoDamage, int(areas)),
        (sys::SPA_META_Cursor, int(ChoiceEnum::Range { default, min, max })),
        (sys::SPA_META_VideoTransform, Value::Int(4)),
        (meta::SYNC_TIMELINE, Value::Int(meta::SYNC_TIMELINE_BYTES as i32)),
    ];
    let wanted = if sync { sizes.len() } else { sizes.len() - 1 };
    let pod = |(kind, size)| {
        let properties = vec![
            Property::new(sys::SPA_PARAM_META_type, Value::Id(Id(kind))),
            Property::new(sys::SPA_PARAM_META_size, size),
        ];
        object(sys::SPA_TYPE_OBJECT_ParamMeta, sys::SPA_PARAM_Meta, properties)
    };
    sizes.into_iter().take(wanted).map(pod).collect()
}

fn format_choice() -> Value {
    let alternatives: Vec<Id> = FORMATS.iter().map(|(spa, ..)| Id(*spa)).collect();
    let default = alternatives.first().copied().unwrap_or(Id(sys::SPA_VIDEO_FORMAT_BGRx));
    Value::Choice(ChoiceValue::Id(Choice(ChoiceFlags::empty(), ChoiceEnum::Enum { default, alternatives })))
}

fn any_size(width: u32, height: u32) -> Value {
    let side = Mode::MAX_SIDE;
    Value::Choice(ChoiceValue::Rectangle(Choice(
        ChoiceFlags::empty(),
        ChoiceEnum::Range {
            default: Rectangle { width, height },
            min: Rectangle { width: 1, height: 1 },
            max: Rectangle { width: side, height: side },
        },
    )))
}

fn format_properties(format: Value, size: Value, rate: Option<Value>) -> Vec<Property> {
    let zero = Fraction { num: 0, denom: 1 };
    let any_rate = ChoiceEnum::Range { default: zero, min: zero, max: Fraction { num: MOST_HZ, denom: 1 } };
    let any_rate = Value::Choice(ChoiceValue::Fraction(Choice(ChoiceFlags::empty(), any_rate)));
    let mut properties = vec![
        Property::new(sys::SPA_FORMAT_mediaType, Value::Id(Id(sys::SPA_MEDIA_TYPE_video))),
        Property::new(sys::SPA_FORMAT_mediaSubtype, Value::Id(Id(sys::SPA_MEDIA_SUBTYPE_raw))),
        Property::new(sys::SPA_FORMAT_VIDEO_format, format),
        Property::new(sys::SPA_FORMAT_VIDEO_size, size),
        Property::new(sys::SPA_FORMAT_VIDEO_framerate, any_rate),
    ];
    properties.extend(rate.map(|rate| Property::new(sys::SPA_FORMAT_VIDEO_maxFramerate, rate)));
    properties
}

fn modifier_property(value: Value, flags: PropertyFlags) -> Property {
    Property { key: sys::SPA_FORMAT_VIDEO_modifier, flags, value }
}

fn format_pod(properties: Vec<Property>) -> Pod {
    object(sys::SPA_TYPE_OBJECT_Format, sys::SPA_PARAM_EnumFormat, properties)
}

fn int(choice: ChoiceEnum<i32>) -> Value {
    Value::Choice(ChoiceValue::Int(Choice(ChoiceFlags::empty(), choice)))
}

fn object(type_: u32, id: u32, properties: Vec<Property>) -> Pod {
    let value = Value::Object(Object { type_, id, properties });
    let written = PodSerializer::serialize(Cursor::new(Vec::new()), &value);
    written.expect("a vector takes all that is written into it").0.into_inner()
}

/// The rate as a fraction in its lowest terms: 59.94 Hz is 2997/50.
fn fraction(mhz: u32) -> Fraction {
    let (mut a, mut b) = (mhz.max(1), 1000);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Fraction { num: mhz / a, denom: 1000 / a }
}

/// What an object says under a key. PipeWire writes a value on which both sides agreed as a choice without alternatives.
fn find(object: &Object, key: u32) -> Option<(Value, PropertyFlags)> {
    let property = object.properties.iter().find(|property| property.key == key)?;
    let value = match &property.value {
        Value::Choice(ChoiceValue::Id(Choice(_, ChoiceEnum::None(one)))) => Value::Id(*one),
        Value::Choice(ChoiceValue::Long(Choice(_, ChoiceEnum::None(one)))) => Value::Long(*one),
        Value::Choice(ChoiceValue::Rectangle(Choice(_, ChoiceEnum::None(one)))) => Value::Rectangle(*one),
        Value::Choice(ChoiceValue::Fraction(Choice(_, ChoiceEnum::None(one)))) => Value::Fraction(*one),
        other => other.clone(),
    };
    Some((value, property.flags))
}

fn id(object: &Object, key: u32) -> Option<u32> {
    match find(object, key)?.0 {
        Value::Id(Id(id)) => Some(id),
        _ => None,
    }
}

/// Thousandths of a hertz; `None` for a rate of zero, which means that there is none.
fn rate_mhz(object: &Object, key: u32) -> Option<u32> {
    match find(object, key)?.0 {
        Value::Fraction(Fraction { num, denom }) if num > 0 && denom > 0 => {
            u32::try_from(u64::from(num) * 1000 / u64::from(denom)).ok()
        }
        _ => None,
    }
}

fn size(object: &Object) -> Option<Rectangle> {
    match find(object, sys::SPA_FORMAT_VIDEO_size)?.0 {
        Value::Rectangle(size) => Some(size),
        _ => None,
    }
}

/// Reads what the other side set; `None` for what is no picture format of ours.
pub(super) fn answer(pod: &[u8]) -> Option<Answer> {
    let (_, Value::Object(object)) = PodDeserializer::deserialize_any_from(pod).ok()? else { return None };
    let is_video = id(&object, sys::SPA_FORMAT_mediaType)? == sys::SPA_MEDIA_TYPE_video;
    let is_raw = id(&object, sys::SPA_FORMAT_mediaSubtype)? == sys::SPA_MEDIA_SUBTYPE_raw;
    if !is_video || !is_raw {
        return None;
    }
    let spa = id(&object, sys::SPA_FORMAT_VIDEO_format)?;
    let (.., pixel) = *FORMATS.iter().find(|(known, ..)| *known == spa)?;
    let Rectangle { width, height } = size(&object)?;
    let refresh_mhz = rate_mhz(&object, sys::SPA_FORMAT_VIDEO_maxFramerate)
        .or_else(|| rate_mhz(&object, sys::SPA_FORMAT_VIDEO_framerate))
        .unwrap_or(0);
    let format = Format { spa, pixel, width, height, refresh_mhz, modifier: None };
    let Some((modifier, flags)) = find(&object, sys::SPA_FORMAT_VIDEO_modifier) else {
        return Some(Answer::Fixed(format));
    };
    let open = flags.contains(PropertyFlags::DONT_FIXATE);
    match modifier {
        Value::Long(one) if open => Some(Answer::Choose(format, vec![one.cast_unsigned()])),
        Value::Long(one) => Some(Answer::Fixed(Format { modifier: Some(one.cast_unsigned()), ..format })),
        Value::Choice(ChoiceValue::Long(Choice(_, choice))) => {
            Some(Answer::Choose(format, alternatives(&choice)))
        }
        _ => None,
    }
}

fn alternatives(choice: &ChoiceEnum<i64>) -> Vec<u64> {
    let list = match choice {
        ChoiceEnum::None(one) => vec![*one],
        ChoiceEnum::Enum { default, alternatives } => {
            std::iter::once(default).chain(alternatives).copied().collect()
        }
        _ => Vec::new(),
    };
    list.into_iter().map(i64::cast_unsigned).collect()
}

/// What a node offers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offered {
    /// In words: `BGRx 1280x720`.
    pub text: String,
    /// Whether one of its pixel formats is ours.
    pub readable: bool,
}

/// Reads an offer of a node; `None` for one that names no pixel format.
pub(super) fn offered(pod: &[u8]) -> Option<Offered> {
    let (_, Value::Object(object)) = PodDeserializer::deserialize_any_from(pod).ok()? else { return None };
    let formats = match find(&object, sys::SPA_FORMAT_VIDEO_format)?.0 {
        Value::Id(one) => vec![one],
        Value::Choice(ChoiceValue::Id(Choice(_, ChoiceEnum::Enum { alternatives, .. }))) => alternatives,
        _ => return None,
    };
    let known = |spa: &Id| FORMATS.iter().find(|(known, ..)| *known == spa.0);
    let name = |spa: &Id| match known(spa) {
        Some((_, name, _)) => (*name).to_owned(),
        None => format!("SPA format {}", spa.0),
    };
    let readable = formats.iter().any(|spa| known(spa).is_some());
    let names: Vec<String> = formats.iter().map(name).collect();
    let size = size(&object).map(|size| format!(" {}x{}", size.width, size.height)).unwrap_or_default();
    let memory = find(&object, sys::SPA_FORMAT_VIDEO_modifier).map_or("", |_| " as dmabuf");
    Some(Offered { text: format!("{}{size}{memory}", names.join(" or ")), readable })
}

#[cfg(test)]
mod tests;
