//! Its pages, as text.

use std::fmt::Write as _;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};

use super::Fragment;
use super::board::State;
use super::sessions::STAFF;

/// The list of orders. What people wrote is escaped here and nowhere else.
pub(super) fn orders(state: &State) -> String {
    let mut html = String::new();
    for order in &state.orders {
        let (id, text, by) = (order.id, escaped(&order.text), escaped(&order.by));
        // Writing into a text cannot fail.
        let _ = write!(
            html,
            "<li><p>{text}</p><small>{by}</small>\
             <form method=post action=/orders/{id}/done><button>Done</button></form></li>",
        );
    }
    html
}

pub(super) fn desk(user: &str, orders: &Fragment) -> HttpResponse {
    let html = include_str!("../../page/desk.html")
        .replace("{user}", &escaped(user))
        .replace("{version}", &orders.version.to_string())
        .replace("{orders}", &orders.html);
    answer(html)
}

pub(super) fn login() -> HttpResponse {
    let options: String = STAFF
        .iter()
        .map(|name| format!("<option>{name}</option>"))
        .collect();
    answer(include_str!("../../page/login.html").replace("{staff}", &options))
}

pub(super) async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .body(include_str!("../../page/style.css"))
}

fn answer(html: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_SECURITY_POLICY, "default-src 'self'; img-src data:"))
        .body(html)
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}
