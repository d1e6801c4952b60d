//! Create user: a manager makes an account; its owner sets the password by mail.

use askama::Template;
use axum::{Router, extract::State, http::StatusCode, response::Response, routing::get};
use serde::Deserialize;

use crate::{
    features::{
        provisioning::{self, Asked, Created},
        sessions::Manager,
        sign_in,
        users::Role,
    },
    platform::{
        App,
        web::{Errors, Form, PageError, Portal, go, page},
    },
    values::Invalid,
};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/settings/users/new", get(show).post(create))
}

#[derive(Template)]
#[template(path = "features/settings/user_new.html")]
struct NewUserPage<'a> {
    portal: Portal,
    form: &'a NewUserForm,
    delivers: bool,
    asks_password: bool,
    errors: Errors,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NewUserForm {
    email: String,
    full_name: String,
    role: String,
    current_password: String,
}

impl NewUserForm {
    fn parse(&self) -> Result<Asked, Errors> {
        let mut errors = Errors::default();
        let email = errors.take("email", self.email.parse());
        let full_name = match self.full_name.trim() {
            "" => Some(None),
            typed => errors.take("full_name", typed.parse()).map(Some),
        };
        let role = match self.role.as_str() {
            "" => Some(Role::Member),
            word => errors.take("role", Role::from_word(word).ok_or(Invalid::Choice)),
        };
        let (Some(email), Some(full_name), Some(role)) = (email, full_name, role) else { return Err(errors) };
        Ok(Asked { email, full_name, role })
    }
}

async fn show(State(app): State<App>, manager: Manager) -> Result<Response, PageError> {
    new_page(&app, &manager, &NewUserForm::default(), Errors::default(), StatusCode::OK)
}

fn new_page(
    app: &App,
    manager: &Manager,
    form: &NewUserForm,
    errors: Errors,
    status: StatusCode,
) -> Result<Response, PageError> {
    let delivers = app.mailer.delivers();
    let asks_password = errors.on("current_password").is_some();
    page(status, &NewUserPage { portal: manager.portal("users"), form, delivers, asks_password, errors })
}

async fn create(
    State(app): State<App>,
    manager: Manager,
    Form(form): Form<NewUserForm>,
) -> Result<Response, PageError> {
    let refused = |errors| new_page(&app, &manager, &form, errors, StatusCode::UNPROCESSABLE_ENTITY);
    let asked = match form.parse() {
        Ok(asked) => asked,
        Err(errors) => return refused(errors),
    };
    // To make a manager is to change a role, whichever way: an abandoned session does not.
    if asked.role == Role::Manager
        && let Some(why) = sign_in::ask_password_again(&app, &manager, &form.current_password).await?
    {
        return refused(Errors::one("current_password", why));
    }
    match provisioning::create(&app, &manager.authority(), Some(manager.user), asked).await? {
        Created::User(user) => Ok(go(&format!("/settings/users/{}?notice=created", user.id))),
        Created::Taken => refused(Errors::one("email", Invalid::AddressTaken)),
        Created::TooMuchMail(too_many) => Err(too_many.into()),
    }
}
