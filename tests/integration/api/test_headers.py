"""Headers for browsers: how each kind of answer may be used, framed, cached and read by other pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import psycopg
import pytest

from onbrand.config import Settings
from tests.integration.api.conftest import SCRIPT
from tests.integration.api.service import Person, Service, assert_problem, running

API_POLICY = {
    "default-src": "'none'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "sandbox": "",
}
ORIGIN = "https://onbrand.example"


def policy(answer: httpx.Response) -> dict[str, str]:
    pairs = [directive.partition(" ") for directive in answer.headers["content-security-policy"].split("; ")]
    return {name: value for name, _, value in pairs}


def page_policy(service: Service, *, ancestors: str) -> dict[str, str]:
    issuer = f"http://localhost:{service.settings.port}"
    return {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob:",
        "font-src": "'self'",
        "connect-src": f"'self' {issuer}",
        "frame-src": f"'self' {issuer}",
        "frame-ancestors": ancestors,
        "base-uri": "'none'",
        "form-action": "'none'",
    }


async def test_every_answer_has_the_headers_that_keep_it_what_it_is(service: Service, member: Person) -> None:
    job_id, _ = await member.complete()
    image = f"/jobs/{job_id}/images/1"
    for method, path in [
        *[("GET", path) for path in ("/", "/auth.html", "/favicon.svg", "/favicon.ico", "/config.json")],
        ("GET", "/assets/app-0123abcd.js"),
        *[("GET", path) for path in ("/me", f"/jobs/{job_id}", image, "/nowhere", "/readyz", "/metrics")],
        *[("POST", "/generate"), ("POST", "/warm"), ("PUT", "/me"), ("HEAD", image), ("DELETE", f"/jobs/{job_id}")],
    ]:
        headers = (await member.http.request(method, path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert headers["cross-origin-opener-policy"] == "same-origin", path
        assert headers["cross-origin-resource-policy"] == "same-origin", path
        assert "content-security-policy" in headers, path
        assert "camera=()" in headers["permissions-policy"], path
        assert headers["cache-control"], path
        assert not {"server", "x-powered-by", "access-control-allow-origin", "set-cookie"} & set(headers), path
        assert "strict-transport-security" not in headers  # this machine has no TLS
    assert service.settings.cors_origins == ()


async def test_what_the_api_answers_can_be_no_page_and_is_kept_nowhere(member: Person) -> None:
    for path in ("/me", "/config.json", "/nowhere", "/healthz"):
        answer = await member.http.get(path)
        assert policy(answer) == API_POLICY
        assert answer.headers["cache-control"] == "private, no-store"


async def test_the_page_may_only_run_its_own_scripts_and_not_be_framed(service: Service) -> None:
    async with service.client() as client:
        answer = await client.get("/")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert policy(answer) == page_policy(service, ancestors="'none'")
        assert answer.headers["cache-control"] == "no-cache"


async def test_the_sign_in_page_may_be_framed_by_the_page_alone(service: Service) -> None:
    # MSAL renews tokens in a hidden frame that ends there.
    async with service.client() as client:
        answer = await client.get("/auth.html")
        assert policy(answer) == page_policy(service, ancestors="'self'")
        assert answer.headers["cache-control"] == "no-cache"


async def test_hashed_files_are_kept_for_ever_and_their_absence_is_not(service: Service) -> None:
    async with service.client() as client:
        answer = await client.get("/assets/app-0123abcd.js")
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        again = await client.get("/assets/app-0123abcd.js", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        missing = await client.get("/assets/app-ffffffff.js")
        assert_problem(missing, 404, "not_found")
        assert missing.headers["cache-control"] == "private, no-store"


CODINGS = {
    "gzip": ["gzip", "br;q=0, GZIP ;q=0.5", "gzip, deflate, zstd"],
    "br": ["br", "gzip, deflate, br, zstd", "gzip;q=0, BR; q=1"],
    None: ["", "identity", "gzip;q=0", "gzip; q=0.000", "x-gzip2, brotli", "*"],
}


@pytest.mark.parametrize(("coding", "accepted"), [(coding, one) for coding, all in CODINGS.items() for one in all])
async def test_hashed_files_are_sent_in_the_smallest_form_that_is_taken(
    service: Service, coding: str | None, accepted: str
) -> None:
    client = service.client({"Accept-Encoding": accepted})
    async with client, client.stream("GET", "/assets/app-0123abcd.js") as answer:
        assert answer.headers.get("content-encoding") == coding
        assert b"".join([part async for part in answer.aiter_raw()]) == SCRIPT[coding]
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["vary"] == "Accept-Encoding"  # a cache in between must not mix them up


async def test_the_two_forms_of_a_hashed_file_are_told_apart(service: Service) -> None:
    async with service.client() as client:
        zipped = await client.get("/assets/app-0123abcd.js", headers={"Accept-Encoding": "gzip"})
        plain = {"Accept-Encoding": "identity", "If-None-Match": zipped.headers["etag"]}
        assert (await client.get("/assets/app-0123abcd.js", headers=plain)).status_code == 200


async def test_a_hashed_file_that_the_build_did_not_compress_is_sent_as_it_is(service: Service) -> None:
    async with service.client({"Accept-Encoding": "gzip"}) as client:
        answer = await client.get("/assets/mark-4567cdef.svg")
        assert (answer.status_code, answer.headers.get("content-encoding")) == (200, None)


async def test_a_build_without_its_parts_serves_those_it_has(
    service: Service, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings()
    (page := settings.data_dir / "page").mkdir()
    (page / "index.html").write_text("<!doctype html>")
    with running(settings, service.database_url, web_dir=page) as other:
        async with other.client() as client:
            assert (await client.get("/")).status_code == 200
            for path in ("/auth.html", "/favicon.svg", "/favicon.ico", "/assets/app.js"):
                assert_problem(await client.get(path), 404, "not_found")


# --- pages on other origins ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(service: Service, make_settings: Callable[..., Settings]) -> Iterator[Service]:
    """A service that one page elsewhere may call, on the first one's database."""
    with running(make_settings(cors_origins=(ORIGIN, "http://localhost:5173")), service.database_url) as shared:
        yield shared


def preflight(origin: str, method: str = "POST", headers: str = "authorization,content-type") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


OTHER_ORIGINS = [
    "https://evil.example",
    "null",
    "https://evil-onbrand.example",
    "https://onbrand.example.evil.example",
    "https://sub.onbrand.example",
    "http://onbrand.example",
    "https://onbrand.example:444",
    "https://ONBRAND.example",
    "https://onbrand.example/",
    "*",
    "",
]


@pytest.mark.parametrize("origin", [ORIGIN, *OTHER_ORIGINS])
async def test_by_default_no_page_elsewhere_may_call(member: Person, origin: str) -> None:
    answer = await member.http.get("/me", headers={"Origin": origin})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = await member.http.options("/generate", headers=preflight(origin))
    assert_problem(asked, 405, "method_not_allowed")
    assert not [name for name in asked.headers if name.startswith("access-control")]


async def test_the_configured_page_may_call_and_read_what_it_needs(shared: Service) -> None:
    async with shared.person() as person:
        for method in ("GET", "POST", "PUT", "DELETE"):
            asked = await person.http.options(
                "/generate", headers=preflight(ORIGIN, method, "authorization,content-type,idempotency-key")
            )
            assert asked.status_code == 200
            assert asked.headers["access-control-allow-origin"] == ORIGIN
            assert "access-control-allow-credentials" not in asked.headers
            assert asked.headers["access-control-max-age"] == "86400"  # a poll must not be two requests each time
        answer = await person.http.post("/generate", json={"prompt": "a"}, headers={"Origin": ORIGIN})
        assert answer.status_code == 202
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "Origin" in answer.headers["vary"]
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"Location", "Retry-After", "Content-Disposition", "ETag", "X-Request-Id"} <= set(exposed)


async def test_the_configured_page_may_read_errors_too(shared: Service) -> None:
    async with shared.person() as person:
        for path in ("/nowhere", "/jobs/x", "/me/"):
            answer = await person.http.get(path, headers={"Origin": ORIGIN})
            assert answer.headers["access-control-allow-origin"] == ORIGIN
    async with shared.client({"Origin": ORIGIN}) as nobody:
        assert (await nobody.get("/me")).headers["access-control-allow-origin"] == ORIGIN


async def test_the_configured_page_may_read_what_was_refused_before_any_route(shared: Service) -> None:
    async with shared.client({"Origin": ORIGIN, "X-Long": 20_000 * "x"}) as client:
        refused = await client.get("/me")
        assert_problem(refused, 431, "headers_too_large")
        assert refused.headers["access-control-allow-origin"] == ORIGIN
        assert "X-Request-Id" in refused.headers["access-control-expose-headers"]
        assert "Origin" in refused.headers["vary"]
        elsewhere = await client.get("/me", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in elsewhere.headers
        asked = await client.options("/generate", headers=preflight(ORIGIN))
        assert_problem(asked, 431, "headers_too_large")


async def test_the_configured_page_may_read_that_we_failed(shared: Service) -> None:
    async with shared.person() as person:
        with psycopg.connect(shared.database_url, autocommit=True) as connection:
            connection.execute("alter view live_worker rename to live_worker_away")
            try:
                answer = await person.http.get("/me", headers={"Origin": ORIGIN})
            finally:
                connection.execute("alter view live_worker_away rename to live_worker")
        assert_problem(answer, 500, "internal_error")
        assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize("origin", OTHER_ORIGINS)
async def test_no_other_page_may_call(shared: Service, origin: str) -> None:
    async with shared.person() as person:
        answer = await person.http.get("/me", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers
        assert "Origin" in answer.headers["vary"]
        asked = await person.http.options("/generate", headers=preflight(origin))
        assert_problem(asked, 400, "preflight_refused")
        assert "access-control-allow-origin" not in asked.headers
        assert "Origin" in asked.headers["vary"]


@pytest.mark.parametrize(("method", "headers"), [("PATCH", "authorization"), ("TRACE", ""), ("POST", "x-user-id")])
async def test_the_configured_page_may_do_nothing_else(shared: Service, method: str, headers: str) -> None:
    async with shared.client() as client:
        asked = await client.options("/generate", headers=preflight(ORIGIN, method, headers))
        assert_problem(asked, 400, "preflight_refused")
