//! Steam's installed games: `steamapps/libraryfolders.vdf` names the libraries, `appmanifest_ID.acf` is a game each.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{
    App,
    shelves::{launcher, text},
    vdf,
};

/// Bit of `StateFlags` of what is fully installed.
const INSTALLED: u32 = 4;

/// Where Steam keeps its things under a home, and whether that is the Flatpak's.
const ROOTS: [(&str, bool); 5] = [
    (".local/share/Steam", false),
    (".steam/steam", false),
    (".steam/debian-installation", false),
    (".var/app/com.valvesoftware.Steam/.local/share/Steam", true),
    (".var/app/com.valvesoftware.Steam/data/Steam", true),
];

/// What Steam installs like games and is none.
const TOOLS: [&str; 4] = ["Proton ", "Steam Linux Runtime", "Steamworks Common", "SteamVR"];

/// The games of all libraries of the user whose home this is.
pub fn games(home: &Path) -> Result<Vec<App>, String> {
    let mut seen = BTreeSet::new();
    let mut games = Vec::new();
    for (root, is_flatpak) in ROOTS {
        // One folder has several names.
        let Ok(root) = home.join(root).canonicalize() else { continue };
        for library in libraries(&root)? {
            if seen.insert(library.clone()) {
                games.extend(installed(&library, is_flatpak));
            }
        }
    }
    Ok(games)
}

/// The libraries that the Steam in `root` knows, itself among them.
fn libraries(root: &Path) -> Result<Vec<PathBuf>, String> {
    let file = root.join("steamapps/libraryfolders.vdf");
    let mut folders = vec![root.to_owned()];
    let Some(text) = text(&file)? else { return Ok(folders) };
    let parsed = vdf::parse(&text).ok_or_else(|| format!("{}: not what Steam writes", file.display()))?;
    let list = parsed.get("libraryfolders").map(vdf::Value::rows).unwrap_or_default();
    folders.extend(list.iter().filter(|(key, _)| key.parse::<u32>().is_ok()).filter_map(|(_, value)| {
        let path = match value {
            // As written until 2021.
            vdf::Value::Text(path) => path,
            table => table.text("path")?,
        };
        Path::new(path).canonicalize().ok()
    }));
    Ok(folders)
}

/// The games in `library`; a manifest that is torn is a game that Steam is writing just now.
fn installed(library: &Path, is_flatpak: bool) -> Vec<App> {
    let files = fs::read_dir(library.join("steamapps")).into_iter().flatten().flatten();
    let mut games: Vec<App> = files
        .filter(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.starts_with("appmanifest_") && name.ends_with(".acf")
        })
        .filter_map(|file| game(&text(&file.path()).ok()??, is_flatpak))
        .collect();
    games.sort_by(|one, other| one.name.cmp(&other.name));
    games
}

fn game(manifest: &str, is_flatpak: bool) -> Option<App> {
    let parsed = vdf::parse(manifest)?;
    let state = parsed.get("AppState")?;
    let id: u32 = state.text("appid")?.parse().ok()?;
    let name = state.text("name")?;
    let flags: u32 = state.text("StateFlags")?.parse().ok()?;
    if flags & INSTALLED == 0 || TOOLS.iter().any(|tool| name.starts_with(tool)) {
        return None;
    }
    let url = format!("steam://rungameid/{id}");
    Some(App::new(name, launcher("steam", "com.valvesoftware.Steam", is_flatpak, &[&url]), "Steam"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Laid out as Steam of 2025 does: tabs, quoted keys and values, paths of a second disk.
    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let (first, second) = (home.path().join(".local/share/Steam"), home.path().join("disk/SteamLibrary"));
        for library in [&first, &second] {
            fs::create_dir_all(library.join("steamapps")).unwrap();
        }
        let folders = format!(
            "\"libraryfolders\"\n{{\n\t\"0\"\n\t{{\n\t\t\"path\"\t\t\"{}\"\n\t\t\"apps\"\n\t\t{{\n\t\t\t\"620\"\t\t\"1\"\n\t\t}}\n\t}}\n\
             \t\"1\"\n\t{{\n\t\t\"path\"\t\t\"{}\"\n\t}}\n\t\"2\"\n\t{{\n\t\t\"path\"\t\t\"/gone\"\n\t}}\n}}\n",
            first.display(),
            second.display()
        );
        fs::write(first.join("steamapps/libraryfolders.vdf"), folders).unwrap();
        let manifest = |id: u32, name: &str, flags: u32| {
            format!(
                "\"AppState\"\n{{\n\t\"appid\"\t\t\"{id}\"\n\t\"universe\"\t\t\"1\"\n\t\"name\"\t\t\"{name}\"\n\t\"StateFlags\"\t\t\"{flags}\"\n}}\n"
            )
        };
        let write = |library: &Path, id, name, flags| {
            fs::write(library.join(format!("steamapps/appmanifest_{id}.acf")), manifest(id, name, flags))
                .unwrap();
        };
        write(&first, 620, "Portal 2", 4);
        write(&first, 1_493_710, "Proton Experimental", 4);
        write(&second, 730, "Counter-Strike 2", 6);
        write(&second, 440, "Half downloaded", 1026);
        fs::write(second.join("steamapps/appmanifest_1.acf"), "\"AppState\"\n{\n\t\"appid\"").unwrap();
        std::os::unix::fs::symlink(home.path().join(".local/share"), home.path().join(".steam")).unwrap();
        home
    }

    /// Sabotage: list what is only being downloaded, or read the first library alone.
    #[test]
    fn installed_games_of_all_libraries_are_found_once() {
        let home = home();
        let games = games(home.path()).unwrap();
        let all: Vec<_> = games.iter().map(|game| (game.name.as_str(), game.argv[1].as_str())).collect();
        let expected = [("Portal 2", "steam://rungameid/620"), ("Counter-Strike 2", "steam://rungameid/730")];
        assert_eq!(all, expected);
    }

    #[test]
    fn who_has_no_steam_has_no_games_of_it_and_a_torn_list_is_told() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(games(home.path()).unwrap(), []);
        let apps = home.path().join(".local/share/Steam/steamapps");
        fs::create_dir_all(&apps).unwrap();
        fs::write(apps.join("libraryfolders.vdf"), "\"libraryfolders\" {").unwrap();
        assert!(games(home.path()).unwrap_err().contains("libraryfolders.vdf"));
    }
}
