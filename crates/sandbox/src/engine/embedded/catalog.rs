//! System tables in SQLite: a temporary table of the session for each, filled anew whenever a statement reads it.

use rusqlite::{Connection, params_from_iter, types::Value};

use crate::catalog::{Cell, Kind, Table};

pub(super) fn fill(connection: &Connection, table: &Table, rows: &[Vec<Cell>]) -> rusqlite::Result<()> {
    let declared = |(name, kind): &(&str, Kind)| match kind {
        Kind::Bool => format!("{name} boolean"),
        Kind::Int => format!("{name} int"),
        Kind::Ints | Kind::Text | Kind::Timestamp => format!("{name} text"),
    };
    let columns: Vec<String> = table.columns.iter().map(declared).collect();
    let marks = vec!["?"; columns.len()].join(", ");
    let name = table.name;
    connection.execute_batch(&format!(
        "PRAGMA temp_store = MEMORY; SAVEPOINT filling; CREATE TEMP TABLE IF NOT EXISTS {name} ({}); DELETE FROM temp.{name};",
        columns.join(", ")
    ))?;
    let mut statement = connection.prepare(&format!("INSERT INTO temp.{name} VALUES ({marks})"))?;
    for row in rows {
        statement.execute(params_from_iter(row.iter().zip(table.columns).map(|(cell, (_, kind))| value(cell, *kind))))?;
    }
    connection.execute_batch("RELEASE filling")
}

fn value(cell: &Cell, kind: Kind) -> Value {
    match (cell, kind) {
        (None, _) => Value::Null,
        (Some(text), Kind::Bool) => Value::Integer((text == "t").into()),
        (Some(text), Kind::Int) => text.parse().map_or(Value::Null, Value::Integer),
        (Some(text), Kind::Ints | Kind::Text | Kind::Timestamp) => Value::Text(text.clone()),
    }
}
