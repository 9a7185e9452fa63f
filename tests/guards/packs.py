"""Guards of brand packs: what is live was approved and is whole, and a change of packs costs no job anything."""

from __future__ import annotations

from tests.guards.guard import Guard

_OF_REFUSED = "tests/integration/worker/test_refused_packs.py"
_OF_PROMOTION = "tests/integration/packs/test_promotion.py"
_OF_STORE = "tests/integration/packs/test_store.py"
_OF_SWITCHING = "tests/integration/worker/test_switching.py"

GUARDS = (
    Guard(
        "production needs an approving sign-off",
        "promotion.promote",
        ": if without_sign_off is None: await _require_sign_off(connection, pack_id) if",
        """:
        if""",
        (f"{_OF_PROMOTION}::test_a_pack_that_no_designer_approves_does_not_become_production",),
    ),
    Guard(
        "an approval is of exactly one pack",
        "_require_sign_off",
        "(await sign_offs(connection)).get(pack_id)",
        "next(iter((await sign_offs(connection)).values()), None)",
        (f"{_OF_PROMOTION}::test_the_approval_of_another_pack_does_not_count",),
    ),
    Guard(
        "the latest verdict counts",
        "sign_offs",
        ", id desc",
        ", id",
        (f"{_OF_PROMOTION}::test_the_latest_verdict_counts",),
    ),
    Guard(
        "one promotion at a time",
        "promotion.promote",
        'await connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK]) cursor',
        "cursor",
        (f"{_OF_PROMOTION}::test_simultaneous_promotions_are_done_one_after_the_other",),
    ),
    Guard(
        "no alias moves while a job is claimed",
        "resolve_for_claim",
        '"" await connection.execute("select pg_advisory_xact_lock_shared(%s)", [_LOCK]) return',
        '""\n    return',
        (f"{_OF_PROMOTION}::test_a_promotion_waits_until_a_claim_is_committed",),
    ),
    Guard(
        "a pack for another model is not promoted",
        "promotion.promote",
        'row["base_model"] != model',
        "False",
        (f"{_OF_PROMOTION}::test_a_pack_for_another_model_is_refused",),
    ),
    Guard(
        "the bundled pack can be gone back to",
        "promotion.promote",
        "bundled_id if to is Alias.PRODUCTION else None",
        "None",
        (f"{_OF_PROMOTION}::test_the_bundled_pack_is_what_the_first_promotion_is_rolled_back_to",),
    ),
    Guard(
        "sign-offs are only ever added to",
        "0006_packs.sql",
        "create trigger sign_off_is_kept before update or delete or truncate on sign_off"
        " for each statement execute function refuse_change();",
        "",
        (f"{_OF_PROMOTION}::test_sign_offs_and_events_can_only_be_added",),
    ),
    Guard(
        "every byte of a pack is read before it is promoted",
        "pack.promote.promote",
        "store.verify(found.id, base)",
        "found.manifest",
        ("tests/integration/cli/test_packs.py",),
    ),
    Guard(
        "the bundled pack is the one that ships",
        "store.bundled_pack",
        "_require_shipped(bundled)",
        "",
        ("tests/integration/hidream/test_bundled_pack.py::test_a_changed_setting_of_the_bundled_pack_is_refused",),
    ),
    Guard(
        "a changed bit of a file that nothing reads is refused",
        "load_pipeline",
        "base.verify_small_files()",
        "",
        ("tests/integration/hidream/test_bundled_pack.py::test_a_flipped_bit_in_any_file_is_refused",),
    ),
    Guard(
        "a pack is added only if its LoRA can be used",
        "PackStore.add",
        "inspect_pack(LocalFolder(directory), pack.manifest, base)",
        "",
        ("tests/integration/cli/test_packs.py::test_a_pack_whose_lora_cannot_be_used_is_not_added_and_not_promoted",),
    ),
    Guard(
        "a pack is promoted only if its LoRA can be used",
        "PackStore.verify",
        "inspect_pack(stored, manifest, base)",
        "",
        ("tests/integration/cli/test_packs.py::test_a_pack_whose_lora_cannot_be_used_is_not_added_and_not_promoted",),
    ),
    Guard(
        "the LoRA of a pack is compared with the base where that is at hand",
        "inspect_pack",
        "base is not None and base.id == manifest.base",
        "False",
        ("tests/integration/cli/test_packs.py::test_a_pack_is_compared_with_the_base_where_that_is_at_hand",),
    ),
    Guard(
        "a manifest in the pack store has the SHA-256 that is its id",
        "_manifest_in",
        ") if hashlib.sha256(document).hexdigest() == pack_id else None",
        ")",
        (f"{_OF_STORE}::test_each_bit_of_the_manifest_counts",),
    ),
    Guard(
        "a file in the pack store is the one that the manifest names",
        "PackStore._put",
        "_require_intact(_StoredFolder(self._objects, pack_id), file)",
        "",
        (f"{_OF_STORE}::test_another_file_under_the_same_id_is_refused",),
    ),
    Guard(
        "a copy is compared each time",
        "PackStore.fetch",
        "files.fetch(stored, [file",
        """if not (directory / file.path).exists():
                    files.fetch(stored, [file""",
        (f"{_OF_STORE}::test_a_damaged_copy_is_fetched_anew",),
    ),
    Guard(
        "what is claimed after a promotion has the new pack",
        "take",
        "None if await self._in_use.must_change(connection): raise PackMoved return",
        """None
            return""",
        (f"{_OF_SWITCHING}::test_what_is_claimed_after_a_promotion_is_never_drawn_with_the_old_pack",),
    ),
    Guard(
        "no pack is changed under a drawing",
        "watch",
        "not self.turn.locked(): async with self.turn",
        """True:
                if True""",
        (f"{_OF_SWITCHING}::test_the_running_job_ends_with_the_old_pack_and_the_next_begins_with_the_new",),
    ),
    Guard(
        "an idle worker follows the alias",
        "_run_worker",
        "in_use.watch()",
        "asyncio.sleep(1000)",
        (f"{_OF_SWITCHING}::test_an_idle_worker_changes_to_a_promoted_pack_by_itself_and_back",),
    ),
    Guard(
        "a worker says which pack it has",
        "announce",
        ", pack_id = excluded.pack_id,",
        ",",
        (f"{_OF_SWITCHING}::test_an_idle_worker_changes_to_a_promoted_pack_by_itself_and_back",),
    ),
    Guard(
        "a pack that cannot be loaded makes way for the one before",
        "_change",
        ") if self.pack is not previous: await self._use(previous) return",
        """)
            return""",
        (f"{_OF_REFUSED}::test_a_pack_that_cannot_be_had_leaves_the_old_one_drawing",),
    ),
    Guard(
        "a pack for other weights is refused before anything is unloaded",
        "PackInUse._fetch",
        ") self._base.require_fit(pack.manifest) return",
        """)
        return""",
        (f"{_OF_REFUSED}::test_a_pack_that_cannot_be_had_leaves_the_old_one_drawing",),
    ),
    Guard(
        "a refused pack is left alone for a while",
        "_is_due",
        "refused is None or refused.pack_id != named or time.monotonic() >= refused.again_at",
        "True",
        (f"{_OF_REFUSED}::test_a_refused_pack_is_tried_again_after_a_while_or_when_the_alias_moves",),
    ),
    Guard(
        "what is loaded again is compared again",
        "PackInUse.ensure_ready",
        ". await self._fetch(self.pack.id) await",
        """.
            await""",
        (f"{_OF_REFUSED}::test_a_copy_that_is_damaged_is_fetched_anew_before_the_model_is_loaded_again",),
    ),
    Guard(
        "a pack that a worker refuses is told where the operator looks",
        "run._announce",
        ", in_use.refused)",
        ")",
        (f"{_OF_REFUSED}::test_a_pack_that_cannot_be_had_leaves_the_old_one_drawing",),
    ),
    Guard(
        "the page names the style that draws while another one is tried",
        "run._announce",
        "in_use.shown",
        "in_use.pack",
        (f"{_OF_SWITCHING}::test_the_style_keeps_its_name_until_the_new_pack_is_loaded",),
    ),
    Guard(
        "a worker that stops does not wait for a change of packs",
        "JobRunner.run_next_job",
        "if not await unless_set(self._stop, self._in_use.turn.acquire()): return",
        "await self._in_use.turn.acquire()",
        (f"{_OF_SWITCHING}::test_a_worker_that_is_told_to_stop_takes_no_job_that_came_during_a_change",),
    ),
    Guard(
        "what is called reviewed was approved at last",
        "live_style",
        "id desc limit",
        "id limit",
        (f"{_OF_SWITCHING}::test_the_page_is_told_the_pack_and_whether_it_was_signed_off",),
    ),
    Guard(
        "how long it takes is measured on the live pack",
        "usual_drawing",
        "pack_id = (select pack_id from live_worker order by started_at desc limit 1)",
        "true",
        (
            "tests/integration/jobs/test_eta.py"
            "::test_runs_of_another_pack_count_only_until_there_are_a_few_of_the_live_one",
        ),
    ),
    Guard(
        "a list of known things names only what is in it",
        "Known.__post_init__",
        "not 0 <= index < len(self.things)",
        "False",
        ("tests/integration/api/test_style_limits.py::test_a_list_that_names_a_thing_which_is_not_there_is_not_used",),
    ),
)
