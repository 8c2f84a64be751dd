//! libpipewire's loops and modules, as a connection of ours needs them.
//!
//! The configuration of the machine is not read: it would load modules (real-time scheduling over D-Bus) that the
//! sandbox refuses anyway.
#![allow(unsafe_code, reason = "libpipewire is C, and its Rust layer has no data loop and no modules")]

use crate::backends::SourceError;
use pipewire::{
    context::ContextRc,
    loop_::{Loop, LoopRc},
    properties::properties,
    sys,
};
use rustix::event::epoll;
use std::{
    ffi::CStr,
    os::fd::OwnedFd,
    ptr::{self, NonNull},
};

/// Modules without which there is no connection and no stream: the first speaks with the daemon, the second shares buffers
/// with it. The third because libpipewire makes a stream's node by the adapter's factory, and fails with "no adapter
/// factory found" without it, although that of pictures converts nothing.
/// The last knows what the default output is.
const MODULES: [&CStr; 4] = [
    c"libpipewire-module-protocol-native",
    c"libpipewire-module-client-node",
    c"libpipewire-module-adapter",
    c"libpipewire-module-metadata",
];

/// What makes sound what a stream asks for, and where it lies.
const PLUGINS: [(&CStr, &CStr); 2] = [
    (c"audio.convert.*", c"audioconvert/libspa-audioconvert"),
    (c"audio.adapt", c"audioconvert/libspa-audioconvert"),
];

/// What libpipewire does for one connection, in a thread of ours.
///
/// # Errors
/// A part of libpipewire is not installed.
pub(crate) fn context(main: &LoopRc) -> Result<ContextRc, SourceError> {
    let properties = properties! {
        "config.name" => "null",
        "application.name" => "lumen",
        // Since 1.2 this alone keeps the data loop in the main one.
        "context.num-data-loops" => "0",
        // Locking would be refused, and no real-time thread reads it.
        "mem.allow-mlock" => "false",
        // Warnings are about parts that are left out on purpose; what fails is told by us.
        "log.level" => "1",
    };
    let failed = |_| SourceError::PipeWire { what: "making a context" };
    let context = ContextRc::new(main, Some(properties)).map_err(failed)?;
    for module in MODULES {
        // SAFETY: the context lives, the name is a C string, and no arguments or properties are given.
        let loaded = unsafe {
            sys::pw_context_load_module(context.as_raw_ptr(), module.as_ptr(), ptr::null(), ptr::null_mut())
        };
        if loaded.is_null() {
            return Err(SourceError::PipeWireModule { name: module.to_str().unwrap_or_default() });
        }
    }
    for (name, library) in PLUGINS {
        // SAFETY: the context lives, and both are C strings, which libpipewire copies.
        unsafe { sys::pw_context_add_spa_lib(context.as_raw_ptr(), name.as_ptr(), library.as_ptr()) };
    }
    if let Some(data) = NonNull::new(raw_data_loop(&context)) {
        // SAFETY: the context lives and with it its data loop; stopping one that never started is a no-op.
        unsafe { sys::pw_data_loop_stop(data.as_ptr()) };
    }
    Ok(context)
}

fn raw_data_loop(context: &ContextRc) -> *mut sys::pw_data_loop {
    // SAFETY: the context lives; since 1.2 the answer may be null.
    unsafe { sys::pw_context_get_data_loop(context.as_raw_ptr()) }
}

/// The loop in which buffers come, where it is another than the main one.
pub(crate) fn data_loop(context: &ContextRc) -> Option<&Loop> {
    let data = NonNull::new(raw_data_loop(context))?;
    // SAFETY: the data loop lives as long as its context, which is borrowed; `Loop` is a transparent wrapper.
    unsafe {
        let inner = sys::pw_data_loop_get_loop(data.as_ptr());
        inner.cast::<Loop>().as_ref()
    }
}

/// A descriptor that is readable when one of the loops is.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn readable(main: &LoopRc, data: Option<&Loop>) -> Result<OwnedFd, SourceError> {
    let system = |errno| SourceError::System { what: "watching PipeWire", errno };
    let both = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system)?;
    for fd in [Some(main.fd()), data.map(Loop::fd)].into_iter().flatten() {
        epoll::add(&both, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN).map_err(system)?;
    }
    Ok(both)
}
