//! The warehouse's catalog of users and groups, its connection log and the statements that change them, the same in front of
//! every engine. The truth is the [`World`]'s, since the gate decides by it who gets in. A session's changes wait for the end of its
//! transaction, which the engine tells; until then the session alone sees them.

mod change;
mod statement;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlparser::{
    dialect::PostgreSqlDialect,
    tokenizer::{Token, Tokenizer},
};

use self::statement::{Statement, Words};
pub(crate) use self::tables::{Cell, Kind, Table};
use crate::world::{Warehouse, WarehouseId, World};

/// SQLSTATE and message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The catalog as one session sees it.
pub(crate) struct Catalog {
    world: World,
    id: WarehouseId,
    user: String,
    /// What its transaction has changed.
    pending: Mutex<Vec<Arc<Change>>>,
}

/// One statement of a text.
pub(crate) enum Piece {
    /// Changes users or groups.
    Change(Change),
    /// Anything else; it reads these tables.
    Other { sql: String, reads: Vec<&'static Table> },
}

/// A change that is not made yet. It may hold a password.
#[derive(Clone, PartialEq)]
pub(crate) struct Change(Statement);

impl Catalog {
    pub(crate) fn new(world: &World, id: &WarehouseId, user: &str) -> Self {
        Self { world: world.clone(), id: id.clone(), user: user.to_owned(), pending: Mutex::default() }
    }

    /// Makes the change in the session's transaction, if its user may.
    pub(crate) fn change(&self, change: Change) -> Result<(), Refusal> {
        let mut pending = self.pending();
        // Whether it may be made hangs on these users alone.
        let changes = pending.iter().map(|it| &it.0).chain([&change.0]);
        let users = changes.flat_map(Statement::users).chain([self.user.as_str()]);
        let mut seen = self.world.warehouse_with(&self.id, users).ok_or_else(gone)?;
        self.make(&mut seen, &pending);
        change::apply(&mut seen, &self.user, &change.0)?;
        pending.push(Arc::new(change));
        Ok(())
    }

    /// Lets what the transaction has changed take effect, and says what did. What another session has made impossible meanwhile, such as
    /// creating the same user, is passed over.
    pub(crate) fn commit(&self) -> Vec<Arc<Change>> {
        let mut pending = std::mem::take(&mut *self.pending());
        if !pending.is_empty() {
            let apply = |it: &mut Warehouse| pending.retain(|change| change::apply(it, &self.user, &change.0).is_ok());
            self.world.update(&self.id, apply);
        }
        pending
    }

    /// Forgets what the transaction has changed.
    pub(crate) fn roll_back(&self) {
        self.pending().clear();
    }

    /// The rows of a table that the session's user may see.
    pub(crate) fn rows(&self, table: &Table) -> Result<Vec<Vec<Cell>>, Refusal> {
        let log = if table.name.ends_with("_log") { self.world.connection_log(&self.id) } else { Vec::new() };
        let rows = table.rows(&self.seen()?, &log, &self.user);
        rows.ok_or_else(|| Refusal::new("42501", format!("permission denied for relation {}", table.name)))
    }

    /// The warehouse with what the transaction has changed.
    fn seen(&self) -> Result<Warehouse, Refusal> {
        let mut seen = self.world.warehouse(&self.id).ok_or_else(gone)?;
        self.make(&mut seen, &self.pending());
        Ok(seen)
    }

    fn make(&self, seen: &mut Warehouse, pending: &[Arc<Change>]) {
        for change in pending {
            // What another session has made impossible will be passed over.
            let _ = change::apply(seen, &self.user, &change.0);
        }
    }

    fn pending(&self) -> MutexGuard<'_, Vec<Arc<Change>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone() -> Refusal {
    Refusal::new("57P01", "the warehouse is gone")
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.tag())
    }
}

impl Change {
    /// As the server names it when it is done.
    pub(crate) fn tag(&self) -> &'static str {
        match self.0 {
            Statement::AlterGroup { .. } => "ALTER GROUP",
            Statement::AlterUser { .. } | Statement::RenameUser { .. } => "ALTER USER",
            Statement::CreateGroup { .. } => "CREATE GROUP",
            Statement::CreateUser { .. } => "CREATE USER",
            Statement::DropGroup { .. } => "DROP GROUP",
            Statement::DropUser { .. } => "DROP USER",
            Statement::Monitor { granted: true, .. } => "GRANT ROLE",
            Statement::Monitor { granted: false, .. } => "REVOKE ROLE",
        }
    }

    /// The user that gets another name, and the name.
    pub(crate) fn renamed(&self) -> Option<(&str, &str)> {
        match &self.0 {
            Statement::RenameUser { user, name } => Some((user, name)),
            _ => None,
        }
    }

    /// The users that go.
    pub(crate) fn dropped(&self) -> &[String] {
        match &self.0 {
            Statement::DropUser { users, .. } => users,
            _ => &[],
        }
    }
}

/// The statements of a text, if any of them concerns the catalog; `None` for all others, whose text stays as it is.
pub(crate) fn read(sql: &str) -> Result<Option<Vec<Piece>>, Refusal> {
    let lower = sql.to_ascii_lowercase();
    if !["user", "group", "role", "_log", "pg_shadow"].iter().any(|word| lower.contains(word)) {
        return Ok(None);
    }
    // What cannot be read here is the engine's to refuse.
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).with_unescape(false).tokenize() else { return Ok(None) };
    let pieces = tokens.split(|token| *token == Token::SemiColon).filter_map(|tokens| piece(tokens).transpose());
    let pieces = pieces.collect::<Result<Vec<_>, _>>()?;
    let concerned = |it: &Piece| !matches!(it, Piece::Other { reads, .. } if reads.is_empty());
    Ok(Some(pieces).filter(|pieces| pieces.iter().any(concerned)))
}

/// `None` when there is nothing but white space.
fn piece(tokens: &[Token]) -> Result<Option<Piece>, Refusal> {
    let words: Vec<Token> = tokens.iter().filter(|it| !matches!(it, Token::Whitespace(_))).cloned().collect();
    if words.is_empty() {
        return Ok(None);
    }
    if let Some(statement) = Words::new(&words).statement()? {
        return Ok(Some(Piece::Change(Change(statement))));
    }
    let (mut kept, mut reads): (Vec<&Token>, Vec<&'static Table>) = (Vec::new(), Vec::new());
    for token in tokens {
        if let Some(table) = named(token) {
            // The schema goes, since the table is put beside the text.
            if let [.., schema, Token::Period] = kept.as_slice()
                && schema.to_string().eq_ignore_ascii_case("pg_catalog")
            {
                kept.truncate(kept.len() - 2);
            }
            if !reads.iter().any(|it| it.name == table.name) {
                reads.push(table);
            }
        }
        kept.push(token);
    }
    Ok(Some(Piece::Other { sql: kept.iter().map(ToString::to_string).collect(), reads }))
}

fn named(token: &Token) -> Option<&'static Table> {
    let Token::Word(word) = token else { return None };
    tables::TABLES.iter().find(|it| word.value.eq_ignore_ascii_case(it.name))
}
