//! A request: the one place where words become a line of the protocol.

use gantry::wire::words;

use crate::failure::Failure;
use crate::flag::Pair;

/// A request line in the making. What is added is put where it belongs: argv stands behind all else.
#[derive(Clone, Debug)]
pub struct Request {
    words: Vec<u8>,
    argv: Vec<u8>,
}

impl Request {
    /// A request of `verb`, its second word included.
    pub fn new(verb: &str) -> Self {
        Self { words: verb.as_bytes().to_vec(), argv: Vec::new() }
    }

    /// Adds a positional. One that the daemon would read as an option is refused: a name in a script must never turn
    /// into `force=yes`.
    pub fn positional(mut self, word: &[u8]) -> Result<Self, Failure> {
        if reads_as_option(word) {
            let shown = String::from_utf8_lossy(word).into_owned();
            return Err(Failure::Usage(format!("{shown:?} is no name: it reads as an option of the protocol")));
        }
        if word == b"--" {
            return Err(Failure::Usage("-- is no name".to_owned()));
        }
        self.words.push(b' ');
        words::quote_into(&mut self.words, word);
        Ok(self)
    }

    /// Adds `key=value`.
    pub fn option(mut self, key: &str, value: &[u8]) -> Self {
        self.words.push(b' ');
        self.words.extend_from_slice(key.as_bytes());
        self.words.push(b'=');
        words::quote_into(&mut self.words, value);
        self
    }

    /// Adds options in their order.
    pub fn options(self, pairs: &[Pair]) -> Self {
        pairs.iter().fold(self, |request, (key, value)| request.option(key, value))
    }

    /// Adds `--` and the words behind it, where there are any.
    pub fn argv<W: AsRef<[u8]>>(mut self, argv: &[W]) -> Self {
        if !argv.is_empty() {
            self.argv.extend_from_slice(b" --");
        }
        for word in argv {
            self.argv.push(b' ');
            words::quote_into(&mut self.argv, word.as_ref());
        }
        self
    }

    /// The line with a tag, LF included.
    pub fn tagged_line(&self, tag: &str) -> Vec<u8> {
        [b"@", tag.as_bytes(), b" ", &self.line()].concat()
    }

    /// The line, LF included.
    pub fn line(&self) -> Vec<u8> {
        [self.words.as_slice(), &self.argv, b"\n"].concat()
    }
}

/// Whether `word` starts like `key=`.
fn reads_as_option(word: &[u8]) -> bool {
    let Some(at) = word.iter().position(|byte| *byte == b'=') else { return false };
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    word[..at].first().is_some_and(u8::is_ascii_lowercase) && word[..at].iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_they_must_be() {
        let request = Request::new("run").positional(b"busybox").unwrap();
        let request = request.option("env", b"A=b c").option("entrypoint", b"").argv(&["sh", "-c", "echo \"x\""]);
        let line = request.line();
        assert_eq!(
            String::from_utf8_lossy(&line),
            "run busybox env=\"A=b c\" entrypoint=\"\" -- sh -c \"echo \\\"x\\\"\"\n"
        );
    }

    #[test]
    fn a_name_never_becomes_an_option() {
        assert!(Request::new("rm").positional(b"force=yes").is_err());
        assert!(Request::new("rm").positional(b"--").is_err());
        assert!(Request::new("image load").positional(b"/a=b").is_ok());
    }
}
