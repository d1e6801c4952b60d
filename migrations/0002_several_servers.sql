-- Several servers may work on one database, of two releases for a while.

-- The oldest schema whose servers may still work on this database: a change that they could not live with raises it.
alter table server add column oldest_schema bigint not null default 1;

-- Which server has a message in hand. It renews its lease while it works; of one that died the lease runs out.
alter table messages add column leased_by uuid null;

-- How often something happened in each part of a window of time: the parts of the last window say how often in it.
create table limit_counts (
  key_hash          bytea not null,
  part              bigint not null,
  count             bigint not null,
  until             timestamptz not null,
  primary key (key_hash, part)
);
create index limit_counts_age on limit_counts (until);
