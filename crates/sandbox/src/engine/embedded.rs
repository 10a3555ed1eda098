//! SQLite behind PostgreSQL's protocol, for machines without a PostgreSQL server. It answers plain SQL; what it cannot do
//! is refused with 0A000, not guessed.

mod rewrite;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures::stream;
use pgwire::{
    api::{
        ClientInfo, PgWireServerHandlers, Type,
        auth::{StartupHandler, noop::NoopStartupHandler},
        portal::{Format, Portal},
        query::{ExtendedQueryHandler, SimpleQueryHandler},
        results::{DataRowEncoder, DescribePortalResponse, DescribeStatementResponse, FieldInfo, QueryResponse, Response, Tag},
        stmt::{NoopQueryParser, StoredStatement},
    },
    error::{ErrorInfo, PgWireError, PgWireResult},
};
use rusqlite::{Connection, types::ValueRef};
use tokio::net::UnixStream;

use self::rewrite::{Facts, Plan};
use super::Channel;

/// One warehouse's database, in memory; its sessions share it.
pub(crate) struct Server(Arc<Mutex<Connection>>);

impl Server {
    pub(super) fn new() -> io::Result<Self> {
        Connection::open_in_memory().map(|database| Self(Arc::new(Mutex::new(database)))).map_err(io::Error::other)
    }

    /// A session whose user is whoever the startup message names.
    pub(super) fn dial(&self) -> io::Result<Box<dyn Channel>> {
        let session = Arc::new(Session { database: Arc::clone(&self.0), parser: Arc::new(NoopQueryParser::new()) });
        let (ours, theirs) = UnixStream::pair()?;
        // Ends with the stream, which the gate owns.
        tokio::spawn(pgwire::tokio::process_socket_unix(theirs, Handlers(session)));
        Ok(Box::new(ours))
    }
}

struct Session {
    database: Arc<Mutex<Connection>>,
    parser: Arc<NoopQueryParser>,
}

struct Handlers(Arc<Session>);

impl PgWireServerHandlers for Handlers {
    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::clone(&self.0)
    }

    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.0)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.0)
    }
}

impl NoopStartupHandler for Session {}

/// A result before it is encoded.
struct Table {
    columns: Vec<(String, Type)>,
    rows: Vec<Vec<Option<String>>>,
}

enum Outcome {
    Table(Table),
    Done(Tag),
}

impl Session {
    fn plan(sql: &str, client: &impl ClientInfo) -> PgWireResult<Vec<Plan>> {
        let said = |name: &str| client.metadata().get(name).cloned().unwrap_or_default();
        let facts = Facts { user: said("user"), database: said("database") };
        rewrite::plan(sql, &facts).map_err(|(code, message)| error(code, &message))
    }

    /// Statements here take microseconds, so they run where they are.
    fn run(&self, plan: &Plan) -> PgWireResult<Outcome> {
        match plan {
            Plan::Done(tag) => Ok(Outcome::Done(Tag::new(tag))),
            Plan::Value { column, value } => {
                Ok(Outcome::Table(Table { columns: vec![(column.clone(), Type::TEXT)], rows: vec![vec![Some(value.clone())]] }))
            }
            Plan::Query { sql, types } => self.select(sql, types).map(Outcome::Table),
            Plan::Execute { sql, verb } => {
                let changed = lock(&self.database).execute(sql, ()).map_err(|failure| sqlite(&failure))?;
                let tag = Tag::new(verb);
                Ok(Outcome::Done(match *verb {
                    "INSERT" => tag.with_oid(0).with_rows(changed),
                    "UPDATE" | "DELETE" => tag.with_rows(changed),
                    _ => tag,
                }))
            }
        }
    }

    fn select(&self, sql: &str, types: &[Type]) -> PgWireResult<Table> {
        let database = lock(&self.database);
        let mut statement = database.prepare(sql).map_err(|failure| sqlite(&failure))?;
        let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let columns: Vec<_> =
            names.into_iter().enumerate().map(|(place, name)| (name, types.get(place).cloned().unwrap_or(Type::TEXT))).collect();
        let count = columns.len();
        let text = |value: ValueRef<'_>| match value {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(number.to_string()),
            ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
        };
        let rows = statement.query_map((), |row| (0..count).map(|place| row.get_ref(place).map(text)).collect());
        let rows = rows.and_then(Iterator::collect).map_err(|failure| sqlite(&failure))?;
        Ok(Table { columns, rows })
    }
}

fn respond(outcome: Outcome, format: &Format) -> PgWireResult<Response> {
    let table = match outcome {
        Outcome::Done(tag) => return Ok(Response::Execution(tag)),
        Outcome::Table(table) => table,
    };
    let fields = Arc::new(fields(&table.columns, format));
    let mut encoder = DataRowEncoder::new(Arc::clone(&fields));
    let mut rows = Vec::with_capacity(table.rows.len());
    for row in table.rows {
        for (value, (_, kind)) in row.iter().zip(&table.columns) {
            match (kind, value) {
                (&Type::INT4, Some(text)) => encoder.encode_field(&text.parse::<i32>().ok())?,
                (&Type::INT8, Some(text)) => encoder.encode_field(&text.parse::<i64>().ok())?,
                (_, text) => encoder.encode_field(text)?,
            }
        }
        rows.push(Ok(encoder.take_row()));
    }
    Ok(Response::Query(QueryResponse::new(fields, stream::iter(rows))))
}

fn fields(columns: &[(String, Type)], format: &Format) -> Vec<FieldInfo> {
    let field = |(place, (name, kind)): (usize, &(String, Type))| FieldInfo::new(name.clone(), None, None, kind.clone(), format.format_for(place));
    columns.iter().enumerate().map(field).collect()
}

#[async_trait]
impl SimpleQueryHandler for Session {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let plans = Self::plan(query, client)?;
        plans.iter().map(|plan| respond(self.run(plan)?, &Format::UnifiedText)).collect()
    }
}

#[async_trait]
impl ExtendedQueryHandler for Session {
    type Statement = String;
    type QueryParser = NoopQueryParser;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        Arc::clone(&self.parser)
    }

    async fn do_query<C>(&self, client: &mut C, portal: &Portal<String>, _max_rows: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        if portal.parameter_len() > 0 {
            return Err(error("0A000", "the embedded engine takes no parameters; run the sandbox with --engine postgres"));
        }
        match Self::plan(&portal.statement.statement, client)?.as_slice() {
            [plan] => respond(self.run(plan)?, &portal.result_column_format),
            _ => Err(error("42601", "cannot insert multiple commands into a prepared statement")),
        }
    }

    async fn do_describe_statement<C>(&self, client: &mut C, statement: &StoredStatement<String>) -> PgWireResult<DescribeStatementResponse>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let columns = self.columns(&statement.statement, client)?;
        Ok(DescribeStatementResponse::new(Vec::new(), fields(&columns, &Format::UnifiedBinary)))
    }

    async fn do_describe_portal<C>(&self, client: &mut C, portal: &Portal<String>) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let columns = self.columns(&portal.statement.statement, client)?;
        Ok(DescribePortalResponse::new(fields(&columns, &portal.result_column_format)))
    }
}

impl Session {
    /// The columns that a statement will answer with, without running it.
    fn columns(&self, sql: &str, client: &impl ClientInfo) -> PgWireResult<Vec<(String, Type)>> {
        match Self::plan(sql, client)?.first() {
            Some(Plan::Value { column, .. }) => Ok(vec![(column.clone(), Type::TEXT)]),
            Some(Plan::Query { sql, types }) => {
                let database = lock(&self.database);
                let statement = database.prepare(sql).map_err(|failure| sqlite(&failure))?;
                let named = |(place, name): (usize, &str)| (name.to_owned(), types.get(place).cloned().unwrap_or(Type::TEXT));
                Ok(statement.column_names().into_iter().enumerate().map(named).collect())
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// SQLite tells failures apart by text only; these two are the ones that clients look at.
fn sqlite(failure: &rusqlite::Error) -> PgWireError {
    let text = failure.to_string();
    let code = if text.contains("no such table") {
        "42P01"
    } else if text.contains("no such column") {
        "42703"
    } else if text.contains("no such function") {
        "42883"
    } else if text.contains("already exists") {
        "42P07"
    } else {
        "42601"
    };
    error(code, &text)
}

fn error(code: &str, message: &str) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message.to_owned())))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
