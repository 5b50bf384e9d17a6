//! Options of what a container runs: its program, environment and names.

use super::super::{Args, Refusal};
use crate::container::raw::escape;
use crate::wire::words;

/// The words behind `--`.
pub fn argv(args: &mut Args) -> Result<Option<Vec<String>>, Refusal> {
    let argv = args.argv().map(|argv| argv.into_iter().map(|word| escape(&word)).collect());
    Ok(argv)
}

/// Every `env=`.
pub fn env(args: &mut Args) -> Result<Vec<String>, Refusal> {
    args.all_bytes("env")?.into_iter().map(|bytes| named(escape(&bytes))).collect()
}

/// Words written as on a request line: `entrypoint="sh -c"`.
pub fn command_words(text: &str) -> Result<Vec<String>, Refusal> {
    split(text)?.into_iter().map(|word| utf8("a word", word)).collect()
}

/// The same for a container's own program, whose words may hold any byte.
pub fn entrypoint(text: &str) -> Result<Vec<String>, Refusal> {
    Ok(split(text)?.iter().map(|word| escape(word)).collect())
}

fn split(text: &str) -> Result<Vec<words::Word>, Refusal> {
    words::split(text.as_bytes()).map_err(|refusal| Refusal::bad_value(refusal.message()))
}

/// What becomes JSON in an image, or for a process of exec, has no way to say other bytes.
fn utf8(what: &str, bytes: Vec<u8>) -> Result<String, Refusal> {
    String::from_utf8(bytes).map_err(|_| {
        Refusal::unsupported(format_args!(
            "{what} is not valid UTF-8; other bytes are for an argv, and for env= and entrypoint= of create and run"
        ))
    })
}

/// `NAME=VALUE` of an environment that is told in JSON.
pub fn variable(bytes: Vec<u8>) -> Result<String, Refusal> {
    named(utf8("env=", bytes)?)
}

fn named(text: String) -> Result<String, Refusal> {
    match text.find('=') {
        Some(at) if at > 0 => Ok(text),
        _ => Err(Refusal::bad_value(format_args!("env={text}: a variable is NAME=VALUE"))),
    }
}

/// `NAME[=VALUE]`.
pub fn label(text: &str) -> Result<(String, String), Refusal> {
    match text.split_once('=') {
        Some(("", _)) => Err(Refusal::bad_value("a label is NAME=VALUE or NAME")),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Ok((text.to_owned(), String::new())),
    }
}

/// Names of hosts as RFC 1123 has them; the kernel's bound is 64.
pub fn hostname(text: &str) -> Result<String, Refusal> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let fits = (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with(['-', '.']);
    if fits { Ok(text.to_owned()) } else { Err(Refusal::bad_value(format_args!("{text:?} is not a hostname"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_process() {
        assert!(
            hostname("a.b-c").is_ok() && hostname("-a").is_err() && hostname("").is_err() && hostname("a b").is_err()
        );
        assert!(
            variable(b"A=".to_vec()).is_ok() && variable(b"=A".to_vec()).is_err() && variable(b"A".to_vec()).is_err()
        );
        assert_eq!(command_words("sh -c 'a b'").unwrap(), ["sh", "-c", "a b"]);
    }
}
