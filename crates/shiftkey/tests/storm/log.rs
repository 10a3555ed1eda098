//! A log of everything that anything says at any level, so that a secret in it would be found.

use std::{
    fmt::{Debug, Write as _},
    fs::File,
    io::Write as _,
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Writes each event and the fields of each span on a line of a file.
#[derive(Debug)]
pub(crate) struct Everything(pub(crate) File);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Everything {
    fn write(&self, about: &Metadata<'_>, fields: impl FnOnce(&mut Line)) {
        let mut line = Line(format!("{} {}", about.level(), about.target()));
        fields(&mut line);
        line.0.push('\n');
        let _ = (&self.0).write_all(line.0.as_bytes());
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.write(span.metadata(), |line| span.record(line));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line("recorded".to_owned());
        values.record(&mut line);
        line.0.push('\n');
        let _ = (&self.0).write_all(line.0.as_bytes());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.write(event.metadata(), |line| event.record(line));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
