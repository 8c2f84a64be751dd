//! lumen's capture stage: takes a compositor's pictures and passes them on as Frames.
//!
//! One plain thread per session ([`run`]) polls its link, its mail and its source ([`backends`]); what
//! happens next is decided by [`stage`] and, for the buffers, by [`newest`], both without a kernel. Only [`backends::pipewire`] calls C. Its [`sound`] has a
//! thread of its own.
#![deny(unsafe_code)]

pub mod backends;
pub mod board;
pub mod config;
pub mod display;
pub mod looks;
pub mod needs;
pub mod newest;
pub mod pointer;
pub mod recover;
pub mod run;
pub mod service;
pub mod sound;
pub mod stage;
pub mod tried;
pub mod turn;
