//! The statements on users and groups, read token by token: Redshift's grammar for them is not PostgreSQL's.

use std::time::SystemTime;

use sqlparser::tokenizer::Token;

use super::Refusal;

/// A statement that changes users or groups.
#[derive(Clone, PartialEq)]
pub(super) enum Statement {
    AlterGroup {
        group: String,
        join: bool,
        users: Vec<String>,
    },
    AlterUser {
        user: String,
        options: Options,
    },
    CreateGroup {
        group: String,
        users: Vec<String>,
    },
    CreateUser {
        user: String,
        options: Options,
    },
    DropGroup {
        group: String,
    },
    DropUser {
        users: Vec<String>,
        if_exists: bool,
    },
    /// `GRANT ROLE sys:monitor TO user`, or `REVOKE`.
    Monitor {
        user: String,
        granted: bool,
    },
    RenameUser {
        user: String,
        name: String,
    },
}

impl Statement {
    /// The users that it names.
    pub(super) fn users(&self) -> Vec<&str> {
        match self {
            Self::AlterGroup { users, .. } | Self::CreateGroup { users, .. } | Self::DropUser { users, .. } => {
                users.iter().map(String::as_str).collect()
            }
            Self::AlterUser { user, .. } | Self::CreateUser { user, .. } | Self::Monitor { user, .. } => vec![user],
            Self::RenameUser { user, name } => vec![user, name],
            Self::DropGroup { .. } => Vec::new(),
        }
    }
}

/// What `CREATE USER` and `ALTER USER` say; absent leaves it as it is.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Options {
    pub(super) createdb: Option<bool>,
    pub(super) superuser: Option<bool>,
    /// `Some(None)` is `DISABLE`.
    pub(super) password: Option<Option<String>>,
    /// `Some(None)` is `infinity`.
    pub(super) valid_until: Option<Option<SystemTime>>,
    pub(super) groups: Vec<String>,
}

/// Words left to right. Names and texts come with their quotes still doubled.
pub(super) struct Words<'a>(std::iter::Peekable<std::slice::Iter<'a, Token>>);

impl<'a> Words<'a> {
    /// `tokens` holds no white space.
    pub(super) fn new(tokens: &'a [Token]) -> Self {
        Self(tokens.iter().peekable())
    }

    fn peek(&mut self) -> String {
        match self.0.peek() {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            _ => String::new(),
        }
    }

    /// Takes these words if they are next; none of them otherwise.
    fn take(&mut self, words: &str) -> bool {
        let mut ahead = self.0.clone();
        let fits = words.split(' ').all(|expected| match ahead.next() {
            Some(Token::Word(word)) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected),
            Some(other) => other.to_string() == expected,
            None => false,
        });
        if fits {
            self.0 = ahead;
        }
        fits
    }

    /// A name: in quotes as it is, else in lower case.
    fn name(&mut self) -> Result<String, Refusal> {
        match self.0.next() {
            Some(Token::Word(word)) => Ok(match word.quote_style {
                Some(_) => word.value.replace("\"\"", "\""),
                None => word.value.to_lowercase(),
            }),
            other => Err(unexpected(other)),
        }
    }

    fn names(&mut self) -> Result<Vec<String>, Refusal> {
        let mut names = vec![self.name()?];
        while self.take(",") {
            names.push(self.name()?);
        }
        Ok(names)
    }

    fn text(&mut self) -> Result<String, Refusal> {
        match self.0.next() {
            Some(Token::SingleQuotedString(text)) => Ok(text.replace("''", "'")),
            other => Err(unexpected(other)),
        }
    }

    fn end(&mut self) -> Result<(), Refusal> {
        self.0.next().map_or(Ok(()), |token| Err(unexpected(Some(token))))
    }

    /// The statement, or `None` when it is of another kind.
    pub(super) fn statement(mut self) -> Result<Option<Statement>, Refusal> {
        let statement = if self.take("CREATE USER") {
            let user = self.name()?;
            Statement::CreateUser { user, options: self.options()? }
        } else if self.take("ALTER USER") {
            let user = self.name()?;
            if self.take("RENAME TO") {
                Statement::RenameUser { user, name: self.name()? }
            } else {
                Statement::AlterUser { user, options: self.options()? }
            }
        } else if self.take("DROP USER") {
            let if_exists = self.take("IF EXISTS");
            Statement::DropUser { users: self.names()?, if_exists }
        } else if self.take("CREATE GROUP") {
            let group = self.name()?;
            let users = if self.take("WITH USER") || self.take("USER") { self.names()? } else { Vec::new() };
            Statement::CreateGroup { group, users }
        } else if self.take("ALTER GROUP") {
            let group = self.name()?;
            let join = match self.peek().as_str() {
                "ADD" => self.take("ADD USER"),
                _ if self.take("DROP USER") => false,
                _ => return Err(unexpected(self.0.next())),
            };
            Statement::AlterGroup { group, join, users: self.names()? }
        } else if self.take("DROP GROUP") {
            Statement::DropGroup { group: self.name()? }
        } else if self.take("GRANT ROLE sys : monitor TO") {
            Statement::Monitor { user: self.name()?, granted: true }
        } else if self.take("REVOKE ROLE sys : monitor FROM") {
            Statement::Monitor { user: self.name()?, granted: false }
        } else {
            return Ok(None);
        };
        self.end()?;
        Ok(Some(statement))
    }

    fn options(&mut self) -> Result<Options, Refusal> {
        let mut options = Options::default();
        self.take("WITH");
        while self.0.peek().is_some() {
            match self.peek().as_str() {
                "CREATEDB" => options.createdb = Some(true),
                "NOCREATEDB" => options.createdb = Some(false),
                "CREATEUSER" => options.superuser = Some(true),
                "NOCREATEUSER" => options.superuser = Some(false),
                "PASSWORD" => {
                    self.0.next();
                    options.password = Some(if self.take("DISABLE") { None } else { Some(self.text()?) });
                    continue;
                }
                "VALID" => {
                    if !self.take("VALID UNTIL") {
                        return Err(unexpected(self.0.next()));
                    }
                    options.valid_until = Some(moment(&self.text()?)?);
                    continue;
                }
                "IN" if self.take("IN GROUP") => {
                    options.groups = self.names()?;
                    continue;
                }
                _ => return Err(unexpected(self.0.next())),
            }
            self.0.next();
        }
        Ok(options)
    }
}

fn moment(text: &str) -> Result<Option<SystemTime>, Refusal> {
    if text == "infinity" {
        return Ok(None);
    }
    let full = if text.len() == 10 { format!("{text} 00:00:00") } else { text.to_owned() };
    let parsed = humantime::parse_rfc3339_weak(&full).map(Some);
    parsed.map_err(|_| Refusal::new("22007", format!("invalid input syntax for type abstime: \"{text}\"")))
}

fn unexpected(token: Option<&Token>) -> Refusal {
    let near = token.map_or_else(|| "at end of input".to_owned(), |token| format!("at or near \"{token}\""));
    Refusal::new("42601", format!("syntax error {near}"))
}
