-- Written in the part of SQL that SQLite and PostgreSQL share. SQLite keeps a uuid as a blob,
-- a timestamptz as integer microseconds since 1970, jsonb as text and a boolean as an integer.

-- The server itself: which key made this database, and how people reached it last.
create table server (
  id                bigint not null primary key,
  key_check         bytea not null,
  public_url        text null,
  previous_url      text null,
  url_changed_at    timestamptz null
);

create table organizations (
  id                uuid not null primary key,
  slug              text not null,
  name              text not null,
  login_method      text not null,
  self_service      boolean not null,
  settings_version  bigint not null,
  settings_by       uuid null,
  settings_at       timestamptz not null,
  created_at        timestamptz not null,
  constraint organizations_slug unique (slug)
);

-- `domain` is what the entry is about (empty where the entry is not valid), so that a decision reads
-- only the rows of the address's domain and its parents.
create table allowlist_entries (
  organization_id   uuid not null references organizations (id),
  place             bigint not null,
  entry             text not null,
  domain            text not null,
  primary key (organization_id, place)
);
create index allowlist_entries_domain on allowlist_entries (organization_id, domain);

-- `email_key` is the identity of an address: its local part in lower case. Mail goes to `email`.
create table users (
  id                uuid not null primary key,
  organization_id   uuid not null references organizations (id),
  email             text not null,
  email_key         text not null,
  email_domain      text not null,
  full_name         text not null,
  search_key        text not null,
  role              text not null,
  status            text not null,
  password_hash     text null,
  password_set_at   timestamptz null,
  proved_how        text not null,
  proved_by         uuid null,
  proved_at         timestamptz null,
  came_by           text not null,
  came_by_id        uuid null,
  created_at        timestamptz not null,
  deactivated_at    timestamptz null,
  seen_at           timestamptz null,
  constraint users_email unique (organization_id, email_key)
);
create index users_domain on users (organization_id, email_domain);
create index users_managers on users (organization_id, role, status);

-- Addresses of deleted users that may not come back through the link: only a keyed hash, for two years.
create table barred_addresses (
  organization_id   uuid not null references organizations (id),
  address_hash      bytea not null,
  until             timestamptz not null,
  primary key (organization_id, address_hash)
);

create table sessions (
  id                uuid not null primary key,
  organization_id   uuid not null references organizations (id),
  user_id           uuid not null references users (id) on delete cascade,
  digest            bytea not null,
  created_at        timestamptz not null,
  seen_at           timestamptz not null,
  password_at       timestamptz not null,
  expires_at        timestamptz not null,
  client_address    text not null,
  user_agent        text not null,
  constraint sessions_digest unique (digest)
);
create index sessions_user on sessions (user_id);

-- Browsers that have signed a user in before; a stranger's wrong guesses do not shut them out.
create table known_browsers (
  digest            bytea not null primary key,
  user_id           uuid not null references users (id) on delete cascade,
  created_at        timestamptz not null
);
create index known_browsers_user on known_browsers (user_id);

-- An invite link is a policy; what it is found by stands in link_codes, so that replacing one ends only its code.
create table links (
  id                uuid not null primary key,
  organization_id   uuid not null references organizations (id),
  kind              text not null,
  name              text null,
  paused            boolean not null,
  opens_at          timestamptz null,
  expires_at        timestamptz null,
  maximum           bigint null,
  message           text null,
  used              bigint not null,
  last_used_at      timestamptz null,
  created_at        timestamptz not null
);
create index links_organization on links (organization_id);

create table link_codes (
  id                uuid not null primary key,
  organization_id   uuid not null references organizations (id),
  link_id           uuid not null references links (id),
  code_hash         bytea not null,
  sealed            bytea not null,
  created_at        timestamptz not null,
  replaced_at       timestamptz null,
  constraint link_codes_hash unique (code_hash)
);
create index link_codes_link on link_codes (link_id);

-- The funnel's first steps, gathered in memory and written in batches.
create table link_days (
  link_id           uuid not null references links (id),
  day               text not null,
  shown             bigint not null,
  sent              bigint not null,
  finished          bigint not null,
  primary key (link_id, day)
);

-- An attempt to join. `state` is its place in the funnel: begun, confirmed, finished, ended.
create table registrations (
  id                uuid not null primary key,
  organization_id   uuid not null references organizations (id),
  link_id           uuid not null references links (id),
  link_code_id      uuid not null references link_codes (id),
  browser_digest    bytea null,
  email             text not null,
  email_key         text not null,
  email_domain      text not null,
  state             text not null,
  ended_why         text null,
  begun_at          timestamptz not null,
  expires_at        timestamptz not null,
  asked_at          timestamptz not null,
  confirmed_at      timestamptz null,
  confirmed_until   timestamptz null,
  ended_at          timestamptz null,
  handed_over_by    uuid null,
  mail_failed_at    timestamptz null,
  user_id           uuid null
);
create unique index registrations_open on registrations (browser_digest, link_id, email_key) where ended_at is null and browser_digest is not null;
create index registrations_address on registrations (organization_id, email_key);
create index registrations_waiting on registrations (organization_id, email_domain) where ended_at is null;
create index registrations_expiry on registrations (expires_at) where ended_at is null;

create table invitations (
  id                uuid not null primary key,
  organization_id   uuid not null references organizations (id),
  email             text not null,
  email_key         text not null,
  role              text not null,
  invited_by        uuid null,
  created_at        timestamptz not null,
  renewed_at        timestamptz not null,
  ended_at          timestamptz null,
  ended_why         text null,
  mail_failed_at    timestamptz null,
  user_id           uuid null
);
create unique index invitations_pending on invitations (organization_id, email_key) where ended_at is null;
create index invitations_list on invitations (organization_id, renewed_at, id);

create table address_changes (
  id                uuid not null primary key,
  organization_id   uuid not null references organizations (id),
  user_id           uuid not null references users (id) on delete cascade,
  old_email         text not null,
  new_email         text not null,
  created_at        timestamptz not null,
  ended_at          timestamptz null,
  ended_why         text null
);
create index address_changes_user on address_changes (user_id);

-- The outbox: mail waiting to be delivered, written in the same transaction as its cause.
create table messages (
  id                uuid not null primary key,
  organization_id   uuid not null references organizations (id),
  kind              text not null,
  cause             text not null,
  to_email          text not null,
  subject_id        uuid not null,
  actor_id          uuid null,
  state             text not null,
  due_at            timestamptz not null,
  lease_until       timestamptz null,
  attempts          bigint not null,
  first_tried_at    timestamptz null,
  last_error        text null,
  created_at        timestamptz not null,
  ended_at          timestamptz null,
  handed_over_by    uuid null
);
create index messages_due on messages (due_at) where state = 'waiting';
create index messages_list on messages (organization_id, created_at, id);
create index messages_subject on messages (subject_id);

-- One-time tokens. A token lives from the first delivery of its message; `lives_until` is empty before that.
create table tokens (
  digest            bytea not null primary key,
  organization_id   uuid null,
  purpose           text not null,
  subject_id        uuid not null,
  message_id        uuid null,
  code_hash         bytea null,
  code_tries        bigint not null,
  code_until        timestamptz null,
  out_at            timestamptz null,
  handed_over_by    uuid null,
  created_at        timestamptz not null,
  lifetime_seconds  bigint not null,
  lives_until       timestamptz null,
  ended_at          timestamptz null
);
create index tokens_subject on tokens (subject_id);
create index tokens_message on tokens (message_id);

-- How often something happened, by the keyed hash of who or where.
create table counters (
  key_hash          bytea not null primary key,
  count             bigint not null,
  began_at          timestamptz not null,
  last_at           timestamptz not null
);
create index counters_age on counters (last_at);

-- Somebody asked for a new password: written the same for every address, worked off a moment later.
create table recovery_requests (
  id                uuid not null primary key,
  organization_id   uuid not null references organizations (id),
  email             text not null,
  asked_at          timestamptz not null,
  request_id        uuid not null,
  client_address    text not null
);
create index recovery_requests_order on recovery_requests (asked_at, id);

-- The anonymous mail budget of an address, and of each organization and kind the one message that waits for a slot.
create table mail_budgets (
  key_hash          bytea not null primary key,
  spent_until       timestamptz not null
);
create index mail_budgets_age on mail_budgets (spent_until);

create table mail_waiting (
  key_hash          bytea not null,
  organization_id   uuid not null references organizations (id),
  kind              text not null,
  message_id        uuid not null,
  tagged            boolean not null,
  due_at            timestamptz not null,
  primary key (key_hash, organization_id, kind)
);
create index mail_waiting_age on mail_waiting (due_at);

create table audit_events (
  id                uuid not null primary key,
  organization_id   uuid not null references organizations (id),
  kind              text not null,
  actor_kind        text not null,
  actor_id          uuid null,
  subject_id        uuid null,
  at                timestamptz not null,
  request_id        uuid null,
  client_address    text null,
  parameters        jsonb not null
);
create index audit_events_list on audit_events (organization_id, at, id);
create index audit_events_kind on audit_events (organization_id, kind, at, id);

-- Names and addresses stand apart from the events, so that a deletion can erase them.
create table audit_names (
  id                uuid not null primary key,
  organization_id   uuid not null references organizations (id),
  name              text not null
);

-- What anonymous visitors were refused, counted by hour.
create table audit_counts (
  organization_id   uuid not null references organizations (id),
  kind              text not null,
  hour              timestamptz not null,
  count             bigint not null,
  primary key (organization_id, kind, hour)
);
