//! The frame path of one session: a buffer's pixels become an AccessUnit in the ring. After its first pictures it does not
//! allocate (openh264 itself is C and allocates as it likes).

use lumen_ipc::{
    Damage, Mode, Timeline,
    encode::{AccessUnit, UnitKind},
    pool::Layout,
};
use lumen_stage::{
    clock::now_ns,
    memory::MemoryError,
    pulse::Pulse,
    ring::{RingError, RingWriter},
};

use crate::{
    backends::{Coding, EncodeError, Encoder, Factory, Shape},
    canvas::Canvas,
    change::Change,
    convert::{ConvertError, Source},
    pointer::Placed,
    ratecontrol::{self, Grain, Plan, RateControl, Verdict},
    references::References,
};

/// Size of the ring: more than the largest IDR at the highest bitrate, and pages that are never touched cost nothing.
const RING_BYTES: u64 = 16 << 20;

/// Why there is no AccessUnit.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The pixels are not what they were said to be.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// The encoder failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The bytes do not fit.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// There is no memory for the ring.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// What the administrator is shown of a coder.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Of the newest AccessUnit.
    pub grain: Grain,
    /// Of all AccessUnits.
    pub bytes: u64,
    /// Of pixels that were converted.
    pub converted_bytes: u64,
    /// What the rate control decided.
    pub rate: ratecontrol::Counters,
}

/// Encodes the pictures of one session.
pub struct Coder {
    canvas: Canvas,
    encoder: Box<dyn Encoder>,
    rate: RateControl,
    /// `None` if the reader wants none.
    references: Option<References>,
    shape: Shape,
    ring: RingWriter,
    /// Where an AccessUnit of several pieces becomes one.
    joined: Vec<u8>,
    number: u64,
    grain: Grain,
    bytes: u64,
    pulse: Option<Pulse>,
}

impl Coder {
    /// For pictures of `mode`, which is even, at `bitrate_bps`; if it `keeps` references, losses may cost no IDR. AccessUnits are
    /// numbered from `after` + 1.
    ///
    /// # Errors
    /// The encoder refuses, or there is no memory.
    pub fn new(
        factory: &dyn Factory,
        mode: Mode,
        bitrate_bps: u32,
        keeps: bool,
        after: u64,
    ) -> Result<Self, CodeError> {
        let (width, height) = (mode.width as usize, mode.height as usize);
        let rate = mode.refresh_mhz.max(1000) as f32 / 1000.0;
        let shape = Shape { width, height, rate, keeps };
        let encoder = factory.make(shape)?;
        Ok(Self {
            canvas: Canvas::with(encoder.kernel(), width, height),
            encoder,
            rate: RateControl::new(bitrate_bps, rate.into()),
            references: keeps.then(|| References::new(width, height)),
            shape,
            ring: RingWriter::new(RING_BYTES)?,
            joined: Vec::new(),
            number: after,
            grain: Grain::COARSEST,
            bytes: 0,
            pulse: None,
        })
    }

    /// Takes in the damaged part of a picture of the size that the coder was made for.
    ///
    /// # Errors
    /// The buffer is not what its layout says.
    pub fn paint(&mut self, pixels: &[u8], layout: &Layout, damage: &Damage) -> Result<(), ConvertError> {
        let _inside = self.encoder.begin();
        self.canvas.paint(Source { pixels, layout }, damage)
    }

    /// From now on the pointer is there, or nowhere.
    pub fn point(&mut self, pointer: Option<Placed>) {
        self.canvas.point(pointer);
    }

    /// Encodes the newest picture into the ring. `None` if a Delta would show nothing new.
    ///
    /// The answer's `frame` and the first half of its timeline are the caller's to set.
    ///
    /// # Errors
    /// The encoder failed or the ring is too small; a decoder must then begin anew.
    pub fn encode(&mut self, kind: UnitKind, now: u64) -> Result<Option<AccessUnit>, CodeError> {
        let change = self.take_change();
        let (same, is_done) = (change.fraction == 0.0, !self.wants_refinement());
        let kind = match kind {
            UnitKind::Delta if same && is_done => return Ok(None),
            UnitKind::Delta if same => UnitKind::Repeat,
            kind => kind,
        };
        let mut unit = AccessUnit {
            number: self.number + 1,
            kind,
            offset: 0,
            len: 0,
            frame: 0,
            timeline: Timeline::default(),
        };
        // The encoder takes in that what was kept has come with the next picture that it makes itself.
        let is_due = self.references.as_ref().is_some_and(|references| references.is_due(unit.number));
        if kind == UnitKind::Repeat && same && is_done && !is_due && self.repeat(&mut unit)? {
            return Ok(Some(unit));
        }
        let plan = self.plan(kind, change, now);
        let settles = is_due && plan.coding == Coding::Predicted;
        let plan = self.make(plan, settles, &mut unit)?;
        unit.kind = match plan.coding {
            Coding::Idr => UnitKind::Idr,
            Coding::Recovered => UnitKind::Recovered,
            Coding::Predicted => kind,
        };
        (self.number, self.grain) = (unit.number, plan.grain);
        self.bytes += u64::from(unit.len);
        Ok(Some(unit))
    }

    fn take_change(&mut self) -> Change {
        self.canvas.take_change_seen_by(|changed| {
            if let Some(references) = &mut self.references {
                references.handle_change(changed);
            }
        })
    }

    /// How a picture of this kind is coded.
    fn plan(&mut self, kind: UnitKind, change: Change, now: u64) -> Plan {
        let references = self.references.as_ref().filter(|_| kind == UnitKind::Recovered);
        match references.and_then(|references| Some((references.recovery()?, references.fraction()))) {
            Some((grain, fraction)) => self.rate.plan_recovery(&Change { fraction, ..change }, grain, now),
            None => self.rate.plan(&change, matches!(kind, UnitKind::Idr | UnitKind::Recovered), now),
        }
    }

    /// Encodes the picture with its pointer; `settles` says that what was kept last has come.
    fn make(&mut self, plan: Plan, settles: bool, unit: &mut AccessUnit) -> Result<Plan, CodeError> {
        if settles {
            self.encoder.settle(true)?;
        }
        self.canvas.draw();
        unit.timeline.encode_begin_ns = now_ns();
        let plan = self.fit(plan, unit);
        self.canvas.lift();
        if let Some(references) = self.references.as_mut().filter(|_| settles) {
            references.settle();
        }
        plan
    }

    /// The client did not get all AccessUnits from `first` on: none of them is referred to by a picture of kind
    /// [`UnitKind::Recovered`].
    ///
    /// # Errors
    /// The encoder failed.
    pub fn lose(&mut self, first: u64) -> Result<(), EncodeError> {
        let is_unsettled = self.references.as_mut().is_some_and(|references| references.lose(first));
        if is_unsettled { self.encoder.settle(false) } else { Ok(()) }
    }

    /// From the next picture on, which must be an IDR, it keeps references or does not.
    ///
    /// # Errors
    /// The encoder refuses.
    pub fn keep_references(&mut self, factory: &dyn Factory, keeps: bool) -> Result<(), EncodeError> {
        if self.shape.keeps != keeps {
            let shape = Shape { keeps, ..self.shape };
            self.encoder = factory.make(shape)?;
            self.references = keeps.then(|| References::new(shape.width, shape.height));
            self.shape = shape;
        }
        Ok(())
    }

    /// Shows the newest picture again without encoding it, if the encoder can.
    fn repeat(&mut self, unit: &mut AccessUnit) -> Result<bool, CodeError> {
        unit.timeline.encode_begin_ns = now_ns();
        let Some(still) = self.encoder.repeat() else {
            return Ok(false);
        };
        let bytes = still.in_one(&mut self.joined);
        unit.len = bytes.len() as u32;
        unit.offset = self.ring.write(unit.number, bytes)?;
        unit.timeline.encode_end_ns = now_ns();
        self.number = unit.number;
        self.bytes += u64::from(unit.len);
        Ok(true)
    }

    /// Encodes as `plan` says until that is small enough, and puts the bytes into the ring.
    fn fit(&mut self, mut plan: Plan, unit: &mut AccessUnit) -> Result<Plan, CodeError> {
        loop {
            if let Some(pulse) = &self.pulse {
                pulse.beat();
            }
            let encoded = self.encoder.encode(self.canvas.at(plan), plan.coding, plan.grain.qp())?;
            if let Verdict::Again(next) = self.rate.judge(encoded.size()) {
                plan = next;
                continue;
            }
            unit.timeline.encode_end_ns = now_ns();
            let bytes = encoded.in_one(&mut self.joined);
            unit.len = bytes.len() as u32;
            unit.offset = self.ring.write(unit.number, bytes)?;
            if let Some(references) = &mut self.references {
                references.handle_unit(unit.number, plan.grain, encoded.idr, encoded.kept);
            }
            return Ok(plan);
        }
    }

    /// Beats before each try, because one picture may take several, and only a call that does not return is a hang.
    pub fn beat(&mut self, pulse: Pulse) {
        self.pulse = Some(pulse);
    }

    /// The first picture goes on with a stream that another encoder began.
    pub fn resume(&mut self) {
        self.rate.resume();
    }

    /// Another refresh rate from the next picture on.
    pub fn set_refresh(&mut self, refresh_mhz: u32) {
        self.rate.set_rate(f64::from(refresh_mhz) / 1000.0);
    }

    /// Another bitrate from the next picture on.
    pub fn set_bitrate(&mut self, bitrate_bps: u32) {
        self.rate.set_bitrate(bitrate_bps);
    }

    /// Whether encoding the same picture again would make it visibly better.
    pub fn wants_refinement(&self) -> bool {
        self.rate.wants_refinement()
    }

    /// Where the AccessUnits lie.
    pub fn ring(&mut self) -> &mut RingWriter {
        &mut self.ring
    }

    /// The newest AccessUnit's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Name and version of its encoder, and what converts pixels for it.
    pub fn describe(&self) -> (&str, &'static str) {
        (self.encoder.describe(), self.encoder.kernel().name())
    }

    /// What is to be shown of it.
    pub fn figures(&self) -> Figures {
        Figures {
            grain: self.grain,
            bytes: self.bytes,
            converted_bytes: self.canvas.converted_bytes(),
            rate: self.rate.counters(),
        }
    }
}
