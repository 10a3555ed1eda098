//! From Redshift's SQL to SQLite's, on the parsed statement: names of the session become values, casts take their standard
//! form, session commands are answered here.

use std::ops::ControlFlow;

use pgwire::api::Type;
use sqlparser::{
    ast::{CastKind, Expr, Ident, SelectItem, SetExpr, Statement, Value, visit_expressions_mut},
    dialect::PostgreSqlDialect,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

/// What the session knows of itself.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) user: String,
    pub(super) database: String,
}

/// What to do for one statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plan {
    /// Change users or groups.
    Change(crate::catalog::Change),
    /// Nothing but saying that it is done.
    Done(&'static str),
    /// Change something.
    Execute { sql: String, verb: &'static str },
    /// Answer with rows. Types as far as the text tells them; the rest is text.
    Query { sql: String, types: Vec<Type> },
    /// Answer with one value.
    Value { column: String, value: String },
}

/// Redshift calls itself so.
const VERSION: &str = "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.0 (shiftkey sandbox)";

/// Plans all statements of a text; an error is SQLSTATE and message.
pub(super) fn plan(sql: &str, facts: &Facts) -> Result<Vec<Plan>, (&'static str, String)> {
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).map_err(|error| ("42601", error.to_string()))?;
    statements.into_iter().map(|statement| one(statement, facts)).collect()
}

/// How many parameters a text has: the highest `$n` in it.
pub(super) fn parameter_count(sql: &str) -> usize {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().unwrap_or_default();
    let number = |token: &Token| match token {
        Token::Placeholder(name) => name.strip_prefix('$')?.parse().ok(),
        _ => None,
    };
    tokens.iter().filter_map(number).max().unwrap_or(0)
}

fn one(mut statement: Statement, facts: &Facts) -> Result<Plan, (&'static str, String)> {
    let text = statement.to_string();
    Ok(match &mut statement {
        Statement::Query(query) => {
            let mut types = Vec::new();
            if let SetExpr::Select(select) = query.body.as_mut() {
                for item in &mut select.projection {
                    types.push(kind(item));
                    name(item);
                }
            }
            substitute(&mut statement, facts);
            Plan::Query { sql: statement.to_string(), types }
        }
        Statement::Insert(_) => execute(statement, facts, "INSERT"),
        Statement::Update { .. } => execute(statement, facts, "UPDATE"),
        Statement::Delete(_) => execute(statement, facts, "DELETE"),
        Statement::CreateTable(_) => execute(statement, facts, "CREATE TABLE"),
        Statement::Drop { .. } => execute(statement, facts, "DROP TABLE"),
        Statement::StartTransaction { .. } => Plan::Done("BEGIN"),
        Statement::Commit { .. } => Plan::Done("COMMIT"),
        Statement::Rollback { .. } => Plan::Done("ROLLBACK"),
        Statement::Set(_) => Plan::Done("SET"),
        Statement::Discard { .. } => Plan::Done("DISCARD ALL"),
        Statement::Deallocate { .. } => Plan::Done("DEALLOCATE"),
        Statement::ShowVariable { variable } => {
            let column = variable.iter().map(|part| part.value.clone()).collect::<Vec<_>>().join("_");
            let value = match column.as_str() {
                "server_version" => "8.0.2",
                "client_encoding" => "UTF8",
                "transaction_isolation" | "transaction_isolation_level" => "serializable",
                _ => "",
            };
            Plan::Value { column, value: value.to_owned() }
        }
        _ => {
            let start: String = text.chars().take(40).collect();
            return Err(("0A000", format!("the embedded engine cannot run \"{start}\"; run the sandbox with --engine postgres")));
        }
    })
}

fn execute(mut statement: Statement, facts: &Facts, verb: &'static str) -> Plan {
    substitute(&mut statement, facts);
    Plan::Execute { sql: statement.to_string(), verb }
}

/// Puts values for what PostgreSQL knows and SQLite does not.
fn substitute(statement: &mut Statement, facts: &Facts) {
    let _: ControlFlow<()> = visit_expressions_mut(statement, |expression| {
        if matches!(function(expression).as_deref(), Some("getdate" | "now")) {
            *expression = Expr::Identifier(Ident::new("CURRENT_TIMESTAMP"));
        } else if let Some(value) = value(expression, facts) {
            *expression = Expr::Value(Value::SingleQuotedString(value).into());
        } else if let Expr::Cast { kind, .. } = expression {
            *kind = CastKind::Cast;
        }
        ControlFlow::Continue(())
    });
}

fn value(expression: &Expr, facts: &Facts) -> Option<String> {
    Some(match function(expression)?.as_str() {
        "current_user" | "session_user" | "user" => facts.user.clone(),
        "current_database" => facts.database.clone(),
        "current_schema" => "public".to_owned(),
        "version" => VERSION.to_owned(),
        _ => return None,
    })
}

/// The lower-case name of a function that is called without a schema, or of a bare `current_user`.
fn function(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Function(function) => Some(function.name.to_string().to_lowercase().trim_start_matches("pg_catalog.").to_owned()),
        Expr::Identifier(name) if name.quote_style.is_none() => {
            Some(name.value.to_lowercase()).filter(|name| matches!(name.as_str(), "current_user" | "session_user" | "user"))
        }
        _ => None,
    }
}

/// Gives an expression the name that PostgreSQL would give its column.
fn name(item: &mut SelectItem) {
    let SelectItem::UnnamedExpr(expression) = item else { return };
    let name = match &*expression {
        Expr::Function(_) => function(expression).unwrap_or_default(),
        Expr::Identifier(name) => name.value.to_lowercase(),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()).unwrap_or_default(),
        _ => "?column?".to_owned(),
    };
    *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias: Ident::with_quote('"', name) };
}

fn kind(item: &SelectItem) -> Type {
    let (SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. }) = item else { return Type::TEXT };
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) if digits.parse::<i32>().is_ok() => Type::INT4,
            _ => Type::TEXT,
        },
        Expr::Function(_) if function(expression).as_deref() == Some("count") => Type::INT8,
        _ => Type::TEXT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(sql: &str) -> (String, Vec<Type>) {
        let facts = Facts { user: "al'ice".into(), database: "dev".into() };
        match plan(sql, &facts).unwrap().remove(0) {
            Plan::Query { sql, types } => (sql, types),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_session_is_known_by_name_and_columns_are_called_as_in_postgresql() {
        assert_eq!(query("select current_user").0, "SELECT 'al''ice' AS \"current_user\"");
        assert_eq!(query("SELECT CURRENT_USER AS who").0, "SELECT 'al''ice' AS who");
        assert_eq!(query("select current_database()").0, "SELECT 'dev' AS \"current_database\"");
        assert_eq!(query("select 1"), ("SELECT 1 AS \"?column?\"".to_owned(), vec![Type::INT4]));
        assert_eq!(query("select 1::text").0, "SELECT CAST(1 AS TEXT) AS \"?column?\"");
        assert!(query("select * from t where u = current_user").0.contains("u = 'al''ice'"));
    }

    #[test]
    fn session_commands_are_answered_and_the_unknown_is_refused() {
        let facts = Facts { user: "u".into(), database: "d".into() };
        let plans = plan("begin; set x = 1; commit", &facts).unwrap();
        assert_eq!(plans, [Plan::Done("BEGIN"), Plan::Done("SET"), Plan::Done("COMMIT")]);
        assert_eq!(plan("create index i on t (x)", &facts).unwrap_err().0, "0A000");
        assert_eq!(plan("selec 1", &facts).unwrap_err().0, "42601");
    }
}
