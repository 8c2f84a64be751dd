//! Lutris' installed games: table `games` of its SQLite database `pga.db`.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, Row};

use super::{App, shelves::launcher};

/// Where Lutris keeps its things in the Flatpak, under a home.
const FLATPAK: &str = ".var/app/net.lutris.Lutris/data";
/// How long it may be writing.
const PATIENCE: Duration = Duration::from_millis(200);

/// The games of the user with this home and `$XDG_DATA_HOME`.
pub fn games(home: &Path, data: &Path) -> Result<Vec<App>, String> {
    let mut apps = Vec::new();
    for (data, is_flatpak) in [(data.to_owned(), false), (home.join(FLATPAK), true)] {
        let file = data.join("lutris/pga.db");
        if file.exists() {
            let found = read(&file, is_flatpak);
            apps.extend(
                found
                    .map_err(|error| format!("{}: {error}; Lutris' games are not listed", file.display()))?,
            );
        }
    }
    Ok(apps)
}

fn read(file: &Path, is_flatpak: bool) -> Result<Vec<App>, rusqlite::Error> {
    let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    database.busy_timeout(PATIENCE)?;
    // All columns, because `hidden` came later.
    let mut query = database.prepare("SELECT * FROM games WHERE installed = 1 ORDER BY name, id")?;
    let game = |row: &Row<'_>| -> Result<Option<App>, rusqlite::Error> {
        let (id, name): (i64, Option<String>) = (row.get("id")?, row.get("name")?);
        let is_hidden = row.get::<_, Option<bool>>("hidden").ok().flatten().unwrap_or(false);
        let url = format!("lutris:rungameid/{id}");
        let command = launcher("lutris", "net.lutris.Lutris", is_flatpak, &[&url]);
        Ok(name.filter(|_| !is_hidden).map(|name| App::new(&name, command, "Lutris")))
    };
    let games = query.query_map([], game)?.collect::<Result<Vec<_>, _>>()?;
    Ok(games.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The table as Lutris 0.5.19 makes it, of which some columns are left out.
    const TABLE: &str = "CREATE TABLE games (id INTEGER PRIMARY KEY, name TEXT, sortname TEXT, slug TEXT, runner TEXT, \
                         directory TEXT, updated DATETIME, lastplayed INTEGER, installed INTEGER, playtime REAL, hidden INTEGER)";

    fn database(table: &str, rows: &str) -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir_all(data.path().join("lutris")).unwrap();
        let database = Connection::open(data.path().join("lutris/pga.db")).unwrap();
        database.execute_batch(&format!("{table}; {rows}")).unwrap();
        data
    }

    /// Sabotage: list games that are not installed, or that the user hid.
    #[test]
    fn installed_games_are_found_and_hidden_ones_are_not() {
        let rows = "INSERT INTO games (id, name, slug, runner, installed, hidden) VALUES \
                    (3, 'Quake', 'quake', 'linux', 1, NULL), (4, 'Owned', 'owned', 'wine', 0, 0), \
                    (5, 'Secret', 'secret', 'wine', 1, 1), (6, NULL, 'x', 'wine', 1, 0)";
        let data = database(TABLE, rows);
        let games = games(Path::new("/nonexistent"), data.path()).unwrap();
        assert_eq!(games, [App::new("Quake", ["lutris", "lutris:rungameid/3"], "Lutris")]);
    }

    #[test]
    fn an_old_database_is_read_and_a_broken_one_told() {
        let old = "CREATE TABLE games (id INTEGER PRIMARY KEY, name TEXT, slug TEXT, installed INTEGER)";
        let data = database(old, "INSERT INTO games VALUES (1, 'Old', 'old', 1)");
        assert_eq!(games(Path::new("/nonexistent"), data.path()).unwrap().len(), 1);
        fs::write(data.path().join("lutris/pga.db"), "no database at all, but long enough for a header")
            .unwrap();
        assert!(games(Path::new("/"), data.path()).unwrap_err().contains("pga.db"));
    }
}
