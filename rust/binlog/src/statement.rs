//! What the text of a logged statement means for the caches: the ends of transactions, and changes that come without
//! rows. In doubt a statement that names a cached table is one that changes it.

/// The kinds of statements that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    /// Begins a transaction whose end is a later event.
    Begin,
    /// Ends a transaction, done or undone.
    End,
    /// The commit of a prepared transaction, with its id as the log writes it.
    XaCommit(String),
    XaRollback(String),
    /// DDL that names a cached table.
    Ddl,
    /// A change as text that names a cached table.
    Change,
    Other,
}

/// The tables that matter, and the schema that they are in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) schema: &'a str,
    pub(crate) tables: &'a [&'static str],
}

impl Names<'_> {
    pub(crate) fn read(self, text: &[u8], default_schema: &[u8]) -> Statement {
        let text = String::from_utf8_lossy(text);
        let mut words = Words(&text);
        let first = words.next().map(Word::upper).unwrap_or_default();
        let mut second = || words.next().map(Word::upper).unwrap_or_default();
        match first.as_str() {
            "BEGIN" | "START" => Statement::Begin,
            "COMMIT" => Statement::End,
            "ROLLBACK" if second() == "TO" => Statement::Other,
            "ROLLBACK" => Statement::End,
            "XA" => match second().as_str() {
                "START" | "BEGIN" => Statement::Begin,
                "COMMIT" => Statement::XaCommit(words.id()),
                "ROLLBACK" => Statement::XaRollback(words.id()),
                _ => Statement::Other,
            },
            "ALTER" | "DROP" | "TRUNCATE" | "RENAME" | "CREATE" => {
                if self.named(words, default_schema) {
                    Statement::Ddl
                } else if text.trim_end().ends_with("START TRANSACTION") {
                    // CREATE TABLE … SELECT, whose rows follow.
                    Statement::Begin
                } else {
                    Statement::Other
                }
            }
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" | "CALL" | "IMPORT"
                if self.named(words, default_schema) =>
            {
                Statement::Change
            }
            _ => Statement::Other,
        }
    }

    /// Whether the rest names a cached table in the schema, or the schema itself as what is altered or dropped.
    fn named(self, words: Words<'_>, default_schema: &[u8]) -> bool {
        let here = default_schema.eq_ignore_ascii_case(self.schema.as_bytes());
        let (mut schema, mut table, mut whole) = (here, false, false);
        let mut before = String::new();
        for word in words {
            let is_schema = word.is(self.schema);
            whole |= is_schema && matches!(before.as_str(), "SCHEMA" | "DATABASE" | "EXISTS");
            schema |= is_schema;
            table |= self.tables.iter().any(|name| word.is(name));
            before = word.upper();
        }
        whole || schema && table
    }
}

#[derive(Debug, Clone, Copy)]
struct Word<'a>(&'a str);

impl Word<'_> {
    fn upper(self) -> String {
        self.0.to_ascii_uppercase()
    }

    fn is(self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }
}

/// The words of a statement: names, quoted or not. Comments and strings in single quotes are passed over; what is in a
/// comment that servers execute counts.
#[derive(Debug, Clone, Copy)]
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    /// What is left, without what is around it: the id of an XA statement.
    fn id(self) -> String {
        self.0.trim().to_owned()
    }

    fn skip_to(&mut self, end: &str) {
        self.0 = self.0.split_once(end).map_or("", |(_, rest)| rest);
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        loop {
            let text = self.0.trim_start();
            self.0 = text;
            let first = text.chars().next()?;
            if let Some(rest) = text.strip_prefix("/*") {
                match rest.strip_prefix("M!").or_else(|| rest.strip_prefix('!')) {
                    Some(code) => self.0 = code.trim_start_matches(|character: char| character.is_ascii_digit()),
                    None => {
                        self.0 = rest;
                        self.skip_to("*/");
                    }
                }
            } else if first == '#' || text.starts_with("-- ") {
                self.skip_to("\n");
            } else if first == '\'' {
                self.0 = after_string(text.get(1..).unwrap_or_default());
            } else if first == '`' || first == '"' {
                let rest = text.get(1..).unwrap_or_default();
                let (word, rest) = rest.split_once(first).unwrap_or((rest, ""));
                self.0 = rest;
                return Some(Word(word));
            } else if is_name(first) {
                let end = text.find(|character| !is_name(character)).unwrap_or(text.len());
                let (word, rest) = text.split_at(end);
                self.0 = rest;
                return Some(Word(word));
            } else {
                self.0 = text.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '$'
}

/// What follows a string; in it a backslash or a doubled quote hides the next character.
fn after_string(text: &str) -> &str {
    let mut hidden = false;
    for (index, character) in text.char_indices() {
        match character {
            _ if hidden => hidden = false,
            '\\' => hidden = true,
            '\'' => return text.get(index + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: Names<'static> = Names { schema: "shop", tables: &["templates", "user_coupons"] };

    fn here(text: &str) -> Statement {
        NAMES.read(text.as_bytes(), b"shop")
    }

    #[test]
    fn the_ends_of_transactions_are_seen() {
        assert_eq!(here("BEGIN"), Statement::Begin);
        assert_eq!(here("COMMIT"), Statement::End);
        assert_eq!(here("ROLLBACK"), Statement::End);
        assert_eq!(here("ROLLBACK TO `one`"), Statement::Other);
        assert_eq!(here("SAVEPOINT `one`"), Statement::Other);
        assert_eq!(here("XA START X'61',X'',1"), Statement::Begin);
        assert_eq!(here("XA END X'61',X'',1"), Statement::Other);
        assert_eq!(here("XA COMMIT X'61',X'',1"), Statement::XaCommit("X'61',X'',1".into()));
        assert_eq!(here("XA ROLLBACK X'61',X'',1"), Statement::XaRollback("X'61',X'',1".into()));
        assert_eq!(here("CREATE TABLE `n` (`a` int) START TRANSACTION"), Statement::Begin);
    }

    #[test]
    fn ddl_of_a_cached_table_is_seen_however_it_is_written() {
        for text in [
            "ALTER TABLE templates ADD COLUMN x INT",
            "alter  table `Templates` add x int",
            "/* by hand */ TRUNCATE TABLE user_coupons",
            "DROP TABLE IF EXISTS shop.templates /* generated by server */",
            "RENAME TABLE old TO `shop`.`templates`",
            "CREATE TRIGGER t BEFORE UPDATE ON templates FOR EACH ROW SET @a = 1",
            "/*!50003 CREATE*/ TABLE templates (a INT)",
            "DROP DATABASE shop",
            "DROP DATABASE IF EXISTS `shop`",
            "DROP TABLE \"templates\"",
        ] {
            assert_eq!(here(text), Statement::Ddl, "{text}");
        }
    }

    #[test]
    fn ddl_of_other_tables_is_not() {
        for text in [
            "ALTER TABLE templates_old ADD COLUMN x INT",
            "CREATE TABLE other (a INT COMMENT 'as in templates')",
            "DROP TABLE other -- not templates\n",
            "CREATE TABLE other (a VARCHAR(9) DEFAULT 'it''s \\' templates')",
            "DROP DATABASE another",
        ] {
            assert_eq!(here(text), Statement::Other, "{text}");
        }
        assert_eq!(NAMES.read(b"ALTER TABLE templates ADD x INT", b"another"), Statement::Other);
        assert_eq!(NAMES.read(b"ALTER TABLE shop.templates ADD x INT", b"another"), Statement::Ddl);
    }

    #[test]
    fn a_change_as_text_is_seen() {
        assert_eq!(here("UPDATE templates SET name = 'x'"), Statement::Change);
        assert_eq!(here("insert into `user_coupons` values (1)"), Statement::Change);
        assert_eq!(here("UPDATE template_counters SET issued = 1"), Statement::Other);
        assert_eq!(here("GRANT ALL ON templates TO a"), Statement::Other);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            NAMES.read(&text, &text);
        }

        #[test]
        fn any_text_of_quotes_and_comments_is_read_to_its_end(text in "[a-z'\"`/*!#\\- \n\\\\ä]{0,60}") {
            NAMES.read(format!("DROP {text}").as_bytes(), b"shop");
        }
    }
}
