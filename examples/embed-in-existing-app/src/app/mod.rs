//! The application as it was: an order desk of pages and forms.
//!
//! It refuses to know about Campanile, and so does everything below it. `before.rs` runs it by
//! itself.

mod board;
mod pages;
mod sessions;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::{ErrorBadRequest, ErrorInternalServerError, ErrorUnauthorized};
use actix_web::http::header::{
    COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN, SET_COOKIE,
};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, Form, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use board::{Board, ChangeError};
use sessions::Seal;
pub(crate) use sessions::Session;

/// The order desk.
pub(crate) struct Desk {
    board: Board,
    seal: Seal,
    requests: AtomicU64,
}

/// The list of orders as it is in pages.
#[derive(Serialize)]
pub(crate) struct Fragment {
    /// Newer ones have greater numbers.
    pub(crate) version: u64,
    pub(crate) html: String,
}

impl Desk {
    /// As it was left in this directory.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        Ok(Self {
            board: Board::open(directory.join("orders.json"))?,
            seal: Seal::open(&directory.join("cookie.key"))?,
            requests: AtomicU64::default(),
        })
    }

    /// Who sent this header `Cookie`.
    pub(crate) fn session(&self, cookies: &str) -> Option<Session> {
        let session = self.seal.read(cookies)?;
        self.is_signed_in(&session).then_some(session)
    }

    /// Whether a session goes on.
    pub(crate) fn is_signed_in(&self, session: &Session) -> bool {
        self.board.look(|state| state.sessions.has(session))
    }

    pub(crate) fn orders(&self) -> Fragment {
        self.board.look(|state| Fragment {
            version: state.version,
            html: pages::orders(state),
        })
    }
}

/// The cookies of a request.
pub(crate) fn cookies(headers: &HeaderMap) -> &str {
    let value = headers.get(COOKIE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// Its routes, behind its middleware.
pub(crate) fn routes(services: &mut ServiceConfig) {
    let all = web::scope("")
        .wrap(from_fn(refuse_foreign))
        .wrap(from_fn(count))
        .route("/", web::get().to(page))
        .route("/style.css", web::get().to(pages::style))
        .route("/login", web::post().to(login))
        .route("/logout", web::post().to(logout))
        .route("/orders", web::post().to(take))
        .route("/orders/{id}/done", web::post().to(finish));
    services.service(all);
}

/// Gives each request a number, in the log and in the answer.
async fn count(
    desk: Data<Desk>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let number = desk.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let line = format!("{} {}", request.method(), request.path());
    let mut response = next.call(request).await?;
    tracing::info!(number, status = response.status().as_u16(), "{line}");
    let name = HeaderName::from_static("x-request-number");
    response.headers_mut().insert(name, number.into());
    Ok(response)
}

/// Refuses forms on pages of others. The cookie comes along from other ports and subdomains of our
/// name; browsers say with each form which page it is on, and programs have nobody to betray.
async fn refuse_foreign(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let is_own = match request.headers().get(ORIGIN).map(HeaderValue::to_str) {
        None => true,
        Some(Err(_)) => false,
        // By host and port alone: what speaks TLS may stand in front.
        Some(Ok(origin)) => {
            let page = origin.split_once("://").map(|(_, page)| page);
            page.is_some_and(|page| page.eq_ignore_ascii_case(request.connection_info().host()))
        }
    };
    if is_own || request.method().is_safe() {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let refusal = HttpResponse::Forbidden().body("this is not for pages of other origins");
    Ok(request.into_response(refusal).map_into_right_body())
}

async fn page(desk: Data<Desk>, request: HttpRequest) -> HttpResponse {
    match desk.session(cookies(request.headers())) {
        Some(session) => pages::desk(&session.user, &desk.orders()),
        None => pages::login(),
    }
}

#[derive(Deserialize)]
struct Login {
    user: String,
}

async fn login(desk: Data<Desk>, form: Form<Login>) -> Result<HttpResponse, Error> {
    let session = desk.board.look(|state| state.sessions.begin(&form.user));
    let session = session.ok_or_else(|| ErrorUnauthorized("nobody of that name works here"))?;
    back(Some(&desk.seal.seal(&session)))
}

/// On all devices: a lost one too.
async fn logout(desk: Data<Desk>, request: HttpRequest) -> Result<HttpResponse, Error> {
    if let Some(session) = desk.session(cookies(request.headers())) {
        change(&desk, move |board| board.sign_out(&session.user)).await?;
    }
    back(Some(&Seal::forget()))
}

#[derive(Deserialize)]
struct NewOrder {
    text: String,
}

async fn take(
    desk: Data<Desk>,
    request: HttpRequest,
    form: Form<NewOrder>,
) -> Result<HttpResponse, Error> {
    let session = signed_in(&desk, &request)?;
    change(&desk, move |board| board.add(&form.text, &session.user)).await?;
    back(None)
}

async fn finish(
    desk: Data<Desk>,
    request: HttpRequest,
    id: web::Path<u64>,
) -> Result<HttpResponse, Error> {
    signed_in(&desk, &request)?;
    change(&desk, move |board| board.finish(*id)).await?;
    back(None)
}

fn signed_in(desk: &Desk, request: &HttpRequest) -> Result<Session, Error> {
    let session = desk.session(cookies(request.headers()));
    session.ok_or_else(|| ErrorUnauthorized("sign in first"))
}

/// A change waits for the disk, which a worker must not.
async fn change(
    desk: &Data<Desk>,
    change: impl FnOnce(&Board) -> Result<(), ChangeError> + Send + 'static,
) -> Result<(), Error> {
    let desk = Data::clone(desk);
    match web::block(move || change(&desk.board)).await? {
        Ok(()) => Ok(()),
        Err(error @ ChangeError::Io(_)) => Err(ErrorInternalServerError(error)),
        Err(error) => Err(ErrorBadRequest(error)),
    }
}

/// To the page again.
fn back(cookie: Option<&str>) -> Result<HttpResponse, Error> {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, "/"));
    if let Some(cookie) = cookie {
        response.insert_header((SET_COOKIE, HeaderValue::from_str(cookie)?));
    }
    Ok(response.finish())
}
