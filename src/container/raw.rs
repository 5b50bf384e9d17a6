//! Arguments and variables that are no UTF-8. crun reads a process from JSON, and checks its strings (libyajl), so that no
//! such byte can pass there, escaped or not.
//!
//! So where there are any, crun is given another program: one made for this container, of a few instructions and the words
//! themselves, whose only act is execve(2) of what was asked for. What runs then is the container's own program, in the
//! same process, as the same user, with the same rights. Nothing of this is there for a container whose words are text.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::plan::{Places, Plan};
use super::program::find;
use crate::refusal::Refusal;

/// Where the program stands in a container: on its own `/dev`, so that nothing of it comes into what it writes.
pub const PROGRAM: &str = "/dev/start";
/// The first of 256 characters of private use that stand for bytes, in text that is on its way to be words.
const FIRST: u32 = 0x10_ff00;

/// Bytes as text: what is not UTF-8, and the characters that stand for bytes, become one character a byte.
pub fn escape(bytes: &[u8]) -> String {
    let byte = |b: &u8| char::from_u32(FIRST + u32::from(*b)).unwrap_or(char::REPLACEMENT_CHARACTER);
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match byte_of(c) {
                Some(_) => text.extend(c.encode_utf8(&mut [0; 4]).as_bytes().iter().map(byte)),
                None => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().map(byte));
    }
    text
}

fn byte_of(c: char) -> Option<u8> {
    u8::try_from(u32::from(c).checked_sub(FIRST)?).ok()
}

/// Whether nothing in `text` stands for a byte.
pub fn is_text(text: &str) -> bool {
    !text.chars().any(|c| byte_of(c).is_some())
}

fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte_of(c) {
            Some(b) => bytes.push(b),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// A process that JSON cannot carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    argv: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
}

impl Raw {
    /// Takes what is escaped out of the words and variables of a process: of a word its text is left, for those who look; a
    /// variable goes. None where there is nothing of the kind.
    pub fn take(argv: &mut [String], env: &mut Vec<String>) -> Option<Self> {
        if argv.iter().chain(&*env).all(|text| is_text(text)) {
            return None;
        }
        let raw = Self {
            argv: argv.iter().map(|word| bytes(word)).collect(),
            env: env.iter().map(|variable| bytes(variable)).collect(),
        };
        for (word, raw) in argv.iter_mut().zip(&raw.argv) {
            *word = String::from_utf8_lossy(raw).into_owned();
        }
        env.retain(|variable| is_text(variable));
        Some(raw)
    }

    /// Writes the program that executes it, into a directory from which programs can be executed: the run directory often is
    /// none. To be called once the root filesystem is mounted.
    pub fn write(&self, plan: &Plan) -> Result<(), Refusal> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open(&plan.places.rootfs(), flags, Mode::empty());
        let root = root.map_err(|e| Refusal::errno("the container's root filesystem", e))?;
        let candidates = self.candidates(&plan.workdir);
        let has_mounts = !(plan.binds.is_empty() && plan.wishes.storage.tmpfs.is_empty());
        if !has_mounts && !candidates.iter().any(|path| find(&root, OsStr::from_bytes(path)).is_ok()) {
            let name = plan.argv.first().map_or("", String::as_str);
            return Err(Refusal::no_command(format_args!("{name}: no such program in the container")));
        }
        let Some(machine) = Machine::own() else {
            return Err(Refusal::unsupported("words that are no UTF-8 are for x86_64 and aarch64 only"));
        };
        let path = program(&plan.places);
        std::fs::write(&path, machine.program(&candidates, &self.argv, &self.env))
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
            .map_err(|e| Refusal::io(path.display(), &e))
    }

    /// Where its program may be, as execvpe(3) has it.
    fn candidates(&self, workdir: &str) -> Vec<Vec<u8>> {
        let program = self.argv.first().map(Vec::as_slice).unwrap_or_default();
        if program.starts_with(b"/") {
            return vec![program.to_vec()];
        }
        if program.contains(&b'/') {
            return vec![[workdir.as_bytes(), b"/", program].concat()];
        }
        let path = self.env.iter().find_map(|variable| variable.strip_prefix(b"PATH=")).unwrap_or_default();
        let dirs = path.split(|byte| *byte == b':').filter(|dir| dir.starts_with(b"/"));
        dirs.map(|dir| [dir, b"/", program].concat()).collect()
    }
}

/// Where that program is on the host.
pub fn program(places: &Places) -> std::path::PathBuf {
    places.data.join("start")
}

/// What a program is made for.
#[derive(Clone, Copy)]
enum Machine {
    X86_64,
    Aarch64,
}

/// Where it lies in memory; at a border of pages of any size.
const BASE: u32 = 0x40_0000;
/// What stands before its instructions: the ELF header and two program headers (elf(5)).
const HEAD: usize = 64 + 2 * 56;

impl Machine {
    fn own() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// An ELF program that executes the first of `paths` that can be, and exits with 127 where none can. Its words come from a
    /// request's line, so that it is short.
    fn program(self, paths: &[Vec<u8>], argv: &[Vec<u8>], env: &[Vec<u8>]) -> Vec<u8> {
        let code_len = (paths.len() * self.code(0, 0, 0).len() + self.last_code().len()).next_multiple_of(8);
        let tables = [argv.len() + 1, env.len() + 1];
        let mut strings = Strings { at: HEAD + code_len + 8 * (tables[0] + tables[1]), bytes: Vec::new() };
        let (argv_at, env_at) = (HEAD + code_len, HEAD + code_len + 8 * tables[0]);
        let mut pointers: Vec<u64> = argv.iter().map(|word| strings.add(word).into()).chain([0]).collect();
        pointers.extend(env.iter().map(|variable| u64::from(strings.add(variable))).chain([0]));
        let mut code = Vec::new();
        for path in paths {
            code.extend(self.code(strings.add(path), address(argv_at), address(env_at)));
        }
        code.extend(self.last_code());
        code.resize(code_len, 0);
        let data = pointers.iter().flat_map(|pointer| pointer.to_le_bytes());
        let body: Vec<u8> = code.into_iter().chain(data).chain(strings.bytes).collect();
        [self.head((HEAD + body.len()) as u64), body].concat()
    }

    /// execve(path, argv, envp); it goes on behind it only where that failed.
    fn code(self, path: u32, argv: u32, envp: u32) -> Vec<u8> {
        match self {
            // mov edi/esi/edx, address; mov eax, 59; syscall
            Self::X86_64 => {
                let set = |opcode: u8, value: u32| [&[opcode][..], &value.to_le_bytes()].concat();
                [set(0xbf, path), set(0xbe, argv), set(0xba, envp), set(0xb8, 59), vec![0x0f, 0x05]].concat()
            }
            // movz, movk: x0, x1, x2; mov x8, 221; svc 0
            Self::Aarch64 => {
                let set = |register: u32, value: u32| {
                    let (low, high) = (value & 0xffff, value >> 16);
                    [0xd280_0000 | low << 5 | register, 0xf2a0_0000 | high << 5 | register]
                };
                let call = [0xd280_0000 | 221 << 5 | 8, 0xd400_0001];
                [set(0, path), set(1, argv), set(2, envp), call]
                    .concat()
                    .into_iter()
                    .flat_map(u32::to_le_bytes)
                    .collect()
            }
        }
    }

    /// exit(127)
    fn last_code(self) -> Vec<u8> {
        match self {
            Self::X86_64 => vec![0xbf, 127, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05],
            Self::Aarch64 => {
                let code: [u32; 3] = [0xd280_0000 | 127 << 5, 0xd280_0000 | 93 << 5 | 8, 0xd400_0001];
                code.into_iter().flat_map(u32::to_le_bytes).collect()
            }
        }
    }

    /// The headers of a program of `length` bytes, all of it loaded as one, to be read and executed; its stack is neither.
    fn head(self, length: u64) -> Vec<u8> {
        let machine: u16 = match self {
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
        };
        let base = u64::from(BASE);
        let mut head = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let half = |head: &mut Vec<u8>, values: &[u16]| head.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let word = |head: &mut Vec<u8>, values: &[u32]| head.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let long = |head: &mut Vec<u8>, values: &[u64]| head.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        // ET_EXEC, the machine, EV_CURRENT; entry, program headers, no sections; no flags; sizes and counts.
        half(&mut head, &[2, machine]);
        word(&mut head, &[1]);
        long(&mut head, &[base + HEAD as u64, 64, 0]);
        word(&mut head, &[0]);
        half(&mut head, &[64, 56, 2, 64, 0, 0]);
        // PT_LOAD, PF_R | PF_X; offset, addresses, sizes, alignment.
        word(&mut head, &[1, 5]);
        long(&mut head, &[0, base, base, length, length, 0x1_0000]);
        // PT_GNU_STACK, PF_R | PF_W.
        word(&mut head, &[0x6474_e551, 6]);
        long(&mut head, &[0, 0, 0, 0, 0, 16]);
        head
    }
}

fn address(offset: usize) -> u32 {
    BASE.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX))
}

/// Strings that end in NUL, one behind the other.
struct Strings {
    at: usize,
    bytes: Vec<u8>,
}

impl Strings {
    /// Puts one more behind the others, and says where it will lie in memory.
    fn add(&mut self, string: &[u8]) -> u32 {
        let at = address(self.at + self.bytes.len());
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_comes_back(given in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(bytes(&escape(&given)), given);
        }

        #[test]
        fn every_text_comes_back(given in ".*") {
            prop_assert_eq!(bytes(&escape(given.as_bytes())), given.as_bytes());
        }
    }

    #[test]
    fn text_stays_text() {
        let (mut argv, mut env) = (vec![escape("é".as_bytes())], vec!["A=1".to_owned()]);
        assert_eq!(Raw::take(&mut argv, &mut env), None);
        argv.push(escape(b"x\xff"));
        env.push(escape(b"B=\xfe"));
        // A character that stands for a byte is text to whoever wrote it.
        argv.push(escape("\u{10ff41}".as_bytes()));
        let raw = Raw::take(&mut argv, &mut env).unwrap();
        assert_eq!(raw.argv, ["é".as_bytes(), b"x\xff", "\u{10ff41}".as_bytes()]);
        assert_eq!((raw.env.len(), env), (2, vec!["A=1".to_owned()]));
        assert_eq!(argv, ["é", "x\u{fffd}", "\u{10ff41}"]);
    }

    #[test]
    fn instructions_are_those_of_the_machine() {
        // movz x8, #221; svc #0, as an assembler has them.
        let code = Machine::Aarch64.code(0x40_1234, 0, 0);
        assert_eq!(code[..8], [0x80, 0x46, 0x82, 0xd2, 0x00, 0x08, 0xa0, 0xf2]);
        assert_eq!(code[24..], [0xa8, 0x1b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4]);
        assert_eq!(Machine::X86_64.code(1, 2, 3).len(), 22);
        for machine in [Machine::X86_64, Machine::Aarch64] {
            assert_eq!(machine.head(0).len(), HEAD);
        }
    }
}
