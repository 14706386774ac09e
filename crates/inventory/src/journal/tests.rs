//! Claims of the journal reader.

use std::fs::OpenOptions;
use std::io::Write;

use sekisho_base::error_chain;
use tempfile::TempDir;

use super::*;

fn line(name: &str) -> String {
    format!(
        r#"{{"time":"2026-11-23T01:31:14.250Z","type":"ADDED","object":{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{name}"}}}}}}"#
    ) + "\n"
}

struct Journal {
    folder: TempDir,
    reader: JournalReader,
    inventory: Inventory,
}

impl Journal {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let reader = JournalReader::new(&folder.path().join("journal.jsonl"));
        Self { folder, reader, inventory: Inventory::default() }
    }

    fn append(&self, text: &str) {
        let path = self.folder.path().join("journal.jsonl");
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn read(&mut self) -> JournalRead {
        self.reader.read_into(&mut self.inventory).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let objects = self.inventory.objects_at(Timestamp::MAX.minus_seconds(1));
        objects.iter().map(|object| object.meta().name.clone()).collect()
    }
}

#[test]
fn lines_are_applied_as_they_come_and_a_partial_one_waits() {
    let mut journal = Journal::new();
    assert_eq!(journal.read().applied, 0, "no file yet");
    let second = line("b");
    let (head, tail) = second.split_at(30);
    journal.append(&(line("a") + head));
    assert_eq!(journal.read().applied, 1);
    assert_eq!(journal.read().applied, 0);
    journal.append(tail);
    assert_eq!(journal.read().applied, 1);
    assert_eq!(journal.names(), ["a", "b"]);
    let path = journal.folder.path().join("journal.jsonl");
    let mut resumed = JournalReader::resume(&path, journal.reader.offset());
    assert_eq!(resumed.read_into(&mut journal.inventory).unwrap().applied, 0);
}

#[test]
fn a_truncated_or_replaced_journal_is_read_again() {
    let mut journal = Journal::new();
    journal.append(&(line("a") + &line("b")));
    journal.read();
    let path = journal.folder.path().join("journal.jsonl");
    std::fs::write(&path, line("c")).unwrap();
    let read = journal.read();
    assert!(read.restarted && read.applied == 1);
    std::fs::rename(&path, journal.folder.path().join("old")).unwrap();
    journal.append(&(line("c") + &line("d") + &line("e") + &line("f")));
    let read = journal.read();
    assert!(read.restarted && read.applied == 4);
    assert_eq!(journal.names(), ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn a_wrong_line_is_named_and_the_rest_is_applied() {
    let mut journal = Journal::new();
    let wrong_field = line("x").replace("metadata", "metadatas");
    journal.append(&line("a"));
    journal.append("not json\n");
    journal.append(&line("x").replace("ADDED", "CHANGED"));
    journal.append(&wrong_field);
    journal.append(&line("b"));
    let read = journal.read();
    assert_eq!((read.applied, read.skipped), (2, 3));
    let texts: Vec<_> = read.errors.iter().map(|error| error_chain(error)).collect();
    assert!(texts[0].contains("line 2: not a watch event"), "{texts:?}");
    assert!(texts[1].contains("line 3: field `type`: `CHANGED`"), "{texts:?}");
    assert!(texts[2].contains("line 4: field `object`"), "{texts:?}");
    assert!(texts[2].contains("metadata"), "{texts:?}");
    assert_eq!(journal.names(), ["a", "b"]);
}

#[test]
fn an_endless_line_is_skipped_without_being_held() {
    let mut journal = Journal::new();
    journal.append(&"x".repeat(READ_BYTES_MAX + LINE_BYTES_MAX));
    journal.append(&("\n".to_owned() + &line("a")));
    let (mut applied, mut skipped) = (0, 0);
    loop {
        let read = journal.read();
        applied += read.applied;
        skipped += read.skipped;
        if !read.more {
            break;
        }
    }
    assert_eq!((applied, skipped), (1, 1));
}
