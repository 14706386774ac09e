//! The table of files.

/// A file of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: &'static [u8],
    /// The same, compressed with gzip, where that is shorter.
    pub gzip: Option<&'static [u8]>,
    /// True if another content would have another name, so that it may be kept for ever.
    pub immutable: bool,
}

/// By path, sorted.
static FILES: &[(&str, File)] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

static NOT_BUILT: File = File {
    content_type: "text/html; charset=utf-8",
    body: include_bytes!("not_built.html"),
    gzip: None,
    immutable: false,
};

/// Whether this binary holds the console.
#[must_use]
pub fn is_built() -> bool {
    !FILES.is_empty()
}

/// The file at `path`, which does not begin with a slash; `index.html` is always there.
#[must_use]
pub fn file(path: &str) -> Option<File> {
    if FILES.is_empty() {
        return (path == "index.html").then_some(NOT_BUILT);
    }
    let at = FILES.binary_search_by_key(&path, |(name, _)| name).ok()?;
    FILES.get(at).map(|(_, file)| *file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_whether_or_not_the_console_was_built() {
        let page = file("index.html").unwrap();
        assert_eq!(page.content_type, "text/html; charset=utf-8");
        assert!(!page.immutable && !page.body.is_empty());
        assert_eq!(file("assets/nothing.js"), None);
        assert_eq!(file("../Cargo.toml"), None);
    }

    #[test]
    fn every_file_is_found_by_its_name_and_no_page_asks_for_anything_outside() {
        assert!(FILES.is_sorted_by_key(|(name, _)| name));
        for (name, entry) in FILES {
            assert_eq!(file(name), Some(*entry));
            let text = String::from_utf8_lossy(entry.body);
            let outside = ["src=\"http", "href=\"http", "@import", "url(http", "style=\""];
            let found = outside.iter().find(|word| text.contains(**word));
            assert!(entry.content_type.starts_with("text/javascript") || found.is_none(), "{name}");
        }
    }
}
