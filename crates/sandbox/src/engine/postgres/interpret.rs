//! Redshift's catalog in PostgreSQL's words: tables become common table expressions with the rows that the session may see, refusals
//! become errors of PostgreSQL, and a change that is made becomes what PostgreSQL's roles must follow with, or a statement that does nothing.

use std::{fmt::Write as _, sync::Arc};

use super::super::admin::{identifier, literal};
use super::Server;
use crate::catalog::{self, Catalog, Change, Kind, Piece, Refusal, Table};

const DONE: &str = "DO 'BEGIN END'";

impl Server {
    /// What to send instead of `sql`; `None` leaves it.
    pub(crate) async fn interpret(&self, catalog: &Catalog, sql: &str) -> Option<String> {
        match catalog::read(sql) {
            Ok(None) => None,
            Ok(Some(pieces)) => {
                let mut told = Vec::new();
                for piece in pieces {
                    match self.piece(catalog, piece).await {
                        Ok(sql) => told.push(sql),
                        Err(refusal) => {
                            told.push(raised(&refusal));
                            break;
                        }
                    }
                }
                Some(told.join("; "))
            }
            Err(refusal) => Some(raised(&refusal)),
        }
    }

    async fn piece(&self, catalog: &Catalog, piece: Piece) -> Result<String, Refusal> {
        match piece {
            Piece::Change(change) => {
                let sql = self.following(&change).await;
                catalog.change(change)?;
                Ok(sql)
            }
            Piece::Other { sql, reads } => {
                let tables = reads.into_iter().map(|table| Ok(expression(table, &catalog.rows(table)?)));
                let tables = tables.collect::<Result<Vec<_>, Refusal>>()?.join(", ");
                let sql = sql.trim_start();
                Ok(match sql.get(..5).filter(|word| word.eq_ignore_ascii_case("with ")) {
                    _ if tables.is_empty() => sql.to_owned(),
                    Some(_) => format!("WITH {tables}, {}", &sql[5..]),
                    None => format!("WITH {tables} {sql}"),
                })
            }
        }
    }

    /// What the session's transaction does to the roles that PostgreSQL has. Others come into being when they sign in.
    async fn following(&self, change: &Change) -> String {
        let known = &self.roles.lock().await.known;
        if let Some((old, new)) = change.renamed().filter(|(old, _)| known.contains_key(*old)) {
            return format!("ALTER ROLE {} RENAME TO {}", identifier(old), identifier(new));
        }
        let dropped = change.dropped().iter().filter(|user| known.contains_key(*user)).map(|user| identifier(user));
        let dropped = dropped.collect::<Vec<_>>().join(", ");
        if dropped.is_empty() { DONE.to_owned() } else { format!("DROP ROLE {dropped}") }
    }

    /// Takes note of roles that changed with a transaction.
    pub(crate) async fn followed(&self, changes: &[Arc<Change>]) {
        let mut roles = self.roles.lock().await;
        for change in changes {
            if let Some((old, new)) = change.renamed()
                && let Some(role) = roles.known.remove(old)
            {
                roles.known.insert(new.to_owned(), role);
            }
            for user in change.dropped() {
                roles.known.remove(user);
            }
        }
    }
}

fn expression(table: &Table, rows: &[Vec<Option<String>>]) -> String {
    let kind = |kind: &Kind| match kind {
        Kind::Bool => "boolean",
        Kind::Int => "integer",
        Kind::Ints => "integer[]",
        Kind::Text => "text",
        Kind::Timestamp => "timestamp",
    };
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let typed: Vec<String> = table.columns.iter().map(|(name, of)| format!("{name}::{}", kind(of))).collect();
    let mut values = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| cell.as_deref().map_or_else(|| "NULL".to_owned(), literal)).collect();
        let _ = write!(values, "{}({})", if values.is_empty() { "" } else { "," }, cells.join(","));
    }
    let empty = if rows.is_empty() { " WHERE false" } else { "" };
    if rows.is_empty() {
        values = format!("({})", vec!["NULL"; names.len()].join(","));
    }
    format!("{} AS (SELECT {} FROM (VALUES {values}) filled({}){empty})", table.name, typed.join(","), names.join(","))
}

fn raised(refusal: &Refusal) -> String {
    let raise = format!("BEGIN RAISE EXCEPTION USING ERRCODE = {}, MESSAGE = {}; END", literal(refusal.code), literal(&refusal.message));
    format!("DO {}", literal(&raise))
}
