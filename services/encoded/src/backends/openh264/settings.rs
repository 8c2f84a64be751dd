//! How openh264 is set up.

use std::os::raw::c_int;

use openh264_sys2::{self as sys, SEncParamExt};

use crate::backends::Shape;

/// Pictures from one that is kept, and settled, to the next: after so many a still screen is as sharp as it gets, so that the
/// reference is as well. Movement goes on for half a second until the one before is settled.
const KEEP_EACH: u32 = 12;

/// For latency and a quantiser per picture; everything that would judge the picture by itself is off.
pub(super) fn set_params(params: &mut SEncParamExt, shape: Shape, threads: u16) {
    params.iUsageType = sys::CAMERA_VIDEO_REAL_TIME;
    params.iPicWidth = shape.width as c_int;
    params.iPicHeight = shape.height as c_int;
    params.fMaxFrameRate = shape.rate;
    params.iRCMode = sys::RC_OFF_MODE;
    params.iTargetBitrate = 0;
    params.iTemporalLayerNum = 1;
    params.iSpatialLayerNum = 1;
    params.iComplexityMode = sys::LOW_COMPLEXITY;
    params.uiIntraPeriod = 0;
    // One picture before, and two long-term references, of which openh264 gives one up once the other has come.
    (params.iLTRRefNum, params.iNumRefFrame) = if shape.keeps { (2, 3) } else { (0, 1) };
    params.bEnableLongTermReference = shape.keeps;
    params.iLtrMarkPeriod = KEEP_EACH;
    params.eSpsPpsIdStrategy = sys::CONSTANT_ID;
    params.bPrefixNalAddingCtrl = false;
    params.bEnableSSEI = false;
    params.iEntropyCodingModeFlag = 1;
    params.bEnableFrameSkip = false;
    params.iMultipleThreadIdc = threads;
    params.bUseLoadBalancing = false;
    params.iLoopFilterDisableIdc = 0;
    params.bEnableDenoise = false;
    params.bEnableBackgroundDetection = false;
    params.bEnableAdaptiveQuant = false;
    params.bEnableFrameCroppingFlag = true;
    params.bEnableSceneChangeDetect = false;
    if let Some(layer) = params.sSpatialLayers.first_mut() {
        set_layer(layer, shape, threads);
    }
}

fn set_layer(layer: &mut sys::SSpatialLayerConfig, shape: Shape, threads: u16) {
    layer.iVideoWidth = shape.width as c_int;
    layer.iVideoHeight = shape.height as c_int;
    layer.fFrameRate = shape.rate;
    layer.iSpatialBitrate = 0;
    layer.iMaxSpatialBitrate = 0;
    layer.uiProfileIdc = sys::PRO_HIGH;
    layer.uiLevelIdc = sys::LEVEL_UNKNOWN;
    layer.iDLayerQp = 30;
    layer.sSliceArgument.uiSliceMode =
        if threads > 1 { sys::SM_FIXEDSLCNUM_SLICE } else { sys::SM_SINGLE_SLICE };
    layer.sSliceArgument.uiSliceNum = u32::from(threads.max(1));
    layer.bVideoSignalTypePresent = true;
    layer.uiVideoFormat = sys::VF_UNDEF as u8;
    layer.bFullRange = false;
    layer.bColorDescriptionPresent = true;
    layer.uiColorPrimaries = sys::CP_BT709 as u8;
    layer.uiTransferCharacteristics = sys::TRC_BT709 as u8;
    layer.uiColorMatrix = sys::CM_BT709 as u8;
}
