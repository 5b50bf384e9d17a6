//! What nfnetlink says, read: pure, and with no trust in what it reads.

use nix::libc;

/// Bytes of a netlink header, and of the nfnetlink header behind it.
pub const HEADERS: usize = 16 + 4;
/// `NFTA_TABLE_USERDATA`, and `NFTA_RULE_USERDATA`.
const USER_DATA: (u16, u16) = (6, 7);
/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`, which are no part of an attribute's kind.
const FLAGS: u16 = 0xc000;

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// All of it.
    pub whole: &'a [u8],
    /// The subsystem's number for what it says: the low byte of its type.
    pub verb: u8,
    /// The family that it is about.
    pub family: u8,
    /// Its attributes.
    pub attributes: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attribute `kind`.
    pub fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        find(self.attributes, kind)
    }

    /// The attribute `kind` as a text, without its NUL.
    pub fn text(&self, kind: u16) -> Option<&'a [u8]> {
        self.attribute(kind).map(|text| text.strip_suffix(&[0]).unwrap_or(text))
    }

    /// The comment of the table that it is about.
    pub fn comment(&self) -> String {
        comment_of(self.attributes)
    }

    /// The comment of the rule that it is about.
    pub fn rule_comment(&self) -> String {
        comment_in(self.attribute(USER_DATA.1).unwrap_or_default())
    }
}

/// The messages of a datagram, as far as they are whole.
pub fn messages_of(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(datagram.get(..4)?.try_into().ok()?) as usize;
        // An acknowledgement, or the end of a dump, may be shorter than an nfnetlink header would have it.
        let whole = datagram.get(..length).filter(|whole| whole.len() >= 16)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        let (verb, family) = (*whole.get(4)?, whole.get(16).copied().unwrap_or(0));
        Some(Message { whole, verb, family, attributes: whole.get(HEADERS..).unwrap_or_default() })
    })
}

/// The value of an attribute that is a number in the order of the network.
pub fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// Which dump or request an answer belongs to.
pub fn sequence_of(answer: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(answer.get(8..12)?.try_into().ok()?))
}

/// The errno that an `NLMSG_ERROR` carries, 0 for an acknowledgement; none where the message is another.
pub fn error_of(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let code = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (i32::from(kind) == libc::NLMSG_ERROR).then_some(code.saturating_neg())
}

/// How a dump ended, if this says so.
pub fn end_of(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    if i32::from(kind) == libc::NLMSG_DONE { Some(0) } else { error_of(answer) }
}

/// The comment among a table's attributes.
pub fn comment_of(attributes: &[u8]) -> String {
    comment_in(find(attributes, USER_DATA.0).unwrap_or_default())
}

/// User data is a list of (type, length, value), type 0 the comment.
fn comment_in(user_data: &[u8]) -> String {
    let comment = match user_data {
        [0, length, rest @ ..] => rest.get(..usize::from(*length)).unwrap_or_default(),
        _ => &[],
    };
    String::from_utf8_lossy(comment.strip_suffix(&[0]).unwrap_or(comment)).into_owned()
}

/// The first attribute `wanted`.
pub fn find(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    each(attributes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// Every attribute: its kind and its value.
pub fn each(mut attributes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(attributes.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?);
        let value = attributes.get(4..length)?;
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & !FLAGS, value))
    })
}

#[cfg(test)]
mod tests {
    use super::super::nfnl::{attribute, text};
    use super::*;

    #[test]
    fn attributes_are_padded_and_found() {
        let mut bytes = Vec::new();
        text(&mut bytes, 1, "gantry0");
        attribute(&mut bytes, 6, &[0, 7, b'g', b'a', b'n', b't', b'r', b'y', 0]);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(find(&bytes, 1), Some(b"gantry0\0".as_slice()));
        assert_eq!(comment_of(&bytes), "gantry");
        assert_eq!(find(&bytes, 9), None);
    }

    #[test]
    fn torn_answers_are_no_panic() {
        for bytes in [&[][..], &[4, 0], &[0, 0, 0, 0], &[3, 0, 6, 0], &[9, 0, 6, 0, 0]] {
            assert_eq!(comment_of(bytes), "");
            assert_eq!(error_of(bytes), None);
            assert!(messages_of(bytes).next().is_none());
        }
    }
}
