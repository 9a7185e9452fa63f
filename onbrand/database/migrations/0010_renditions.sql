-- The rendition of a picture for the page's tiles, a WebP beside the PNG (`images/rendition.py`). Pictures of older jobs
-- have none, and the API sends their PNG.

alter table image
    add column rendition_sha256 text check (rendition_sha256 ~ '^[0-9a-f]{64}$'),
    add column rendition_size integer check (rendition_size > 0),  -- bytes
    add constraint rendition_is_whole check (num_nulls(rendition_sha256, rendition_size) in (0, 2));
