"""Guards of reviews: blind until the verdict, decided by the rule, and stored once."""

from __future__ import annotations

from tests.guards.guard import Guard

_OVER_HTTP = "tests/integration/api/test_reviews.py"
_OF_RECORDS = "tests/integration/reviews/test_records.py"
_OF_DEALING = "tests/integration/reviews/test_dealing.py"
_OF_ASIDES = "tests/integration/training/test_asides.py"
_OF_RULE = "tests/unit/reviews/test_rule.py"

GUARDS = (
    Guard(
        "the key comes with the own verdict, not with anybody else's",
        "records.verdict_of",
        'where review_id = %s and tenant_id = %s and user_id = %s", [review_id, reviewer.tenant_id, reviewer.user_id],',
        'where review_id = %s", [review_id],',
        (f"{_OVER_HTTP}::test_the_key_comes_with_the_own_verdict_and_not_with_anybody_elses",),
    ),
    Guard(
        "only reviewers see a review",
        "dependencies.reviewer",
        "identity.require_reviewer()",
        "identity.require_member()",
        (f"{_OVER_HTTP}::test_a_member_without_the_role_learns_nothing_of_a_review",),
    ),
    Guard(
        "the reviewer role admits nobody who is no member",
        "Identity.require_reviewer",
        "self.require_member()",
        "",
        (f"{_OVER_HTTP}::test_the_role_alone_admits_nobody_who_is_no_member",),
    ),
    Guard(
        "answers are given once",
        "records.give_verdict",
        "not is_new and stored.answers != tuple(answers)",
        "False",
        (f"{_OVER_HTTP}::test_answers_may_be_sent_again_and_never_changed",),
    ),
    Guard(
        "a verdict never changes",
        "0012_reviews.sql",
        "create trigger review_verdict_is_kept before update or delete or truncate on review_verdict"
        " for each statement execute function refuse_change();",
        "",
        (f"{_OF_RECORDS}::test_nothing_of_a_review_ever_changes",),
    ),
    Guard(
        "no verdict rests on an altered picture",
        "reviews.give_verdict",
        "await services.cards.verify(review_id, review.cards)",
        "pass",
        (f"{_OVER_HTTP}::test_a_damaged_picture_is_not_shown_and_no_verdict_rests_on_it",),
    ),
    Guard(
        "an altered picture of a review is not shown",
        "CardStore._get_whole",
        "hashlib.sha256(picture).hexdigest() == sha256",
        "True",
        (f"{_OVER_HTTP}::test_a_damaged_picture_is_not_shown_and_no_verdict_rests_on_it",),
    ),
    Guard(
        "what a card is compared with comes after the own verdict",
        "reviews.get_aside",
        "() if verdict is None else review.cards[n - 1].asides",
        "review.cards[n - 1].asides",
        (f"{_OVER_HTTP}::test_what_a_card_is_compared_with_comes_with_the_own_verdict_and_not_before",),
    ),
    Guard(
        "what a card is compared with never changes",
        "0014_asides.sql",
        "create trigger review_aside_is_kept before update or delete or truncate on review_aside"
        " for each statement execute function refuse_change();",
        "",
        (f"{_OF_RECORDS}::test_nothing_of_a_review_ever_changes",),
    ),
    Guard(
        "the size of a file does not tell what a card shows",
        "encode_card",
        "level=0",
        "level=6",
        ("tests/unit/reviews/test_card_png.py::test_no_size_and_no_chunk_tells_what_a_card_shows",),
    ),
    Guard(
        "chance decides the places of the cards",
        "dealing.deal",
        "chance.shuffle(order)",
        "",
        (f"{_OF_DEALING}::test_chance_decides_the_places_and_each_card_has_its_own_picture",),
    ),
    Guard(
        "training pictures come from the run that the pack comes from",
        "asides._require_its_run",
        "if not is_its_run:",
        "if False:",
        (f"{_OF_ASIDES}::test_the_run_of_another_pack_is_refused",),
    ),
    Guard(
        "what was held out is no training picture",
        "TrainingPictures.read",
        "if not one.is_held_out",
        "",
        (f"{_OF_ASIDES}::test_a_picture_that_was_held_out_is_not_among_them",),
    ),
    Guard(
        "a review that is not opened leaves nothing it is compared with",
        "CardStore.discard",
        '{FOLDER}/{review_id}"',
        '{FOLDER}/{review_id}/nothing"',
        (f"{_OF_DEALING}::test_a_store_that_fails_at_the_last_picture_keeps_nothing",),
    ),
    Guard(
        "the answers of somebody who does not tell the brand decide nothing",
        "rule.judge",
        "not found.is_calibrated",
        "False",
        (f"{_OF_RULE}::test_answers_of_somebody_who_does_not_tell_the_brand_decide_nothing",),
    ),
    Guard(
        "a copy is never approved",
        "rule.judge",
        " and not copies",
        "",
        (f"{_OF_RULE}::test_one_copy_is_enough_to_reject_whatever_else_is_said_of_it",),
    ),
    Guard(
        "a rejection takes the live pack back",
        "promotion.sign_off",
        "return await _take_back(connection, pack_id, by)",
        "return None",
        (f"{_OF_RECORDS}::test_a_rejection_takes_the_live_pack_back_to_the_one_before",),
    ),
    Guard(
        "no pack is taken back while a job is claimed",
        "promotion.sign_off",
        'await connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])',
        "",
        (f"{_OF_RECORDS}::test_a_rejection_waits_for_a_job_that_is_being_claimed",),
    ),
    Guard(
        "a rejected pack is not what is gone back to",
        "promotion._take_back",
        "sign_off.verdict = 'rejected'",
        "sign_off.verdict = 'never'",
        (f"{_OF_RECORDS}::test_a_rejected_pack_is_passed_over_when_another_is_taken_back",),
    ),
    Guard(
        "a rollback does not bring a rejected pack back",
        "promotion.rollback",
        "signed is not None and signed.verdict is Verdict.REJECTED",
        "False",
        (f"{_OF_RECORDS}::test_a_rejected_pack_is_passed_over_when_another_is_taken_back",),
    ),
)
