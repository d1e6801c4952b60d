-- Several servers may work on one database, of two releases for a while.

-- The oldest schema whose servers may still work on this database: a change that they could not live with raises it.
alter table server add column oldest_schema bigint not null default 1;

-- Which server has a message in hand: it renews its lease while it works, and of one that died the lease runs out.
-- `stalled` is a message that the mail server as a whole did not take; it leaves as soon as any other does.
alter table messages add column leased_by uuid null;
alter table messages add column stalled boolean not null default false;
create index messages_stalled on messages (due_at) where stalled;

-- How often something happened in each part of a window of time: the parts of the last window say how often in it.
create table limit_counts (
  key_hash          bytea not null,
  part              bigint not null,
  count             bigint not null,
  until             timestamptz not null,
  primary key (key_hash, part)
);

-- What one server does for all of them, now and then.
create table chores (
  name              text not null primary key,
  done_at           timestamptz null,
  lease_until       timestamptz null,
  leased_by         uuid null
);

-- What has grown old is found by these, without reading everything else.
create index limit_counts_age on limit_counts (until);
create index tokens_age on tokens (created_at);
create index sessions_end on sessions (expires_at);
create index sessions_age on sessions (seen_at);
create index known_browsers_age on known_browsers (created_at);
create index registrations_ended on registrations (ended_at) where state = 'ended';
create index invitations_ended on invitations (ended_at);
create index address_changes_age on address_changes (created_at);
create index messages_ended on messages (ended_at);
create index barred_addresses_age on barred_addresses (until);
