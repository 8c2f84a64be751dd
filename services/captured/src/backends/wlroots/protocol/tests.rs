//! Our numbers beside those of the protocol files, as wayland-scanner read them.

use super::*;
use wayland_client::{
    Proxy,
    protocol::{
        wl_buffer::WlBuffer, wl_callback::WlCallback, wl_display::WlDisplay, wl_output,
        wl_registry::WlRegistry, wl_shm, wl_shm_pool::WlShmPool,
    },
};
use wayland_protocols::ext::{
    image_capture_source::v1::client::{
        ext_image_capture_source_v1::ExtImageCaptureSourceV1,
        ext_output_image_capture_source_manager_v1::ExtOutputImageCaptureSourceManagerV1,
    },
    image_copy_capture::v1::client::{
        ext_image_copy_capture_frame_v1::{ExtImageCopyCaptureFrameV1, FailureReason},
        ext_image_copy_capture_manager_v1::{ExtImageCopyCaptureManagerV1, Options},
        ext_image_copy_capture_session_v1::ExtImageCopyCaptureSessionV1,
    },
};
use wayland_protocols_wlr::screencopy::v1::client::{
    zwlr_screencopy_frame_v1::{Flags, ZwlrScreencopyFrameV1},
    zwlr_screencopy_manager_v1::ZwlrScreencopyManagerV1,
};

/// The position and signature of each named request and event.
fn compare<P: Proxy>(interface: Interface, requests: &[(u16, &str, &str)], events: &[(u16, &str, &str)]) {
    let file = P::interface();
    assert_eq!(interface.name(), file.name);
    for (ours, theirs) in [(requests, file.requests), (events, file.events)] {
        for (opcode, name, signature) in ours {
            let message = &theirs[usize::from(*opcode)];
            assert_eq!(message.name, *name, "{} {opcode}", file.name);
            let written =
                message.signature.iter().map(|argument| format!("{argument:?}")[..1].to_lowercase());
            assert_eq!(written.collect::<String>(), *signature, "{}.{name}", file.name);
        }
    }
}

// Sabotage: exchange two numbers in `protocol.rs`. In a signature u, i, s, o, n, f are uint, int, string,
// object, new id and fd; a string's and an object's letter come first in wayland-scanner's words too.
#[test]
fn numbers_are_those_of_the_core_protocol() {
    use Interface as I;
    compare::<WlDisplay>(
        I::Display,
        &[(display::SYNC, "sync", "n"), (display::GET_REGISTRY, "get_registry", "n")],
        &[(display::ERROR, "error", "ous"), (display::DELETE_ID, "delete_id", "u")],
    );
    compare::<WlRegistry>(
        I::Registry,
        &[(registry::BIND, "bind", "usun")],
        &[(registry::GLOBAL, "global", "usu"), (registry::GLOBAL_REMOVE, "global_remove", "u")],
    );
    compare::<WlCallback>(I::Callback, &[], &[(callback::DONE, "done", "u")]);
    compare::<wl_shm::WlShm>(I::Shm, &[(shm::CREATE_POOL, "create_pool", "nfi")], &[]);
    compare::<WlShmPool>(
        I::ShmPool,
        &[(shm_pool::CREATE_BUFFER, "create_buffer", "niiiiu"), (shm_pool::DESTROY, "destroy", "")],
        &[],
    );
    compare::<WlBuffer>(I::Buffer, &[(buffer::DESTROY, "destroy", "")], &[]);
    compare::<wl_output::WlOutput>(
        I::Output,
        &[(output::RELEASE, "release", "")],
        &[
            (output::GEOMETRY, "geometry", "iiiiissi"),
            (output::MODE, "mode", "uiii"),
            (output::DONE, "done", ""),
            (output::NAME, "name", "s"),
        ],
    );
}

#[test]
fn numbers_are_those_of_wlr_screencopy() {
    use screencopy_frame as frame;
    let manager = [(screencopy::CAPTURE_OUTPUT, "capture_output", "nio")];
    compare::<ZwlrScreencopyManagerV1>(Interface::Screencopy, &manager, &[]);
    compare::<ZwlrScreencopyFrameV1>(
        Interface::ScreencopyFrame,
        &[
            (frame::COPY, "copy", "o"),
            (frame::DESTROY, "destroy", ""),
            (frame::COPY_WITH_DAMAGE, "copy_with_damage", "o"),
        ],
        &[
            (frame::BUFFER, "buffer", "uuuu"),
            (frame::FLAGS, "flags", "u"),
            (frame::READY, "ready", "uuu"),
            (frame::FAILED, "failed", ""),
            (frame::DAMAGE, "damage", "uuuu"),
            (frame::BUFFER_DONE, "buffer_done", ""),
        ],
    );
}

#[test]
fn numbers_are_those_of_ext_image_copy_capture() {
    let maker = [(source_maker::CREATE_SOURCE, "create_source", "no")];
    compare::<ExtOutputImageCaptureSourceManagerV1>(Interface::SourceMaker, &maker, &[]);
    compare::<ExtImageCaptureSourceV1>(Interface::Source, &[(source::DESTROY, "destroy", "")], &[]);
    let manager = [(copy_capture::CREATE_SESSION, "create_session", "nou")];
    compare::<ExtImageCopyCaptureManagerV1>(Interface::CopyCapture, &manager, &[]);
    compare::<ExtImageCopyCaptureSessionV1>(
        Interface::CopySession,
        &[(copy_session::CREATE_FRAME, "create_frame", "n")],
        &[
            (copy_session::BUFFER_SIZE, "buffer_size", "uu"),
            (copy_session::SHM_FORMAT, "shm_format", "u"),
            (copy_session::DONE, "done", ""),
            (copy_session::STOPPED, "stopped", ""),
        ],
    );
    compare::<ExtImageCopyCaptureFrameV1>(
        Interface::CopyFrame,
        &[
            (copy_frame::DESTROY, "destroy", ""),
            (copy_frame::ATTACH_BUFFER, "attach_buffer", "o"),
            (copy_frame::DAMAGE_BUFFER, "damage_buffer", "iiii"),
            (copy_frame::CAPTURE, "capture", ""),
        ],
        &[
            (copy_frame::TRANSFORM, "transform", "u"),
            (copy_frame::DAMAGE, "damage", "iiii"),
            (copy_frame::READY, "ready", ""),
            (copy_frame::FAILED, "failed", "u"),
        ],
    );
}

#[test]
fn values_are_those_of_the_protocol_files() {
    use wl_shm::Format;
    let formats = [
        (Format::Argb8888, shm::ARGB8888),
        (Format::Xrgb8888, shm::XRGB8888),
        (Format::Xbgr8888, shm::XBGR8888),
        (Format::Abgr8888, shm::ABGR8888),
    ];
    formats.iter().for_each(|(theirs, ours)| assert_eq!(u32::from(*theirs), *ours));
    assert_eq!(wl_output::Mode::Current.bits(), output::CURRENT);
    assert_eq!(Flags::YInvert.bits(), screencopy_frame::Y_INVERT);
    assert_eq!(Options::PaintCursors.bits(), copy_capture::PAINT_CURSORS);
    assert_eq!(FailureReason::Stopped as u32, copy_frame::REASON_STOPPED);
}
