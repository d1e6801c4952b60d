use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

use super::PageError;
use crate::values::Invalid;

/// The reasons a form was refused, by field.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Errors(Vec<(&'static str, Invalid)>);

impl Errors {
    /// One reason.
    pub fn one(field: &'static str, why: Invalid) -> Self {
        Self(vec![(field, why)])
    }

    /// Keeps the parsed value, or the reason there is none.
    pub fn take<T>(&mut self, field: &'static str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|why| self.add(field, why)).ok()
    }

    /// One more reason.
    pub fn add(&mut self, field: &'static str, why: Invalid) {
        self.0.push((field, why));
    }

    /// The reason beside this field.
    pub fn on(&self, field: &str) -> Option<&Invalid> {
        self.0.iter().find(|(name, _)| *name == field).map(|(_, why)| why)
    }

    /// Every reason, for the summary on top.
    pub fn all(&self) -> &[(&'static str, Invalid)] {
        &self.0
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A form as typed: every field a string, so that it can be shown again. What is not a form of this shape
/// (a field sent twice, octets that are not text) is refused whole.
pub struct Form<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        match axum::Form::<T>::from_request(request, state).await {
            Ok(axum::Form(form)) => Ok(Self(form)),
            Err(rejection) => {
                use axum::response::IntoResponse as _;
                Err(PageError::Page(Box::new(rejection.into_response())))
            }
        }
    }
}
