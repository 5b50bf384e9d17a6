//! The environment that a container is given: `-e` and `--env-file`, with docker's rules.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use crate::value::Converted;

/// The longest file of variables: one request line holds 64 KiB in any case.
const FILE_MAX: u64 = 1 << 20;

/// `-e NAME=VALUE`, or `-e NAME` for the value that the client has, and nothing where it has none.
pub fn variable(key: &'static str, typed: &OsStr) -> Converted {
    let bytes = typed.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(0) => Err(format!("{} has no name", typed.display())),
        Some(_) => Ok(vec![(key, bytes.to_vec())]),
        None if bytes.is_empty() => Err("a variable needs a name".to_owned()),
        None => {
            let found = std::env::var_os(typed).map(|value| [bytes, b"=", value.as_bytes()].concat());
            Ok(found.map(|pair| (key, pair)).into_iter().collect())
        }
    }
}

/// `--env-file FILE`: a variable a line; blank lines and those that start with `#` are none.
pub fn file(key: &'static str, typed: &OsStr) -> Converted {
    lines(key, &text_of(typed)?)
}

fn text_of(typed: &OsStr) -> Result<String, String> {
    let mut text = String::new();
    let read = std::fs::File::open(typed).and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text));
    let length = read.map_err(|error| format!("{}: {error}", typed.display()))?;
    if length as u64 > FILE_MAX {
        return Err(format!("{} is longer than such a file may be", typed.display()));
    }
    Ok(text)
}

/// `--label-file FILE`: a label a line, a name alone being one without a value.
pub fn labels(key: &'static str, typed: &OsStr) -> Converted {
    let text = text_of(typed)?;
    Ok(entries(&text).map(|line| (key, line.as_bytes().to_vec())).collect())
}

/// The lines of a file that say something.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn lines(key: &'static str, text: &str) -> Converted {
    let mut pairs = Vec::new();
    for line in entries(text) {
        let name = line.split_once('=').map_or(line, |(name, _)| name);
        if name.contains(char::is_whitespace) {
            return Err(format!("the name {name:?} holds blanks"));
        }
        pairs.append(&mut variable(key, OsStr::new(line))?);
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_takes_the_clients_value() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(variable("env", OsStr::new("PATH")).unwrap(), [("env", format!("PATH={path}").into_bytes())]);
        assert!(variable("env", OsStr::new("GANTRY_NO_SUCH_VARIABLE")).unwrap().is_empty());
        assert!(variable("env", OsStr::new("=x")).is_err());
    }

    #[test]
    fn files_hold_a_variable_a_line() {
        let pairs = lines("env", "\u{feff}# c\n\nA=1\n  B='x y'  \nGANTRY_NO_SUCH_VARIABLE\nC=\n").unwrap();
        let shown: Vec<_> = pairs.iter().map(|(_, v)| String::from_utf8_lossy(v)).collect();
        assert_eq!(shown, ["A=1", "B='x y'  ", "C="]);
        assert!(lines("env", "A B=1\n").is_err());
    }
}
