//! The seccomp filter of a thinned task: classic BPF that lets known calls pass, asks the learner about calls whose end
//! it mostly foresees (`SECCOMP_RET_USER_NOTIF`), and stops for all others. Pure.
//!
//! A filter may only become stricter, so everything that it lets pass must have been learned before. Calls of another
//! ABI than the native one always stop.

use std::collections::BTreeSet;

use crate::abi::{Abi, X32_BIT};
use crate::event::{EmptyPath, Known, KnownCalls, Nameless, Unless};

/// `SECCOMP_RET_DATA` that marks a stop as one of the learner's own filter.
pub const OWN_STOP: u32 = 0x6c72;
/// `BPF_MAXINSNS`.
const LIMIT: usize = 4096;
/// How many argument lists of one call the filter tells apart; a call with more of them always stops.
const VALUES_LIMIT: usize = 64;

const RET_ALLOW: u32 = 0x7fff_0000;
const RET_ASK: u32 = 0x7fc0_0000;
const RET_TRACE: u32 = 0x7ff0_0000 | OWN_STOP;

const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const JUMP_SET: u16 = 0x45;
/// Compares with the index register, `X`.
const JUMP_EQUAL_X: u16 = 0x1d;
const SUBTRACT_X: u16 = 0x1c;
/// Copies the accumulator to `X`.
const TO_X: u16 = 0x07;
const RETURN: u16 = 0x06;

/// One instruction, as `struct sock_filter` (`linux/filter.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// How many instructions to skip when the condition holds.
    pub jump_true: u8,
    /// How many instructions to skip when it does not.
    pub jump_false: u8,
    /// Operand.
    pub operand: u32,
}

impl Instruction {
    const fn new(code: u16, operand: u32) -> Self {
        Self { code, jump_true: 0, jump_false: 0, operand }
    }

    const fn branch(code: u16, operand: u32, jump_true: u8, jump_false: u8) -> Self {
        Self { code, jump_true, jump_false, operand }
    }

    /// Its eight bytes in memory.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        let [code0, code1] = self.code.to_ne_bytes();
        let [k0, k1, k2, k3] = self.operand.to_ne_bytes();
        [code0, code1, self.jump_true, self.jump_false, k0, k1, k2, k3]
    }
}

/// The filter for what is known; never longer than the kernel accepts. One that asks needs a listener.
#[must_use]
pub fn program(known: &KnownCalls, asks: bool) -> Vec<Instruction> {
    fitted(known, asks).1
}

/// What a program leaves out to be short enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    /// How many lists of arguments of one call it tells apart: calls with more of them stop.
    values: usize,
    /// Whether it lets calls with empty paths pass.
    empty_paths: bool,
}

/// A program that is short enough, and what it holds. Of thousands of lists the calls with the most are left out first:
/// those stop, the others do not. What is left without any is short.
fn fitted(known: &KnownCalls, asks: bool) -> (Extent, Vec<Instruction>) {
    let mut extent = Extent { values: VALUES_LIMIT, empty_paths: true };
    loop {
        let program = assemble(known, asks, extent);
        if program.len() <= LIMIT || extent == (Extent { values: 0, empty_paths: false }) {
            return (extent, program);
        }
        extent = Extent { values: extent.values / 2, empty_paths: extent.values > 0 };
    }
}

fn assemble(known: &KnownCalls, asks: bool, extent: Extent) -> Vec<Instruction> {
    let foreseen = |number: &u32| known.foreseen.get(number).filter(|_| asks);
    let empty = |number: u32| {
        let found = known.empty_paths.iter().filter(move |found| found.number == number);
        let place = known.nameless.get(&number).filter(|_| extent.empty_paths);
        place.into_iter().flat_map(move |place| found.clone().flat_map(|found| allow_empty(*place, *found)))
    };
    let numbers: BTreeSet<u32> =
        known.calls.keys().chain(known.foreseen.keys()).chain(known.nameless.keys()).copied().collect();
    let leaves: Vec<_> = numbers
        .into_iter()
        .filter(|number| *number < X32_BIT)
        .filter_map(|number| {
            let code = leaf(known.calls.get(&number), empty(number), foreseen(&number), extent.values)?;
            Some((number, code))
        })
        .collect();
    let mut program = vec![
        Instruction::new(LOAD_WORD, 4),
        Instruction::branch(JUMP_EQUAL, Abi::native().audit_arch(), 1, 0),
        Instruction::new(RETURN, RET_TRACE),
        Instruction::new(LOAD_WORD, 0),
    ];
    program.extend(search(&leaves));
    program
}

/// A binary search over numbers, which stand in the accumulator.
fn search(leaves: &[(u32, Vec<Instruction>)]) -> Vec<Instruction> {
    match leaves {
        [] => vec![Instruction::new(RETURN, RET_TRACE)],
        [(number, leaf)] => {
            // The leaf ends in a return for every path.
            let mut code = vec![Instruction::branch(JUMP_EQUAL, *number, 1, 0), Instruction::new(RETURN, RET_TRACE)];
            code.extend_from_slice(leaf);
            code
        }
        _ => {
            let (low, high) = leaves.split_at(leaves.len() / 2);
            let middle = high.first().map_or(0, |(number, _)| *number);
            let low = search(low);
            let mut code = match u8::try_from(low.len()) {
                Ok(skip) => vec![Instruction::branch(JUMP_GREATER_EQUAL, middle, skip, 0)],
                Err(_) => vec![
                    Instruction::branch(JUMP_GREATER_EQUAL, middle, 0, 1),
                    Instruction::new(JUMP, u32::try_from(low.len()).unwrap_or(u32::MAX)),
                ],
            };
            code.extend(low);
            code.extend(search(high));
            code
        }
    }
}

/// What follows once the number is right; `None` when the call must always stop.
fn leaf(
    call: Option<&Known>,
    empty_paths: impl Iterator<Item = Instruction>,
    foreseen: Option<&Unless>,
    values_limit: usize,
) -> Option<Vec<Instruction>> {
    let mut code = match call {
        Some(Known::Always) => return Some(vec![Instruction::new(RETURN, RET_ALLOW)]),
        Some(Known::Values { registers, seen }) if seen.len() <= values_limit => allow(registers, seen)?,
        _ => Vec::new(),
    };
    code.extend(empty_paths);
    match foreseen {
        None if code.is_empty() => return None,
        None => {}
        Some(&Unless { argument, bits }) => code.extend([
            Instruction::new(LOAD_WORD, low_of(argument)),
            Instruction::branch(JUMP_SET, bits, 1, 0),
            Instruction::new(RETURN, RET_ASK),
        ]),
    }
    code.push(Instruction::new(RETURN, RET_TRACE));
    Some(code)
}

/// Lets calls with these arguments pass; others go on behind it.
fn allow(registers: &[(u8, u64)], seen: &BTreeSet<Vec<u64>>) -> Option<Vec<Instruction>> {
    let mut code = Vec::new();
    for values in seen {
        let mut compares = Vec::new();
        for (&(index, mask), &value) in registers.iter().zip(values) {
            compares.extend(compare(low_of(index), low(mask), low(value)));
            if high(mask) != 0 {
                compares.extend(compare(high_of(index), high(mask), high(value)));
            }
        }
        compares.push(Instruction::new(RETURN, RET_ALLOW));
        // A failed comparison goes on behind this list.
        let length = compares.len();
        for (at, instruction) in compares.iter_mut().enumerate() {
            if instruction.code == JUMP_EQUAL {
                instruction.jump_false = u8::try_from(length - at - 1).ok()?;
            }
        }
        code.extend(compares);
    }
    Some(code)
}

/// Lets a call of an open file pass whose path is empty, as the place tells; others go on behind it.
fn allow_empty(place: Nameless, empty: EmptyPath) -> [Instruction; 17] {
    let load = |offset| Instruction::new(LOAD_WORD, offset);
    // The first of the two jumps over the rest when it is taken, or not taken.
    let or_skip = |code, operand, rest| Instruction::branch(code, operand, 0, rest);
    [
        load(low_of(place.dirfd)),
        Instruction::branch(JUMP_SET, 1 << 31, 15, 0),
        load(low_of(place.flags)),
        or_skip(JUMP_EQUAL, empty.flags, 13),
        load(high_of(place.path)),
        Instruction::new(TO_X, 0),
        load(CODE + 4),
        or_skip(JUMP_EQUAL_X, 0, 9),
        load(low_of(place.path)),
        Instruction::new(TO_X, 0),
        load(CODE),
        Instruction::new(SUBTRACT_X, 0),
        or_skip(JUMP_EQUAL, empty.distance.cast_unsigned(), 4),
        load(CODE),
        Instruction::new(AND, 0xfff),
        or_skip(JUMP_EQUAL, empty.offset.into(), 1),
        Instruction::new(RETURN, RET_ALLOW),
    ]
}

/// `instruction_pointer` of `struct seccomp_data`.
const CODE: u32 = 8;

/// Where `struct seccomp_data` has the low half of an argument.
const fn low_of(argument: u8) -> u32 {
    16 + 8 * argument as u32
}

const fn high_of(argument: u8) -> u32 {
    low_of(argument) + 4
}

fn compare(offset: u32, mask: u32, value: u32) -> Vec<Instruction> {
    let mut code = vec![Instruction::new(LOAD_WORD, offset)];
    if mask != u32::MAX {
        code.push(Instruction::new(AND, mask));
    }
    code.push(Instruction::branch(JUMP_EQUAL, value & mask, 0, 0));
    code
}

#[expect(clippy::cast_possible_truncation, reason = "the low word is wanted")]
const fn low(value: u64) -> u32 {
    value as u32
}

const fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::ptrace::sys::kernel_accepts;

    /// Runs the program on a call as the kernel does (`Documentation/networking/filter.rst`); every path must return.
    fn run(program: &[Instruction], arch: u32, number: u32, code: u64, args: [u64; 6]) -> u32 {
        let word = |offset: u32| match offset {
            0 => number,
            4 => arch,
            8 => low(code),
            12 => high(code),
            16..64 => {
                let register = args[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { low(register) } else { high(register) }
            }
            _ => panic!("loads from {offset}"),
        };
        let (mut at, mut accumulator, mut index) = (0, 0, 0);
        loop {
            let instruction = program[at];
            let operand = instruction.operand;
            let branch = |holds: bool| usize::from(if holds { instruction.jump_true } else { instruction.jump_false });
            at += 1 + match instruction.code {
                LOAD_WORD => {
                    accumulator = word(operand);
                    0
                }
                AND => {
                    accumulator &= operand;
                    0
                }
                SUBTRACT_X => {
                    accumulator = u32::wrapping_sub(accumulator, index);
                    0
                }
                TO_X => {
                    index = accumulator;
                    0
                }
                JUMP => operand as usize,
                JUMP_EQUAL => branch(accumulator == operand),
                JUMP_EQUAL_X => branch(accumulator == index),
                JUMP_GREATER_EQUAL => branch(accumulator >= operand),
                JUMP_SET => branch(accumulator & operand != 0),
                RETURN => return operand,
                code => panic!("code {code:#x}"),
            };
        }
    }

    fn any_known() -> impl Strategy<Value = Known> {
        let registers = prop::sample::subsequence(vec![0u8, 1, 2, 3, 4, 5], 1..3).prop_flat_map(|indices| {
            let masks = prop::sample::select(vec![u64::MAX, 0xffff_ffff, 0x7f, 0xffff_ffff_0000_0000]);
            let count = indices.len();
            (Just(indices), prop::collection::vec(masks, count))
        });
        let values = registers.prop_flat_map(|(indices, masks)| {
            let registers: Vec<_> = indices.into_iter().zip(masks).collect();
            let one = prop_oneof![0..4u64, any::<u64>()];
            let list = prop::collection::vec(one, registers.len());
            (Just(registers), prop::collection::btree_set(list, 1..20))
        });
        prop_oneof![
            3 => Just(Known::Always),
            1 => values.prop_map(|(registers, seen)| {
                let masked = seen.iter().map(|list: &Vec<u64>| {
                    registers.iter().zip(list).map(|((_, mask), value)| value & mask).collect()
                });
                Known::Values { seen: masked.collect(), registers }
            }),
        ]
    }

    fn allows(known: &KnownCalls, extent: Extent, number: u32, args: [u64; 6]) -> bool {
        match known.calls.get(&number) {
            None => false,
            Some(Known::Values { seen, .. }) if seen.len() > extent.values => false,
            Some(Known::Always) => true,
            Some(Known::Values { registers, seen }) => seen
                .contains(&registers.iter().map(|&(index, mask)| args[usize::from(index)] & mask).collect::<Vec<_>>()),
        }
    }

    fn any_unless() -> impl Strategy<Value = Unless> {
        (0..6u8, prop::sample::select(vec![0, 0x40, 0x8000_0241]))
            .prop_map(|(argument, bits)| Unless { argument, bits })
    }

    const FSTAT: u32 = 262;
    const PLACE: Nameless = Nameless { dirfd: 0, path: 1, flags: 3 };

    fn any_empty_path() -> impl Strategy<Value = EmptyPath> {
        let flags = prop::sample::select(vec![0x1000, 0x1100]);
        (flags, any::<i32>(), 0..0x1000u16).prop_map(|(flags, distance, offset)| EmptyPath {
            number: FSTAT,
            flags,
            distance,
            offset,
        })
    }

    fn any_empty_paths() -> impl Strategy<Value = BTreeSet<EmptyPath>> {
        prop_oneof![2 => 0..16usize, 1 => 200..300usize]
            .prop_flat_map(|count| prop::collection::btree_set(any_empty_path(), count))
    }

    /// Calls by which one is used: from its instruction with its path, and with one thing changed.
    fn uses(empty: EmptyPath, page: u64) -> Vec<(u64, [u64; 6])> {
        let code = (page << 12 | u64::from(empty.offset)) & 0x7fff_ffff_ffff;
        let path = code.wrapping_sub_signed(empty.distance.into());
        let args = [3, path, 0, empty.flags.into(), 0, 0];
        let other = |index: usize, bits: u64| {
            let mut args = args;
            args[index] ^= bits;
            (code, args)
        };
        let moved = (code ^ 1 << 33, other(1, 1 << 33).1);
        vec![
            (code, args),
            moved,
            (code + 1, args),
            (code + 1, other(1, 0).1),
            other(0, 1 << 31),
            other(1, 1),
            other(1, 1 << 40),
            other(3, 0x400),
        ]
    }

    fn is_nameless(known: &KnownCalls, number: u32, code: u64, args: [u64; 6]) -> bool {
        let apart = |empty: &EmptyPath| code.wrapping_sub(args[1]) == i64::from(empty.distance).cast_unsigned();
        known.empty_paths.iter().any(|empty| {
            empty.number == number
                && low(args[0]) >> 31 == 0
                && low(args[3]) == empty.flags
                && apart(empty)
                && high(code) == high(args[1])
                && code & 0xfff == u64::from(empty.offset)
        })
    }

    /// What is to become of a native call.
    fn verdict(known: &KnownCalls, asks: bool, extent: Extent, number: u32, code: u64, args: [u64; 6]) -> u32 {
        let asked = known.foreseen.get(&number).filter(|_| asks);
        match asked.map(|unless| low(args[usize::from(unless.argument)]) & unless.bits) {
            _ if allows(known, extent, number, args) => RET_ALLOW,
            _ if extent.empty_paths && is_nameless(known, number, code, args) => RET_ALLOW,
            Some(0) => RET_ASK,
            _ => RET_TRACE,
        }
    }

    proptest! {
        #[test]
        fn allows_exactly_what_is_known(
            calls in prop::collection::btree_map(0..470u32, any_known(), 0..200),
            foreseen in prop::collection::btree_map(0..470u32, any_unless(), 0..30),
            asks: bool,
            empty_paths in any_empty_paths(),
            page: u64,
            probes in prop::collection::vec((0..480u32, any::<[u64; 6]>()), 50),
        ) {
            let known = KnownCalls { calls, foreseen, empty_paths, nameless: [(FSTAT, PLACE)].into() };
            let (extent, program) = fitted(&known, asks);
            prop_assert!(program.len() <= LIMIT);
            let bytes: Vec<_> = program.iter().map(|instruction| instruction.to_bytes()).collect();
            prop_assert!(kernel_accepts(&bytes));
            let native = Abi::native().audit_arch();
            let probes = probes.into_iter().chain(known.calls.iter().flat_map(|(&number, call)| {
                // Every known list itself, and each with one bit changed.
                let lists = match call {
                    Known::Always => BTreeSet::from([vec![]]),
                    Known::Values { seen, .. } => seen.clone(),
                };
                let registers = match call {
                    Known::Always => Vec::new(),
                    Known::Values { registers, .. } => registers.clone(),
                };
                lists.into_iter().flat_map(move |list| {
                    let mut args = [0; 6];
                    for (&(index, _), value) in registers.iter().zip(&list) {
                        args[usize::from(index)] = *value;
                    }
                    let flipped = registers.first().map(|&(index, _)| {
                        let mut other = args;
                        other[usize::from(index)] ^= 1 << 33;
                        (number, other)
                    });
                    std::iter::once((number, args)).chain(flipped)
                }).collect::<Vec<_>>()
            }));
            let foreseen = known.foreseen.iter().map(|(&number, unless)| (number, [u64::from(unless.bits); 6]));
            let anywhere = probes.into_iter().chain(foreseen).map(|(number, args)| (number, page, args));
            let nameless = known.empty_paths.iter().flat_map(|empty| uses(*empty, page));
            for (number, code, args) in anywhere.chain(nameless.map(|(code, args)| (FSTAT, code, args))) {
                let expected = verdict(&known, asks, extent, number, code, args);
                prop_assert_eq!(run(&program, native, number, code, args), expected, "call {} {:x?}", number, args);
                prop_assert_eq!(run(&program, Abi::I386.audit_arch(), number, code, args), RET_TRACE);
                prop_assert_eq!(run(&program, native, number | X32_BIT, code, args), RET_TRACE);
            }
            for empty in known.empty_paths.iter().filter(|_| extent.empty_paths) {
                let (code, args) = uses(*empty, 0x7_ffff_0000)[0];
                let near = high(code) == high(args[1]);
                prop_assert!(!near || run(&program, native, FSTAT, code, args) == RET_ALLOW);
            }
        }
    }

    #[test]
    fn the_kernel_takes_what_is_left_of_too_many_empty_paths() {
        let empty = |distance| EmptyPath { number: FSTAT, flags: 0x1000, distance, offset: 0 };
        let known = KnownCalls {
            calls: [(1, Known::Always)].into(),
            empty_paths: (0..300).map(empty).collect(),
            nameless: [(FSTAT, PLACE)].into(),
            ..KnownCalls::default()
        };
        let (extent, program) = fitted(&known, false);
        assert!(!extent.empty_paths && program.len() <= LIMIT);
        assert_eq!(run(&program, Abi::native().audit_arch(), 1, 0, [0; 6]), RET_ALLOW);
    }

    #[test]
    fn too_much_to_tell_apart_always_stops() {
        let many = (0..=VALUES_LIMIT as u64).map(|value| vec![value]).collect();
        let calls = [(16, Known::Values { registers: vec![(1, u64::MAX)], seen: many }), (1, Known::Always)];
        let foreseen = [(16, Unless::default())].into();
        let known = KnownCalls { calls: calls.into(), foreseen, ..KnownCalls::default() };
        let native = Abi::native().audit_arch();
        for (asks, expected) in [(false, RET_TRACE), (true, RET_ASK)] {
            let program = program(&known, asks);
            assert_eq!(run(&program, native, 16, 0, [0; 6]), expected);
            assert_eq!(run(&program, native, 1, 0, [0; 6]), RET_ALLOW);
        }
    }
}
