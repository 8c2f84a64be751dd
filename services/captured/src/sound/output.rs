//! PipeWire's default output: which sink programs play into that were told none.

use super::{
    lead::{Lead, Record},
    wire::{Heard, Said},
};
use lumen_ipc::{
    SessionId,
    bus::{SINK_PREFIX, sink_name},
};
use pipewire::{
    metadata::{Metadata, MetadataListener},
    properties::PropertiesBox,
    registry::{GlobalObject, RegistryRc},
};

/// What a person chose, in the metadata named `default`. The session manager follows it and keeps it over restarts.
const CHOSEN: &str = "default.configured.audio.sink";
const JSON: &str = "Spa:String:JSON";

/// A connection's hold of it.
pub(super) struct DefaultOutput {
    _listener: MetadataListener,
    metadata: Metadata,
    id: u32,
    chosen: Option<String>,
    /// What is chosen has been told.
    is_told: bool,
    /// It was moved, or found moved.
    is_led: bool,
}

impl DefaultOutput {
    /// From now on `heard` gets what is chosen.
    pub fn bind(
        registry: &RegistryRc,
        global: &GlobalObject<PropertiesBox>,
        heard: &Heard,
    ) -> Result<Self, pipewire::Error> {
        let metadata: Metadata = registry.bind(global)?;
        let heard = heard.clone();
        let hear = move |subject, key: Option<&str>, _: Option<&str>, value: Option<&str>| {
            if subject == 0 && key.is_none_or(|key| key == CHOSEN) {
                heard.borrow_mut().push_back(Said::Chosen(value.map(str::to_owned)));
            }
            0
        };
        let listener = metadata.add_listener_local().property(hear).register();
        let id = global.id;
        Ok(Self { _listener: listener, metadata, id, chosen: None, is_told: false, is_led: false })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// This is chosen.
    pub fn hear(&mut self, chosen: Option<String>) {
        self.chosen = chosen;
    }

    /// All that was chosen has been told.
    pub fn settle(&mut self) {
        self.is_told = true;
    }

    /// Moves it to the sink of `session`, once. Where a person chose another one since, that stays.
    pub fn lead(&mut self, session: SessionId, lead: &Lead) {
        if self.is_led || !self.is_told {
            return;
        }
        self.is_led = true;
        // A sink of an earlier session is nothing that a person chose.
        let before = self.chosen.clone().filter(|name| !name.contains(SINK_PREFIX));
        match lead.remember(session, before.clone()) {
            Ok(record) if record.before == before => {
                let name = format!("{{ \"name\": \"{}\" }}", sink_name(session));
                self.metadata.set_property(0, CHOSEN, Some(JSON), Some(&name));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(SESSION = %session, "the default output stays, since what it was cannot be written down: {error}");
            }
        }
    }

    /// Puts back what was before, unless a person chose something else since.
    pub fn put_back(&self, record: &Record) {
        if self.chosen.as_ref().is_some_and(|name| name.contains(&sink_name(record.session))) {
            let before = record.before.as_deref();
            self.metadata.set_property(0, CHOSEN, before.map(|_| JSON), before);
        }
    }
}
