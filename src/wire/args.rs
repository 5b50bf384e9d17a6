//! Arguments: the words of a request sorted into positionals, options and argv, as a verb's form says.

use std::time::Duration;

use super::units;
use super::words::Word;
use crate::refusal::Refusal;

/// What a verb takes. The registry of verbs is made of these; parser, `help`, completions and checks derive from it.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The verb as the wire names it, its second word included.
    pub name: &'static str,
    /// The names of the positionals that must be there, in order.
    pub required: &'static [&'static str],
    /// The names of the positionals that may follow.
    pub optional: &'static [&'static str],
    /// Its options.
    pub options: &'static [&'static Opt],
    /// Whether words may stand behind `--`.
    pub argv: Argv,
}

impl Form {
    /// That of a verb which takes the name of one thing, and nothing else.
    pub const fn of_name(name: &'static str) -> Self {
        Self { name, required: &["NAME"], optional: &[], options: &[], argv: Argv::No }
    }
}

/// Whether a verb takes words behind `--`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argv {
    /// None.
    No,
    /// They may be there.
    Maybe,
    /// They must be there.
    Must,
    /// At most one, of any bytes.
    Word,
}

/// One option of a verb.
#[derive(Debug)]
pub struct Opt {
    /// Its key.
    pub key: &'static str,
    /// The form of its value, as `help` shows it.
    pub value: &'static str,
    /// What it does, in half a line.
    pub about: &'static str,
    /// It may be given more than once.
    pub repeats: bool,
}

impl Opt {
    /// An option that may be given once.
    pub const fn once(key: &'static str, value: &'static str, about: &'static str) -> Self {
        Self { key, value, about, repeats: false }
    }

    /// An option that may be given any number of times and keeps its order.
    pub const fn many(key: &'static str, value: &'static str, about: &'static str) -> Self {
        Self { key, value, about, repeats: true }
    }
}

/// The words of one request, sorted. What a verb does not take out is never there: an option unknown to the form is
/// refused before.
#[derive(Debug, Default)]
pub struct Args {
    positionals: std::collections::VecDeque<String>,
    options: Vec<(&'static str, Vec<u8>)>,
    argv: Option<Vec<Vec<u8>>>,
}

impl Args {
    /// Sorts `words` (those behind the verb) by `form`.
    pub fn parse(form: &Form, words: Vec<Word>) -> Result<Self, Refusal> {
        let mut args = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == b"--" {
                let read = if form.argv == Argv::Word { Ok } else { argument };
                args.argv = Some(words.by_ref().map(read).collect::<Result<_, _>>()?);
            } else if let Some(at) = key_length(&word) {
                args.add_option(form, &word[..at], &word[at + 1..])?;
            } else {
                args.positionals.push_back(plain("argument", &word)?);
            }
        }
        args.check_counts(form)?;
        Ok(args)
    }

    fn add_option(&mut self, form: &Form, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let key = String::from_utf8_lossy(key);
        let Some(option) = form.options.iter().find(|option| option.key == key) else {
            let known = nearest(&key, form.options.iter().map(|option| option.key));
            let hint = known
                .map_or_else(|| format!("'help {}' lists what it takes", form.name), |k| format!("did you mean {k}=?"));
            return Err(Refusal::bad_option(format_args!("{} has no option {key}=; {hint}", form.name)));
        };
        if !option.repeats && self.options.iter().any(|(k, _)| *k == option.key) {
            return Err(Refusal::bad_option(format_args!("{key}= is given twice")));
        }
        self.options.push((option.key, value.to_vec()));
        Ok(())
    }

    fn check_counts(&self, form: &Form) -> Result<(), Refusal> {
        let given = self.positionals.len();
        if let Some(missing) = form.required.get(given) {
            return Err(Refusal::bad_request(format_args!("{} needs {missing}; see 'help {}'", form.name, form.name)));
        }
        if let Some(surplus) = self.positionals.get(form.required.len() + form.optional.len()) {
            return Err(Refusal::bad_request(format_args!(
                "{} does not take {surplus:?}; see 'help {}'",
                form.name, form.name
            )));
        }
        match (form.argv, &self.argv) {
            (Argv::No, Some(_)) => Err(Refusal::bad_request(format_args!("{} takes nothing behind --", form.name))),
            (Argv::Word, Some(words)) if words.len() != 1 => {
                Err(Refusal::bad_request(format_args!("{} takes one word behind --", form.name)))
            }
            (Argv::Must, None) => {
                Err(Refusal::bad_request(format_args!("{} needs -- and the words behind it", form.name)))
            }
            (Argv::Must, Some(argv)) if argv.is_empty() => {
                Err(Refusal::bad_request(format_args!("{} needs words behind --", form.name)))
            }
            _ => Ok(()),
        }
    }

    /// The next positional.
    pub fn positional(&mut self) -> Option<String> {
        self.positionals.pop_front()
    }

    /// A positional that the form requires.
    pub fn required(&mut self) -> Result<String, Refusal> {
        self.positional().ok_or_else(|| Refusal::bad_request("a positional is missing"))
    }

    /// The words behind `--`, where it was given.
    pub fn argv(&mut self) -> Option<Vec<Vec<u8>>> {
        self.argv.take()
    }

    /// The bytes of an option, without NUL.
    pub fn bytes(&mut self, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let at = self.options.iter().position(|(k, _)| *k == key);
        at.map(|at| argument(self.options.remove(at).1)).transpose()
    }

    /// Every value of an option that repeats, as bytes without NUL.
    pub fn all_bytes(&mut self, key: &str) -> Result<Vec<Vec<u8>>, Refusal> {
        let options = std::mem::take(&mut self.options);
        let (wanted, rest): (Vec<_>, Vec<_>) = options.into_iter().partition(|(k, _)| *k == key);
        self.options = rest;
        wanted.into_iter().map(|(_, value)| argument(value)).collect()
    }

    /// The text of an option: UTF-8 without control characters.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, Refusal> {
        self.bytes(key)?.map(|value| plain(key, &value)).transpose()
    }

    /// Every text of an option that repeats.
    pub fn all_text(&mut self, key: &str) -> Result<Vec<String>, Refusal> {
        self.all_bytes(key)?.iter().map(|value| plain(key, value)).collect()
    }

    /// An option read by `read`, whose refusal is told with the key.
    pub fn value<T>(&mut self, key: &str, read: impl FnOnce(&str) -> Result<T, Refusal>) -> Result<Option<T>, Refusal> {
        self.text(key)?.map(|text| read(&text).map_err(|e| e.within(format_args!("{key}=")))).transpose()
    }

    /// Every value of an option that repeats, read by `read`.
    pub fn values<T>(&mut self, key: &str, read: impl Fn(&str) -> Result<T, Refusal>) -> Result<Vec<T>, Refusal> {
        self.all_text(key)?.iter().map(|text| read(text).map_err(|e| e.within(format_args!("{key}=")))).collect()
    }

    /// A flag: `yes` or `no`, `no` where left out.
    pub fn flag(&mut self, key: &str) -> Result<bool, Refusal> {
        Ok(self.flag_or_unsaid(key)?.unwrap_or(false))
    }

    /// A flag whose absence means something of its own.
    pub fn flag_or_unsaid(&mut self, key: &str) -> Result<Option<bool>, Refusal> {
        self.value(key, |text| match text {
            "yes" => Ok(true),
            "no" => Ok(false),
            other => Err(Refusal::bad_value(format_args!("{other:?} is neither yes nor no"))),
        })
    }

    /// A size in bytes.
    pub fn size(&mut self, key: &str) -> Result<Option<u64>, Refusal> {
        self.value(key, units::size)
    }

    /// A duration.
    pub fn duration(&mut self, key: &str) -> Result<Option<Duration>, Refusal> {
        self.value(key, units::duration)
    }

    /// A whole number.
    pub fn number<N: std::str::FromStr>(&mut self, key: &str) -> Result<Option<N>, Refusal> {
        self.value(key, |text| {
            units::number(text)
                .ok_or_else(|| Refusal::bad_value(format_args!("{text:?} is not a whole number in range")))
        })
    }

    /// An absolute path of the host.
    pub fn path(&mut self, key: &str) -> Result<Option<std::path::PathBuf>, Refusal> {
        self.value(key, absolute)
    }
}

/// A path of the host, which must be absolute.
pub fn absolute(text: &str) -> Result<std::path::PathBuf, Refusal> {
    if !text.starts_with('/') {
        return Err(Refusal::bad_value(format_args!("{text:?} is not an absolute path")));
    }
    Ok(text.into())
}

/// How long the key is, where the word is an option.
fn key_length(word: &[u8]) -> Option<usize> {
    let at = word.iter().position(|byte| *byte == b'=')?;
    let key = &word[..at];
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    (key.first()?.is_ascii_lowercase() && key.iter().all(inner)).then_some(at)
}

/// A word of argv or an environment value: any byte but NUL.
fn argument(word: Word) -> Result<Word, Refusal> {
    if word.contains(&0) {
        return Err(Refusal::bad_value("an argument cannot hold a NUL byte"));
    }
    Ok(word)
}

/// A word that is UTF-8 without control characters.
fn plain(what: &str, word: &[u8]) -> Result<String, Refusal> {
    match std::str::from_utf8(word) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        Ok(_) => Err(Refusal::bad_value(format_args!("{what}: control characters do not belong there"))),
        Err(_) => Err(Refusal::bad_value(format_args!("{what}: not valid UTF-8"))),
    }
}

/// No known word is nearly as long; comparing takes time that grows with the square of the length.
const LIKENESS_MAX: usize = 32;

/// The known word most like `word`, where one is like it at all.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LIKENESS_MAX {
        return None;
    }
    let scored = known.map(|k| (strsim::jaro_winkler(word, k), k));
    scored.filter(|(score, _)| *score >= 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;
    use crate::wire::words::split;

    const NAME: Opt = Opt::once("name", "NAME", "");
    const ENV: Opt = Opt::many("env", "K=V", "");
    const FORM: Form =
        Form { name: "run", required: &["IMAGE"], optional: &[], options: &[&NAME, &ENV], argv: Argv::Maybe };

    fn parse(line: &str) -> Result<Args, Code> {
        Args::parse(&FORM, split(line.as_bytes()).unwrap()).map_err(|r| r.code())
    }

    #[test]
    fn words_are_sorted() {
        let mut args = parse("env=A=1 img 'env=B=2 3' -- sh -c name=x").unwrap();
        assert_eq!(args.all_text("env").unwrap(), ["A=1", "B=2 3"]);
        assert_eq!(args.positional().as_deref(), Some("img"));
        assert_eq!(args.argv().unwrap().last().unwrap(), b"name=x");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (line, code) in [
            ("", Code::BadRequest),
            ("a b", Code::BadRequest),
            ("a nam=x", Code::BadOption),
            ("a name=x name=y", Code::BadOption),
            ("a \"name=\\n\"", Code::BadValue),
        ] {
            let read = parse(line).and_then(|mut args| args.text("name").map_err(|r| r.code()));
            assert_eq!(read.unwrap_err(), code, "{line}");
        }
    }

    #[test]
    fn the_nearest_word_is_named() {
        let refusal = Args::parse(&FORM, split(b"a nmae=x").unwrap()).unwrap_err();
        assert!(refusal.message().contains("did you mean name="), "{refusal}");
    }
}
