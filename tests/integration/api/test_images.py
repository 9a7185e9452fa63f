"""Images as their owner fetches them: complete, checked, cacheable by ETag, with a readable file name."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.integration.api.service import PNGS, WEBPS, Person, Service, assert_problem


async def test_an_image_is_served_as_it_was_stored(member: Person) -> None:
    job_id, images = await member.complete()
    for image in images:
        answer = await member.http.get(f"/jobs/{job_id}/images/{image.n}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert answer.content == PNGS[image.n]
        assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
        assert answer.headers["cache-control"] == "private, no-cache"
        # Its name for whoever keeps it later, from the page or with the browser's own menu.
        name = f"onbrand_a-teapot_{await created_on(member, job_id)}_{job_id[:4]}_{image.n}.png"
        assert answer.headers["content-disposition"] == f'inline; filename="{name}"'


async def created_on(person: Person, job_id: str) -> str:
    return str((await person.http.get(f"/jobs/{job_id}")).json()["created_at"][:10])


async def test_an_image_cannot_be_taken_for_a_page(member: Person) -> None:
    job_id, _ = await member.complete()
    headers = (await member.http.get(f"/jobs/{job_id}/images/1")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert {"default-src 'none'", "frame-ancestors 'none'", "sandbox"} <= set(
        headers["content-security-policy"].split("; ")
    )


async def test_head_has_the_headers_of_get_and_no_body(member: Person) -> None:
    job_id, _ = await member.complete()
    path = f"/jobs/{job_id}/images/2?download=1"
    got, headed = await member.http.get(path), await member.http.head(path)
    assert (headed.status_code, headed.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "content-disposition"):
        assert headed.headers[name] == got.headers[name]


@pytest.mark.parametrize("condition", ['"{tag}"', 'W/"{tag}"', '"x", "{tag}"', '"x","{tag}"', "*"])
async def test_an_image_that_the_page_has_is_not_sent_again(member: Person, condition: str) -> None:
    job_id, images = await member.complete()
    for method in ("GET", "HEAD"):
        answer = await member.http.request(
            method,
            f"/jobs/{job_id}/images/1",
            headers={"If-None-Match": condition.format(tag=images[0].sha256)},
        )
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == f'"{images[0].sha256}"'
        assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("condition", ['"x"', '"{other}"', "{tag}", '"{tag}x"', '"x{tag}"', ""])
async def test_any_other_condition_sends_the_image(member: Person, condition: str) -> None:
    job_id, images = await member.complete()
    answer = await member.http.get(
        f"/jobs/{job_id}/images/1",
        headers={"If-None-Match": condition.format(tag=images[0].sha256, other=images[1].sha256)},
    )
    assert (answer.status_code, answer.content) == (200, PNGS[1])


@pytest.mark.parametrize("requested", ["bytes=0-9", "bytes=-1", "bytes=99999999-", "lines=1-2", "x"])
async def test_a_part_cannot_be_asked_for(member: Person, requested: str) -> None:
    job_id, _ = await member.complete()
    answer = await member.http.get(f"/jobs/{job_id}/images/1", headers={"Range": requested})
    assert (answer.status_code, answer.content) == (200, PNGS[1])


@pytest.mark.parametrize(
    ("prompt", "slug"),
    [
        ("a paper plane", "a-paper-plane"),
        ("Überraschung für Zoë", "uberraschung-fur-zoe"),
        ('a "quoted"; name=x', "a-quoted-name-x"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\r\nSet-Cookie: x=1", "a-set-cookie-x-1"),
        ("絵", "illustration"),
        ("w" * 300, "illustration"),
        ("word " * 60, "word-word-word-word-word-word-word-word"),
    ],
)
async def test_a_download_has_a_readable_name_that_nothing_can_hide_in(member: Person, prompt: str, slug: str) -> None:
    job_id, _ = await member.complete(prompt)
    answer = await member.http.get(f"/jobs/{job_id}/images/2?download=1")
    name = f"onbrand_{slug}_{await created_on(member, job_id)}_{job_id[:4]}_2.png"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", name)
    assert answer.content == PNGS[2]


@pytest.mark.parametrize("query", ["", "?download=", "?download=0", "?download=true", "?x=1", "?download=1&download=0"])
async def test_only_download_1_is_a_download(member: Person, query: str) -> None:
    job_id, _ = await member.complete()
    answer = await member.http.get(f"/jobs/{job_id}/images/1{query}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("inline;")


async def test_a_job_without_images_has_none_to_show(service: Service, member: Person) -> None:
    job_id = await member.submit()
    assert_problem(await member.http.get(f"/jobs/{job_id}/images/1"), 409, "image_not_ready")
    await service.claim(job_id)
    assert_problem(await member.http.get(f"/jobs/{job_id}/images/1"), 409, "image_not_ready")
    await member.http.delete(f"/jobs/{job_id}")
    assert_problem(await member.http.get(f"/jobs/{job_id}/images/1"), 409, "image_not_ready")


@pytest.mark.parametrize("damage", ["torn", "changed", "missing"])
async def test_a_damaged_image_is_never_shown(service: Service, member: Person, damage: str) -> None:
    job_id, _ = await member.complete()
    path = service.settings.data_dir / "images" / "jobs" / job_id / "1" / "1.png"
    match damage:
        case "torn":
            path.write_bytes(PNGS[1][:1000])
        case "changed":
            path.write_bytes(PNGS[1][:-1] + b"x")
        case "missing":
            path.unlink()
    for method in ("GET", "HEAD"):
        answer = await member.http.request(method, f"/jobs/{job_id}/images/1?download=1")
        assert answer.status_code == 500
        assert not {"etag", "content-disposition"} & set(answer.headers)
    assert_problem(await member.http.get(f"/jobs/{job_id}/images/1"), 500, "image_corrupt")
    assert (await member.http.get(f"/jobs/{job_id}/images/2")).status_code == 200


# --- renditions ------------------------------------------------------------------------------------------------------


async def test_a_rendition_is_served_for_a_tile_and_kept_by_the_browser_for_the_jobs_life(member: Person) -> None:
    job_id, images = await member.complete()
    for image in images:
        assert image.rendition is not None
        answer = await member.http.get(f"/jobs/{job_id}/images/{image.n}?size=512")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        assert answer.content == WEBPS[image.n]
        assert answer.headers["etag"] == f'"{image.rendition.sha256}"'
        name = f"onbrand_a-teapot_{await created_on(member, job_id)}_{job_id[:4]}_{image.n}.webp"
        assert answer.headers["content-disposition"] == f'inline; filename="{name}"'
        kept = re.fullmatch(r"private, max-age=(\d+), immutable", answer.headers["cache-control"])
        assert kept is not None
        assert 719 * 3600 < int(kept[1]) <= 720 * 3600  # no longer than the job is kept
        assert "Authorization" in answer.headers["vary"]  # the next person in this browser has another token
        asked = {"If-None-Match": answer.headers["etag"]}
        again = await member.http.get(f"/jobs/{job_id}/images/{image.n}?size=512", headers=asked)
        assert (again.status_code, again.content) == (304, b"")


async def test_a_picture_without_a_rendition_is_sent_as_its_png(service: Service, member: Person) -> None:
    job_id = await member.submit()
    await service.publish(await service.claim(job_id), with_renditions=False)
    answer = await member.http.get(f"/jobs/{job_id}/images/1?size=512")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/png", PNGS[1])
    assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("damage", ["changed", "missing"])
async def test_for_a_damaged_rendition_the_png_is_sent(service: Service, member: Person, damage: str) -> None:
    job_id, _ = await member.complete()
    path = service.settings.data_dir / "images" / "jobs" / job_id / "1" / "1-512.webp"
    if damage == "changed":
        path.write_bytes(WEBPS[1][:-1] + b"x")
    else:
        path.unlink()
    answer = await member.http.get(f"/jobs/{job_id}/images/1?size=512")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/png", PNGS[1])
    assert answer.headers["cache-control"] == "private, no-cache"


async def test_a_download_is_always_the_png(member: Person) -> None:
    job_id, _ = await member.complete()
    answer = await member.http.get(f"/jobs/{job_id}/images/1?download=1&size=512")
    assert (answer.headers["content-type"], answer.content) == ("image/png", PNGS[1])
    assert answer.headers["content-disposition"].endswith('.png"')


@pytest.mark.parametrize("size", ["", "0", "256", "1024", "512.0", "x"])
async def test_any_other_size_is_refused(member: Person, size: str) -> None:
    job_id, _ = await member.complete()
    assert_problem(await member.http.get(f"/jobs/{job_id}/images/1?size={size}"), 422, "request_invalid")


async def test_a_job_without_images_has_no_rendition_either(member: Person) -> None:
    job_id = await member.submit()
    assert_problem(await member.http.get(f"/jobs/{job_id}/images/1?size=512"), 409, "image_not_ready")
