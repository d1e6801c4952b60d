-- One organization may have a million users: they are counted and found without reading all of them.

create table user_counts (
  organization_id   blob not null references organizations (id),
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

-- Every three letters that stand together in an address or a name. What is found is looked at again, so that this
-- may find too much and never too little. Rows keep their number also when the file is rewritten.
create table user_rows (
  row_number        integer primary key,
  user_id           blob not null unique
);
create virtual table user_letters using fts5 (letters, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram');
insert into user_rows (user_id) select id from users order by id;
insert into user_letters (rowid, letters) select r.row_number, u.search_key from users u join user_rows r on r.user_id = u.id;

create trigger users_inserted after insert on users begin
  insert into user_counts values (new.organization_id, new.email_domain, 1)
    on conflict (organization_id, email_domain) do update set users = user_counts.users + 1;
  insert into user_counts values (new.organization_id, '', 1)
    on conflict (organization_id, email_domain) do update set users = user_counts.users + 1;
  insert into user_rows (user_id) values (new.id);
  insert into user_letters (rowid, letters) select row_number, new.search_key from user_rows where user_id = new.id;
end;
create trigger users_deleted after delete on users begin
  update user_counts set users = users - 1
   where organization_id = old.organization_id and email_domain in (old.email_domain, '');
  delete from user_letters where rowid = (select row_number from user_rows where user_id = old.id);
  delete from user_rows where user_id = old.id;
end;
create trigger users_renamed after update of search_key on users when old.search_key <> new.search_key begin
  delete from user_letters where rowid = (select row_number from user_rows where user_id = old.id);
  insert into user_letters (rowid, letters) select row_number, new.search_key from user_rows where user_id = new.id;
end;
create trigger users_moved after update of email_domain on users when old.email_domain <> new.email_domain begin
  update user_counts set users = users - 1 where organization_id = old.organization_id and email_domain = old.email_domain;
  insert into user_counts values (new.organization_id, new.email_domain, 1)
    on conflict (organization_id, email_domain) do update set users = user_counts.users + 1;
end;
