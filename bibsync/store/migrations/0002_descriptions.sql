-- A title is on the list of look-ups as long as `due_at` is set: asked for again no sooner than then.
-- `asked_by` is the run that asked for it last, `absences` counts answers that left it out,
-- `attempts` how often no answer came for it alone.
alter table titles add column due_at timestamptz;
alter table titles add column asked_by bigint;
alter table titles add column described_at timestamptz;
alter table titles add column absences integer not null default 0;
update titles set due_at = wanted_since where looked_up_at is null;
drop index titles_collection_wanted_since_idx;
create index on titles (collection, control_number) where due_at is not null;

alter table runs add column unanswered integer not null default 0;
