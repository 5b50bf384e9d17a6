//! A stream of bytes as lines and pieces of lines, no character split between two. Pure.

/// What remains of one stream between two reads.
#[derive(Default)]
pub struct Splitter {
    /// The first bytes of a character of which the rest is still to come: three at most.
    begun: Vec<u8>,
}

/// A line, or a piece of one.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes, without LF.
    pub text: Vec<u8>,
    /// More of the same line follows.
    pub partial: bool,
}

impl Splitter {
    /// Takes bytes in. Gives every line that they end, and what they begin.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut bytes = [std::mem::take(&mut self.begun), bytes.to_vec()].concat();
        let whole = bytes.len() - begun_character(&bytes);
        self.begun = bytes.split_off(whole);
        let piece = |line: &[u8]| match line.strip_suffix(b"\n") {
            Some(text) => Piece { text: text.to_vec(), partial: false },
            None => Piece { text: line.to_vec(), partial: true },
        };
        bytes.split_inclusive(|byte| *byte == b'\n').map(piece).collect()
    }

    /// What was never finished.
    pub fn finish(&mut self) -> Option<Piece> {
        let text = std::mem::take(&mut self.begun);
        (!text.is_empty()).then_some(Piece { text, partial: true })
    }
}

/// How many bytes at the end are the beginning of a character of UTF-8 that needs more.
fn begun_character(bytes: &[u8]) -> usize {
    for (count, byte) in (1..=3).zip(bytes.iter().rev()) {
        let needed = match byte {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            _ => 0,
        };
        return if needed > count { count } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(reads: &[&[u8]]) -> Vec<(String, bool)> {
        let mut splitter = Splitter::default();
        let mut pieces: Vec<Piece> = reads.iter().flat_map(|read| splitter.take(read)).collect();
        pieces.extend(splitter.finish());
        pieces.iter().map(|piece| (String::from_utf8_lossy(&piece.text).into_owned(), piece.partial)).collect()
    }

    #[test]
    fn lines_and_pieces() {
        let piece = |text: &str, partial| (text.to_owned(), partial);
        assert_eq!(pieces(&[b"a\nb"]), [piece("a", false), piece("b", true)]);
        assert_eq!(pieces(&[b"a", b"\n\n"]), [piece("a", true), piece("", false), piece("", false)]);
        assert_eq!(pieces(&["ä".as_bytes().split_at(1).0, "ä\n".as_bytes().split_at(1).1]), [piece("ä", false)]);
        assert_eq!(pieces(&[b"x\xe2\x82"]), [piece("x", true), piece("\u{fffd}", true)]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_character_is_split(text in "[aé€𝄞\n]{0,40}", cuts in prop::collection::vec(0usize..120, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let reads: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let joined: String = pieces(&reads).into_iter().map(|(text, partial)| if partial { text } else { text + "\n" }).collect();
            prop_assert_eq!(joined, text);
        }
    }
}
