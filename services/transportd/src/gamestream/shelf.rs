//! What can be launched: the desktop, and the apps that vdisplayd has under a name.

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    future::Future,
    io::Read,
    os::fd::OwnedFd,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use lumen_gamestream::http::answers;
use lumen_ipc::{Failure, Stage};
use lumen_stage::Bus;
use tokio::time::timeout;

use super::streams::App;

/// The desktop's number and title.
const DESKTOP: (i32, &str) = (1, "Desktop");

/// How long vdisplayd may take; clients give up after 5 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// Names of apps, when they are there.
pub type Names<'a> = Pin<Box<dyn Future<Output = Result<Vec<String>, Failure>> + Send + 'a>>;

/// An app's picture, when it is there: a file whose content is a PNG.
pub type Picture<'a> = Pin<Box<dyn Future<Output = Result<OwnedFd, Failure>> + Send + 'a>>;

/// Largest picture in bytes, as vdisplayd promises.
const MAX_PICTURE: u64 = 4 << 20;

/// Who knows the apps.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// The names of all of them.
    fn names(&self) -> Names<'_>;

    /// The picture of the one called `name`.
    fn picture<'a>(&'a self, name: &'a str) -> Picture<'a>;
}

/// vdisplayd, asked over lumen's bus.
pub struct Vdisplayd(pub Bus);

impl fmt::Debug for Vdisplayd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vdisplayd")
    }
}

impl Source for Vdisplayd {
    fn names(&self) -> Names<'_> {
        Box::pin(async { self.0.call(Stage::Vdisplayd, "Apps", &()).await.map_err(Failure::from) })
    }

    fn picture<'a>(&'a self, name: &'a str) -> Picture<'a> {
        Box::pin(async move {
            let png: zbus::OwnedFd =
                self.0.call(Stage::Vdisplayd, "Art", &name).await.map_err(Failure::from)?;
            Ok(png.into())
        })
    }
}

/// All apps.
#[derive(Debug)]
pub struct Shelf {
    source: Box<dyn Source>,
    /// As they were known last: vdisplayd may be away for a moment.
    known: Mutex<Vec<App>>,
}

impl Shelf {
    /// The apps of `source`.
    pub fn new(source: impl Source) -> Self {
        Self { source: Box::new(source), known: Mutex::new(number(Vec::new())) }
    }

    /// The PNG of `app`; `None` if it has none.
    pub async fn picture(&self, app: &App) -> Option<Vec<u8>> {
        let png = timeout(PATIENCE, self.source.picture(app.name.as_deref()?)).await.ok()?.ok()?;
        // A memfd: reading it waits for nothing.
        let mut bytes = Vec::new();
        File::from(png).take(MAX_PICTURE).read_to_end(&mut bytes).ok()?;
        Some(bytes).filter(|bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n"))
    }

    /// The apps of this moment, the desktop first. While vdisplayd does not answer they are those that it told last.
    pub async fn apps(&self) -> Vec<App> {
        match timeout(PATIENCE, self.source.names()).await {
            Ok(Ok(names)) => {
                let apps = number(names);
                apps.clone_into(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
                apps
            }
            Ok(Err(_)) | Err(_) => self.known.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// Gives each name a number that depends on nothing else, because clients keep what they know of an app under it. Of two
/// names that would get the same one, the later in the alphabet takes the next that is free.
fn number(mut names: Vec<String>) -> Vec<App> {
    names.sort();
    names.dedup();
    let mut taken = BTreeSet::from([DESKTOP.0]);
    let app = |id, title: &str, name| App {
        listed: answers::App { id, title: title.to_owned(), hdr: false },
        name,
    };
    let mut apps = vec![app(DESKTOP.0, DESKTOP.1, None)];
    for name in names {
        let mut id = of(&name);
        while !taken.insert(id) {
            id = id.checked_add(1).unwrap_or(DESKTOP.0);
        }
        apps.push(app(id, &name, Some(name.clone())));
    }
    apps
}

/// Positive, because clients differ in how they read others.
fn of(name: &str) -> i32 {
    let hash = digest(&SHA256, name.as_bytes());
    let number = hash.as_ref().iter().take(4).fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    i32::try_from(number >> 1).unwrap_or(i32::MAX).max(DESKTOP.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[derive(Debug, Default)]
    struct Fake(std::sync::Arc<AtomicBool>);

    impl Source for Fake {
        fn names(&self) -> Names<'_> {
            let away = Failure::new(lumen_ipc::FailureClass::Temporary, "away", "wait");
            let names = vec!["steam".to_owned(), "A & <B>".to_owned()];
            Box::pin(std::future::ready(if self.0.load(Relaxed) { Err(away) } else { Ok(names) }))
        }

        fn picture<'a>(&'a self, name: &'a str) -> Picture<'a> {
            let content: &[u8] = if name == "steam" { b"\x89PNG\r\n\x1a\nart" } else { b"root:x:0:0" };
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, content).unwrap();
            std::io::Seek::rewind(&mut file).unwrap();
            Box::pin(std::future::ready(Ok(file.into())))
        }
    }

    fn ids(apps: &[App]) -> Vec<(i32, Option<&str>)> {
        apps.iter().map(|app| (app.listed.id, app.name.as_deref())).collect()
    }

    /// Sabotage: number them by their place.
    #[test]
    fn an_app_keeps_its_number_whatever_else_is_configured() {
        let names = |names: &[&str]| number(names.iter().map(|name| (*name).to_owned()).collect());
        let (few, many) = (names(&["steam"]), names(&["a", "zsh", "steam", "firefox"]));
        assert_eq!(ids(&few)[0], (1, None));
        // Source: computed apart with Python's hashlib.
        assert_eq!(ids(&few)[1], (STEAM, Some("steam")));
        assert!(ids(&many).contains(&ids(&few)[1]));
        let all: BTreeSet<i32> = many.iter().map(|app| app.listed.id).collect();
        assert!(all.len() == 5 && all.iter().all(|id| *id > 0));
    }

    const STEAM: i32 = 529_503_394;

    /// Sabotage: forget what vdisplayd told last.
    #[tokio::test]
    async fn while_vdisplayd_is_away_its_apps_are_known() {
        let away = std::sync::Arc::new(AtomicBool::new(true));
        let shelf = Shelf::new(Fake(away.clone()));
        assert_eq!(ids(&shelf.apps().await), [(1, None)], "the desktop can always be asked for");
        away.store(false, Relaxed);
        let known = shelf.apps().await;
        assert_eq!(known.len(), 3);
        away.store(true, Relaxed);
        assert_eq!(shelf.apps().await, known);
    }

    /// Sabotage: pass on whatever comes.
    #[tokio::test]
    async fn an_apps_picture_is_a_png_or_none() {
        let shelf = Shelf::new(Fake::default());
        let pictures = number(vec!["steam".to_owned(), "other".to_owned()]);
        let mut seen = Vec::new();
        for app in &pictures {
            seen.push((app.listed.title.as_str(), shelf.picture(app).await.map(|png| png.len())));
        }
        seen.sort();
        assert_eq!(seen, [("Desktop", None), ("other", None), ("steam", Some(11))]);
    }
}
