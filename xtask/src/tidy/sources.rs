//! Rules on Rust files.

use crate::tidy::Tree;
use crate::tidy::finding::Finding;
use crate::tidy::tree::File;

const LINES_MAX: usize = 600;
/// Written in two parts, so that this file does not find itself.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("SKELE", "TON")];

/// Every file opens with `//!`.
pub(crate) fn opens_with_its_purpose(tree: &Tree) -> Vec<Finding> {
    let silent = tree.rust().filter(|file| !file.text.starts_with("//! "));
    let finding = |file: &File| {
        Finding::new(
            (&file.path, 1),
            "does not open with `//!`",
            "a reader wants to know first what a file is for",
            "say it in one sentence on line 1",
        )
    };
    silent.map(finding).collect()
}

/// Files are short; their tests don't count.
pub(crate) fn is_not_too_long(tree: &Tree) -> Vec<Finding> {
    let code = tree.rust().filter(|file| !is_test_file(file));
    let long = code.map(|file| (file, length_without_tests(file))).filter(|(_, n)| *n > LINES_MAX);
    let finding = |(file, length): (&File, usize)| {
        Finding::new(
            (&file.path, LINES_MAX + 1),
            format!("{length} lines without tests, more than {LINES_MAX}"),
            "a file is one idea",
            "split it by noun",
        )
    };
    long.map(finding).collect()
}

/// No unfinished work without an issue that holds it.
pub(crate) fn leaves_nothing_unfinished(tree: &Tree) -> Vec<Finding> {
    let ends = [".rs", ".c", ".h", ".toml", ".sh", ".yaml"];
    let ours = tree.files().filter(|file| ends.iter().any(|end| file.path.ends_with(end)));
    let lines = ours.flat_map(|file| file.lines().map(move |(number, line)| (file, number, line)));
    let finding = |(file, number, line): (&File, usize, &str)| {
        let mark = MARKS.iter().find(|mark| is_mark(line, mark))?;
        (!line.contains(&format!("{mark}(#"))).then(|| {
            Finding::new(
                (&file.path, number),
                format!("`{mark}` without an issue"),
                "unfinished work that no list holds is forgotten",
                format!("finish it, or write `{mark}(#number)`"),
            )
        })
    };
    lines.filter_map(finding).collect()
}

/// `#[expect]` says when it is no longer needed; `#[allow]` stays for ever.
pub(crate) fn expects_instead_of_allowing(tree: &Tree) -> Vec<Finding> {
    let marks = [concat!("#[", "allow("), concat!("#![", "allow(")];
    let lines = tree.rust().flat_map(|file| file.lines().map(move |line| (file, line)));
    let guilty = lines.filter(|(_, (_, line))| marks.iter().any(|m| line.trim().starts_with(m)));
    let finding = |(file, (number, _)): (&File, (usize, &str))| {
        Finding::new(
            (&file.path, number),
            "uses `allow`",
            "an allowance outlives its cause unseen",
            "write `#[expect(lint, reason = \"...\")]`",
        )
    };
    guilty.map(finding).collect()
}

/// `lib.rs` and `mod.rs` are tables of contents.
pub(crate) fn has_no_logic_in_the_root_module(tree: &Tree) -> Vec<Finding> {
    let roots = tree.rust().filter(|file| matches!(file.name(), "lib.rs" | "mod.rs"));
    let lines = roots.flat_map(|file| code_lines(file).map(move |line| (file, line)));
    let guilty = lines.filter(|(_, (_, line))| is_function_head(line));
    let finding = |(file, (number, _)): (&File, (usize, &str))| {
        Finding::new(
            (&file.path, number),
            format!("a function in {}", file.name()),
            "it is the table of contents: docs, `mod`, `pub use`",
            "move it to a file named for it",
        )
    };
    guilty.map(finding).collect()
}

fn is_mark(line: &str, mark: &str) -> bool {
    let boundary = |c: Option<char>| !c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    line.match_indices(mark).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = rest.get(mark.len()..).unwrap_or_default();
        boundary(before.chars().next_back()) && boundary(after.chars().next())
    })
}

fn is_test_file(file: &File) -> bool {
    file.name() == "tests.rs" || file.path.split('/').any(|part| part == "tests")
}

/// Lines before `#[cfg(test)]` followed by `mod tests`, which by custom is the file's foot.
fn code_lines(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.lines().take(length_without_tests(file))
}

fn length_without_tests(file: &File) -> usize {
    let lines = file.text.lines().collect::<Vec<_>>();
    let opens = |pair: &[&str]| {
        matches!(pair, [first, second]
            if first.trim() == "#[cfg(test)]" && second.starts_with("mod tests"))
    };
    lines.windows(2).position(opens).unwrap_or(lines.len())
}

/// A line that begins a function with a body. Heads in traits end with `;` and are no logic.
fn is_function_head(line: &str) -> bool {
    let mut words = line.trim().split(' ').skip_while(|word| {
        word.starts_with("pub")
            || matches!(*word, "const" | "async" | "unsafe" | "extern" | "\"C\"")
    });
    words.next() == Some("fn") && !line.trim_end().ends_with(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(check: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_file_without_a_purpose_is_found_and_one_with_it_is_not() {
        assert_eq!(found(opens_with_its_purpose, "a.rs", "use x;\n"), [1]);
        assert_eq!(found(opens_with_its_purpose, "a.rs", "//! Adds.\nuse x;\n"), [0; 0]);
        assert_eq!(found(opens_with_its_purpose, "a.c", "int x;\n"), [0; 0]);
    }

    #[test]
    fn code_counts_and_tests_do_not() {
        let code = "line\n".repeat(600);
        let tests = format!("{code}#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert_eq!(found(is_not_too_long, "a.rs", &tests), [0; 0]);
        assert_eq!(found(is_not_too_long, "a.rs", &format!("{code}line\n")), [601]);
        assert_eq!(found(is_not_too_long, "crates/a/tests/it/x.rs", &code.repeat(2)), [0; 0]);
    }

    #[test]
    fn unfinished_work_needs_an_issue() {
        let mark = MARKS[0];
        assert_eq!(found(leaves_nothing_unfinished, "a.rs", &format!("x\n// {mark} later\n")), [2]);
        assert_eq!(
            found(leaves_nothing_unfinished, "a.rs", &format!("// {mark}(#7): x\n")),
            [0; 0]
        );
        assert_eq!(found(leaves_nothing_unfinished, "a.rs", "let TODOS = 1;\n"), [0; 0]);
        assert_eq!(found(leaves_nothing_unfinished, "a.h", &format!("/* {} */\n", MARKS[2])), [1]);
    }

    #[test]
    fn an_allowance_is_found_and_an_expectation_is_not() {
        let allow = format!("    {}dead_code)]\n", concat!("#[", "allow("));
        assert_eq!(found(expects_instead_of_allowing, "a.rs", &allow), [1]);
        let expect = "#[expect(dead_code, reason = \"x\")]\n";
        assert_eq!(found(expects_instead_of_allowing, "a.rs", expect), [0; 0]);
    }

    #[test]
    fn functions_in_the_table_of_contents_are_found_and_elsewhere_they_are_not() {
        let check = has_no_logic_in_the_root_module;
        assert_eq!(found(check, "crates/a/src/lib.rs", "//! A.\npub fn x() {}\n"), [2]);
        assert_eq!(found(check, "a/mod.rs", "pub(crate) async fn x() {\n}\n"), [1]);
        assert_eq!(
            found(check, "crates/a/src/lib.rs", "pub trait T {\n    fn x(&self);\n}\n"),
            [0; 0]
        );
        assert_eq!(found(check, "crates/a/src/main.rs", "fn main() {}\n"), [0; 0]);
        assert_eq!(found(check, "lib.rs", "#[cfg(test)]\nmod tests {\n    fn x() {}\n}\n"), [0; 0]);
    }
}
