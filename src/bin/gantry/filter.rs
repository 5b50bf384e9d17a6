//! `--filter KEY=VALUE` as docker reads it: of one key any value fits, of different keys all must.

use crate::command::Call;
use crate::failure::Failure;

/// The filters that were typed.
pub struct Filters(Vec<(String, String)>);

impl Filters {
    /// Reads them; a key that is not `known` is refused.
    pub fn read(call: &Call<'_>, known: &[&str]) -> Result<Self, Failure> {
        let one = |word: std::ffi::OsString| {
            let text = word.to_string_lossy().into_owned();
            let found = text.split_once('=').filter(|(key, _)| known.contains(key));
            found.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| {
                let names: Vec<_> = known.iter().map(|key| format!("{key}=")).collect();
                Failure::Usage(format!("--filter: {text} is no filter; there are {}", names.join(", ")))
            })
        };
        call.values("filter").into_iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of the values of `key` fits, or there is none.
    pub fn fit(&self, key: &str, fits: impl Fn(&str) -> bool) -> bool {
        let mut values = self.values(key).peekable();
        values.peek().is_none() || values.any(fits)
    }

    /// The same for a key whose values are true and false.
    pub fn fit_yes(&self, key: &str, is: bool) -> bool {
        self.fit(key, |value| crate::value::is_yes(value.as_ref()).is_ok_and(|wanted| wanted == is))
    }

    /// Whether there is a filter of this key.
    pub fn has(&self, key: &str) -> bool {
        self.values(key).next().is_some()
    }

    /// The values of `key`.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

/// Whether `text` is what `pattern` says, in which `*` is any number of characters.
pub fn is_like(text: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for piece in pieces {
        if let Some(piece) = last.replace(piece) {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_any_characters() {
        for (text, pattern, is) in [
            ("busybox:1", "busybox:1", true),
            ("busybox:1", "busybox", false),
            ("busybox:1", "busy*", true),
            ("busybox:1", "*:1", true),
            ("busybox:1", "b*x:*", true),
            ("busybox:1", "*z*", false),
            ("aa", "a*a*a", false),
            ("", "*", true),
        ] {
            assert_eq!(is_like(text, pattern), is, "{text} {pattern}");
        }
    }
}
