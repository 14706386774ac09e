//! The table as objects: maps, chains and counters by name, and the nft text that makes them.
//!
//! Names come from content (hashes), so that two revisions name the same thing alike and
//! [`Layout::update_script`] is small when little changed.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Longest comment that nft stores, bytes (libnftnl NFTNL_UDATA_COMMENT_MAXLEN, less the NUL).
const COMMENT_BYTES_MAX: usize = 120;

/// A set or verdict map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MapDef {
    /// `set` or `map`.
    pub(crate) keyword: &'static str,
    /// Type and flags, in nft's words.
    pub(crate) header: String,
    /// Key -> verdict; the verdict is empty in a set.
    pub(crate) elements: BTreeMap<String, String>,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChainDef {
    /// Type, hook, priority and policy of a base chain; empty for others.
    pub(crate) header: String,
    /// Rules in order.
    pub(crate) rules: Vec<String>,
}

/// Everything in our table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Name of the table.
    pub(crate) table: &'static str,
    /// Counter name -> comment.
    pub(crate) counters: BTreeMap<String, String>,
    /// Sets and maps by name.
    pub(crate) maps: BTreeMap<String, MapDef>,
    /// Chains by name.
    pub(crate) chains: BTreeMap<String, ChainDef>,
}

impl MapDef {
    pub(crate) fn set(header: String) -> Self {
        Self { keyword: "set", header, elements: BTreeMap::new() }
    }

    pub(crate) fn map(header: String) -> Self {
        Self { keyword: "map", header, elements: BTreeMap::new() }
    }
}

impl Layout {
    /// Elements of all sets and maps.
    pub(crate) fn elements(&self) -> usize {
        self.maps.values().map(|map| map.elements.len()).sum()
    }

    /// One transaction that makes the table anew, whatever was there.
    pub(crate) fn replace_script(&self) -> String {
        let mut text = remove_script(self.table);
        line(&mut text, format_args!("table inet {} {{", self.table));
        for (name, comment) in &self.counters {
            line(&mut text, format_args!("\tcounter {name} {{ comment \"{comment}\"; }}"));
        }
        for (name, map) in &self.maps {
            line(&mut text, format_args!("\t{} {name} {{", map.keyword));
            line(&mut text, format_args!("\t\t{}", map.header));
            if !map.elements.is_empty() {
                let list = element_list(map.elements.iter(), ",\n\t\t\t");
                line(&mut text, format_args!("\t\telements = {{\n\t\t\t{list}\n\t\t}}"));
            }
            line(&mut text, format_args!("\t}}"));
        }
        for (name, chain) in &self.chains {
            line(&mut text, format_args!("\tchain {name} {{"));
            for rule in std::iter::once(&chain.header).chain(&chain.rules) {
                if !rule.is_empty() {
                    line(&mut text, format_args!("\t\t{rule}"));
                }
            }
            line(&mut text, format_args!("\t}}"));
        }
        text.push_str("}\n");
        text
    }

    /// One transaction that turns `old`, known to be in the kernel, into this layout and keeps the
    /// counts of what stays; None if a base chain or the kind of a set differs, which only a
    /// replacement can change.
    pub(crate) fn update_script(&self, old: &Self) -> Option<String> {
        let same_header = |name: &String, header: &String| {
            old.chains.get(name).is_none_or(|chain| chain.header == *header)
        };
        let same_kind = |name: &String, map: &MapDef| {
            old.maps
                .get(name)
                .is_none_or(|was| (was.keyword, &was.header) == (map.keyword, &map.header))
        };
        if old.table != self.table
            || !self.chains.iter().all(|(name, chain)| same_header(name, &chain.header))
            || !self.maps.iter().all(|(name, map)| same_kind(name, map))
        {
            return None;
        }
        let table = self.table;
        let mut text = String::new();
        self.add_new(old, &mut text);
        self.remove_stale(old, &mut text);
        self.fill(old, &mut text);
        for name in old.counters.keys().filter(|name| !self.counters.contains_key(*name)) {
            line(&mut text, format_args!("delete counter inet {table} {name}"));
        }
        Some(text)
    }

    /// Declares what is new, still empty, so that later lines may refer to it.
    fn add_new(&self, old: &Self, text: &mut String) {
        let table = self.table;
        for (name, comment) in &self.counters {
            if !old.counters.contains_key(name) {
                line(
                    text,
                    format_args!("add counter inet {table} {name} {{ comment \"{comment}\"; }}"),
                );
            }
        }
        for (name, map) in self.maps.iter().filter(|(name, _)| !old.maps.contains_key(*name)) {
            line(
                text,
                format_args!("add {} inet {table} {name} {{ {} }}", map.keyword, map.header),
            );
        }
        for (name, chain) in self.chains.iter().filter(|(name, _)| !old.chains.contains_key(*name))
        {
            let header = &chain.header;
            let body = if header.is_empty() { String::new() } else { format!(" {{ {header} }}") };
            line(text, format_args!("add chain inet {table} {name}{body}"));
        }
    }

    /// Drops rules, elements, maps and chains of `old` that are not wanted any more.
    fn remove_stale(&self, old: &Self, text: &mut String) {
        let table = self.table;
        for (name, chain) in &old.chains {
            if self.chains.get(name) != Some(chain) {
                line(text, format_args!("flush chain inet {table} {name}"));
            }
        }
        for (name, map) in &old.maps {
            let kept = self.maps.get(name);
            let stale: Vec<_> = map
                .elements
                .iter()
                .filter(|(key, verdict)| {
                    kept.and_then(|kept| kept.elements.get(*key)) != Some(verdict)
                })
                .collect();
            if stale.len() == map.elements.len() && !stale.is_empty() {
                line(text, format_args!("flush {} inet {table} {name}", map.keyword));
            } else if !stale.is_empty() {
                let list = element_list(stale.into_iter(), ", ");
                line(text, format_args!("delete element inet {table} {name} {{ {list} }}"));
            }
        }
        for (name, map) in old.maps.iter().filter(|(name, _)| !self.maps.contains_key(*name)) {
            line(text, format_args!("delete {} inet {table} {name}", map.keyword));
        }
        for name in old.chains.keys().filter(|name| !self.chains.contains_key(*name)) {
            line(text, format_args!("delete chain inet {table} {name}"));
        }
    }

    /// Adds elements and rules that `old` lacks.
    fn fill(&self, old: &Self, text: &mut String) {
        let table = self.table;
        for (name, map) in &self.maps {
            let had = old.maps.get(name);
            let new: Vec<_> = map
                .elements
                .iter()
                .filter(|(key, verdict)| {
                    had.and_then(|had| had.elements.get(*key)) != Some(verdict)
                })
                .collect();
            if !new.is_empty() {
                let list = element_list(new.into_iter(), ", ");
                line(text, format_args!("add element inet {table} {name} {{ {list} }}"));
            }
        }
        for (name, chain) in &self.chains {
            if old.chains.get(name) != Some(chain) {
                for rule in &chain.rules {
                    line(text, format_args!("add rule inet {table} {name} {rule}"));
                }
            }
        }
    }
}

/// Removes a table, whether it is there or not.
pub(crate) fn remove_script(table: &str) -> String {
    format!("table inet {table} {{}}\ndelete table inet {table}\n")
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    writeln!(text, "{content}").ok();
}

fn element_list<'a>(
    elements: impl Iterator<Item = (&'a String, &'a String)>,
    separator: &str,
) -> String {
    let mut list = String::new();
    for (key, verdict) in elements {
        if !list.is_empty() {
            list.push_str(separator);
        }
        list.push_str(key);
        if !verdict.is_empty() {
            list.push_str(" : ");
            list.push_str(verdict);
        }
    }
    list
}

/// Makes `text` fit between an nft comment's quotes: what could end the quotes, or is not ASCII,
/// becomes `?`, and it is cut at nft's limit.
pub(crate) fn comment(text: &str) -> String {
    let safe = |letter: char| {
        letter.is_ascii_alphanumeric()
            || matches!(
                letter,
                '-' | '.' | '/' | '_' | ' ' | '[' | ']' | '(' | ')' | ',' | '=' | ':'
            )
    };
    text.chars()
        .map(|letter| if safe(letter) { letter } else { '?' })
        .take(COMMENT_BYTES_MAX)
        .collect()
}

/// Gives out 32-bit ids that depend on a seed text only, save for collisions.
#[derive(Debug, Default)]
pub(crate) struct Ids(BTreeMap<u32, String>);

impl Ids {
    /// The id of `seed`: its FNV-1a hash, or the next free number if another seed took that.
    pub(crate) fn of(&mut self, seed: &str) -> u32 {
        let mut id = seed
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        while self.0.get(&id).is_some_and(|taken| taken != seed) {
            id = id.wrapping_add(1);
        }
        self.0.entry(id).or_insert_with(|| seed.to_owned());
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_a_comment() {
        assert_eq!(comment("a\"; flush #\n"), "a?? flush ??");
        assert_eq!(comment(&"x".repeat(500)).len(), COMMENT_BYTES_MAX);
    }

    #[test]
    fn ids_depend_on_the_seed_only() {
        let (mut one, mut two) = (Ids::default(), Ids::default());
        two.of("another");
        assert_eq!(one.of("shop/cart"), two.of("shop/cart"));
        assert_ne!(one.of("a"), one.of("b"));
    }
}
