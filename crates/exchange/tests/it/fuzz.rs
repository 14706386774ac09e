//! The checks of the fuzz targets on stable: each broken file and each good sample, as it is and changed
//! at random from fixed seeds; and one line of a gigabyte. Memory is measured in a process of its own.

use std::path::Path;
use std::process::Stdio;

use sekisho_exchange::Format;

use crate::samples::sample;
use target::{Nobody, begin, check};

#[path = "../../../../fuzz/target.rs"]
mod target;

/// Changed files for each file.
const ROUNDS: &str = "SEKISHO_FUZZ_ROUNDS";
const ROUNDS_USUAL: u64 = 150;
/// Says to the test binary, run again, which part it is.
const PART: &str = "SEKISHO_FUZZ_PART";
const CHANGED: &str = "changed";
const GIGABYTE: &str = "gigabyte";
/// Bytes of a file after its change, at most.
const FILE_BYTES_MAX: usize = 64 << 10;
/// What changed files of some kilobytes may take, with all that the test program is.
const CHANGED_KIB_MAX: u64 = 48 << 10;
/// What a gigabyte without an end of line may take: the longest document and its copy.
const GIGABYTE_KIB_MAX: u64 = 64 << 10;

/// Broken files of a format, by name.
fn broken(format: Format) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken").join(format.name());
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn what_a_broken_file_gives_is_counted_with_its_reasons() {
    let mut told = String::new();
    for format in Format::all() {
        for (name, bytes) in broken(format) {
            check(format, &bytes);
            let (mut import, mut flows) = (begin(format), Vec::new());
            import.feed(&bytes, &Nobody, &mut flows);
            import.end(&Nobody, &mut flows);
            let tally = import.tally();
            if name == "noise.bin" {
                assert_eq!(flows.len(), 0, "{format}");
                assert!(tally.rejected_sum() > 0, "{format}");
                continue;
            }
            told.push_str(&format!("{format}/{name}: {} flows", flows.len()));
            for (reason, one) in &tally.rejected {
                told.push_str(&format!("; {}x {reason}", one.count));
            }
            for (reason, count) in &tally.skipped {
                told.push_str(&format!("; {count}x left out: {reason}"));
            }
            if tally.lost > 0 {
                told.push_str(&format!("; {} lost", tally.lost));
            }
            told.push('\n');
        }
    }
    insta::assert_snapshot!(told);
}

/// Numbers that look random (splitmix64, Steele et al. 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

/// Words that decide something in one format or another.
const WORDS: &[&[u8]] = &[
    b"\n",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\\",
    b"\0",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"18446744073709551616",
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"::ffff:1.2.3.4",
    b"\xed\xa0\x80",
    b"\x7f\xff\xff\xff",
    b"\t",
    b" - ",
    b"\r\n",
    b"\\u0000",
    b"9999-99-99T99:99:99Z",
];

/// Changes `file` in a few places; `other` lends pieces.
fn change(mut file: Vec<u8>, other: &[u8], dice: &mut Dice) -> Vec<u8> {
    for _ in 0..=dice.below(6) {
        let at = dice.below(file.len() + 1);
        let to = (at + dice.below(40)).min(file.len());
        match dice.below(8) {
            0 => file.truncate(at),
            1 => drop(file.drain(at..to)),
            2 => drop(file.splice(at..at, WORDS[dice.below(WORDS.len())].iter().copied())),
            3 => drop(file.splice(at..to, WORDS[dice.below(WORDS.len())].iter().copied())),
            4 => {
                let part = file[at..to].to_vec();
                file.splice(at..at, part.repeat(1 + dice.below(8)));
            }
            5 => {
                let from = dice.below(other.len() + 1);
                let part = &other[from..(from + dice.below(200)).min(other.len())];
                file.splice(at..at, part.iter().copied());
            }
            _ => {
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
    file.truncate(FILE_BYTES_MAX);
    file
}

fn check_changed(format: Format, rounds: u64) {
    let mut files: Vec<(String, Vec<u8>)> = broken(format);
    files.push(("sample".to_owned(), sample(format)));
    for (number, (name, bytes)) in (0..).zip(&files) {
        for round in 0..rounds {
            let mut dice = Dice(number << 32 | round);
            let other = &files[dice.below(files.len())].1;
            let changed = change(bytes.clone(), other, &mut dice);
            let outcome = std::panic::catch_unwind(|| check(format, &changed));
            assert!(outcome.is_ok(), "{format}, {name}, round {round}: {}", readable(&changed));
        }
    }
}

fn readable(bytes: &[u8]) -> String {
    bytes.iter().take(2_000).map(|byte| byte.escape_ascii().to_string()).collect()
}

/// A gigabyte that is made up while it is read.
fn read_gigabyte(format: Format) {
    const PIECE: usize = 256 << 10;
    let (mut import, mut flows) = (begin(format), Vec::new());
    let good = sample(format);
    import.feed(&good, &Nobody, &mut flows);
    // A text within an object without end; a line, a word or a frame that can't be for others.
    import.feed(b"{\"a\":\"", &Nobody, &mut flows);
    let piece = vec![b'x'; PIECE];
    for _ in 0..(1 << 30) / PIECE {
        import.feed(&piece, &Nobody, &mut flows);
    }
    import.end(&Nobody, &mut flows);
    assert!(import.tally().rejected_sum() > 0, "{format}: {:?}", import.tally());
    let (mut alone, mut expected) = (begin(format), Vec::new());
    alone.feed(&good, &Nobody, &mut expected);
    alone.end(&Nobody, &mut expected);
    assert_eq!(flows, expected, "{format}: what stands before it is read, and nothing else");
}

/// Most memory that this process ever had, KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// Not a test of its own: a part, in a process whose memory is measured.
#[test]
fn child() {
    let Ok(part) = std::env::var(PART) else { return };
    let (part, format) = part.split_once(' ').unwrap();
    let format: Format = format.parse().unwrap();
    let rounds = std::env::var(ROUNDS).ok().and_then(|text| text.parse().ok());
    match part {
        CHANGED => check_changed(format, rounds.unwrap_or(ROUNDS_USUAL)),
        GIGABYTE => read_gigabyte(format),
        _ => panic!("no part `{part}`"),
    }
    println!("peak {}", peak_kib());
}

#[expect(clippy::disallowed_methods, reason = "this program again, for a memory of its own")]
fn peak_of(part: &str, format: Format) -> u64 {
    let done = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fuzz::child", "--nocapture", "--test-threads=1"])
        .env(PART, format!("{part} {format}"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&done.stdout);
    let peak = out.lines().find_map(|line| line.split_once("peak ")?.1.trim().parse().ok());
    peak.unwrap_or_else(|| panic!("{out}\n{}", String::from_utf8_lossy(&done.stderr)))
}

#[test]
fn changed_files_break_no_importer_in_bounded_memory() {
    for format in Format::all() {
        let peak = peak_of(CHANGED, format);
        println!("{format}: {peak} KiB at most");
        assert!(peak <= CHANGED_KIB_MAX, "{format}: {peak} KiB");
    }
}

#[test]
fn a_line_of_a_gigabyte_is_refused_in_bounded_memory() {
    for format in Format::all() {
        let peak = peak_of(GIGABYTE, format);
        println!("{format}: {peak} KiB at most");
        assert!(peak <= GIGABYTE_KIB_MAX, "{format}: {peak} KiB");
    }
}
