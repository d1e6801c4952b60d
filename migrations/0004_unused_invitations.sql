-- Invitations that nobody accepted are forgotten after a while, and found without reading those that became users.
create index invitations_unused on invitations (ended_at) where user_id is null;
drop index invitations_ended;
