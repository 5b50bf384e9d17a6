//! What an archive of images holds, as far as it can be told without unpacking it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::refusal::Refusal;

/// A tar archive's unit.
const BLOCK: usize = 512;
/// How many members are looked at.
const MEMBERS_MAX: usize = 1 << 20;
/// The longest member that is read.
const DOCUMENT_MAX: u64 = 8 << 20;

/// What an archive is.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// What `docker save` writes. New ones are OCI layouts too, but their full names are in this part alone.
    Docker,
    /// An OCI layout in a tar; its `index.json`.
    Oci(Vec<u8>),
}

/// Looks what the tar archive at `path` is.
pub fn kind(path: &Path) -> Result<Kind, Refusal> {
    let wrong = |why: &str| Refusal::bad_value(format_args!("{}: {why}", path.display()));
    let broken = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => wrong("not a tar archive, or cut off"),
        _ => Refusal::io(path.display(), &e),
    };
    let mut file = File::open(path).map_err(broken)?;
    if is_compressed(&mut file).map_err(broken)? {
        return Err(Refusal::unsupported(format_args!("{} is compressed; decompress it first", path.display())));
    }
    let (mut index, mut is_docker) = (None, false);
    for _ in 0..MEMBERS_MAX {
        let Some((name, size)) = header(&mut file).map_err(broken)? else { break };
        match name.strip_prefix("./").unwrap_or(&name) {
            "index.json" if size <= DOCUMENT_MAX => {
                let mut bytes = Vec::new();
                file.by_ref().take(size).read_to_end(&mut bytes).map_err(broken)?;
                let padding = (size.next_multiple_of(BLOCK as u64) - size).cast_signed();
                file.seek(SeekFrom::Current(padding)).map_err(broken)?;
                index = Some(bytes);
            }
            name => {
                is_docker |= name == "manifest.json";
                let skip = size.checked_next_multiple_of(BLOCK as u64).and_then(|size| i64::try_from(size).ok());
                let skip = skip.ok_or_else(|| wrong("a member of impossible size"))?;
                file.seek(SeekFrom::Current(skip)).map_err(broken)?;
            }
        }
    }
    match index {
        // Ours are both.
        Some(index) if !is_docker || has_full_names(&index) => Ok(Kind::Oci(index)),
        _ if is_docker => Ok(Kind::Docker),
        _ => Err(wrong("neither a docker-archive nor an oci-archive")),
    }
}

/// Whether an index calls its images by more than a tag.
fn has_full_names(index: &[u8]) -> bool {
    let index: serde_json::Value = serde_json::from_slice(index).unwrap_or_default();
    let all = index.get("manifests").and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_full = |entry: &serde_json::Value| {
        let name = entry.pointer("/annotations/org.opencontainers.image.ref.name");
        name.and_then(serde_json::Value::as_str).is_some_and(|name| name.contains('/'))
    };
    !all.is_empty() && all.iter().all(is_full)
}

fn is_compressed(file: &mut File) -> std::io::Result<bool> {
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    file.rewind()?;
    Ok(matches!(magic, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [0xfd, b'7', b'z', b'X'] | [b'B', b'Z', b'h', _]))
}

/// The name and size of the next member; none at the end. What the few members that matter are called fits in the old
/// header, so that a longer name in an extension is skipped with it.
fn header(file: &mut File) -> std::io::Result<Option<(String, u64)>> {
    let mut block = [0; BLOCK];
    file.read_exact(&mut block)?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let field = |from: usize, to: usize| block.get(from..to).unwrap_or_default();
    let sum: u32 = field(0, 148).iter().chain(field(156, BLOCK)).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    if number(field(148, 156)) != Some(u64::from(sum)) {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let name = field(0, 100).split(|byte| *byte == 0).next().unwrap_or_default();
    let size = number(field(124, 136)).ok_or(std::io::ErrorKind::InvalidData)?;
    Ok(Some((String::from_utf8_lossy(name).into_owned(), size)))
}

/// A number of a header: octal digits, or binary behind a set bit, as GNU writes what is too large for them.
fn number(field: &[u8]) -> Option<u64> {
    if field.first()? & 0x80 != 0 {
        let low = field.get(field.len().checked_sub(8)?..)?;
        return Some(u64::from_be_bytes(low.try_into().ok()?));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_kinds_read() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"       \0"), Some(0));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(2 << 32));
        assert_eq!((number(b"9"), number(b""), number(&[0x80, 1])), (None, None, None));
    }
}
