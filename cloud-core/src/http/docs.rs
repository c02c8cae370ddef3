//! A page for people: it reads the OpenAPI document, shows every operation and lets one try it.
//! Its assets are part of the program, so it works without the internet.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use super::problem::ApiResult;
use super::query;

/// Loads from this server alone, runs no inline code, and stands in no foreign frame.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                          connect-src 'self'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'none'";

/// `GET /docs`.
pub async fn page(request: HttpRequest) -> ApiResult {
    asset(&request, "text/html; charset=utf-8", include_str!("docs/docs.html"))
}

/// `GET /docs/docs.js`.
pub async fn script(request: HttpRequest) -> ApiResult {
    asset(&request, "text/javascript; charset=utf-8", include_str!("docs/docs.js"))
}

/// `GET /docs/docs.css`.
pub async fn style(request: HttpRequest) -> ApiResult {
    asset(&request, "text/css; charset=utf-8", include_str!("docs/docs.css"))
}

fn asset(request: &HttpRequest, media: &str, text: &'static str) -> ApiResult {
    query::none(request)?;
    Ok(HttpResponse::Ok()
        .content_type(media)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(text))
}
