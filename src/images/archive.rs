//! What an archive of images holds, as far as it can be told without unpacking it; and the OCI layout in one, unpacked.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Take};
use std::path::Path;

use super::bound::FILE_MIN;
use super::digest::Digest;
use super::layout::Layout;
use crate::refusal::Refusal;

/// A tar archive's unit.
const BLOCK: usize = 512;
/// How many members are looked at.
const MEMBERS_MAX: usize = 1 << 20;
/// The longest member that is read.
const DOCUMENT_MAX: u64 = 8 << 20;
/// The member that tells of an OCI layout's images.
const INDEX: &str = "index.json";

/// What an archive is.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// What `docker save` writes. New ones are OCI layouts too, but their full names are in this part alone.
    Docker,
    /// An OCI layout in a tar; its `index.json`.
    Oci(Vec<u8>),
}

/// One member of an archive.
struct Member {
    name: String,
    size: u64,
    is_file: bool,
}

/// Looks what the tar archive at `path` is.
pub fn kind(path: &Path) -> Result<Kind, Refusal> {
    let (mut index, mut is_docker) = (None, false);
    members(path, |member, content| {
        if member.name == INDEX && member.is_file && member.size <= DOCUMENT_MAX {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
            index = Some(bytes);
        }
        is_docker |= member.name == "manifest.json";
        Ok(())
    })?;
    match index {
        // Ours are both.
        Some(index) if !is_docker || has_full_names(&index) => Ok(Kind::Oci(index)),
        _ if is_docker => Ok(Kind::Docker),
        _ => Err(wrong(path, "neither a docker-archive nor an oci-archive")),
    }
}

/// Takes the index and the blobs of the oci-archive at `path` into `layout`, and nothing else: no name, no link and no
/// mode of the archive's making comes to the disk. skopeo would unpack all of it as it stands (containers/storage 1.43
/// does not look where a link leads to), and write and delete through a link wherever that leads. `admit` is told how many
/// bytes it will have been in all, before they are written.
pub fn extract(path: &Path, layout: &Layout, admit: impl Fn(u64) -> Result<(), Refusal>) -> Result<(), Refusal> {
    let mut sum = 0_u64;
    members(path, |member, content| {
        let blob = || format!("sha256:{}", member.name.strip_prefix("blobs/sha256/")?).parse::<Digest>().ok();
        let to = match (member.is_file, member.name == INDEX) {
            (true, true) => Some(layout.dir().join(INDEX)),
            (true, false) => blob().map(|digest| layout.blob(&digest)),
            _ => None,
        };
        let Some(to) = to else { return Ok(()) };
        sum = sum.saturating_add(member.size.max(FILE_MIN));
        admit(sum)?;
        let written = File::create(&to).and_then(|mut file| std::io::copy(content, &mut file));
        match written.map_err(|e| Refusal::io(path.display(), &e))? {
            all if all == member.size => Ok(()),
            _ => Err(unreadable(path, &ErrorKind::UnexpectedEof.into())),
        }
    })
}

/// Calls `visit` with each member of the tar archive at `path`, and with what is in it.
fn members(
    path: &Path,
    mut visit: impl FnMut(&Member, &mut Take<&mut File>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let broken = |e: std::io::Error| unreadable(path, &e);
    let mut file = File::open(path).map_err(broken)?;
    if is_compressed(&mut file).map_err(broken)? {
        return Err(Refusal::unsupported(format_args!("{} is compressed; decompress it first", path.display())));
    }
    for _ in 0..MEMBERS_MAX {
        let Some(member) = header(&mut file).map_err(broken)? else { break };
        let at = file.stream_position().map_err(broken)?;
        let next = member.size.checked_next_multiple_of(BLOCK as u64).and_then(|size| at.checked_add(size));
        let next = next.filter(|next| i64::try_from(*next).is_ok());
        let next = next.ok_or_else(|| wrong(path, "a member of impossible size"))?;
        visit(&member, &mut file.by_ref().take(member.size))?;
        file.seek(SeekFrom::Start(next)).map_err(broken)?;
    }
    Ok(())
}

fn wrong(path: &Path, why: &str) -> Refusal {
    Refusal::bad_value(format_args!("{}: {why}", path.display()))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Refusal {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData => wrong(path, "not a tar archive, or cut off"),
        _ => Refusal::io(path.display(), error),
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

/// The next member; none at the end. What the few members that matter are called fits in the old header, so that a
/// longer name in an extension is skipped with it.
fn header(file: &mut File) -> std::io::Result<Option<Member>> {
    let mut block = [0; BLOCK];
    file.read_exact(&mut block)?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let field = |from: usize, to: usize| block.get(from..to).unwrap_or_default();
    let sum: u32 = field(0, 148).iter().chain(field(156, BLOCK)).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    if number(field(148, 156)) != Some(u64::from(sum)) {
        return Err(ErrorKind::InvalidData.into());
    }
    let name = field(0, 100).split(|byte| *byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name.strip_prefix(b"./").unwrap_or(name)).into_owned();
    let size = number(field(124, 136)).ok_or(ErrorKind::InvalidData)?;
    // The second is how it was written before POSIX.
    let is_file = matches!(field(156, 157), b"0" | b"\0");
    Ok(Some(Member { name, size, is_file }))
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
