"""The page on a host of its own, as on Azure Static Web Apps, and the API at another address.

The host does what the committed `staticwebapp.config.json` says. The bundle is the one that the API serves elsewhere.
The watched tab may not log an error, so nothing of all this is against the Content-Security-Policy or CORS.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from zipfile import ZipFile

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from onbrand.config import REPOSITORY
from onbrand.local.postgres import EmbeddedPostgres
from tests.e2e.conftest import new_context, watched
from tests.e2e.drawings import ROCKET, STEP_REACHED, STEPS, draw
from tests.e2e.reviews import DESIGNER, begin, open_review
from tests.e2e.scenes import draw_half, ready
from tests.e2e.stage import Stage, new_database, open_stage
from tests.e2e.visitor import choose_account, expect_four_pictures, generate, run, runs, sign_in
from tests.static_host import RULES, StaticHost, serving


def prepare(site: Path, *addresses: str) -> subprocess.CompletedProcess[str]:
    """Run the script that makes a built page one for a static host."""
    command = ["node", str(REPOSITORY / "web" / "scripts" / "static-host.mjs"), str(site), *addresses]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def host(web_dir: Path, tmp_path: Path) -> Iterator[StaticHost]:
    """The built page on a host of its own, not told yet where the API is."""
    site = tmp_path / "site"
    shutil.copytree(web_dir, site)
    with serving(site) as host:
        yield host


@pytest.fixture
def stage(host: StaticHost, postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Stage]:
    """The API, which serves no page and allows that host's."""
    with open_stage(new_database(postgres), tmp_path / "data", None, pages_elsewhere=(host.origin,)) as stage:
        told = prepare(host.site, stage.origin, stage.origin)
        assert (told.returncode, told.stderr) == (0, "")
        yield stage


@pytest.fixture
def context(browser: Browser, host: StaticHost, stage: Stage) -> Iterator[BrowserContext]:  # noqa: ARG001
    with new_context(browser, host.origin) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    with watched(context.new_page()) as page:
        yield page


def test_everything_works_from_another_origin(page: Page, host: StaticHost, stage: Stage, tmp_path: Path) -> None:
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    ready(stage)
    sign_in(page)
    generate(page, ROCKET)
    held = draw_half(stage, 1)
    expect(run(page)).to_contain_text(f"step {STEP_REACHED} of {STEPS}")
    stage.publish(held, draw(ROCKET))
    expect_four_pictures(run(page))

    # The event stream told of it, with the token in a header, and nothing was asked for with a cookie.
    job_id = stage.newest()
    (streamed, *_) = [request for request in asked if request.url == f"{stage.origin}/jobs/{job_id}/events"]
    assert streamed.all_headers()["authorization"].startswith("Bearer ")
    of_the_api = [request for request in asked if request.url.startswith(f"{stage.origin}/jobs/")]
    assert not [request for request in of_the_api if "cookie" in request.all_headers()]
    # The page's own host has its files alone; everything else is the API's.
    own = {urlsplit(request.url).path for request in asked if request.url.startswith(host.origin)}
    assert {path for path in own if not path.startswith("/assets/")} <= {
        "/",
        "/auth.html",
        "/config.json",
        "/favicon.svg",
    }

    # The name of a download comes from a header of the other origin.
    with page.expect_download() as download:
        run(page).get_by_role("button", name="Download illustration 2").click()
    assert download.value.suggested_filename.startswith("onbrand_a-rocket_")
    assert download.value.path().read_bytes() == draw(ROCKET).pngs[1]
    with page.expect_download() as download:
        run(page).get_by_role("button", name="Download all").click()
    download.value.save_as(tmp_path / "all.zip")
    with ZipFile(tmp_path / "all.zip") as saved:
        assert {saved.read(name) for name in saved.namelist()} == set(draw(ROCKET).pngs)

    page.reload()  # the session and the run are still there
    expect_four_pictures(run(page))
    expect(runs(page)).to_have_count(1)
    page.get_by_role("button", name="Account: Studio member").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You're signed out")).to_be_visible()
    assert page.url == f"{host.origin}/"


def test_a_review_opens_by_both_of_its_addresses(page: Page, stage: Stage) -> None:
    ready(stage)
    review = open_review(stage)
    page.goto(f"/reviews/{review.id}")  # no file of the host: its fallback gives the page
    page.get_by_role("button", name=DESIGNER).click()
    page.wait_for_url(f"**/reviews/{review.id}")
    begin(page)
    page.goto(f"/?review={review.id}")
    expect(page.get_by_role("heading", name="1 of 16", exact=True)).to_be_visible()


def test_a_refusal_is_read_across_origins(context: BrowserContext, host: StaticHost, stage: Stage) -> None:
    ready(stage)
    page = context.new_page()
    page.goto(host.origin)
    choose_account(page, "Outside the group")
    expect(page.get_by_role("heading", name="Not in the studio's group")).to_be_visible()


def test_a_page_without_its_configuration_says_so(context: BrowserContext, host: StaticHost) -> None:
    (host.site / "config.json").unlink()
    page = context.new_page()
    page.goto(host.origin)
    expect(page.get_by_role("heading", name="This page isn't set up yet")).to_be_visible()


def test_a_page_that_the_api_does_not_allow_names_the_apis_address(
    browser: Browser, host: StaticHost, stage: Stage
) -> None:
    with serving(host.site) as other, new_context(browser, other.origin) as context:
        page = context.new_page()
        page.goto(other.origin)
        expect(page.get_by_role("heading", name="Onbrand can't be reached")).to_be_visible()
        expect(page.get_by_text(f"its server at {stage.origin} doesn't answer it")).to_be_visible()


def compared(url: str) -> dict[str, object]:
    """The headers that tell a browser what it may do with an answer. Sources of a policy have no order."""
    headers: dict[str, object] = dict(httpx.get(url, headers={"Accept-Encoding": "identity"}).headers)
    policy = [directive.split(" ") for directive in str(headers["content-security-policy"]).split("; ")]
    headers["content-security-policy"] = {name: set(sources) for name, *sources in policy}
    of_the_server = ("content-length", "content-type", "date", "etag", "last-modified", "accept-ranges", "vary")
    return {name: value for name, value in headers.items() if name not in (*of_the_server, "x-request-id")}


def test_the_static_host_gives_the_page_the_headers_that_the_api_gives_it(
    host: StaticHost, web_dir: Path, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with open_stage(new_database(postgres), tmp_path / "data", web_dir) as stage:
        assert prepare(host.site, stage.origin, stage.origin).returncode == 0
        asset = next((web_dir / "assets").glob("*.js")).name
        for path in ("/", "/auth.html", f"/assets/{asset}"):
            there, here = (compared(f"{origin}{path}") for origin in (host.origin, stage.origin))
            assert there.pop("strict-transport-security")  # this machine has no TLS
            if path.startswith("/assets/"):
                assert there.pop("content-security-policy") != here.pop("content-security-policy")  # of no document
            assert there == here, path
        assert httpx.get(f"{host.origin}/config.json").headers["cache-control"] == "no-store"
        for path in ("/assets/app-00000000.js", "/nowhere.json", f"/{RULES}"):
            assert httpx.get(f"{host.origin}{path}").status_code == 404


def test_the_script_tells_a_page_its_api_and_can_be_run_again(host: StaticHost) -> None:
    rules = host.site / RULES
    assert "https://api.invalid" in rules.read_text()  # until then the page may call nobody
    for api in ("https://one.example", "https://two.example/"):
        assert prepare(host.site, api).returncode == 0
    assert json.loads((host.site / "config.json").read_text()) == {"api": "https://two.example"}
    policies = [rule["headers"]["Content-Security-Policy"] for rule in json.loads(rules.read_text())["routes"][2:]]
    policies.append(json.loads(rules.read_text())["globalHeaders"]["Content-Security-Policy"])
    for policy in policies:
        assert "connect-src 'self' https://two.example https://login.microsoftonline.com;" in policy
        assert "invalid" not in policy
        assert "one.example" not in policy


@pytest.mark.parametrize(
    "addresses",
    [
        *((), ("",), ("api.example",), ("http://api.example",), ("https://api.example/v1",), ("https://*",)),
        *(
            ("https://api.example; script-src *",),
            ("https://api.example", "http://login.example"),
            ("https://a", "", ""),
        ),
    ],
)
def test_the_script_refuses_what_is_no_address_before_it_writes(host: StaticHost, addresses: tuple[str, ...]) -> None:
    before = (host.site / RULES).read_bytes()
    told = prepare(host.site, *addresses)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert told.stderr.startswith("static-host: ")
    assert (host.site / RULES).read_bytes() == before
    assert not (host.site / "config.json").exists()
