//! The API described for machines: one table of operations, from which the server takes its
//! routes and this module its OpenAPI document, so that neither can know a path that the other
//! does not. The document is made once, when it is first asked for.

mod document;
mod input;
mod operation;
mod table;

use std::sync::OnceLock;

use actix_web::{HttpRequest, HttpResponse};

use super::problem::ApiResult;
use super::query;

pub use document::document;
#[cfg(test)]
pub use document::problems;
#[cfg(test)]
pub use operation::Place;
pub use operation::{Operation, Role, Verb};
pub use table::operations;

/// `GET /v1/openapi.json`.
pub async fn serve(request: HttpRequest) -> ApiResult {
    static TEXT: OnceLock<String> = OnceLock::new();
    query::none(&request)?;
    let text = TEXT.get_or_init(|| document().to_string());
    Ok(HttpResponse::Ok().content_type("application/json").body(text.as_str()))
}
