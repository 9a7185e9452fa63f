"""Guards of what deletes: only what is due, in an order that survives a crash, and never a stranger's."""

from __future__ import annotations

from tests.guards.guard import Guard

_COLLECTION = "tests/integration/maintenance/test_collection.py"
_BACKUP = "tests/integration/backup/test_backup_file.py"
_SCRUB = "tests/integration/maintenance/test_scrub.py"
_RETENTION = "tests/integration/maintenance/test_retention.py"
_MIGRATIONS = "tests/integration/database/test_migrations.py"
_IMAGES = "tests/integration/storage/test_images.py"

GUARDS = (
    Guard(
        "720 hours are not 30 days",
        "attempts.publish",
        "hours => %(hours)s",
        "days => %(hours)s / 24",
        (f"{_RETENTION}::test_720_hours_are_720_hours_in_every_time_zone_and_season",),
    ),
    Guard(
        "what is not due is not deleted",
        "retention.mark_for_deletion",
        "now() and",
        "now() + interval '2 hours' and",
        (f"{_RETENTION}::test_what_is_due_is_physically_gone_and_only_its_owner_learns_that_it_was_there",),
    ),
    Guard(
        "a job is marked before its images are deleted",
        "retention.mark_for_deletion",
        "expiring_at = now()",
        "expires_at = expires_at",
        (f"{_RETENTION}::test_a_clock_that_goes_back_brings_nothing_back",),
    ),
    Guard(
        "a row goes only when its images are gone",
        "Maintenance._delete",
        "return False",
        "pass",
        (f"{_RETENTION}::test_with_the_store_away_a_due_job_is_unreachable_and_deleted_when_it_is_back",),
    ),
    Guard(
        "only a marked row is deleted",
        "retention.delete_row",
        "and expiring_at is not null returning",
        "returning",
        (f"{_RETENTION}::test_only_a_job_whose_deletion_has_begun_is_deleted",),
    ),
    Guard(
        "a deletion that was killed half way is taken up",
        "retention.mark_for_deletion",
        "not between now() - make_interval(mins => %s) and now() + interval '1 minute'",
        "> now() + make_interval(mins => %s)",
        (f"{_RETENTION}::test_a_deletion_that_was_killed_half_way_is_ended_by_the_next",),
    ),
    Guard(
        "what was begun under a clock that went back is taken up",
        "retention.mark_for_deletion",
        "not between now() - make_interval(mins => %s) and now() + interval '1 minute'",
        "< now() - make_interval(mins => %s)",
        (f"{_RETENTION}::test_a_clock_that_goes_back_brings_nothing_back",),
    ),
    Guard(
        "a deletion of more than half of all jobs waits",
        "expire",
        "await retention.is_deletion_held(connection) and not confirmed",
        "False",
        (f"{_RETENTION}::test_a_clock_that_jumps_a_year_ahead_deletes_nothing_and_all_is_back_once_it_is_right",),
    ),
    Guard(
        "a deletion does not wait longer than was promised",
        "jobs.retention",
        "_HOLD_HOURS = 12",
        "_HOLD_HOURS = 48",
        (f"{_RETENTION}::test_a_deletion_that_is_held_happens_within_the_promised_day",),
    ),
    Guard(
        "what tells of a deleted job is deleted too",
        "jobs.retention",
        "_TOMBSTONE_DAYS = 90",
        "_TOMBSTONE_DAYS = 9000",
        (f"{_RETENTION}::test_what_tells_of_a_deleted_job_is_deleted_after_another_90_days",),
    ),
    # --- comparing rows and stored images ----------------------------------------------------------------------------
    Guard(
        "a foreign object is never one of our images",
        "images.keys.parse",
        "fullmatch",
        "match",
        (f"{_IMAGES}::test_a_foreign_object_is_never_found_and_never_deleted",),
    ),
    Guard(
        "a job's deletion spares foreign files",
        "delete_job",
        "if KEY.fullmatch(key) or HALF_WRITTEN.fullmatch(key)",
        "",
        (_IMAGES, "tests/integration/storage/test_local_disk.py"),
    ),
    Guard(
        "young images are left alone",
        "Maintenance.collect",
        "key.modified < before and (",
        "(",
        (f"{_COLLECTION}::test_files_of_a_running_attempt_and_young_files_are_never_touched",),
    ),
    Guard(
        "the result's images are never deleted",
        "Maintenance.collect",
        "attempt)",
        "attempt or True)",
        (f"{_COLLECTION}::test_files_of_attempts_that_are_not_the_result_are_deleted_and_results_stay",),
    ),
    Guard(
        "images of attempts that lost are deleted",
        "Maintenance.collect",
        "None or kept.attempt != key.attempt",
        "None",
        (f"{_COLLECTION}::test_files_of_attempts_that_are_not_the_result_are_deleted_and_results_stay",),
    ),
    Guard(
        "with the wrong database nothing is deleted",
        "Maintenance.collect",
        "without_job > _FOREIGN_SHARE * total and not confirmed",
        "False",
        (f"{_COLLECTION}::test_with_the_wrong_database_no_image_is_deleted_until_somebody_confirms",),
    ),
    Guard(
        "half-written files are left alone while they are young",
        "_delete_old",
        ") and one.modified.timestamp() < before",
        ")",
        (
            f"{_COLLECTION}::test_half_written_files_are_deleted_once_they_are_old",
            "tests/integration/storage/test_local_disk.py",
        ),
    ),
    Guard(
        "an image that the store has lost is flagged",
        "_note_missing",
        ", missing",
        ", []",
        (f"{_COLLECTION}::test_a_published_image_that_the_store_lost_is_flagged_until_it_is_back",),
    ),
    Guard(
        "a lost image is missed however young it is",
        "retention.published_images",
        "completed_at < %(before)s",
        "completed_at < %(before)s - interval '2 hours'",
        (f"{_COLLECTION}::test_a_lost_image_is_found_however_young_it_is",),
    ),
    Guard(
        "a changed byte in a stored image is noted",
        "Maintenance._read",
        "damaged.append(published)",
        "pass",
        (f"{_SCRUB}::test_one_changed_byte_is_found_without_anybody_opening_the_picture",),
    ),
    Guard(
        "images are read in turns",
        "jobs.scrub",
        "_REST_HOURS = 24",
        "_REST_HOURS = 0",
        (f"{_SCRUB}::test_a_few_are_read_in_each_round_the_longest_unread_first_until_all_are",),
    ),
    # --- migrations --------------------------------------------------------------------------------------------------
    Guard(
        "a migration with another text is noticed",
        "migrations.altered",
        "step.checksum != known[step.version].checksum",
        "False",
        (f"{_MIGRATIONS}::test_a_database_made_with_another_text_of_a_migration_is_told_from_ours",),
    ),
    Guard(
        "readers never stand behind a migration",
        "database.migrations",
        "_LOCK_TIMEOUT_MS = 200",
        "_LOCK_TIMEOUT_MS = 0",
        (f"{_MIGRATIONS}::test_readers_pass_while_a_migration_waits_for_its_table",),
    ),
    # --- backups -----------------------------------------------------------------------------------------------------
    Guard(
        "a restore meets no jobs",
        "dump._require_unused",
        "raise RestoreRefused(",
        "str(",
        (f"{_BACKUP}::test_by_url_a_restore_fills_a_database_that_is_empty_and_refuses_one_that_is_not",),
    ),
    Guard(
        "a damaged backup is not restored",
        "Archive.extract",
        "digest.hexdigest() != sha256",
        "False",
        (f"{_BACKUP}::test_a_file_that_is_no_whole_backup_of_ours_makes_nothing",),
    ),
    Guard(
        "a restore writes only below the keys of pictures and packs",
        "archive.is_key",
        "_KEY.fullmatch(text) is not None",
        "True",
        (f"{_BACKUP}::test_a_file_that_is_no_whole_backup_of_ours_makes_nothing",),
    ),
)
