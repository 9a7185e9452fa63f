-- What the drawings of a review are compared with after the verdict. Statements are in `reviews/records.py`.

-- As secret as the key: only cards of the pack have any. Nobody gets one through the API before their own verdict.
create table review_aside (
    review_id   uuid not null,
    card        smallint not null,     -- the place of the card that it is shown beside
    place       smallint not null check (place between 1 and 3),
    kind        text not null check (kind in ('base', 'training')),
    source      text,                  -- of a training picture: its name in the data set
    is_flagged  boolean not null,      -- nearer to the card than any two of the brand's own pictures are to each other
    is_mirrored boolean not null,
    sha256      text not null check (sha256 ~ '^[0-9a-f]{64}$'),       -- of the stored PNG
    tile_sha256 text not null check (tile_sha256 ~ '^[0-9a-f]{64}$'),  -- of its rendition
    primary key (review_id, card, place),
    foreign key (review_id, card) references review_card (review_id, n),
    constraint named_if_it_was_trained_on check ((kind = 'training') = (source is not null))
);

create trigger review_aside_is_kept before update or delete or truncate on review_aside
    for each statement execute function refuse_change();
