//! What there is to say about an operation: how it is called, who may call it, what it takes and
//! what it answers. Types only; the operations themselves are in [`super::table`].

use actix_web::Route;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::http::problem::Kind;

/// The method of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads. `HEAD` is served with it.
    Get,
    /// Does something.
    Post,
    /// Puts something in the place of what was there.
    Put,
    /// Takes something away.
    Delete,
}

impl Verb {
    /// Its name in HTTP.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// What one has to be to call an operation. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nobody in particular.
    Anyone,
    /// Someone who may look.
    Viewer,
    /// Someone who may have tasks run.
    Submitter,
    /// Someone who runs the fleet.
    Operator,
}

impl Role {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Operator => "operator",
        }
    }
}

/// Makes a schema, and adds what it refers to to the document.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of a type.
pub fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path, as `{name}`.
    Path,
    /// In the query.
    Query,
    /// In a header.
    Header,
}

impl Place {
    /// Its name in OpenAPI.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

/// One parameter. Those in the path are required, all others may be left out.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it may be.
    pub schema: SchemaOf,
    /// What it means.
    pub description: &'static str,
    /// A value, as it is written in a URL or a header.
    pub example: &'static str,
}

/// What an operation takes as its body.
#[derive(Debug, Clone, Copy)]
pub struct Body {
    /// Its media type, its schema, and an example in JSON or, for another media type, as text.
    pub content: &'static [(&'static str, SchemaOf, &'static str)],
    /// What it is.
    pub description: &'static str,
}

/// One answer that is not a problem.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Its HTTP status.
    pub status: u16,
    /// What it is.
    pub description: &'static str,
    /// Headers that matter, with what they say.
    pub headers: &'static [(&'static str, &'static str)],
    /// Its body in each of its media types.
    pub content: &'static [(&'static str, Content)],
}

/// The body of an answer.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    /// One JSON value of a schema.
    Value(SchemaOf),
    /// Many values, each a JSON value of a schema: on a line of its own, or as the data of an
    /// event.
    Stream(SchemaOf),
    /// Text of some other form.
    Text,
}

/// One operation: a method of a path.
pub struct Operation {
    /// Its method.
    pub verb: Verb,
    /// Its path; what is in braces is a parameter.
    pub path: &'static str,
    /// Gives a route, which has its method already, the handler.
    pub serve: fn(Route) -> Route,
    /// Its name for programs.
    pub id: &'static str,
    /// The group that it is shown in.
    pub tag: &'static str,
    /// Who may call it.
    pub role: Role,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What else there is to know, in Markdown.
    pub description: &'static str,
    /// What it takes beside its body.
    pub parameters: &'static [Parameter],
    /// Its body, if it takes one.
    pub body: Option<Body>,
    /// What it answers when all is well.
    pub answers: &'static [Answer],
    /// The problems it may answer beside those that every operation may.
    pub problems: &'static [&'static [Kind]],
}
