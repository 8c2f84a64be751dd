//! Which encoder a session gets: the best rung of the ladder that is there and not set aside for its mode.

use std::sync::{Arc, OnceLock};

use lumen_stage::{Ladder, Rung, ladder::Inside};

use crate::{
    backends::{
        Coding, EncodeError, Encoded, Encoder, Factory, Qp, Shape, kernel::Kernel, openh264::Software,
    },
    config::{Backend, Config},
    picture::Picture,
};

/// The only codec so far; a rung that fails at it may be the best at another.
const CODEC: &str = "h264";

/// One rung.
struct Backing {
    name: &'static str,
    /// Opens its library and devices.
    open: fn(&Config) -> Result<Box<dyn Factory>, EncodeError>,
}

/// All of them, best first: hardware comes before what only costs a processor. A new one is one entry here.
static RUNGS: [Backing; 2] = [
    Backing { name: "openh264", open: |config| Ok(Box::new(Software::new(config.threads)?)) },
    Backing { name: "openh264-plain", open: |_| Ok(Box::new(Software::plain()?)) },
];

/// A rung that the configuration leaves. It is opened when it is first needed, once, and for the error why it is not there.
struct Place {
    backing: &'static Backing,
    opened: OnceLock<Result<Box<dyn Factory>, String>>,
}

impl Place {
    fn factory(&self, config: &Config) -> Result<&dyn Factory, &str> {
        let open = || (self.backing.open)(config).map_err(|error| error.to_string());
        self.opened.get_or_init(open).as_ref().map(AsRef::as_ref).map_err(String::as_str)
    }
}

/// All rungs of a stage. Cloning shares them.
#[derive(Clone)]
pub struct Rungs {
    config: Config,
    places: Arc<[Place]>,
    ladder: Ladder,
}

impl Rungs {
    /// Those from the configured one on.
    ///
    /// # Errors
    /// The last one, to which all others fall, cannot be opened.
    pub fn new(config: &Config, ladder: Ladder) -> Result<Self, EncodeError> {
        let first = match config.backend {
            Backend::Auto | Backend::Openh264 => "openh264",
            Backend::Openh264Plain => "openh264-plain",
        };
        let left = RUNGS.iter().skip_while(|backing| backing.name != first);
        let places = left.map(|backing| Place { backing, opened: OnceLock::new() }).collect();
        let rungs = Self { config: config.clone(), places, ladder };
        let last = rungs.places.last().map_or(Err("there is none"), |place| place.factory(config));
        last.map(drop).map_err(|error| EncodeError::Library(error.to_owned()))?;
        Ok(rungs)
    }

    /// What is best, and why it may not be what runs.
    pub fn describe(&self) -> (&'static str, String) {
        let absent = self.places.iter().filter_map(|place| {
            let error = place.opened.get()?.as_ref().err()?;
            Some(format!("{} is not there: {error}", place.backing.name))
        });
        let absent: Vec<_> = absent.collect();
        let why = match self.config.backend {
            _ if !absent.is_empty() => absent.join("; "),
            _ if !self.ladder.descents().is_empty() => "a better one is set aside, see below".to_owned(),
            Backend::Auto => "software is the only kind of encoder that this version of lumen has".to_owned(),
            Backend::Openh264 | Backend::Openh264Plain => "encoded.toml says so (backend)".to_owned(),
        };
        (self.places.first().map_or("none", |place| place.backing.name), why)
    }
}

impl Factory for Rungs {
    fn make(&self, shape: Shape) -> Result<Box<dyn Encoder>, EncodeError> {
        if self.is_falling() {
            return Err(EncodeError::Falling);
        }
        let purpose = format!("{CODEC} {}x{}@{}", shape.width, shape.height, shape.rate);
        let mut places: Vec<&Place> = self.places.iter().collect();
        while !places.is_empty() {
            let names: Vec<_> = places.iter().map(|place| place.backing.name).collect();
            let Some((index, rung)) = self.ladder.choose(&names, &purpose) else { break };
            match places.remove(index).factory(&self.config) {
                Ok(factory) => return Tried::make(rung, factory, shape),
                Err(error) => tracing::warn!("{} is not there: {error}", rung.name()),
            }
        }
        Err(EncodeError::Library("no kind of encoder can be opened".to_owned()))
    }

    fn is_falling(&self) -> bool {
        self.ladder.is_falling()
    }
}

/// An encoder on its rung.
struct Tried {
    encoder: Box<dyn Encoder>,
    rung: Rung,
    name: String,
}

impl Tried {
    fn make(rung: Rung, factory: &dyn Factory, shape: Shape) -> Result<Box<dyn Encoder>, EncodeError> {
        let made = {
            let _inside = rung.begin();
            factory.make(shape)
        };
        let encoder = made.inspect_err(|error| judge(&rung, error))?;
        let name = match encoder.describe() {
            library if library.split(' ').next() == Some(rung.name()) => library.to_owned(),
            library => format!("{} ({library})", rung.name()),
        };
        Ok(Box::new(Self { encoder, rung, name }))
    }
}

fn judge(rung: &Rung, error: &EncodeError) {
    if error.is_backends_own() {
        rung.erred();
    }
}

impl Encoder for Tried {
    fn encode(&mut self, picture: &Picture, coding: Coding, qp: Qp) -> Result<Encoded<'_>, EncodeError> {
        let _inside = self.rung.begin();
        let encoded = self.encoder.encode(picture, coding, qp);
        match &encoded {
            Ok(_) => self.rung.made(),
            Err(error) => judge(&self.rung, error),
        }
        encoded
    }

    fn repeat(&mut self) -> Option<Encoded<'_>> {
        self.encoder.repeat()
    }

    fn settle(&mut self, came: bool) -> Result<(), EncodeError> {
        let settled = self.encoder.settle(came);
        settled.inspect_err(|error| judge(&self.rung, error))
    }

    fn describe(&self) -> &str {
        &self.name
    }

    fn kernel(&self) -> Kernel {
        self.encoder.kernel()
    }

    fn begin(&self) -> Option<Inside> {
        Some(self.rung.begin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_stage::ladder::QUIET;

    const SHAPE: Shape = Shape { width: 320, height: 180, rate: 60.0, keeps: false };

    fn rungs(backend: Backend) -> Rungs {
        let config = Config { backend, ..Config::default() };
        Rungs::new(&config, Ladder::take(&mut Vec::new(), QUIET).unwrap()).unwrap()
    }

    /// Sabotage: let the configuration leave out what a rung falls to, or the last rung use AVX2.
    #[test]
    fn best_rung_comes_first_and_the_last_needs_no_special_instructions() {
        for (backend, name, kernel) in [
            (Backend::Auto, "openh264 ", Kernel::best()),
            (Backend::Openh264, "openh264 ", Kernel::best()),
            (Backend::Openh264Plain, "openh264-plain (", Kernel::Portable),
        ] {
            let encoder = rungs(backend).make(SHAPE).unwrap();
            assert!(encoder.describe().starts_with(name), "{}", encoder.describe());
            assert_eq!(encoder.kernel(), kernel);
        }
    }

    /// Sabotage: open the next rung in the process in which the one before it failed.
    #[test]
    fn nothing_more_is_made_once_a_rung_fell() {
        let rungs = rungs(Backend::Auto);
        // More than openh264 takes: it refuses.
        let huge = Shape { width: 20_000, height: 20_000, rate: 60.0, keeps: false };
        for _ in 0..3 {
            assert!(!rungs.is_falling() && rungs.make(SHAPE).is_ok());
            assert!(rungs.make(huge).is_err_and(|error| error.is_backends_own()));
        }
        assert!(rungs.is_falling());
        assert!(matches!(rungs.make(SHAPE), Err(EncodeError::Falling)));
        assert!(rungs.ladder.has_fallen("openh264", "h264 20000x20000@60"));
    }

    /// Sabotage: judge a backend by what was asked wrongly of it.
    #[test]
    fn a_picture_of_another_size_is_not_the_backends_fault() {
        let rungs = rungs(Backend::Auto);
        let mut encoder = rungs.make(SHAPE).unwrap();
        for _ in 0..5 {
            assert!(encoder.encode(&Picture::new(640, 480), Coding::Idr, Qp::COARSEST).is_err());
        }
        assert!(!rungs.is_falling());
    }
}
