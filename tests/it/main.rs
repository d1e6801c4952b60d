//! Stories told at the door: a whole server in each test, driven as a browser would, its mail opened.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod account;
mod address;
mod audit;
mod between;
mod commands;
mod corpus;
mod delivery;
mod floors;
mod forgery;
mod guesses;
mod hijack;
mod holders;
mod identity;
mod invitations;
mod invited;
mod join;
mod keeping;
mod links;
mod mail;
mod many;
mod operate;
mod plans;
mod presses;
mod promises;
mod races;
mod refusals;
mod roles;
mod rotation;
mod routes;
mod secrets;
mod smtp;
mod story;
mod strangers;
mod support;
mod survive;
mod unasked;
mod users;
mod writes;
