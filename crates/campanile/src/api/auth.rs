//! Who may call: section 1.2. One key, compared in constant time, wherever it is presented.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::web::Query;
use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;

use crate::config::{HttpApi, Secret};

/// Lets requests pass that present the key. Clones change with it.
#[derive(Clone, Debug)]
pub struct Gate(Arc<ArcSwap<Key>>);

#[derive(Debug)]
struct Key {
    key: Secret,
    is_open: bool,
}

impl Gate {
    /// For requests with the configured key.
    #[must_use]
    pub fn new(settings: &HttpApi) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Key::of(settings))))
    }

    /// Wants another key from now on.
    pub fn replace(&self, settings: &HttpApi) {
        self.0.store(Arc::new(Key::of(settings)));
    }

    /// Whether the request presents the key: in its headers or, failing that, in its query.
    pub fn admits(&self, request: &HttpRequest) -> bool {
        let key = self.0.load();
        key.is_open
            || key.admits_headers(request.headers())
            || key.admits_query(request.query_string())
    }
}

impl Key {
    fn of(settings: &HttpApi) -> Self {
        Self {
            key: settings.key.clone(),
            is_open: settings.insecure,
        }
    }

    /// A wrong `X-API-Key` is not made good by the other header.
    fn admits_headers(&self, headers: &HeaderMap) -> bool {
        if let Some(key) = headers.get("x-api-key") {
            return self.is_key(key.as_bytes());
        }
        let authorization = headers.get(AUTHORIZATION);
        let Some(authorization) = authorization.and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let mut words = authorization.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(scheme), Some(key), None) => {
                scheme.eq_ignore_ascii_case("apikey") && self.is_key(key.as_bytes())
            }
            _ => false,
        }
    }

    fn admits_query(&self, query: &str) -> bool {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::from_query(query) else {
            return false;
        };
        let key = pairs.iter().find(|(name, _)| name == "api_key");
        key.is_some_and(|(_, key)| self.is_key(key.as_bytes()))
    }

    /// A key that was never set is nobody's.
    fn is_key(&self, presented: &[u8]) -> bool {
        !self.key.is_empty() && self.key.expose().as_bytes().ct_eq(presented).into()
    }
}
