//! SQLite behind PostgreSQL's protocol, for machines without a PostgreSQL server. It answers plain SQL; what it cannot do
//! is refused with 0A000, not guessed.

mod catalog;
mod rewrite;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::{fmt, io};

use async_trait::async_trait;
use futures::{Sink, stream};
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
    messages::{PgWireBackendMessage, PgWireFrontendMessage, response::TransactionStatus},
};
use rusqlite::{
    Connection,
    types::{Value, ValueRef},
};
use tokio::{net::UnixStream, task::JoinSet};

use self::rewrite::{Facts, Plan};
use super::Channel;
use crate::catalog::{Catalog, Piece, Refusal};
use crate::world::{WarehouseId, World};

/// One warehouse's databases, in memory. They last as long as this; sessions have connections of their own.
pub(crate) struct Server {
    shared: Arc<Shared>,
    sessions: Mutex<JoinSet<io::Result<()>>>,
}

struct Shared {
    world: World,
    id: WarehouseId,
    /// Tells this warehouse's databases from others' in this process.
    number: u64,
    /// A database in memory ends with its last connection, so one of each is kept here.
    kept: Mutex<HashMap<String, Connection>>,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Server {
    pub(super) fn new(world: World, id: WarehouseId) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared { world, id, number, kept: Mutex::default() });
        Self { shared, sessions: Mutex::default() }
    }

    pub(super) fn dial(&self) -> io::Result<Box<dyn Channel>> {
        let session = Session {
            shared: Arc::clone(&self.shared),
            catalog: OnceLock::new(),
            connection: Mutex::default(),
            parser: Arc::new(NoopQueryParser::new()),
        };
        let (ours, theirs) = UnixStream::pair()?;
        let mut sessions = lock(&self.sessions);
        while sessions.try_join_next().is_some() {}
        sessions.spawn(pgwire::tokio::process_socket_unix(theirs, Handlers(Arc::new(session))));
        Ok(Box::new(ours))
    }

    pub(super) async fn stop(self) {
        let mut sessions = std::mem::take(&mut *lock(&self.sessions));
        sessions.shutdown().await;
    }
}

impl Shared {
    /// A connection to the database, or `None` when the warehouse has none of this name.
    fn connect(&self, database: &str) -> Option<rusqlite::Result<Connection>> {
        let known = self.world.warehouse(&self.id)?.databases;
        let place = known.iter().position(|name| name == database)?;
        let open = || Connection::open(format!("file:warehouse{}-{place}?mode=memory&cache=shared", self.number));
        let mut kept = lock(&self.kept);
        if !kept.contains_key(database) {
            match open() {
                Ok(connection) => kept.insert(database.to_owned(), connection),
                Err(failure) => return Some(Err(failure)),
            };
        }
        Some(open())
    }
}

struct Session {
    shared: Arc<Shared>,
    /// As this session's user sees it; known from the startup message on.
    catalog: OnceLock<Catalog>,
    /// Opened by the startup message.
    connection: Mutex<Option<Connection>>,
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

#[async_trait]
impl NoopStartupHandler for Session {
    async fn post_startup<C>(&self, client: &mut C, _message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        C::Error: fmt::Debug,
        PgWireError: From<C::Error>,
    {
        let facts = facts(client);
        let missing = || ErrorInfo::new("FATAL".into(), "3D000".into(), format!("database \"{}\" does not exist", facts.database));
        let connection = self.shared.connect(&facts.database).ok_or_else(|| PgWireError::UserError(Box::new(missing())))?;
        self.catalog.get_or_init(|| Catalog::new(&self.shared.world, &self.shared.id, &facts.user));
        *lock(&self.connection) = Some(connection.map_err(|failure| sqlite(&failure))?);
        Ok(())
    }
}

/// A result before it is encoded.
struct Table {
    columns: Vec<(String, Type)>,
    rows: Vec<Vec<Option<String>>>,
}

enum Outcome {
    Begin(Tag),
    Done(Tag),
    End(Tag),
    Table(Table),
}

impl Session {
    /// Statements on tables in memory take microseconds, so they run where they are.
    fn run(&self, plan: &Plan, parameters: &[Value], status: TransactionStatus) -> PgWireResult<Outcome> {
        if status == TransactionStatus::Error && !matches!(plan, Plan::Done("COMMIT" | "ROLLBACK")) {
            return Err(error("25P02", "current transaction is aborted, commands ignored until end of transaction block"));
        }
        match plan {
            Plan::Change(change) => {
                self.catalog()?.change(change.clone()).map_err(refused)?;
                Ok(Outcome::Done(Tag::new(change.tag())))
            }
            Plan::Done("BEGIN") if status == TransactionStatus::Idle => self.begin(),
            Plan::Done(verb @ ("COMMIT" | "ROLLBACK")) => {
                // A transaction that failed can only be rolled back.
                let verb = if status == TransactionStatus::Error { "ROLLBACK" } else { verb };
                if status != TransactionStatus::Idle {
                    self.with(|connection| connection.execute_batch(verb))?;
                }
                self.settle(verb == "COMMIT")?;
                Ok(Outcome::End(Tag::new(verb)))
            }
            Plan::Done(tag) => Ok(Outcome::Done(Tag::new(tag))),
            Plan::Value { column, value } => {
                Ok(Outcome::Table(Table { columns: vec![(column.clone(), Type::TEXT)], rows: vec![vec![Some(value.clone())]] }))
            }
            Plan::Query { sql, types } => self.with(|connection| select(connection, sql, types, parameters)).map(Outcome::Table),
            Plan::Execute { sql, verb } => {
                let changed = self.with(|connection| {
                    let mut statement = connection.prepare(sql)?;
                    bind(&mut statement, parameters)?;
                    statement.raw_execute()
                })?;
                let tag = Tag::new(verb);
                Ok(Outcome::Done(match *verb {
                    "INSERT" => tag.with_oid(0).with_rows(changed),
                    "UPDATE" | "DELETE" => tag.with_rows(changed),
                    _ => tag,
                }))
            }
        }
    }

    /// Changes of users and groups take effect with the transaction's end, or never.
    fn settle(&self, kept: bool) -> PgWireResult<()> {
        let catalog = self.catalog()?;
        if kept {
            catalog.commit();
        } else {
            catalog.roll_back();
        }
        Ok(())
    }

    fn begin(&self) -> PgWireResult<Outcome> {
        self.with(|connection| connection.execute_batch("BEGIN"))?;
        Ok(Outcome::Begin(Tag::new("BEGIN")))
    }

    /// What to do for each statement. System tables are filled here, with what is true now.
    fn plan(&self, sql: &str, client: &impl ClientInfo) -> PgWireResult<Vec<Plan>> {
        let plain = |sql: &str| rewrite::plan(sql, &facts(client)).map_err(|(code, message)| error(code, &message));
        let Some(pieces) = crate::catalog::read(sql).map_err(refused)? else { return plain(sql) };
        let mut plans = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Change(change) => plans.push(Plan::Change(change)),
                Piece::Other { sql, reads } => {
                    for table in reads {
                        let rows = self.catalog()?.rows(table).map_err(refused)?;
                        self.with(|connection| catalog::fill(connection, table, &rows))?;
                    }
                    plans.extend(plain(&sql)?);
                }
            }
        }
        Ok(plans)
    }

    fn catalog(&self) -> PgWireResult<&Catalog> {
        self.catalog.get().ok_or_else(|| error("08003", "the session has not started"))
    }

    fn with<T>(&self, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> PgWireResult<T> {
        let connection = lock(&self.connection);
        let connection = connection.as_ref().ok_or_else(|| error("08003", "the session has not started"))?;
        act(connection).map_err(|failure| sqlite(&failure))
    }
}

fn facts(client: &impl ClientInfo) -> Facts {
    let known = |name| client.metadata().get(name).cloned().unwrap_or_default();
    Facts { user: known("user"), database: known("database") }
}

fn select(connection: &Connection, sql: &str, types: &[Type], parameters: &[Value]) -> rusqlite::Result<Table> {
    let mut statement = connection.prepare(sql)?;
    let columns: Vec<_> = columns(&statement, types);
    bind(&mut statement, parameters)?;
    let text = |value: ValueRef<'_>| match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
    };
    let mut found = statement.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push((0..columns.len()).map(|place| row.get_ref(place).map(text)).collect::<Result<_, _>>()?);
    }
    Ok(Table { columns, rows })
}

/// Names and types: what the text tells, else what the table's definition does.
fn columns(statement: &rusqlite::Statement<'_>, types: &[Type]) -> Vec<(String, Type)> {
    let declared = |kind: Option<&str>| {
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        match kind.split('(').next().unwrap_or_default() {
            "int" | "integer" | "int4" => Type::INT4,
            "bigint" | "int8" => Type::INT8,
            "boolean" => Type::BOOL,
            "double precision" | "float" | "float8" | "real" => Type::FLOAT8,
            _ => Type::TEXT,
        }
    };
    let column = |(place, column): (usize, rusqlite::Column<'_>)| {
        let kind = types.get(place).filter(|kind| **kind != Type::TEXT).cloned();
        (column.name().to_owned(), kind.unwrap_or_else(|| declared(column.decl_type())))
    };
    statement.columns().enumerate().map(column).collect()
}

fn bind(statement: &mut rusqlite::Statement<'_>, parameters: &[Value]) -> rusqlite::Result<()> {
    for (index, value) in parameters.iter().enumerate() {
        if let Some(place) = statement.parameter_index(&format!("${}", index + 1))? {
            statement.raw_bind_parameter(place, value)?;
        }
    }
    Ok(())
}

/// The values of a portal's parameters. A type that is not known here counts as text.
fn parameters(portal: &Portal<String>) -> PgWireResult<Vec<Value>> {
    let value = |index: usize| {
        let kind = portal.statement.parameter_types.get(index).cloned().flatten().unwrap_or(Type::TEXT);
        Ok(match kind {
            Type::BOOL => portal.parameter::<bool>(index, &kind)?.map(|value| Value::Integer(value.into())),
            Type::INT2 => portal.parameter::<i16>(index, &kind)?.map(|value| Value::Integer(value.into())),
            Type::INT4 => portal.parameter::<i32>(index, &kind)?.map(|value| Value::Integer(value.into())),
            Type::INT8 => portal.parameter::<i64>(index, &kind)?.map(Value::Integer),
            Type::FLOAT4 => portal.parameter::<f32>(index, &kind)?.map(|value| Value::Real(value.into())),
            Type::FLOAT8 => portal.parameter::<f64>(index, &kind)?.map(Value::Real),
            _ => portal.parameter::<String>(index, &Type::TEXT)?.map(Value::Text),
        }
        .unwrap_or(Value::Null))
    };
    (0..portal.parameter_len()).map(value).collect()
}

fn respond(outcome: Outcome, format: &Format) -> PgWireResult<Response> {
    let table = match outcome {
        Outcome::Begin(tag) => return Ok(Response::TransactionStart(tag)),
        Outcome::Done(tag) => return Ok(Response::Execution(tag)),
        Outcome::End(tag) => return Ok(Response::TransactionEnd(tag)),
        Outcome::Table(table) => table,
    };
    let fields = Arc::new(fields(&table.columns, format));
    let mut encoder = DataRowEncoder::new(Arc::clone(&fields));
    let mut rows = Vec::with_capacity(table.rows.len());
    for row in table.rows {
        for (value, (_, kind)) in row.iter().zip(&table.columns) {
            match (kind, value) {
                (&Type::BOOL, Some(text)) => encoder.encode_field(&(text == "1"))?,
                (&Type::INT4, Some(text)) => encoder.encode_field(&text.parse::<i32>().ok())?,
                (&Type::INT8, Some(text)) => encoder.encode_field(&text.parse::<i64>().ok())?,
                (&Type::FLOAT8, Some(text)) => encoder.encode_field(&text.parse::<f64>().ok())?,
                (_, text) => encoder.encode_field(text)?,
            }
        }
        rows.push(Ok(encoder.take_row()));
    }
    Ok(Response::Query(QueryResponse::new(fields, stream::iter(rows))))
}

fn fields(columns: &[(String, Type)], format: &Format) -> Vec<FieldInfo> {
    let field =
        |(place, (name, kind)): (usize, &(String, Type))| FieldInfo::new(name.clone(), None, None, kind.clone(), format.format_for(place));
    columns.iter().enumerate().map(field).collect()
}

#[async_trait]
impl SimpleQueryHandler for Session {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut responses = Vec::new();
        let mut status = client.transaction_status();
        let mut failed = false;
        for plan in self.plan(query, client)? {
            let response = match self.run(&plan, &[], status).and_then(|outcome| respond(outcome, &Format::UnifiedText)) {
                Ok(response) => response,
                // What went before it was done, so its answers go out too; nothing after it runs.
                Err(failure) => {
                    responses.push(Response::Error(Box::new(failure.into())));
                    failed = true;
                    break;
                }
            };
            match response {
                Response::TransactionStart(_) => status = TransactionStatus::Transaction,
                Response::TransactionEnd(_) => status = TransactionStatus::Idle,
                _ => {}
            }
            responses.push(response);
        }
        if failed || status == TransactionStatus::Idle {
            self.settle(!failed)?;
        }
        Ok(responses)
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
        let mut plans = self.plan(&portal.statement.statement, client)?;
        let (Some(plan), true) = (plans.pop(), plans.is_empty()) else {
            return Err(error("42601", "cannot insert multiple commands into a prepared statement"));
        };
        let status = client.transaction_status();
        let outcome = self.run(&plan, &parameters(portal)?, status);
        if outcome.is_err() || status == TransactionStatus::Idle {
            self.settle(outcome.is_ok())?;
        }
        let outcome = outcome?;
        respond(outcome, &portal.result_column_format)
    }

    async fn do_describe_statement<C>(&self, client: &mut C, statement: &StoredStatement<String>) -> PgWireResult<DescribeStatementResponse>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let columns = self.columns(&statement.statement, client)?;
        let count = rewrite::parameter_count(&statement.statement);
        let kind = |index: usize| statement.parameter_types.get(index).cloned().flatten().unwrap_or(Type::TEXT);
        let types = (0..count.max(statement.parameter_types.len())).map(kind).collect();
        Ok(DescribeStatementResponse::new(types, fields(&columns, &Format::UnifiedBinary)))
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
        match self.plan(sql, client)?.first() {
            Some(Plan::Value { column, .. }) => Ok(vec![(column.clone(), Type::TEXT)]),
            Some(Plan::Query { sql, types }) => self.with(|connection| Ok(columns(&connection.prepare(sql)?, types))),
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

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(refusal: Refusal) -> PgWireError {
    error(refusal.code, &refusal.message)
}

fn error(code: &str, message: &str) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message.to_owned())))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
