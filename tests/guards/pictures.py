"""Guards of pictures and weights: whole, ours, and as they were when they were checked."""

from __future__ import annotations

from tests.guards.guard import Cut, Guard

_PNG = "tests/unit/test_png.py"
_IMAGES = "tests/integration/storage/test_images.py"
_AZURE = "tests/integration/storage/test_azure.py"
_PACK = "tests/integration/hidream/test_bundled_pack.py"
_LOAD = "tests/integration/hidream/test_load.py"
_DRAWING = "tests/integration/worker/test_drawing.py"
_STORING = "tests/integration/worker/test_storing.py"

GUARDS = (
    # --- the store ---------------------------------------------------------------------------------------------------
    Guard(
        "a stored image has its checksum",
        "ImageStore._get",
        "size or hashlib.sha256(content).hexdigest() != sha256",
        "size",
        (f"{_IMAGES}::test_a_damaged_image_is_never_given_out", "tests/integration/api/test_images.py"),
    ),
    Guard(
        "other bytes never replace an image",
        "ImageStore._put",
        "is_new=True",
        "is_new=False",
        (f"{_IMAGES}::test_other_bytes_never_replace_an_image",),
    ),
    Guard(
        "an image that was there already is compared",
        "ImageStore._store",
        "await self._get(key, sha256, len(content))",
        "pass",
        (f"{_IMAGES}::test_other_bytes_never_replace_an_image",),
    ),
    Guard(
        "a stored image outlasts a power cut",
        "ImageStore._store",
        "await self._objects.make_durable(key)",
        "pass",
        ("tests/integration/storage/test_local_disk.py",),
    ),
    Guard(
        "a store whose folder is gone is not an empty one",
        "local_disk.files",
        "not root.is_dir()",
        "False",
        ("tests/integration/storage/test_local_disk.py",),
    ),
    Guard(
        "a symbolic link leads nowhere",
        "local_disk._files",
        "is_dir(follow_symlinks=False)",
        "is_dir()",
        ("tests/integration/storage/test_local_disk.py",),
    ),
    Guard(
        "what is stored is read back before it counts",
        "PublishingStage._store",
        ") await self._images.require_whole(claim.job_id, claim.attempt, image) return",
        """)
                return""",
        (f"{_STORING}::test_what_a_store_has_not_kept_whole_is_not_published",),
    ),
    Guard(
        "a drawn picture is checked before it is stored",
        "PublishingStage._store",
        "await asyncio.to_thread(check, png)",
        "None",
        (f"{_DRAWING}::test_anything_but_four_whole_pictures_is_never_published",),
    ),
    Guard(
        "a picture's rendition is read back, too",
        "ImageStore.require_whole",
        "await self.get_rendition(job_id, attempt, image)",
        "",
        (f"{_IMAGES}::test_a_damaged_rendition_is_never_given_out_and_its_png_is",),
    ),
    Guard(
        "a rendition that can't be made costs no job",
        "rendition.render",
        "return None",
        "raise",
        (
            "tests/unit/test_rendition.py",
            f"{_STORING}::test_pictures_whose_renditions_cannot_be_made_are_published_without",
        ),
    ),
    Guard(
        "an attempt's renditions are discarded with it",
        "ImageStore.discard",
        "(image_key, rendition_key)",
        "(image_key,)",
        (f"{_IMAGES}::test_renditions_are_found_and_deleted_as_pictures_are",),
    ),
    Guard(
        "a lost rendition is a lost picture",
        "jobs.models.image_keys",
        "return found if image.rendition is None else [*found, rendition_key(job_id, attempt, image.n)]",
        "return found",
        ("tests/integration/maintenance/test_renditions.py",),
    ),
    Guard(
        "a browser gives a kept rendition to nobody else",
        "image_answers.answer_rendition",
        '"Vary": "Authorization",',
        "",
        ("tests/integration/api/test_images.py",),
    ),
    Guard(
        "a browser keeps no rendition longer than the job is kept",
        "image_answers.answer_rendition",
        "seconds=seconds",
        "seconds=31_536_000",
        ("tests/integration/api/test_images.py",),
    ),
    Guard(
        "a download is the PNG",
        "routes.get_image",
        "if size is not None and not is_download:",
        "if size is not None:",
        ("tests/integration/api/test_images.py::test_a_download_is_always_the_png",),
    ),
    Guard(
        "a drawing has four pictures",
        "PublishingStage.publish",
        "len(drawn.pngs) != IMAGES_PER_JOB or {n for n, _ in drawn.pngs} != set(range(1, IMAGES_PER_JOB + 1))",
        "False",
        (f"{_DRAWING}::test_anything_but_four_whole_pictures_is_never_published",),
    ),
    Guard(
        "the stored images of an attempt that lost are removed",
        "_run_attempt",
        ") await self._publishing.discard(claim) except",
        """)
        except""",
        (f"{_STORING}::test_an_attempt_that_comes_too_late_publishes_nothing_and_removes_its_images",),
    ),
    # --- Azure -------------------------------------------------------------------------------------------------------
    Guard(
        "a missing container is not a damaged image",
        "translated",
        "and not isinstance(failed, ContainerMissing)",
        "",
        (f"{_AZURE}::test_a_container_that_was_not_there_yet_is_made_by_the_first_image",),
    ),
    Guard(
        "what could not be deleted does not count as gone",
        "ImageStore._delete",
        "for key in batch: await self._delete_one(key)",
        "continue",
        (f"{_IMAGES}::test_images_are_deleted_by_a_store_that_gives_up_at_the_first_that_is_missing",),
    ),
    Guard(
        "a store that does not answer is given up",
        "_within",
        "(seconds)",
        "(None)",
        (f"{_AZURE}::test_a_call_to_a_store_that_is_away_ends_in_time_and_works_when_it_is_back",),
    ),
    Guard(
        "connections to the store are bounded",
        "onbrand.images.store",
        "32  # calls",
        "320  # calls",
        (f"{_AZURE}::test_connections_are_bounded_however_many_ask",),
    ),
    Guard(
        "the store's errors name no address and no account",
        "failures.translated",
        "failed from None  # the text of `error` has addresses in it",
        "failed from error",
        (f"{_AZURE}::test_an_outage_is_said_once_and_its_end_too_without_addresses",),
        also=(
            Cut("ImageStore._within", "self._unavailable(failed) from None", "self._unavailable(failed) from failed"),
        ),
    ),
    # --- the file ----------------------------------------------------------------------------------------------------
    Guard(
        "a picture is whole to its last byte",
        "png.decode",
        '"" if not data.endswith(_END): raise BadImage("The picture\'s file is cut off.") with',
        '""\n    with',
        (f"{_PNG}::test_every_byte_of_the_last_chunk_counts", f"{_PNG}::test_a_picture_cut_anywhere_is_refused"),
    ),
    Guard(
        "a picture is 1024 by 1024 in RGB",
        "png.decode",
        'image.size != (SIZE, SIZE) or image.mode != "RGB"',
        "False",
        (f"{_PNG}::test_another_size_or_mode_is_refused",),
    ),
    Guard(
        "a picture's checksums are compared",
        "png.decode",
        "image.verify()",
        "pass",
        (f"{_PNG}::test_a_picture_with_one_flipped_bit_is_refused",),
    ),
    Guard(
        "a picture can be decoded",
        "png.decode",
        "asarray(image)",
        "eye(2)",
        (f"{_PNG}::test_pixel_data_with_a_good_checksum_that_does_not_decode_is_refused",),
    ),
    Guard(
        "a picture is more than one colour",
        "png.check",
        "(pixels == pixels[0, 0]).all()",
        "False",
        (f"{_PNG}::test_a_single_colour_is_refused",),
    ),
    Guard(
        "a picture never holds the prompt",
        "png.encode",
        'if provenance.job_id is not None: text.add_text("Onbrand-Job", provenance.job_id)',
        """text.add_text("Onbrand-Job", provenance.job_id or "")
    text.add_text("Description", "a teapot")""",
        (f"{_PNG}::test_the_text_chunks_say_where_the_picture_comes_from_and_nothing_else",),
    ),
    # --- the model ---------------------------------------------------------------------------------------------------
    Guard(
        "latents that are not numbers become no picture",
        "to_pixels",
        "if not torch.isfinite(lowest + highest): raise BadImage levels",
        "levels",
        ("tests/integration/hidream/test_pipeline.py::test_a_single_value_that_is_not_a_number_is_refused",),
    ),
    # --- weights -----------------------------------------------------------------------------------------------------
    Guard(
        "a file of weights has its checksum",
        "is_whole",
        "size and digest.hexdigest() == file.sha256",
        "size",
        (f"{_PACK}::test_a_flipped_bit_in_any_file_is_refused",),
    ),
    Guard(
        "a configuration has its checksum",
        "Base.read",
        "None or hashlib.sha256(data).hexdigest() != listed.sha256",
        "None",
        (f"{_PACK}::test_a_flipped_bit_in_any_file_is_refused",),
    ),
    Guard(
        "a pack is verified before it is loaded",
        "load_pipeline",
        "pack.verify()",
        "pass",
        (f"{_PACK}::test_a_flipped_bit_in_any_file_is_refused",),
    ),
    Guard(
        "a pack is for this base",
        "load_pipeline",
        '"" base.require_fit(pack.manifest) manifest',
        '""\n    manifest',
        (f"{_LOAD}::test_a_pack_for_another_base_is_refused",),
    ),
    Guard(
        "a model answers as its pack recorded",
        "load_pipeline",
        "check_probe(health.probe_output(transformer), manifest.probe, chosen.precision)",
        "probe_output(transformer)",
        (f"{_LOAD}::test_a_model_with_another_output_than_the_probe_is_refused",),
    ),
    Guard(
        "a LoRA at another strength is noticed",
        "health._is_expected",
        "and abs(along) <= max(limits.along * size, limits.strength * change) * change",
        "",
        ("tests/integration/hidream/test_lora_faults.py::test_a_fault_is_noticed_in_the_precision_of_the_probe",),
    ),
    Guard(
        "float32 is compared with float32 as exactly as it can be",
        "health._limits",
        "return _EXACT if precision is Precision.FLOAT32 else _ALIKE",
        "return _ALIKE",
        ("tests/integration/hidream/test_health.py",),
    ),
    Guard(
        "guidance is computed at the pack's noise levels only",
        "denoising.denoise",
        "both if guided[index] else alone",
        "both",
        ("tests/integration/hidream/test_denoising.py::test_guidance_in_an_interval_is_that_of_a_plain_loop",),
    ),
    Guard(
        "packs from before a setting keep their id",
        "document_of",
        "if manifest.guidance_interval is None: del",
        "if False:\n        del",
        ("tests/unit/test_manifest.py",),
    ),
    Guard(
        "a network gets its memory without sympy",
        "Transformer.to_empty",
        "allocate(self, torch.device(device)) return self",
        "return super().to_empty(device=device)",
        (f"{_PACK}::test_drawing_with_the_mini_imports_only_torch",),
    ),
    Guard(
        "a model that answers nothing is damaged",
        "health.probe_output",
        "not torch.isfinite(numbers).all() or (numbers == numbers[0]).all()",
        "False",
        ("tests/integration/hidream/test_health.py",),
    ),
    Guard(
        "pictures that don't fit the memory together are drawn one by one",
        "Pipeline.draw",
        "self.max_batch == 1 or len(seeds) == 1",
        "True",
        ("tests/integration/hidream/test_pipeline.py::test_with_too_little_memory_the_pictures_are_drawn_one_by_one",),
    ),
    Guard(
        "a pack's paths stay inside it",
        "_stays_inside",
        'or path.startswith("/") or ".." in parts or',
        "or",
        ("tests/unit/test_manifest.py::test_a_path_that_leaves_the_pack_is_refused",),
    ),
    Guard(
        "a network lacks no tensor",
        "load_state.load_state",
        "missing:",
        "False:",
        (f"{_PACK}::test_a_component_that_lacks_a_tensor_is_refused",),
    ),
)
