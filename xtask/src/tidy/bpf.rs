//! Rules on the kernel programs in bpf/.

use std::path::Path;

use crate::format::{CLANG_FORMAT_MAJOR, clang_format};
use crate::run;
use crate::tidy::Tree;
use crate::tidy::finding::Finding;
use crate::tidy::tree::File;

const SPDX: &str = "SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)";
const HOOK_LINES_MAX: usize = 200;
const SHARED_LINES_MAX: usize = 300;

/// Line 1 of each file names the licence.
pub(crate) fn names_its_licence(tree: &Tree) -> Vec<Finding> {
    let first = |file: &File| file.text.lines().next().unwrap_or_default().to_owned();
    let silent = tree.c_sources().filter(|file| !first(file).contains(SPDX));
    let finding = |file: &File| {
        Finding::new(
            (&file.path, 1),
            "line 1 names no licence, or another one",
            "the kernel loads helpers for GPL programs only, and users may want BSD",
            format!("write `// {SPDX}`"),
        )
    };
    silent.map(finding).collect()
}

/// One hook per file, short enough to check by eye against the verifier.
pub(crate) fn is_not_too_long(tree: &Tree) -> Vec<Finding> {
    let finding = |file: &File| {
        let limit = if file.path.starts_with("bpf/hooks/") {
            HOOK_LINES_MAX
        } else if file.path.starts_with("bpf/lib/") {
            SHARED_LINES_MAX
        } else {
            return None;
        };
        let lines = file.text.lines().count();
        (lines > limit).then(|| {
            Finding::new(
                (&file.path, limit + 1),
                format!("{lines} lines, more than {limit}"),
                "what runs in the kernel must be checkable by eye",
                "move shared parts to bpf/lib/, or split the hook",
            )
        })
    };
    tree.c_sources().filter_map(finding).collect()
}

/// Formatted as .clang-format says. Not checked, and said so, where clang-format is not installed.
pub(crate) fn is_formatted(root: &Path, tree: &Tree) -> Vec<Finding> {
    if clang_format().is_none() {
        println!("clang-format {CLANG_FORMAT_MAJOR} is not here: the form of bpf/ is not checked");
        return Vec::new();
    }
    let is_right = |file: &&File| {
        let Some(mut program) = clang_format() else { return true };
        run::works(program.current_dir(root).args(["--dry-run", "-Werror", "--", &file.path]))
    };
    let finding = |file: &File| {
        Finding::new(
            (&file.path, 1),
            "is not formatted as .clang-format says",
            "a diff shows what changed, not who wrote it",
            "run `cargo xtask fmt`",
        )
    };
    tree.c_sources().filter(|file| !is_right(file)).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_out_of_form_is_found_and_a_formatted_one_is_not() {
        if clang_format().is_none() {
            println!("did not run: no clang-format {CLANG_FORMAT_MAJOR}");
            return;
        }
        let root = std::env::temp_dir().join(format!("sekisho-xtask-form-{}", std::process::id()));
        std::fs::create_dir_all(root.join("bpf/lib")).unwrap();
        let style = crate::workspace::root().join(".clang-format");
        std::fs::copy(style, root.join(".clang-format")).unwrap();
        let files = [("bpf/lib/bad.h", "int  x;\n"), ("bpf/lib/good.h", "int x;\n")];
        for (path, text) in files {
            std::fs::write(root.join(path), text).unwrap();
        }
        let paths = is_formatted(&root, &Tree::of(&files)).into_iter().map(|f| f.path);
        assert_eq!(paths.collect::<Vec<_>>(), ["bpf/lib/bad.h"]);
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_missing_licence_is_found_and_the_right_one_is_not() {
        let good = format!("// {SPDX}\nint x;\n");
        let tree = Tree::of(&[
            ("bpf/hooks/a.bpf.c", "int x;\n"),
            ("bpf/hooks/b.bpf.c", &good),
            ("bpf/lib/c.h", "// SPDX-License-Identifier: GPL-2.0-only\n"),
            ("other/d.c", "int x;\n"),
        ]);
        let paths = names_its_licence(&tree).into_iter().map(|f| f.path).collect::<Vec<_>>();
        assert_eq!(paths, ["bpf/hooks/a.bpf.c", "bpf/lib/c.h"]);
    }

    #[test]
    fn hooks_and_shared_code_have_limits_of_their_own() {
        let long = "x\n".repeat(201);
        let longer = "x\n".repeat(301);
        let tree = Tree::of(&[
            ("bpf/hooks/a.bpf.c", &long),
            ("bpf/lib/fits.h", &long),
            ("bpf/lib/long.h", &longer),
        ]);
        let paths = is_not_too_long(&tree).into_iter().map(|f| f.path).collect::<Vec<_>>();
        assert_eq!(paths, ["bpf/hooks/a.bpf.c", "bpf/lib/long.h"]);
    }
}
