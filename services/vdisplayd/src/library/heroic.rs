//! Heroic's installed games: Epic's, GOG's, Amazon's, and those that the user added. Each store has a list of its own.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use super::{
    App,
    shelves::{launcher, text},
};

/// Where Heroic keeps its things in the Flatpak, under a home.
const FLATPAK: &str = ".var/app/com.heroicgameslauncher.hgl/config/heroic";

/// A game as a store lists it.
struct Game {
    runner: &'static str,
    id: String,
    title: String,
}

/// The games of the user with this home and `$XDG_CONFIG_HOME`.
pub fn games(home: &Path, config: &Path) -> Result<Vec<App>, String> {
    let mut apps = Vec::new();
    for (root, is_flatpak) in [(config.join("heroic"), false), (home.join(FLATPAK), true)] {
        let stores = [epic(&root)?, gog(&root)?, amazon(&root)?, added(&root)?];
        apps.extend(stores.into_iter().flatten().filter(|game| is_id(&game.id)).map(|game| {
            let url = format!("heroic://launch/{}/{}", game.runner, game.id);
            let command = launcher("heroic", "com.heroicgameslauncher.hgl", is_flatpak, &["--no-gui", &url]);
            App::new(&game.title, command, "Heroic")
        }));
    }
    Ok(apps)
}

/// It goes into a URL.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn json(path: &Path) -> Result<Value, String> {
    match text(path)? {
        None => Ok(Value::Null),
        Some(text) => serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display())),
    }
}

fn word<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

fn is(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// `{"ID": {"app_name", "title", "is_dlc"}}`, as legendary writes it.
fn epic(root: &Path) -> Result<Vec<Game>, String> {
    let list = json(&root.join("legendaryConfig/legendary/installed.json"))?;
    let games = list.as_object().into_iter().flatten().filter(|(_, game)| !is(game, "is_dlc"));
    let game = |(id, game): (&String, &Value)| {
        Some(Game { runner: "legendary", id: id.clone(), title: word(game, "title")?.to_owned() })
    };
    Ok(games.filter_map(game).collect())
}

/// `{"installed": [{"appName", "is_dlc"}]}`; titles are in the library.
fn gog(root: &Path) -> Result<Vec<Game>, String> {
    let titles = titles(root, "gog", "games")?;
    let list = json(&root.join("gog_store/installed.json"))?;
    let games = list.get("installed").and_then(Value::as_array).into_iter().flatten();
    let game = |game: &Value| {
        let id = word(game, "appName")?;
        Some(Game { runner: "gog", id: id.to_owned(), title: titles.get(id)?.clone() })
    };
    Ok(games.filter(|game| !is(game, "is_dlc")).filter_map(game).collect())
}

/// `[{"id"}]`, as nile writes it; titles are in the library.
fn amazon(root: &Path) -> Result<Vec<Game>, String> {
    let titles = titles(root, "nile", "library")?;
    let list = json(&root.join("nile_config/nile/installed.json"))?;
    let game = |game: &Value| {
        let id = word(game, "id")?;
        Some(Game { runner: "nile", id: id.to_owned(), title: titles.get(id)?.clone() })
    };
    Ok(list.as_array().into_iter().flatten().filter_map(game).collect())
}

/// `{"games": [{"app_name", "title", "is_installed"}]}`.
fn added(root: &Path) -> Result<Vec<Game>, String> {
    let list = json(&root.join("sideload_apps/library.json"))?;
    let games = list.get("games").and_then(Value::as_array).into_iter().flatten();
    let game = |game: &Value| {
        let (id, title) = (word(game, "app_name")?, word(game, "title")?);
        Some(Game { runner: "sideload", id: id.to_owned(), title: title.to_owned() })
    };
    Ok(games.filter(|game| is(game, "is_installed")).filter_map(game).collect())
}

/// Title by id, of all that the user owns in a store.
fn titles(root: &Path, runner: &str, key: &str) -> Result<BTreeMap<String, String>, String> {
    let library = json(&root.join(format!("store_cache/{runner}_library.json")))?;
    let games = library.get(key).and_then(Value::as_array).into_iter().flatten();
    let title = |game: &Value| Some((word(game, "app_name")?.to_owned(), word(game, "title")?.to_owned()));
    Ok(games.filter_map(title).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Laid out as Heroic 2.15 does.
    fn config() -> tempfile::TempDir {
        let config = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = config.path().join("heroic").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "legendaryConfig/legendary/installed.json",
            r#"{"Fortnite": {"app_name": "Fortnite", "install_path": "/games/F", "is_dlc": false, "title": "Fortnite"},
                "Extra": {"app_name": "Extra", "is_dlc": true, "title": "Extra Pack"}}"#,
        );
        write(
            "gog_store/installed.json",
            r#"{"installed": [{"platform": "windows", "install_path": "/games/B", "appName": "1207658695", "is_dlc": false}]}"#,
        );
        write(
            "store_cache/gog_library.json",
            r#"{"games": [{"app_name": "1207658695", "title": "Beneath a Steel Sky", "runner": "gog"},
                          {"app_name": "2", "title": "Not installed", "runner": "gog"}]}"#,
        );
        write(
            "nile_config/nile/installed.json",
            r#"[{"id": "amzn1.adg.product.7", "version": "1", "path": "/games/A"}]"#,
        );
        write(
            "store_cache/nile_library.json",
            r#"{"library": [{"app_name": "amzn1.adg.product.7", "title": "Amazing"}]}"#,
        );
        write(
            "sideload_apps/library.json",
            r#"{"games": [{"app_name": "kXy", "title": "Mine", "is_installed": true}, {"app_name": "zzz", "title": "Gone", "is_installed": false}]}"#,
        );
        config
    }

    /// Sabotage: list what the user owns and has not installed.
    #[test]
    fn installed_games_of_all_stores_are_found() {
        let config = config();
        let games = games(Path::new("/nonexistent"), config.path()).unwrap();
        let all: Vec<_> = games.iter().map(|game| (game.name.as_str(), game.argv[2].as_str())).collect();
        let expected = [
            ("Fortnite", "heroic://launch/legendary/Fortnite"),
            ("Beneath a Steel Sky", "heroic://launch/gog/1207658695"),
            ("Amazing", "heroic://launch/nile/amzn1.adg.product.7"),
            ("Mine", "heroic://launch/sideload/kXy"),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn a_torn_list_is_told_with_its_name() {
        let config = config();
        fs::write(config.path().join("heroic/gog_store/installed.json"), "{\"installed\": [").unwrap();
        assert!(games(Path::new("/"), config.path()).unwrap_err().contains("gog_store/installed.json"));
    }
}
