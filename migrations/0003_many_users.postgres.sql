-- One organization may have a million users: they are counted and found without reading all of them.

-- Lists are sorted by octets, as SQLite sorts them, whatever the database's language.
alter table users alter column email_key type text collate "C";
alter table organizations alter column slug type text collate "C";

create table user_counts (
  organization_id   uuid not null references organizations (id),
  email_domain      text not null,
  users             bigint not null,
  primary key (organization_id, email_domain)
);
insert into user_counts select organization_id, email_domain, count(*) from users group by organization_id, email_domain;
insert into user_counts select organization_id, '', count(*) from users group by organization_id;

create index users_newest on users (organization_id, id);
create index users_domain_list on users (organization_id, email_domain, email_key, id);
create index users_role_list on users (organization_id, role, email_key, id);
create index users_status_list on users (organization_id, status, email_key, id);
drop index users_domain;

-- Every three letters that stand together in an address or a name. The extension comes with PostgreSQL and may be made by
-- the owner of a database; where it is missing everything works, and a search in a large organization is slow.
do $$
begin
  create extension if not exists pg_trgm;
  create index users_letters on users using gin (search_key gin_trgm_ops);
exception when others then
  raise warning 'the extension pg_trgm is missing: searching many users will be slow (%)', sqlerrm;
end $$;

-- Once a statement, so that whoever writes many users at once touches each count once.
create function count_more_users() returns trigger language plpgsql as $$
begin
  insert into user_counts
    select organization_id, email_domain, count(*) from added group by organization_id, email_domain
     union all select organization_id, '', count(*) from added group by organization_id
     order by 1, 2
  on conflict (organization_id, email_domain) do update set users = user_counts.users + excluded.users;
  return null;
end $$;
create function count_fewer_users() returns trigger language plpgsql as $$
begin
  update user_counts c set users = c.users - gone.users
    from (select organization_id, email_domain, count(*) as users from removed group by organization_id, email_domain
           union all select organization_id, '', count(*) from removed group by organization_id) gone
   where c.organization_id = gone.organization_id and c.email_domain = gone.email_domain;
  return null;
end $$;
create function move_counted_user() returns trigger language plpgsql as $$
begin
  update user_counts set users = users - 1 where organization_id = old.organization_id and email_domain = old.email_domain;
  insert into user_counts values (new.organization_id, new.email_domain, 1)
    on conflict (organization_id, email_domain) do update set users = user_counts.users + 1;
  return null;
end $$;
create trigger users_inserted after insert on users referencing new table as added
  for each statement execute function count_more_users();
create trigger users_deleted after delete on users referencing old table as removed
  for each statement execute function count_fewer_users();
create trigger users_moved after update of email_domain on users for each row
  when (old.email_domain is distinct from new.email_domain) execute function move_counted_user();
