//! Where input for an Output in GNOME goes: to Mutter's EIS, over a connection that the session of its recording asks for.

use lumen_ipc::{Failure, FailureClass, SessionId, bus::SeatSource};

use super::{
    Mutter,
    desk::{self, Presence},
};
use crate::backends::{locked, no_output};

impl Mutter {
    /// A fresh connection to EIS for the Output of `session`.
    ///
    /// # Errors
    /// It is dark, or its GNOME is gone or does not answer.
    pub async fn seat(&self, session: SessionId) -> Result<SeatSource, Failure> {
        let placed = self.outputs.get(&session).ok_or_else(no_output)?;
        let Some(cast) = &placed.cast else {
            return Err(match desk::look(&self.bus()).await {
                Presence::Locked => locked(),
                Presence::Usable(_) | Presence::Absent => no_output(),
            });
        };
        let (fd, region) = cast.input().await.map_err(|error| {
            let advice = "it is asked for again; look whether GNOME answers (`gdbus call`, its log)";
            Failure::new(FailureClass::Temporary, format!("cannot type: {error}"), advice)
        })?;
        Ok(SeatSource {
            kind: "eis".to_owned(),
            fd: Some(fd.into()),
            output: None,
            region: Some(region),
            desktop: Some(placed.made.backend.to_owned()),
            again: None,
        })
    }
}
