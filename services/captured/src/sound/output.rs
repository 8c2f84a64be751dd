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
    /// What was told last, or what was asked for since.
    chosen: Option<String>,
    /// What is chosen has been told.
    is_told: bool,
    /// It was moved, or found moved; or why it is not.
    led: Option<Result<(), String>>,
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
        Ok(Self { _listener: listener, metadata, id, chosen: None, is_told: false, led: None })
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

    /// Moves it to the sink of `session`, once; where a person chose another one since, that stays. Why it is not there.
    pub fn lead(&mut self, session: SessionId, lead: &Lead) -> Option<String> {
        if !self.is_told {
            return None;
        }
        let led = match self.led.take() {
            None => self.move_to(session, lead),
            Some(Ok(())) if !self.is_of(session) => Err("another output was chosen".to_owned()),
            Some(led) => led,
        };
        self.led.insert(led).clone().err()
    }

    fn move_to(&mut self, session: SessionId, lead: &Lead) -> Result<(), String> {
        // A sink of an earlier session is nothing that a person chose.
        let before = self.chosen.clone().filter(|name| !name.contains(SINK_PREFIX));
        match lead.remember(session, before) {
            Ok(true) => {
                let name = format!("{{ \"name\": \"{}\" }}", sink_name(session));
                self.set(Some(name));
                Ok(())
            }
            // An earlier incarnation moved it.
            Ok(false) if self.is_of(session) => Ok(()),
            Ok(false) => Err("another output was chosen".to_owned()),
            Err(error) => Err(format!("what it was cannot be written down: {error}")),
        }
    }

    /// Puts back what was before, unless a person chose something else since. False while it is not known what is chosen.
    pub fn put_back(&mut self, record: &Record) -> bool {
        if self.is_told && self.is_of(record.session) {
            self.set(record.before.clone());
        }
        self.is_told
    }

    fn is_of(&self, session: SessionId) -> bool {
        self.chosen.as_ref().is_some_and(|name| name.contains(&sink_name(session)))
    }

    /// It counts at once: what tells us comes over the session manager, and a daemon may leave it out.
    fn set(&mut self, name: Option<String>) {
        self.metadata.set_property(0, CHOSEN, name.as_deref().map(|_| JSON), name.as_deref());
        self.chosen = name;
    }
}
