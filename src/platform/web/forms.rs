use std::collections::HashSet;

use axum::{
    extract::{FromRequest, RawForm, Request},
    http::StatusCode,
    response::IntoResponse,
};
use serde::de::{
    DeserializeOwned,
    value::{self, MapDeserializer},
};
use url::form_urlencoded;

use super::PageError;
use crate::values::Invalid;

/// Why a field was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The field.
    pub field: &'static str,
    /// The piece that is meant, as typed, where a field holds many and the reason does not name it.
    pub piece: Option<String>,
    /// What is wrong.
    pub why: Invalid,
}

/// The reasons a form was refused, by field.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Errors(Vec<Reason>);

impl Errors {
    /// One reason.
    pub fn one(field: &'static str, why: Invalid) -> Self {
        Self(vec![Reason { field, piece: None, why }])
    }

    /// Keeps the parsed value, or the reason there is none.
    pub fn take<T>(&mut self, field: &'static str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|why| self.add(field, why)).ok()
    }

    /// One more reason.
    pub fn add(&mut self, field: &'static str, why: Invalid) {
        self.0.push(Reason { field, piece: None, why });
    }

    /// One more reason, about one piece of a field that holds many.
    pub fn add_about(&mut self, field: &'static str, piece: &str, why: Invalid) {
        self.0.push(Reason { field, piece: Some(piece.to_owned()), why });
    }

    /// The reason beside this field.
    pub fn on(&self, field: &str) -> Option<&Invalid> {
        self.first_on(field).map(|reason| &reason.why)
    }

    /// The same, with the piece that it is about.
    pub fn first_on(&self, field: &str) -> Option<&Reason> {
        self.0.iter().find(|reason| reason.field == field)
    }

    /// Every reason, for the summary on top.
    pub fn all(&self) -> &[Reason] {
        &self.0
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A form as typed: every field a string, so that it can be shown again. Of a field that was sent twice the first
/// counts. What is no form (another type of content, a body too large) is refused whole.
pub struct Form<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        let RawForm(sent) = RawForm::from_request(request, state).await.map_err(refused)?;
        let mut seen = HashSet::new();
        let once = form_urlencoded::parse(&sent).filter(|(name, _)| seen.insert(name.clone()));
        let form = T::deserialize(MapDeserializer::<_, value::Error>::new(once));
        form.map(Self).map_err(|_| refused(StatusCode::UNPROCESSABLE_ENTITY))
    }
}

fn refused(rejection: impl IntoResponse) -> PageError {
    PageError::Page(Box::new(rejection.into_response()))
}
