"""Guards of a studio's illustrations: read as they are meant, refused before they do harm, and never touched."""

from __future__ import annotations

from tests.guards.guard import Guard

_TRAPS, _READER = "tests/unit/dataset/test_traps.py", "tests/unit/dataset/test_reader.py"
_COLOURS, _LIKENESS = "tests/unit/dataset/test_colours.py", "tests/unit/dataset/test_likeness.py"
_CAPTIONS, _CHECK = "tests/unit/dataset/test_captions.py", "tests/integration/dataset/test_dataset_check.py"
_PNG_COLOURS = "tests/unit/dataset/test_png_colours.py"

GUARDS = (
    Guard(
        "a studio's link that leaves its folder is not read",
        "dataset.folder._entry",
        "real.parent != folder.resolve()",
        "False",
        (f"{_TRAPS}::test_a_link_that_leaves_the_folder_is_not_read",),
    ),
    Guard(
        "a studio's picture is refused by its header before its pixels are decoded",
        "picture_file._check_header",
        "width * height > MOST_PIXELS",
        "False",
        (f"{_TRAPS}::test_a_header_is_enough_to_refuse_a_bomb",),
    ),
    Guard(
        "a studio's PNG is whole to its last byte",
        "picture_file._check_whole",
        "again.verify()",
        "pass",
        (f"{_TRAPS}::test_a_png_is_whole_to_its_last_byte",),
    ),
    Guard(
        "a studio's colours are converted from their profile",
        "colour_profile._apply",
        "ImageCms.applyTransform(colour, transform)",
        "colour",
        (f"{_COLOURS}::test_a_screens_profile_is_applied_as_its_formula_says",),
    ),
    Guard(
        "a studio's PNG without a profile is converted by its chunks",
        "picture_file.decode",
        "profile_of(file, profile) if",
        "profile if",
        (f"{_PNG_COLOURS}::test_colours_that_chunks_describe_are_converted_as_the_formulas_say",),
    ),
    Guard(
        "a studio's HDR picture is refused",
        "png_colours.profile_of",
        "if transfer in _CICP_HDR:",
        "if False:",
        (f"{_PNG_COLOURS}::test_what_cant_be_converted_is_refused_and_says_why",),
    ),
    Guard(
        "a studio's transparent picture shows the ground, never what hides below",
        "normalisation.normalise_picture",
        "mask=decoded.alpha",
        "",
        (f"{_COLOURS}::test_transparency_of_every_kind_shows_the_ground_and_never_what_hides_below",),
    ),
    Guard(
        "a studio's picture that changed since it was read is refused",
        "Illustration.pixels",
        "digest_of(pixels) != self.digest",
        "False",
        (f"{_READER}::test_a_picture_that_changed_since_it_was_read_is_refused",),
    ),
    Guard(
        "a studio's folder with an error is not trained on",
        "read_dataset",
        "refuse(folder, found.findings)",
        "pass",
        (f"{_READER}::test_a_folder_with_an_error_is_refused_with_what_to_do",),
    ),
    Guard(
        "a studio's mirrored copy is found",
        "likeness.likeness",
        "min(straight, mirrored), min(whole, turned)",
        "straight, whole",
        (f"{_LIKENESS}::test_a_changed_copy_is_the_same_drawing",),
    ),
    Guard(
        "a studio's picture with two captions is refused",
        "captions._caption",
        "len(set(texts.values())) > 1",
        "False",
        (f"{_CAPTIONS}::test_text_and_table_may_say_the_same_and_never_differ",),
    ),
    Guard(
        "a studio's folder is never written into",
        "require_free",
        "is_inside(out, folder) or is_inside(folder, out)",
        "False",
        (f"{_CHECK}::test_nothing_that_is_there_is_written_into",),
    ),
    Guard(
        "a report never lands in a studio's folder",
        "check_command",
        "is_inside(report, folder)",
        "False",
        (f"{_CHECK}::test_a_report_never_lands_in_the_studios_folder",),
    ),
    Guard(
        "a studio's names are text on the report's page",
        "report._sheet",
        "escape(entry.name)",
        "entry.name",
        (f"{_CHECK}::test_the_page_is_whole_in_itself_and_runs_nothing_of_other_peoples_text",),
    ),
)
