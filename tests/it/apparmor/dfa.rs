//! The automaton in a compiled profile, walked as the kernel does it (`security/apparmor/match.c`).

use learn::policy::apparmor::Permissions;

/// The automaton of a profile's file rules.
pub struct Dfa {
    accept: Vec<u32>,
    base: Vec<u32>,
    check: Vec<u32>,
    default: Vec<u32>,
    next: Vec<u32>,
    classes: Vec<u32>,
}

/// What begins an automaton (`YYTH_MAGIC`).
const MAGIC: [u8; 4] = 0x1b5e_783d_u32.to_be_bytes();

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap())
}

impl Dfa {
    /// The last automaton of a compiled profile, which is that of its files.
    pub fn of_files(compiled: &[u8]) -> Self {
        let at = compiled.windows(4).rposition(|window| window == MAGIC).unwrap();
        let bytes = &compiled[at..];
        let (mut at, end) = (u32_at(bytes, 4) as usize, u32_at(bytes, 8) as usize);
        let mut tables: [Vec<u32>; 9] = Default::default();
        while at < end {
            let (id, width, length) = (u16_at(bytes, at), u16_at(bytes, at + 2), u32_at(bytes, at + 8) as usize);
            let data = &bytes[at + 12..];
            let width = usize::from(width);
            tables[usize::from(id)] = (0..length)
                .map(|place| match width {
                    1 => u32::from(data[place]),
                    2 => u32::from(u16_at(data, place * 2)),
                    _ => u32_at(data, place * 4),
                })
                .collect();
            at += (12 + length * width).next_multiple_of(8);
        }
        let [_, accept, base, check, default, classes, _, _, next] = tables;
        Self { accept, base, check, default, next, classes }
    }

    fn step(&self, mut state: usize, byte: u8) -> usize {
        const DIFF_ENCODED: u32 = 1 << 31;
        let class = self.classes.get(usize::from(byte)).map_or(usize::from(byte), |class| *class as usize);
        loop {
            let base = self.base[state];
            let at = (base & 0x00ff_ffff) as usize + class;
            if self.check.get(at) == Some(&u32::try_from(state).unwrap()) {
                return self.next[at] as usize;
            }
            state = self.default[state] as usize;
            if base & DIFF_ENCODED == 0 {
                return state;
            }
        }
    }

    /// What may be done with a file of this name, by its owner or by another.
    pub fn granted(&self, name: &[u8], owner: bool) -> Permissions {
        const BITS: [(u32, Permissions); 7] = [
            (0x01, Permissions::EXECUTE),
            (0x02, Permissions::WRITE),
            (0x04, Permissions::READ),
            (0x08, Permissions::APPEND),
            (0x10, Permissions::LINK),
            (0x20, Permissions::LOCK),
            (0x40, Permissions::MAP),
        ];
        let walk = |from, text: &[u8]| text.iter().fold(from, |state, byte| self.step(state, *byte));
        let permissions = |state: usize| {
            let accept = self.accept[state] >> if owner { 0 } else { 14 };
            BITS.iter().filter(|(bit, _)| accept & bit != 0).fold(Permissions::empty(), |all, (_, one)| all | *one)
        };
        let end = walk(1, name);
        // The right to be a link hangs on the old name as well, which stands behind a NUL (`profile_path_link()`).
        let linked = permissions(walk(end, b"\0/old"));
        let all = permissions(end);
        if linked.contains(Permissions::LINK) { all } else { all - Permissions::LINK }
    }
}
