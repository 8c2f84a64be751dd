//! The session's link to captured.

use lumen_ipc::{
    Failure, FailureClass, Stage,
    bus::OutputSpec,
    capture::{FromCapture, ToCapture},
};
use lumen_stage::{Link, LinkError, Received, clock::now_ns, pool::ImportedPool};

use super::Bench;

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
            FromCapture::Pool(description) => match ImportedPool::import(description, received.fds) {
                Ok(pool) => {
                    if self.session.handle_pool(pool.layout()) {
                        self.coder = None;
                    }
                    self.pool = Some(pool);
                    Ok(())
                }
                Err(error) => {
                    self.warn("captured's buffers cannot be used", &error);
                    return self.lose_upstream();
                }
            },
            message => self.session.handle_capture(message, now_ns()),
        };
        if let Err(fault) = handled {
            self.warn("captured broke the contract", &fault);
            self.lose_upstream();
        }
    }

    pub(super) fn lose_upstream(&mut self) {
        (self.upstream, self.pool) = (None, None);
        self.session.handle_upstream_lost(now_ns());
    }

    pub(super) fn open(&mut self, spec: &OutputSpec) {
        (self.upstream, self.pool) = (None, None);
        let linked = self.common.capture.open(self.seat.session, spec, &self.seat.pulse).and_then(|fd| {
            Link::start(fd, Stage::Encoded, self.common.generation, Stage::Captured).map_err(|error| {
                Failure::new(FailureClass::Temporary, error.to_string(), "see `lumenctl status`")
            })
        });
        match linked {
            Ok(link) => {
                self.upstream = Some(link);
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
