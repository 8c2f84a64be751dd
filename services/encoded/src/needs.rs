//! What encoded needs of its machine.

use lumen_stage::{Ladder, Need, ladder::QUIET};

use crate::{config::Config, rungs::Rungs};

/// Opens the encoders that the configuration leaves.
pub fn needs(config: &Config) -> Vec<Need> {
    let opened = Ladder::take(&mut Vec::new(), QUIET)
        .map_err(|error| error.to_string())
        .and_then(|ladder| Rungs::new(config, ladder).map_err(|error| error.to_string()));
    vec![match opened {
        Ok(rungs) => {
            let (best, why) = rungs.describe();
            Need::met("encoder", format!("{best}: {why}"))
        }
        Err(error) => Need::missing("encoder", error, "sudo make install"),
    }]
}
