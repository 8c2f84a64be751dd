//! Software H.264 by Cisco's openh264, for latency: no rate control of its own, no lookahead, IDRs only when asked.
//!
//! Feature `bundled` compiles the library in, feature `system` opens `libopenh264.so` when the stage starts.
#![allow(unsafe_code)]

mod bits;
mod cabac;
mod settings;
mod slice;
mod still;

use std::mem::MaybeUninit;
use std::os::raw::{c_int, c_uint, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use arrayvec::ArrayVec;
use openh264_sys2::{
    self as sys, API, DynamicAPI, ISVCEncoder, ISVCEncoderVtbl, SEncParamExt, SFrameBSInfo,
    SLTRMarkingFeedback, SLTRRecoverRequest, SSourcePicture,
};

use super::{Coding, EncodeError, Encoded, Encoder, Factory, Qp, Shape, kernel::Kernel};
use crate::picture::Picture;
use settings::set_params;
use still::{Foreign, Stills};

/// Threads that openh264 takes at most.
const MAX_THREADS: u16 = 4;
/// Pixels of a picture that openh264 takes at most: 36,864 macroblocks, level 5.1 and above.
pub const MAX_PIXELS: u64 = 36_864 * 256;

/// The system library whose structures are known: version 2.6, which is Debian 13's. Earlier ones lack the fields for PSNR.
#[cfg(all(feature = "system", not(feature = "bundled")))]
const SONAME: &str = "libopenh264.so.8";

/// The library, opened once and shared by all encoders of the process.
#[derive(Clone)]
pub struct Library {
    api: Arc<DynamicAPI>,
    /// Name and version.
    name: String,
}

impl Library {
    /// Takes the library compiled in, else the system's.
    ///
    /// # Errors
    /// The system has none, or one of another version.
    pub fn open() -> Result<Self, EncodeError> {
        let api = load()?;
        let mut version = sys::OpenH264Version::default();
        // SAFETY: the library is loaded and `version` is a valid structure to write to.
        unsafe { api.WelsGetCodecVersionEx(&raw mut version) };
        let found = (version.uMajor, version.uMinor);
        if found < (2, 6) || version.uMajor > 2 {
            return Err(EncodeError::Library(format!(
                "it is version {}.{}, and 2.6 or later of 2 is needed: install a newer one, or build lumen with the feature `bundled`",
                found.0, found.1
            )));
        }
        Ok(Self {
            api: Arc::new(api),
            name: format!("openh264 {}.{}.{}", version.uMajor, version.uMinor, version.uRevision),
        })
    }
}

#[cfg(feature = "bundled")]
fn load() -> Result<DynamicAPI, EncodeError> {
    Ok(DynamicAPI::from_source())
}

#[cfg(all(feature = "system", not(feature = "bundled")))]
fn load() -> Result<DynamicAPI, EncodeError> {
    // SAFETY: the loader's own search path is trusted; the version is checked before any structure is passed.
    unsafe { DynamicAPI::from_blob_path_unchecked(SONAME) }.map_err(|error| {
        EncodeError::Library(format!(
            "{SONAME} cannot be opened ({error}): install openh264 2.6 (Debian: libopenh264-8), or build lumen with the feature `bundled`"
        ))
    })
}

/// Makes openh264 encoders.
pub struct Software {
    library: Library,
    threads: u16,
    kernel: Kernel,
}

impl Software {
    /// Encoders with `threads` threads each.
    ///
    /// # Errors
    /// There is no library.
    pub fn new(threads: u16) -> Result<Self, EncodeError> {
        let threads = threads.clamp(1, MAX_THREADS);
        Ok(Self { library: Library::open()?, threads, kernel: Kernel::best() })
    }

    /// Encoders with one thread, for which pixels are converted without any instruction that not every machine has.
    ///
    /// # Errors
    /// There is no library.
    pub fn plain() -> Result<Self, EncodeError> {
        Ok(Self { kernel: Kernel::Portable, ..Self::new(1)? })
    }
}

impl Factory for Software {
    fn make(&self, shape: Shape) -> Result<Box<dyn Encoder>, EncodeError> {
        let mut encoder = OpenH264::new(&self.library, shape, self.threads)?;
        encoder.kernel = self.kernel;
        Ok(Box::new(encoder))
    }
}

/// One openh264 encoder.
pub struct OpenH264 {
    library: Library,
    handle: NonNull<ISVCEncoder>,
    shape: Shape,
    params: Box<SEncParamExt>,
    info: Box<SFrameBSInfo>,
    pictures: u64,
    stills: Stills,
    /// `frame_num` of the picture that was said to be kept and is not settled, as openh264 knows it.
    unsettled: Option<u32>,
    kernel: Kernel,
}

// SAFETY: the handle is owned by this value alone, and openh264 has no thread affinity.
unsafe impl Send for OpenH264 {}

impl OpenH264 {
    /// Makes an encoder that uses `threads` threads, and so slices, for one picture.
    ///
    /// # Errors
    /// The library refuses the size or has no memory.
    pub fn new(library: &Library, shape: Shape, threads: u16) -> Result<Self, EncodeError> {
        let mut raw: *mut ISVCEncoder = std::ptr::null_mut();
        // SAFETY: `raw` is a valid place for the handle.
        let code = unsafe { library.api.WelsCreateSVCEncoder(&raw mut raw) };
        let handle = NonNull::new(raw)
            .filter(|_| code == 0)
            .ok_or(EncodeError::Refused { step: "make an encoder", code })?;
        let mut encoder = Self {
            library: library.clone(),
            handle,
            shape,
            params: Box::default(),
            info: Box::default(),
            pictures: 0,
            stills: Stills::default(),
            unsettled: None,
            kernel: Kernel::best(),
        };
        encoder.initialise(threads)?;
        Ok(encoder)
    }

    fn initialise(&mut self, threads: u16) -> Result<(), EncodeError> {
        let mut params = MaybeUninit::<SEncParamExt>::zeroed();
        self.call("give its defaults", |encoder, table| {
            // SAFETY: the handle is live and `params` has room for the structure, which the call fills.
            unsafe { table.GetDefaultParams.map(|f| f(encoder, params.as_mut_ptr())) }
        })?;
        // SAFETY: zeroed, then filled by the library: each field is valid when all its bits are zero.
        let mut params = unsafe { params.assume_init() };
        set_params(&mut params, self.shape, threads);
        *self.params = params;
        let mut quiet = sys::WELS_LOG_QUIET;
        self.set("be quiet", sys::ENCODER_OPTION_TRACE_LEVEL, (&raw mut quiet).cast())?;
        let params = &raw const *self.params;
        self.call("start", |encoder, table| {
            // SAFETY: the handle is live and `params` points at a whole structure.
            unsafe { table.InitializeExt.map(|f| f(encoder, params)) }
        })?;
        let mut format = sys::videoFormatI420 as c_int;
        self.set("take I420", sys::ENCODER_OPTION_DATAFORMAT, (&raw mut format).cast())
    }

    fn set(
        &mut self,
        step: &'static str,
        option: sys::ENCODER_OPTION,
        value: *mut c_void,
    ) -> Result<(), EncodeError> {
        self.call(step, |encoder, table| {
            // SAFETY: the handle is live; each caller passes the type that the option documents.
            unsafe { table.SetOption.map(|f| f(encoder, option, value)) }
        })
    }

    fn call(
        &mut self,
        step: &'static str,
        f: impl FnOnce(*mut ISVCEncoder, &ISVCEncoderVtbl) -> Option<c_int>,
    ) -> Result<(), EncodeError> {
        // SAFETY: a live encoder begins with a pointer to its function table, which outlives it.
        let table = unsafe { &**self.handle.as_ptr() };
        match f(self.handle.as_ptr(), table) {
            Some(0) => Ok(()),
            Some(code) => Err(EncodeError::Refused { step, code }),
            None => Err(EncodeError::Refused { step, code: -1 }),
        }
    }

    /// Sets the quantiser of the next picture; the same again costs nothing.
    fn set_qp(&mut self, qp: Qp) -> Result<(), EncodeError> {
        let number = c_int::from(qp.number());
        let Some(layer) = self.params.sSpatialLayers.first_mut() else {
            return Ok(());
        };
        if layer.iDLayerQp == number {
            return Ok(());
        }
        layer.iDLayerQp = number;
        let params = (&raw mut *self.params).cast();
        self.set("change its quantiser", sys::ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, params)
    }

    /// The next picture refers to the reference that was settled last.
    fn recover(&mut self) -> Result<(), EncodeError> {
        if !self.stills.is_predicted() {
            // The first one after an IDR refers to it anyway, and only then is it among those that can be asked for.
            return Ok(());
        }
        let mut request = SLTRRecoverRequest {
            uiFeedbackType: sys::LTR_RECOVERY_REQUEST as c_uint,
            uiIDRPicId: self.stills.idr(),
            iLastCorrectFrameNum: 0,
            // Whatever it is: none between is to be forgotten, since each was settled or said not to have come.
            iCurrentFrameNum: -1,
            iLayerId: 0,
        };
        self.set("recover", sys::ENCODER_LTR_RECOVERY_REQUEST, (&raw mut request).cast())
    }

    fn source(&self, picture: &Picture) -> SSourcePicture {
        let (blue, red) = picture.chroma();
        let (stride, half) = (picture.stride() as c_int, (picture.stride() / 2) as c_int);
        SSourcePicture {
            iColorFormat: sys::videoFormatI420 as c_int,
            iStride: [stride, half, half, 0],
            pData: [
                picture.luma().as_ptr().cast_mut(),
                blue.as_ptr().cast_mut(),
                red.as_ptr().cast_mut(),
                std::ptr::null_mut(),
            ],
            iPicWidth: picture.width() as c_int,
            iPicHeight: picture.height() as c_int,
            // Only its own rate control would read the time, and that is off; it must rise.
            uiTimeStamp: self.pictures as i64,
            ..SSourcePicture::default()
        }
    }
}

/// What the last call made, which lies where `info` says until the next one: that call borrows it mutably.
fn collect(info: &SFrameBSInfo) -> Result<Encoded<'_>, EncodeError> {
    let mut chunks = ArrayVec::new();
    let count = info.iLayerNum;
    for layer in info.sLayerInfo.iter().take(usize::try_from(count).unwrap_or(0)) {
        let nals = usize::try_from(layer.iNalCount).unwrap_or(0);
        if nals == 0 || layer.pBsBuf.is_null() || layer.pNalLengthInByte.is_null() {
            continue;
        }
        // SAFETY: the library says that `iNalCount` lengths lie there, until the next call, which borrows `info` mutably.
        let lengths = unsafe { std::slice::from_raw_parts(layer.pNalLengthInByte, nals) };
        let bytes: usize = lengths.iter().map(|&n| usize::try_from(n).unwrap_or(0)).sum();
        // SAFETY: a layer's NALs lie one after the other from `pBsBuf`, as many bytes as their lengths say.
        let chunk = unsafe { std::slice::from_raw_parts(layer.pBsBuf, bytes) };
        chunks.try_push(chunk).map_err(|_| EncodeError::TooManyLayers(count))?;
    }
    Ok(Encoded { chunks, idr: info.eFrameType == sys::videoFrameTypeIDR, kept: None })
}

impl Encoder for OpenH264 {
    fn encode(&mut self, picture: &Picture, coding: Coding, qp: Qp) -> Result<Encoded<'_>, EncodeError> {
        let Shape { width, height, .. } = self.shape;
        if (picture.width(), picture.height()) != (width, height) {
            let (got_width, got_height) = (picture.width(), picture.height());
            return Err(EncodeError::WrongSize { width, height, got_width, got_height });
        }
        self.set_qp(qp)?;
        if coding == Coding::Idr {
            self.call("begin anew", |encoder, table| {
                // SAFETY: the handle is live.
                unsafe { table.ForceIntraFrame.map(|f| f(encoder, true)) }
            })?;
        }
        if coding == Coding::Recovered {
            self.recover()?;
        }
        let source = self.source(picture);
        let info = &raw mut *self.info;
        self.call("encode a picture", |encoder, table| {
            // SAFETY: the handle is live; the planes are as large as sizes and strides say (checked against `Picture`) and only read.
            unsafe { table.EncodeFrame.map(|f| f(encoder, &raw const source, info)) }
        })?;
        self.pictures += 1;
        let Self { info, stills, unsettled, shape, .. } = self;
        let mut encoded = collect(info)?;
        let foreign = |Foreign| EncodeError::Refused { step: "write slices as its sets say", code: 0 };
        let is_other = stills.pass(&encoded.chunks, encoded.idr).map_err(foreign)?;
        if let Some((kept, number)) = stills.kept().filter(|_| shape.keeps) {
            encoded.kept = Some(kept);
            // openh264 takes an IDR for settled.
            *unsettled = (!encoded.idr).then_some(number);
        }
        if is_other {
            encoded.chunks = ArrayVec::from_iter([stills.renumbered()]);
        }
        Ok(encoded)
    }

    fn settle(&mut self, came: bool) -> Result<(), EncodeError> {
        let Some(number) = self.unsettled.take() else {
            return Ok(());
        };
        let kind = if came { sys::LTR_MARKING_SUCCESS } else { sys::LTR_MARKING_FAILED };
        let mut feedback = SLTRMarkingFeedback {
            uiFeedbackType: kind as c_uint,
            uiIDRPicId: self.stills.idr(),
            iLTRFrameNum: number as c_int,
            iLayerId: 0,
        };
        self.set("settle a reference", sys::ENCODER_LTR_MARKING_FEEDBACK, (&raw mut feedback).cast())
    }

    fn repeat(&mut self) -> Option<Encoded<'_>> {
        let still = self.stills.again()?;
        Some(Encoded { chunks: ArrayVec::from_iter([still]), idr: false, kept: None })
    }

    fn describe(&self) -> &str {
        &self.library.name
    }

    fn kernel(&self) -> Kernel {
        self.kernel
    }
}

impl Drop for OpenH264 {
    fn drop(&mut self) {
        // An encoder that was never started answers with an error here, which changes nothing.
        let _ = self.call("stop", |encoder, table| {
            // SAFETY: the handle is live and not used after this.
            unsafe { table.Uninitialize.map(|f| f(encoder)) }
        });
        // SAFETY: made by this library, and destroyed once.
        unsafe { self.library.api.WelsDestroySVCEncoder(self.handle.as_ptr()) };
    }
}

#[cfg(test)]
mod tests;
