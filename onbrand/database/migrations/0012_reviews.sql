-- Blind reviews of brand packs: what is on each card, and what reviewers answered. Statements are in `reviews/records.py`.

create table review (
    id        uuid primary key,
    pack_id   text not null references brand_pack,
    opened_at timestamptz not null default now(),
    opened_by text not null,     -- the operating system's user who gave the command
    rule      smallint not null  -- the version of the rule that decides
);
create index review_of_pack on review (pack_id, opened_at);

-- The key: what each card shows. Nobody reads it through the API before their own verdict is stored.
create table review_card (
    review_id uuid not null references review,
    n         smallint not null check (n between 1 and 16),  -- its place, after the shuffle
    kind      text not null check (kind in ('pack', 'original', 'base')),
    prompt    text not null,     -- of an original: its caption
    seed      bigint,
    source    text,              -- of an original: the name of its file
    sha256    text not null check (sha256 ~ '^[0-9a-f]{64}$'),  -- of the stored picture
    primary key (review_id, n),
    constraint drawn_from_a_seed check ((kind = 'original') = (seed is null) and (kind = 'original') = (source is not null))
);

-- What one reviewer answered about all sixteen cards, once.
create table review_verdict (
    review_id uuid not null references review,
    tenant_id uuid not null,
    user_id   uuid not null,     -- the object id in Entra
    reviewer  text not null,     -- the name that Entra told
    pack_id   text not null references brand_pack,
    given_at  timestamptz not null default now(),
    outcome   text not null check (outcome in ('approved', 'rejected', 'undecided')),
    answers   jsonb not null check (jsonb_array_length(answers) = 16),
    primary key (review_id, tenant_id, user_id)
);
create index review_verdict_of_pack on review_verdict (pack_id, given_at);

create trigger review_is_kept before update or delete or truncate on review
    for each statement execute function refuse_change();
create trigger review_card_is_kept before update or delete or truncate on review_card
    for each statement execute function refuse_change();
create trigger review_verdict_is_kept before update or delete or truncate on review_verdict
    for each statement execute function refuse_change();

-- Who decided, by the object id in Entra, and in which review.
alter table sign_off add column tenant_id uuid;
alter table sign_off add column user_id uuid;
alter table sign_off add column review_id uuid references review;

-- 'take_back': a designer rejected the pack that was live. `by_user` is then the designer.
alter table pack_event drop constraint pack_event_action_check;
alter table pack_event add constraint pack_event_action_check
    check (action in ('add', 'promote', 'rollback', 'take_back'));
