//! Programs of the menu: `.desktop` files.
//!
//! Source: the Desktop Entry Specification 1.5 (keys, quoting of Exec, field codes).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::App;

/// Folders below `applications` that are looked into, because names like `kde/x.desktop` have one.
const DEPTH: usize = 2;

/// What the menu of `data` (the first folder that has a file wins) has: games, or `all`. `has` tells whether a program
/// is there.
pub fn programs(data: &[PathBuf], all: bool, has: impl Fn(&str) -> bool) -> Vec<App> {
    let mut seen = BTreeSet::new();
    let mut apps = Vec::new();
    for folder in data {
        let mut files = BTreeMap::new();
        gather(&folder.join("applications"), "", DEPTH, &mut files);
        for (id, path) in files {
            // One that hides another has no name itself.
            if seen.insert(id) {
                apps.extend(fs::read_to_string(path).ok().and_then(|text| app(&text, all, &has)));
            }
        }
    }
    apps
}

/// Path by id, which is the name below `applications` with `-` for `/`.
fn gather(folder: &Path, prefix: &str, depth: usize, files: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.ends_with(".desktop") {
            files.insert(format!("{prefix}{name}"), path);
        } else if depth > 0 && path.is_dir() {
            gather(&path, &format!("{prefix}{name}-"), depth - 1, files);
        }
    }
}

fn app(text: &str, all: bool, has: impl Fn(&str) -> bool) -> Option<App> {
    let keys = keys(text);
    let is = |key: &str| keys.get(key).is_some_and(|value| *value == "true");
    let is_game = keys.get("Categories").is_some_and(|list| list.split(';').any(|word| word == "Game"));
    if keys.get("Type") != Some(&"Application") || is("NoDisplay") || is("Hidden") || is("Terminal") {
        return None;
    }
    if !(all || is_game) || keys.get("TryExec").is_some_and(|program| !has(program)) {
        return None;
    }
    // Not the translated one, because a client knows the app by its name.
    let name = unescaped(keys.get("Name")?);
    let argv = command(keys.get("Exec")?, &name)?;
    let directory = keys.get("Path").filter(|path| path.starts_with('/')).map(PathBuf::from);
    argv.first().filter(|program| has(program))?;
    Some(App { directory, ..App::new(&name, argv, "the menu") })
}

/// The keys of `[Desktop Entry]`, without translations.
fn keys(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().map(str::trim).skip_while(|line| *line != "[Desktop Entry]").skip(1);
    let own = lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with('#'));
    own.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim())).collect()
}

/// A value of type string. A backslash before anything else is one, because programs write `\"` for `\\"` in Exec.
fn unescaped(value: &str) -> String {
    let (mut text, mut rest) = (String::new(), value.chars());
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('s')) => text.push(' '),
            ('\\', Some('n')) => text.push('\n'),
            ('\\', Some('t')) => text.push('\t'),
            ('\\', Some('r')) => text.push('\r'),
            ('\\', Some('\\') | None) => text.push('\\'),
            ('\\', Some(other)) => text.extend(['\\', other]),
            (other, _) => text.push(other),
        }
    }
    text
}

/// The words of Exec without its field codes; `None` if a quote is not closed, or a code unknown.
fn command(exec: &str, name: &str) -> Option<Vec<String>> {
    // Twice escaped: as a string, and inside quotes once more.
    let exec = unescaped(exec);
    let mut words = Vec::new();
    let mut rest = exec.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ' ' {
            continue;
        }
        let (mut word, mut keep) = (String::new(), c == '"');
        let mut next = Some(c);
        while let Some(c) = next {
            match c {
                ' ' => break,
                '"' => loop {
                    match rest.next()? {
                        '"' => break,
                        '\\' => word.push(rest.next()?),
                        other => word.push(other),
                    }
                },
                '%' => match rest.next()? {
                    '%' => word.push('%'),
                    'c' => word.push_str(name),
                    // Files that nobody opens, the icon, the file itself, and codes of old.
                    'f' | 'F' | 'u' | 'U' | 'i' | 'k' | 'd' | 'D' | 'n' | 'N' | 'v' | 'm' => {}
                    _ => return None,
                },
                other => word.push(other),
            }
            next = rest.next();
        }
        keep |= !word.is_empty();
        if keep {
            words.push(word);
        }
    }
    Some(words).filter(|words| words.first().is_some_and(|program| !program.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_as_the_specification_says() {
        let words = |exec: &str| command(exec, "My Game");
        assert_eq!(words("game %U").unwrap(), ["game"]);
        assert_eq!(words("env A=1 game --full 100%%").unwrap(), ["env", "A=1", "game", "--full", "100%"]);
        assert_eq!(
            words("\"/opt/my game/run\" \"say \\\\\"x\\\\\"\" \"\"").unwrap(),
            ["/opt/my game/run", "say \"x\"", ""]
        );
        assert_eq!(words("game --title %c").unwrap(), ["game", "--title", "My Game"]);
        for wrong in ["", "\"open", "game %", "game %z", "\"\""] {
            assert_eq!(words(wrong), None, "{wrong}");
        }
    }

    /// Sabotage: list what a menu hides.
    #[test]
    fn games_of_the_menu_are_found_and_what_it_hides_is_not() {
        let (user, system) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |folder: &Path, name: &str, text: &str| {
            let path = folder.join("applications").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(
                path,
                format!(
                    "# made by hand\n[Desktop Entry]\nType=Application\n{text}\n[Desktop Action x]\nName=No\n"
                ),
            )
            .unwrap();
        };
        write(
            system.path(),
            "chess.desktop",
            "Name=Chess\nName[de]=Schach\nExec=chess %f\nCategories=Game;BoardGame;",
        );
        write(system.path(), "kde/go.desktop", "Name=Go\nExec=go\nPath=/usr/share\nCategories=Game;");
        write(system.path(), "hidden.desktop", "Name=Hidden\nExec=x\nNoDisplay=true\nCategories=Game;");
        write(system.path(), "text.desktop", "Name=Text\nExec=x\nTerminal=true\nCategories=Game;");
        write(system.path(), "away.desktop", "Name=Away\nExec=away\nTryExec=away\nCategories=Game;");
        write(system.path(), "editor.desktop", "Name=Editor\nExec=x\nCategories=Utility;");
        write(system.path(), "masked.desktop", "Name=Masked\nExec=x\nCategories=Game;");
        write(user.path(), "masked.desktop", "Hidden=true");
        let data = [user.path().to_owned(), system.path().to_owned()];
        let names = |all| -> Vec<String> {
            programs(&data, all, |program| program != "away").into_iter().map(|app| app.name).collect()
        };
        assert_eq!(names(false), ["Chess", "Go"]);
        assert_eq!(names(true), ["Chess", "Editor", "Go"]);
    }
}
