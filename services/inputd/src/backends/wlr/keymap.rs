//! Which keymap our keyboard has, and how one is handed over.

use std::io::Write;

use xkbcommon::xkb::{self, Context, Keymap};

use super::{WlrError, text};
use crate::{backends::keymap::compile, config::Layout};

/// The keymap of our keyboard, and where it comes from for people: the compositor's own keyboard, so that a key means what
/// it means at the machine, else the configured layout.
pub(super) fn choose(own: Option<&str>, layout: &Layout) -> Result<(Keymap, String), WlrError> {
    let context = Context::new(xkb::CONTEXT_NO_FLAGS);
    // Another session's text may be in the making.
    if let Some(text) = own.filter(|own| !own.contains(text::MARK))
        && let Some(keymap) = compile(&context, text)
    {
        return Ok((keymap, "that of the desktop's own keyboard".to_owned()));
    }
    let Layout { name, variant } = layout;
    let keymap = Keymap::new_from_names(&context, "", "", name, variant, None, xkb::KEYMAP_COMPILE_NO_FLAGS);
    let keymap = keymap.ok_or_else(|| WlrError::NoKeymap { layout: layout.to_string() })?;
    Ok((keymap, format!("{layout}, as inputd.toml says or by default")))
}

/// A file with the text and a zero at its end, and how many bytes that is.
pub(super) fn file(text: &str) -> Result<(std::fs::File, u32), WlrError> {
    let told = |error: &dyn std::fmt::Display| WlrError::Memory(error.to_string());
    let memory = memfd::MemfdOptions::default().close_on_exec(true).create("lumen-keymap");
    let mut file = memory.map_err(|error| told(&error))?.into_file();
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(&[0])).map_err(|error| told(&error))?;
    let size = u32::try_from(text.len() + 1).map_err(|error| told(&error))?;
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us() -> Layout {
        Layout::try_from("us".to_owned()).unwrap()
    }

    fn symbol(keymap: &Keymap, code: u32) -> String {
        xkb::State::new(keymap).key_get_utf8((code + 8).into())
    }

    /// Sabotage: take the configured layout always, or whatever keymap the compositor has.
    #[test]
    fn desktops_own_keymap_goes_before_the_configured_one_but_never_a_text() {
        let context = Context::new(xkb::CONTEXT_NO_FLAGS);
        let german = Layout::try_from("de".to_owned()).unwrap();
        let (german, _) = choose(None, &german).unwrap();
        let own = german.get_as_string(xkb::KEYMAP_FORMAT_TEXT_V1);
        let (chosen, _) = choose(Some(&own), &us()).unwrap();
        assert_eq!(symbol(&chosen, 21), "z", "KEY_Y on a German keyboard");
        let run = text::Run::cut("ß", |_| false).0;
        assert!(compile(&context, &run.keymap()).is_some());
        let (chosen, _) = choose(Some(&run.keymap()), &us()).unwrap();
        assert_eq!(symbol(&chosen, 21), "y");
        let unknown = Layout::try_from("nowhere".to_owned()).unwrap();
        assert!(matches!(choose(None, &unknown), Err(WlrError::NoKeymap { .. })));
    }
}
