//! Seccomp filters that crun has compiled: kept, so that it compiles each once. What a filter allows is not known here.
//!
//! crun is built without a cache of its own in Debian, and libseccomp takes some 12 ms for a profile of three
//! architectures. crun takes a compiled one by an annotation (crun(1), "experimental"), and where it knows none, the
//! filter that the runtime spec has beside it still holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The annotation.
pub const ANNOTATION: &str = "run.oci.seccomp_bpf_data";
/// The file in a container's state directory where crun leaves what it compiled.
pub const FILE: &str = "seccomp.bpf";
/// How many are kept: a daemon has a few sets of capabilities, and clients may bring profiles of their own.
const KEPT_MAX: usize = 32;
/// The most instructions of a filter (linux/bpf_common.h), and the size of one.
const INSTRUCTIONS_MAX: usize = 4096;
const INSTRUCTION: usize = 8;

/// Compiled filters by the digest of what they were compiled from, in the form that the annotation takes.
#[derive(Clone, Debug, Default)]
pub struct Filters(Arc<Mutex<HashMap<[u8; 32], Arc<str>>>>);

impl Filters {
    /// The one of that digest.
    pub fn get(&self, digest: &[u8; 32]) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    /// Keeps one that crun has compiled. What does not look like one is left.
    pub fn keep(&self, digest: [u8; 32], program: &[u8]) {
        let whole = !program.is_empty() && program.len().is_multiple_of(INSTRUCTION);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if whole && program.len() <= INSTRUCTIONS_MAX * INSTRUCTION && kept.len() < KEPT_MAX {
            kept.insert(digest, base64(program).into());
        }
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe]), "//4=");
    }

    #[test]
    fn only_whole_programs_are_kept() {
        let filters = Filters::default();
        filters.keep([1; 32], &[0; 9]);
        filters.keep([1; 32], &[]);
        assert!(filters.get(&[1; 32]).is_none());
        filters.keep([1; 32], &[0; 16]);
        assert!(filters.get(&[1; 32]).is_some());
    }
}
