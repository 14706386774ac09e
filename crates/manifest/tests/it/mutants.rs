//! Hostile texts: mutations of real-looking ones, and bombs. No panic, no hang, bounded memory.
//!
//! The mutations are a fuzzer's (bytes and tokens changed, cut, copied, spliced from another seed),
//! driven by a fixed sequence of numbers, so that a failing case is the same on every machine.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sekisho_manifest::{TEXT_BYTES_MAX, parse, read, to_json};

/// Mutated texts that are read.
const MUTANTS: u32 = 12_000;
/// Bytes that a mutant may have; seeds are shorter.
const MUTANT_BYTES_MAX: usize = 16 << 10;
/// Time that one mutant may take in an unoptimised build on a slow machine; usual are 2 ms.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Memory that the test process may ever have used, all tests of this file together.
const MEMORY_KIB_MAX: u64 = 1 << 20;
/// What mutations put in.
const TOKENS: [&str; 40] = [
    "\n",
    "\n  ",
    "\n      ",
    "\t",
    "- ",
    "? ",
    ": ",
    ", ",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "\\",
    "&a ",
    "*a",
    "*api",
    "<<: ",
    "|\n",
    ">-\n",
    "#",
    "---\n",
    "...\n",
    "%YAML 9\n",
    "!!int ",
    "!x ",
    "~",
    "null",
    "{}",
    "[]",
    "-1",
    "0",
    "65536",
    "1e99",
    "yes",
    "\u{feff}",
    "\u{0}",
    "\u{1f600}",
    "\\ud83d",
];

/// Numbers that look random (xorshift, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

fn seeds() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds");
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn place(text: &str, numbers: &mut Numbers) -> usize {
    let mut place = numbers.below(text.len() + 1);
    while !text.is_char_boundary(place) {
        place -= 1;
    }
    place
}

fn span(text: &str, numbers: &mut Numbers) -> (usize, usize) {
    let (a, b) = (place(text, numbers), place(text, numbers));
    (a.min(b), a.max(b))
}

/// A value of the text, from a `:` to the end of its line, as YAML has them.
fn value(text: &str, numbers: &mut Numbers) -> Option<(usize, usize)> {
    let from = place(text, numbers);
    let start = from + text.get(from..)?.find(": ")? + 2;
    let end = start + text.get(start..)?.find(['\n', ',', '}'])?;
    Some((start, end))
}

fn mutate(text: &mut String, other: &str, numbers: &mut Numbers) {
    match numbers.below(7) {
        0 => text.insert_str(place(text, numbers), TOKENS[numbers.below(TOKENS.len())]),
        1 => {
            let (start, end) = span(text, numbers);
            text.replace_range(start..end.min(start + numbers.below(40)).max(start), "");
        }
        2 => {
            let (start, end) = span(text, numbers);
            let piece = text[start..end].to_owned();
            text.insert_str(place(text, numbers), &piece);
        }
        3 => {
            let (start, end) = span(other, numbers);
            text.insert_str(place(text, numbers), &other[start..end]);
        }
        4 => {
            if let Some((start, end)) = value(text, numbers) {
                text.replace_range(start..end, TOKENS[numbers.below(TOKENS.len())]);
            }
        }
        5 => {
            if let (Some((start, end)), Some(theirs)) =
                (value(text, numbers), value(other, numbers))
            {
                text.replace_range(start..end, &other[theirs.0..theirs.1]);
            }
        }
        _ => {
            let at = place(text, numbers);
            if let Some(c) = text[at..].chars().next() {
                text.replace_range(at..at + c.len_utf8(), "");
            }
        }
    }
    let mut end = text.len().min(MUTANT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// Most memory that this process ever had, in KiB (Linux, proc(5) VmHWM).
fn memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn seeds_are_read_without_error() {
    for seed in seeds() {
        let reading = read("seed", &seed);
        assert_eq!(reading.errors, [], "{seed}");
        assert_eq!(reading.refusals, [], "{seed}");
        assert!(reading.objects.iter().all(|object| object.kind() != ""), "{seed}");
    }
}

#[test]
fn mutants_neither_panic_nor_hang_nor_grow() {
    let seeds = seeds();
    let mut numbers = Numbers(0x5eed);
    let (mut good, mut slowest) = (0, Duration::ZERO);
    for index in 0..MUTANTS {
        let mut text = seeds[numbers.below(seeds.len())].clone();
        let other = seeds[numbers.below(seeds.len())].clone();
        for _ in 0..=numbers.below(4) {
            mutate(&mut text, &other, &mut numbers);
        }
        let start = Instant::now();
        let reading = read("f", &text);
        let took = start.elapsed();
        slowest = slowest.max(took);
        assert!(took < TIME_MAX, "mutant {index} took {took:?}:\n{text}");
        for error in reading.errors.iter().chain(&reading.refusals) {
            assert!(error.line > 0 && error.column > 0, "mutant {index}: {error}\n{text}");
        }
        // What was read without complaint can be written and read again.
        if reading.errors.is_empty() && reading.refusals.is_empty() {
            good += 1;
            for object in &reading.objects {
                let json = to_json(object);
                assert!(object.meta().name.is_empty() || parse("f", &json).is_ok(), "{json}");
            }
        }
    }
    println!("{good} of {MUTANTS} mutants are still right; the slowest took {slowest:?}");
    assert!(good > MUTANTS / 100 && good < MUTANTS, "mutations are too rough or too mild: {good}");
    assert!(memory_kib() < MEMORY_KIB_MAX, "{} KiB", memory_kib());
}

/// Reads a bomb and looks for `words` in what is said of it.
fn refused(text: &str, words: &str) {
    let start = Instant::now();
    let reading = read("bomb", text);
    let took = start.elapsed();
    let first = reading.errors.first().map(ToString::to_string).unwrap_or_default();
    assert!(first.contains(words), "{words}: {first}");
    assert!(took < TIME_MAX * 10, "{words} took {took:?}");
    assert!(memory_kib() < MEMORY_KIB_MAX, "{words}: {} KiB", memory_kib());
}

#[test]
fn a_document_of_100_megabytes_is_refused_with_the_limit() {
    let text = "#".repeat(100 << 20);
    refused(&text, &format!("may not be longer than {TEXT_BYTES_MAX} bytes, found 104857600"));
    assert_eq!(read("f", &text[..1 << 20]).errors, []);
}

#[test]
fn deep_nesting_is_refused_with_the_limit_whatever_it_is_made_of() {
    for open in ["[", "{a: ", "- ", "? ", "{? ", "[{a: "] {
        refused(&format!("kind: X\nspec: \n  {}", open.repeat(100_000)), "deeper than 100 levels");
    }
    let below = format!("apiVersion: v1\nkind: X\nspec: {}{}", "[".repeat(98), "]".repeat(98));
    assert_eq!(read("f", &below).errors, []);
}

#[test]
fn brackets_that_never_close_are_refused_with_the_limit() {
    // The scanner would keep 200 bytes for each of these.
    for (open, item) in
        [("- [", "a,"), ("- {", "a: 1, "), ("? [", "\"b\",\n  "), ("k: \"", "long ")]
    {
        let text = format!("{open}{}", item.repeat((5 << 20) / item.len()));
        refused(&text, "may not be longer than 3145728 characters");
    }
    // JSON is in brackets as a whole, and may be longer.
    let item = r#"{"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}}"#;
    let items = vec![item; (5 << 20) / item.len()].join(",\n");
    let json = format!(r#"{{"apiVersion": "v1", "kind": "List", "items": [{items}]}}"#);
    let reading = read("f", &json);
    assert_eq!((reading.errors.len(), reading.objects.len()), (0, (5 << 20) / item.len()));
}

#[test]
fn columns_of_a_text_in_brackets_are_those_of_the_text() {
    for text in [r#"{"kind": X, "a": [}"#, "{\n\"kind\": X, \"a\": [}"] {
        let errors = read("f", text).errors;
        let line = text.lines().last().unwrap();
        assert_eq!(
            errors[0].column,
            u32::try_from(line.find('}').unwrap() + 1).unwrap(),
            "{errors:?}"
        );
    }
    let reading =
        read("f", r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 1}, "spec": {}}"#);
    assert_eq!((reading.errors[0].line, reading.errors[0].column), (1, 58), "{:?}", reading.errors);
}

#[test]
fn anchors_that_multiply_are_refused_with_the_limit() {
    // A billion laughs: each line is ten times the one above.
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    refused(&text, "copy more than 200000 values");
    // The same in merge keys, and with one long string.
    let mut text = "a0: &a0 {k0: v}\n".to_owned();
    for level in 1..30 {
        let (before, merges) = (level - 1, vec![format!("*a{}", level - 1); 10].join(", "));
        text.push_str(&format!("a{level}: &a{level} {{<<: [{merges}], k{level}: *a{before}}}\n"));
    }
    refused(&text, "copy more than 200000 values");
    let long = "x".repeat(100_000);
    let text = format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 10_000].join(", "));
    refused(&text, "copy more than 16777216 bytes");
    let keys: String = (0..1000).map(|n| format!("  ? *k\n  : {n}\n")).collect();
    refused(&format!("a: &k {long}\nb:\n{keys}"), "copy more than 16777216 bytes");
    // Below the bound aliases are what they stand for.
    let few =
        format!("apiVersion: v1\nkind: X\na: &a {long}\nb: [{}]\n", vec!["*a"; 100].join(", "));
    assert_eq!(read("f", &few).errors, []);
}

#[test]
fn work_is_linear_in_hostile_texts() {
    let count = 30_000;
    let spec =
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n";
    let unknown: String = (0..count).map(|n| format!("  egres{n}: {{}}\n")).collect();
    refused(&format!("{spec}{unknown}"), "unknown field");
    refused(&format!("{spec}{}", "  ingress: []\n".repeat(count)), "already given");
    // Lines that start with tabs in brackets are rewritten, and looked for in all brackets.
    let tabs = "\t[],\n".repeat(count);
    let _reading = read("f", &format!("a: [\n{tabs}]\nb: [\n{tabs}\n"));
    let quoted = "\"\\ud83d\\ude00\",\n".repeat(500);
    let _reading = read("f", &format!("[\n{quoted}"));
    let cluster = "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n\
                   metadata: {name: p}\nspec:\n  tier: Admin\n  priority: 1\n  subject: {namespaces: {}}\n  egress:\n";
    let peers = "{networks: [10.0.0.0/8]}, ".repeat(count);
    let rule =
        format!("  - {{action: Deny, protocols: [{{destinationNamedPort: x}}], to: [{peers}]}}\n");
    let reading = read("f", &format!("{cluster}{rule}"));
    assert!(reading.refusals[0].message.contains("may not hold more than 25 items, found 30000"));
    assert!(memory_kib() < MEMORY_KIB_MAX, "{} KiB", memory_kib());
}
