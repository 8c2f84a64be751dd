//! The session's link to captured.

use lumen_ipc::{
    Failure, FailureClass, Stage,
    bus::OutputSpec,
    capture::{Frame, FromCapture, ToCapture},
    pointer::{Pointer, PointerBitmap},
    pool::{BufferId, Memory, PoolDescription},
};
use lumen_stage::{Link, LinkError, Received, clock::now_ns, failpoint, link::Fds, pool::ImportedPool};

use super::Bench;
use crate::{pointer::Sprite, recover, stage::Fault};

impl Bench {
    pub(super) fn take_from_upstream(&mut self) {
        while let Some(link) = &mut self.upstream {
            match link.receive::<FromCapture>() {
                Ok(None) => return,
                Ok(Some(received)) => self.take_from_capture(received),
                Err(LinkError::Closed) => self.lose_upstream(),
                Err(error) => {
                    self.warn("the link to captured ended", &error);
                    self.lose_upstream();
                }
            }
        }
    }

    fn take_from_capture(&mut self, received: Received<FromCapture>) {
        let handled = match received.message {
            FromCapture::Pool(description) => return self.take_pool(description, received.fds),
            FromCapture::Bitmap(bitmap) => return self.take_bitmap(bitmap, received.fds),
            FromCapture::Frame(frame) if self.unreadable == Some(frame.buffer.pool) => {
                let BufferId { pool, buffer } = frame.buffer;
                return self.answer(&ToCapture::Return { pool, buffer });
            }
            FromCapture::Frame(frame) if !self.has(frame.buffer) => {
                let BufferId { pool, buffer } = frame.buffer;
                Err(Fault::NoBuffer { pool, buffer })
            }
            FromCapture::Frame(frame) => {
                let pointer = self.known(frame.pointer);
                self.session.handle_capture(FromCapture::Frame(Frame { pointer, ..frame }), now_ns())
            }
            FromCapture::Pointer { pointer, timeline } => {
                let pointer = self.known(pointer);
                self.session.handle_capture(FromCapture::Pointer { pointer, timeline }, now_ns())
            }
            message => self.session.handle_capture(message, now_ns()),
        };
        if let Err(fault) = handled {
            self.warn("captured broke the contract", &fault);
            self.lose_upstream();
        }
    }

    fn take_pool(&mut self, description: PoolDescription, fds: Fds) {
        let (number, memory) = (description.number, description.memory);
        match ImportedPool::import(description, fds) {
            Ok(pool) => {
                if self.session.handle_pool(pool.layout()) {
                    self.coder = None;
                }
                self.pool = Some(pool);
                failpoint::at(recover::POOLED);
            }
            // What a GPU wrote may be out of a CPU's reach; a memfd never is.
            Err(error) if memory != Memory::Memfd => {
                self.warn("captured is asked for other buffers, because its own cannot be read", &error);
                self.unreadable = Some(number);
                self.answer(&ToCapture::Unreadable { pool: number });
            }
            Err(error) => {
                self.warn("captured's buffers cannot be used", &error);
                self.lose_upstream();
            }
        }
    }

    fn take_bitmap(&mut self, bitmap: PointerBitmap, fds: Fds) {
        let Some(memory) = fds.into_iter().next() else { return };
        match Sprite::new(bitmap, memory) {
            Ok(sprite) => self.sprites.add(sprite),
            Err(error) => {
                self.bad_pointers += 1;
                self.warn("the pointer cannot be shown", &error);
            }
        }
    }

    fn has(&self, id: BufferId) -> bool {
        self.pool.as_ref().is_some_and(|pool| pool.number() == id.pool && pool.has(id.buffer))
    }

    /// The pointer, if its look is known; else it is counted and not shown.
    fn known(&mut self, pointer: Option<Pointer>) -> Option<Pointer> {
        let known = pointer.filter(|pointer| self.sprites.get(pointer.bitmap).is_some());
        self.bad_pointers += u64::from(known != pointer);
        known
    }

    pub(super) fn lose_upstream(&mut self) {
        (self.upstream, self.pool) = (None, None);
        self.session.handle_upstream_lost(now_ns());
    }

    pub(super) fn open(&mut self, spec: &OutputSpec) {
        (self.upstream, self.pool, self.unreadable) = (None, None, None);
        self.sprites.clear();
        let linked = self.common.capture.open(self.seat.session, spec, &self.seat.pulse).and_then(|fd| {
            Link::start(fd, Stage::Encoded, self.common.generation, Stage::Captured).map_err(|error| {
                Failure::new(FailureClass::Temporary, error.to_string(), "see `lumenctl status`")
            })
        });
        match linked {
            Ok(link) => {
                self.upstream = Some(link);
                failpoint::at(recover::LINKED);
                self.session.handle_linked();
            }
            Err(failure) => {
                self.warn("there is no link to captured", &failure);
                self.session.handle_failure(failure, now_ns());
            }
        }
    }

    pub(super) fn answer(&mut self, message: &ToCapture) {
        if let Some(Err(error)) = self.upstream.as_ref().map(|link| link.send(message, &[]))
            && !matches!(error, LinkError::Closed)
        {
            self.warn("a buffer could not be given back to captured", &error);
            self.lose_upstream();
        }
    }
}
