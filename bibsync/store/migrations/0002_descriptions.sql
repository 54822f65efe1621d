-- A title is on the list of look-ups as long as `due_at` is set: asked for again no sooner than then.
alter table titles add column due_at timestamptz;
alter table titles add column described_at timestamptz;
update titles set due_at = wanted_since where looked_up_at is null;
drop index titles_collection_wanted_since_idx;
create index on titles (collection, control_number) where due_at is not null;

alter table runs add column unanswered integer not null default 0;
