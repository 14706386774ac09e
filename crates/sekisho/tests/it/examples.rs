//! The pages of examples that work on files: each command is typed, and prints what the page says.

use std::path::Path;

use crate::ci::shell;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

/// The commands of a page's `console` blocks, each with what it prints.
fn commands(page: &str) -> Vec<(String, String)> {
    let blocks = page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut found: Vec<(String, String)> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        if let Some(command) = line.strip_prefix("$ ") {
            found.push((command.to_owned(), String::new()));
        } else {
            let (_, printed) = found.last_mut().expect("a block begins with a command");
            printed.push_str(&format!("{line}\n"));
        }
    }
    found
}

#[test]
fn the_page_of_the_bank_tells_what_the_commands_print() {
    let folder = Path::new(EXAMPLES).join("bank");
    let page = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let commands = commands(&page);
    assert!(commands.len() >= 7, "the page has {} commands", commands.len());
    for (command, printed) in commands {
        let answer = shell(&folder, &format!("set +e; {command}"), &[]);
        let said = String::from_utf8_lossy(&answer.stdout);
        assert_eq!(said, printed, "{command}\n{}", String::from_utf8_lossy(&answer.stderr));
    }
}
