"""Guards of training: the true gradient, the right pairs, a run that goes on as it began, a set that is only read."""

from __future__ import annotations

from tests.guards.guard import Guard

_LAYERS = "tests/integration/training/test_lora_layers.py"
_EXAMPLES = "tests/integration/training/test_examples.py"
_TRAIN = "tests/integration/training/test_train.py"
_ORIGINALS = "tests/integration/training/test_originals.py"
_REVIEW = "tests/integration/cli/test_reviews.py"
_CHOOSING = "tests/unit/training/test_choosing.py"

GUARDS = (
    Guard(
        "what was trained on is no original of a review",
        "training.originals._known",
        "if one.digest in trained_on.digests:",
        "if False:",
        (f"{_ORIGINALS}::test_a_training_illustration_is_refused_under_any_name",),
    ),
    Guard(
        "a review is opened only with originals that are new to its pack",
        "review.open.open_review",
        "require_new(pack, originals, given, trained_on)",
        "require_new(pack, originals, [], trained_on).__class__(tuple(given), None)",
        (f"{_REVIEW}::test_what_the_pack_was_trained_on_is_refused_by_name_before_anything_is_drawn",),
    ),
    Guard(
        "a near copy of what was trained on is no original either",
        "TrainingPictures.twin",
        "if likeness(own, one).is_near",
        "if False",
        (f"{_ORIGINALS}::test_a_near_copy_is_refused_by_the_name_of_what_it_copies",),
    ),
    Guard(
        "a picture that another one is nearly the same as is not held out",
        "held_out",
        "pictures.keys() - set(twins)",
        "pictures.keys()",
        (f"{_TRAIN}::test_of_two_that_are_nearly_the_same_none_is_held_out",),
    ),
    Guard(
        "originals are on the ground that was trained on",
        "training.originals.require_new",
        "tuple(one.placed_on(trained_on.ground) for one in illustrations)",
        "tuple(illustrations)",
        (f"{_ORIGINALS}::test_a_transparent_illustration_is_known_on_whatever_ground_its_folder_has",),
    ),
    Guard(
        "gradients pass through routed experts",
        "RoutedExperts.forward",
        "rows = tokens[order // self.active]",
        "rows = tokens[order // self.active].detach()",
        (f"{_LAYERS}::test_the_gradient_is_that_of_finite_differences_through_routed_experts_too",),
    ),
    Guard(
        "the LoRA is in float32",
        "add_lora",
        "down.to(device)",
        "down.to(device, torch.bfloat16)",
        (f"{_LAYERS}::test_the_lora_alone_is_trained_and_in_float32",),
    ),
    Guard(
        "a picture is trained with its own caption",
        "example_loss",
        "else examples.captions[name]",
        "else examples.captions[max(names)]",
        (f"{_EXAMPLES}::test_each_picture_is_trained_with_its_own_caption_in_every_order",),
    ),
    Guard(
        "passes add up to a step",
        "example_loss",
        "errors.sum() / len(names)",
        "errors.mean()",
        (f"{_EXAMPLES}::test_four_passes_of_one_picture_train_what_one_pass_of_four_does",),
    ),
    Guard(
        "a run goes on with what it began with",
        "training.train.train",
        "require_same(record, base, dataset, choices)",
        "pass",
        (f"{_TRAIN}::test_a_changed_caption_is_named",),
    ),
    Guard(
        "only one process works in a run",
        "training.record.locked",
        "fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
        (f"{_TRAIN}::test_two_processes_don_t_work_in_one_run",),
    ),
    Guard(
        "the folder of the illustrations is not written to",
        "training.train.train",
        "_require_apart(folder, dataset)",
        "pass",
        (f"{_TRAIN}::test_a_run_within_the_illustrations_folder_is_refused",),
    ),
    Guard(
        "a folder with something else is not trained in",
        "has_begun",
        'raise TrainingRefused(f"{folder} is there already',
        'str(f"{folder} is there already',
        (f"{_TRAIN}::test_a_folder_with_something_else_is_left_alone",),
    ),
    Guard(
        "what won't fit is refused",
        "plan_training",
        "if plan.needed <= free:",
        "if True:",
        (f"{_TRAIN}::test_what_won_t_fit_is_refused_before_anything_is_loaded",),
    ),
    Guard(
        "a loss that is no number is not trained on",
        "training.loop.run",
        "if not math.isfinite(loss):",
        "if False:",
        ("tests/unit/training/test_training_loop.py::test_a_loss_that_is_no_number_ends_the_run_and_keeps_what_was",),
    ),
    Guard(
        "a file that could not be written leaves nothing half-made",
        "put_whole",
        "partly.unlink()",
        "pass",
        ("tests/unit/training/test_whole_files.py",),
    ),
    Guard(
        "a checkpoint that copies is left out",
        "Candidate.is_left_out",
        "self.flagged > MOST_FLAGGED or",
        "",
        (f"{_CHOOSING}::test_copies_and_four_equal_pictures_leave_a_checkpoint_out",),
    ),
    Guard(
        "a pack from before keeps its id",
        "document_of",
        "if manifest.training is None:",
        "if False:",
        ("tests/unit/test_manifest.py",),
    ),
)
