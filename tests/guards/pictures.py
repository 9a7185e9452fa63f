"""Guards of pictures and weights: whole, ours, and as they were when they were checked."""

from __future__ import annotations

from tests.guards.guard import Guard

_PNG = "tests/unit/test_png.py"
_IMAGES = "tests/integration/storage/test_images.py"
_AZURE = "tests/integration/storage/test_azure.py"
_PACK = "tests/integration/test_hidream_pack.py"
_LOAD = "tests/integration/hidream/test_load.py"
_DRAWING = "tests/integration/worker/test_drawing.py"
_STORING = "tests/integration/worker/test_storing.py"

GUARDS = (
    # --- the store ---------------------------------------------------------------------------------------------------
    Guard(
        "a stored image has its checksum",
        "onbrand/images.py",
        "if len(png) != image.size or hashlib.sha256(png).hexdigest() != image.sha256:",
        "if len(png) != image.size:",
        (f"{_IMAGES}::test_a_damaged_image_is_never_given_out", "tests/integration/api/test_images.py"),
    ),
    Guard(
        "other bytes never replace an image",
        "onbrand/images.py",
        'await self._objects.put_async(key, png, mode="create")',
        "await self._objects.put_async(key, png)",
        (f"{_IMAGES}::test_other_bytes_never_replace_an_image",),
    ),
    Guard(
        "an image that was there already is compared",
        "onbrand/images.py",
        "            await self.get(job_id, attempt, stored)\n        except FileNotFoundError",
        "            pass\n        except FileNotFoundError",
        (f"{_IMAGES}::test_other_bytes_never_replace_an_image",),
    ),
    Guard(
        "a stored image outlasts a power cut",
        "onbrand/images.py",
        "await asyncio.to_thread(disk.sync, self._folder, key)",
        "pass",
        ("tests/integration/storage/test_disk.py",),
    ),
    Guard(
        "a store whose folder is gone is not an empty one",
        "onbrand/disk.py",
        "    if not root.is_dir():\n",
        "    if False:\n",
        ("tests/integration/storage/test_disk.py",),
    ),
    Guard(
        "a symbolic link leads nowhere",
        "onbrand/disk.py",
        "if entry.is_dir(follow_symlinks=False):",
        "if entry.is_dir():",
        ("tests/integration/storage/test_disk.py",),
    ),
    Guard(
        "what is stored is read back before it counts",
        "onbrand/worker/generate.py",
        "                await self._images.get(claim.job_id, claim.attempt, image)\n",
        "",
        (f"{_STORING}::test_what_a_store_has_not_kept_whole_is_not_published",),
    ),
    Guard(
        "a drawn picture is checked before it is stored",
        "onbrand/worker/generate.py",
        "        await asyncio.to_thread(check, png)\n",
        "",
        (f"{_DRAWING}::test_anything_but_four_whole_pictures_is_never_published",),
    ),
    Guard(
        "a drawing has four pictures",
        "onbrand/worker/generate.py",
        "        if len(pngs) != IMAGES_PER_JOB or {n for n, _ in pngs} != set(range(1, IMAGES_PER_JOB + 1)):\n",
        "        if False:\n",
        (f"{_DRAWING}::test_anything_but_four_whole_pictures_is_never_published",),
    ),
    Guard(
        "the stored images of an attempt that lost are removed",
        "onbrand/worker/generate.py",
        'extra={"action": "worker_stale"})\n            await self._discard(claim)\n',
        'extra={"action": "worker_stale"})\n',
        (f"{_STORING}::test_an_attempt_that_comes_too_late_publishes_nothing_and_removes_its_images",),
    ),
    # --- Azure -------------------------------------------------------------------------------------------------------
    Guard(
        "a missing container is not a damaged image",
        "onbrand/images.py",
        "            if storage.is_missing_container(error) or (",
        "            if False or (",
        (f"{_AZURE}::test_a_container_that_was_not_there_yet_is_made_by_the_first_image",),
    ),
    Guard(
        "what could not be deleted does not count as gone",
        "onbrand/images.py",
        "                for key in batch:\n                    await self._delete_one(key)\n",
        "                continue\n",
        (f"{_IMAGES}::test_images_are_deleted_by_a_store_that_gives_up_at_the_first_that_is_missing",),
    ),
    Guard(
        "a store that does not answer is given up",
        "onbrand/images.py",
        "async with asyncio.timeout(seconds), self._gate:",
        "async with asyncio.timeout(None), self._gate:",
        (f"{_AZURE}::test_a_call_to_a_store_that_is_away_ends_in_time_and_works_when_it_is_back",),
    ),
    Guard(
        "connections to the store are bounded",
        "onbrand/images.py",
        "_AT_ONCE = 32",
        "_AT_ONCE = 320",
        (f"{_AZURE}::test_connections_are_bounded_however_many_ask",),
    ),
    Guard(
        "the store's errors name no address and no account",
        "onbrand/images.py",
        "raise self._unavailable(error) from None  # its text has addresses in it",
        "raise self._unavailable(error) from error",
        (f"{_AZURE}::test_an_outage_is_said_once_and_its_end_too_without_addresses",),
    ),
    # --- the file ----------------------------------------------------------------------------------------------------
    Guard(
        "a picture is whole to its last byte",
        "onbrand/png.py",
        '    if not data.endswith(_END):\n        raise BadImage("The picture\'s file is cut off.")\n',
        "",
        (f"{_PNG}::test_every_byte_of_the_last_chunk_counts", f"{_PNG}::test_a_picture_cut_anywhere_is_refused"),
    ),
    Guard(
        "a picture is 1024 by 1024 in RGB",
        "onbrand/png.py",
        'if image.size != (SIZE, SIZE) or image.mode != "RGB":',
        "if False:",
        (f"{_PNG}::test_another_size_or_mode_is_refused",),
    ),
    Guard(
        "a picture's checksums are compared",
        "onbrand/png.py",
        "        image.verify()\n",
        "        pass\n",
        (f"{_PNG}::test_a_picture_with_one_flipped_bit_is_refused",),
    ),
    Guard(
        "a picture can be decoded",
        "onbrand/png.py",
        "        return np.asarray(image)\n",
        "        return np.eye(2)\n",
        (f"{_PNG}::test_pixel_data_with_a_good_checksum_that_does_not_decode_is_refused",),
    ),
    Guard(
        "a picture is more than one colour",
        "onbrand/png.py",
        "    if (pixels == pixels[0, 0]).all():\n",
        "    if False:\n",
        (f"{_PNG}::test_a_single_colour_is_refused",),
    ),
    Guard(
        "a picture never holds the prompt",
        "onbrand/png.py",
        '    if provenance.job_id is not None:\n        text.add_text("Onbrand-Job", provenance.job_id)\n',
        '    text.add_text("Onbrand-Job", provenance.job_id or "")\n    text.add_text("Description", "a teapot")\n',
        (f"{_PNG}::test_the_text_chunks_say_where_the_picture_comes_from_and_nothing_else",),
    ),
    # --- the model ---------------------------------------------------------------------------------------------------
    Guard(
        "latents that are not numbers become no picture",
        "onbrand/hidream/decode.py",
        "    if not torch.isfinite(images).all():\n        raise BadImage\n",
        "",
        ("tests/integration/test_hidream.py::test_latents_that_are_not_numbers_are_refused",),
    ),
    # --- weights -----------------------------------------------------------------------------------------------------
    Guard(
        "a file of weights has its checksum",
        "onbrand/folder.py",
        "return size == file.size and digest.hexdigest() == file.sha256",
        "return size == file.size",
        (f"{_PACK}::test_a_flipped_bit_in_any_file_is_refused",),
    ),
    Guard(
        "a configuration has its checksum",
        "onbrand/packs.py",
        "if listed is None or hashlib.sha256(data).hexdigest() != listed.sha256:",
        "if listed is None:",
        (f"{_PACK}::test_a_flipped_bit_in_any_file_is_refused",),
    ),
    Guard(
        "a pack is verified before it is loaded",
        "onbrand/hidream/load.py",
        "        pack.verify()\n",
        "        pass\n",
        (f"{_PACK}::test_a_flipped_bit_in_any_file_is_refused",),
    ),
    Guard(
        "a pack is for this base",
        "onbrand/hidream/load.py",
        "    base.require_fit(pack.manifest)\n",
        "",
        (f"{_LOAD}::test_a_pack_for_another_base_is_refused",),
    ),
    Guard(
        "a model answers as its pack recorded",
        "onbrand/hidream/load.py",
        "health.check(health.answer(transformer), manifest.probe)",
        "health.answer(transformer)",
        (f"{_LOAD}::test_a_probe_that_the_model_does_not_answer_to_is_refused",),
    ),
    Guard(
        "a model that answers nothing is damaged",
        "onbrand/hidream/health.py",
        "    if not torch.isfinite(numbers).all() or (numbers == numbers[0]).all():\n",
        "    if False:\n",
        ("tests/integration/hidream/test_health.py",),
    ),
    Guard(
        "pictures that don't fit the memory together are drawn one by one",
        "onbrand/hidream/illustrator.py",
        "            if self.at_once == 1 or len(seeds) == 1:\n",
        "            if True:\n",
        ("tests/integration/test_hidream.py::test_with_too_little_memory_the_pictures_are_drawn_one_by_one",),
    ),
    Guard(
        "a pack's paths stay inside it",
        "onbrand/folder.py",
        'if not parts or path.startswith("/") or ".." in parts or',
        "if not parts or",
        ("tests/unit/test_packs.py::test_a_path_that_leaves_the_pack_is_refused",),
    ),
    Guard(
        "a network lacks no tensor",
        "onbrand/hidream/fill.py",
        "    if missing:\n",
        "    if False:\n",
        (f"{_PACK}::test_a_component_that_lacks_a_tensor_is_refused",),
    ),
)
