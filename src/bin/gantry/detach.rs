//! The keys that leave a process and its terminal: what of the keys typed is theirs, and what is the process's.

use crate::failure::Failure;

/// The keys, and how many of them have been typed so far.
pub struct Keys {
    sequence: Vec<u8>,
    matched: usize,
}

impl Keys {
    /// Reads `ctrl-p,ctrl-q` or `a,b`: letters, or `ctrl-` and a letter or one of `@ [ \ ] ^ _`. No keys leave where it is
    /// empty.
    pub fn read(typed: &str) -> Result<Self, Failure> {
        let wrong = |key: &str| Failure::Usage(format!("--detach-keys: {key:?} is neither a letter nor ctrl- and one"));
        let key = |key: &str| match (key.strip_prefix("ctrl-").map(str::as_bytes), key.as_bytes()) {
            (Some([letter @ (b'a'..=b'z' | b'@' | b'['..=b'_')]), _) => Ok(letter & 0x1f),
            (None, [letter]) if letter.is_ascii_graphic() => Ok(*letter),
            _ => Err(wrong(key)),
        };
        let keys = typed.split(',').filter(|_| !typed.is_empty());
        Ok(Self { sequence: keys.map(key).collect::<Result<_, _>>()?, matched: 0 })
    }

    /// What of `typed` goes to the process, and whether the keys to leave were among it. What may be the first of them is
    /// held back until the next key tells what it was.
    pub fn sift(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut bytes = Vec::with_capacity(typed.len() + self.matched);
        for byte in typed {
            if self.sequence.get(self.matched) != Some(byte) {
                bytes.extend_from_slice(self.sequence.get(..self.matched).unwrap_or_default());
                self.matched = 0;
            }
            if self.sequence.get(self.matched) != Some(byte) {
                bytes.push(*byte);
                continue;
            }
            self.matched += 1;
            if self.matched == self.sequence.len() {
                return (bytes, true);
            }
        }
        (bytes, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_to_leave_are_not_passed_on() {
        let mut keys = Keys::read("ctrl-p,ctrl-q").unwrap();
        assert_eq!(keys.sift(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.sift(b"c\x10\x10\x11d"), (b"\x10c\x10".to_vec(), true));
    }

    #[test]
    fn other_keys_leave_where_they_are_named() {
        assert_eq!(Keys::read("a,ctrl-@").unwrap().sift(b"xa\0"), (b"x".to_vec(), true));
        assert_eq!(Keys::read("").unwrap().sift(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
        for wrong in ["ctrl-", "ctrl-1", "ab", "ctrl-p,", "\x10"] {
            assert!(Keys::read(wrong).is_err(), "{wrong:?}");
        }
    }
}
