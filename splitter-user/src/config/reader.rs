//! Owns the way from TOML text to typed values with their places.
//!
//! Invariant: a value of the wrong kind is reported once, where it stands, and then counts as
//! absent; reading goes on. Serde would stop at the first error, so the tree is walked by hand.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};
use super::lists::Lists;
use super::nearest::nearest;

/// A value of the file and where it stands.
pub(super) type Node<'i> = Spanned<DeValue<'i>>;

/// The text of one file.
pub(super) struct Source {
    name: Arc<str>,
    order: u32,
    pub(super) text: String,
    /// Where each line begins, in bytes.
    line_starts: Vec<usize>,
}

impl Source {
    pub(super) fn new(name: &str, order: u32, text: String) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0)
            .chain(after_breaks.map(|(index, _)| index + 1))
            .collect();
        Self {
            name: name.into(),
            order,
            text,
            line_starts,
        }
    }

    /// The place of a byte of the text.
    pub(super) fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts[line.saturating_sub(1)];
        let column = self
            .text
            .get(start..offset)
            .map_or(0, |before| before.chars().count());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Place {
            order: self.order,
            file: Arc::clone(&self.name),
            line: number(line),
            column: number(column + 1),
        }
    }
}

/// Reads one file and gathers what is wrong with it.
pub(super) struct Reader<'s> {
    source: &'s Source,
    /// The lists that it may name.
    pub(super) lists: &'s Lists,
    errors: RefCell<Vec<ConfigError>>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(source: &'s Source, lists: &'s Lists) -> Self {
        Self {
            source,
            lists,
            errors: RefCell::new(Vec::new()),
        }
    }

    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        self.source.place(span.start)
    }

    pub(super) fn error(&self, span: &Range<usize>, message: impl Display) {
        let error = ConfigError {
            place: self.place(span),
            message: message.to_string(),
        };
        self.errors.borrow_mut().push(error);
    }

    /// An error with a place of its own.
    pub(super) fn add(&self, error: ConfigError) {
        self.errors.borrow_mut().push(error);
    }

    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors.into_inner()
    }
}

/// One table of the file.
pub(super) struct Section<'r, 's, 'i> {
    pub(super) reader: &'r Reader<'s>,
    table: &'r DeTable<'i>,
    /// The key that opens the table, or the table itself where there is none.
    pub(super) span: Range<usize>,
    /// `service "shop", version "canary": `, in front of every message.
    context: String,
}

impl<'r, 's, 'i> Section<'r, 's, 'i> {
    pub(super) fn new(
        reader: &'r Reader<'s>,
        table: &'r DeTable<'i>,
        span: Range<usize>,
        context: String,
    ) -> Self {
        Self {
            reader,
            table,
            span,
            context,
        }
    }

    pub(super) fn error(&self, span: &Range<usize>, message: impl Display) {
        self.reader
            .error(span, format_args!("{}{message}", self.context));
    }

    /// Reports every key that is none of `known`.
    pub(super) fn only(&self, known: &[&str]) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.error(&key.span(), format_args!("unknown key `{name}`; {hint}"));
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'r Node<'i>> {
        self.table.get(key)
    }

    /// Every key with its value.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'r str, &'r Node<'i>)> {
        let entries = self.table.iter();
        entries.map(|(key, node)| (key.get_ref().as_ref(), node))
    }

    /// Reports a value of the wrong kind.
    fn wrong(&self, key: &str, node: &Node<'i>, wanted: &str) {
        let kind = node.get_ref().type_str();
        self.error(
            &node.span(),
            format_args!("`{key}` must be {wanted}, this is of type {kind}"),
        );
    }

    pub(super) fn text(&self, key: &str) -> Option<Spanned<&'r str>> {
        let node = self.get(key)?;
        let DeValue::String(text) = node.get_ref() else {
            self.wrong(key, node, "a string in quotes");
            return None;
        };
        Some(Spanned::new(node.span(), text.as_ref()))
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let node = self.get(key)?;
        let DeValue::Boolean(value) = node.get_ref() else {
            self.wrong(key, node, "true or false");
            return None;
        };
        Some(*value)
    }

    /// An integer within `range`.
    pub(super) fn integer(&self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let node = self.get(key)?;
        let DeValue::Integer(integer) = node.get_ref() else {
            self.wrong(key, node, "a whole number");
            return None;
        };
        let value = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let value = value.and_then(|value| u32::try_from(value).ok());
        match value.filter(|value| range.contains(value)) {
            Some(value) => Some(value),
            None => {
                let (least, most) = (range.start(), range.end());
                let text = integer.as_str();
                let message = format!("`{key}` is {text}: it must be {least} to {most}");
                self.error(&node.span(), message);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let word = *text.get_ref();
        let found = words
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<String> = words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            let known = known.join(" or ");
            self.error(
                &text.span(),
                format_args!("`{key}` is \"{word}\": write {known}"),
            );
        }
        found
    }

    pub(super) fn items(&self, key: &str, wanted: &str) -> Option<&'r [Node<'i>]> {
        let node = self.get(key)?;
        let DeValue::Array(array) = node.get_ref() else {
            self.wrong(key, node, wanted);
            return None;
        };
        Some(array)
    }

    /// The table of a value.
    pub(super) fn table(
        &self,
        key: &str,
        node: &'r Node<'i>,
        span: Range<usize>,
        context: String,
    ) -> Option<Self> {
        let DeValue::Table(table) = node.get_ref() else {
            self.wrong(key, node, "a table");
            return None;
        };
        Some(Self::new(self.reader, table, span, context))
    }

    /// The tables `[key.NAME]` by name, in the order of the file. `noun` says what a NAME names.
    pub(super) fn named(&self, key: &str, noun: &str) -> Vec<(&'r str, Self)> {
        let Some(node) = self.get(key) else {
            return Vec::new();
        };
        let Some(all) = self.table(key, node, node.span(), String::new()) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, node) in all.table {
            let context = format!("{}{noun} \"{}\": ", self.lead(), name.get_ref());
            let path = format!("{key}.{}", name.get_ref());
            if let Some(section) = self.table(&path, node, name.span(), context) {
                found.push((name.get_ref().as_ref(), section));
            }
        }
        // The map is sorted by name; the split law hands out the hash space in the file's order.
        found.sort_by_key(|(_, section)| section.span.start);
        found
    }

    /// The context as the beginning of a longer one.
    pub(super) fn lead(&self) -> String {
        self.context
            .strip_suffix(": ")
            .map_or(String::new(), |lead| format!("{lead}, "))
    }
}
