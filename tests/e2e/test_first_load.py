"""What the browser has to fetch before anybody can write a prompt, sign-in included."""

from __future__ import annotations

from playwright.sync_api import Page, Response

from tests.e2e.visitor import prompt_field, sign_in

MOST_SCRIPT_BYTES = 200_000


def test_scripts_and_styles_come_compressed_and_the_scripts_of_a_first_visit_are_at_most_200_kb(
    stage_page: Page,
) -> None:
    sent: dict[str, Response] = {}  # each is fetched once: after the sign-in's redirects it is in the browser's cache

    def note(response: Response) -> None:
        sent.setdefault(response.url, response)

    stage_page.on("response", note)
    sign_in(stage_page)
    prompt_field(stage_page).wait_for()

    assets = {url: response for url, response in sent.items() if "/assets/" in url}
    assert len(assets) >= 4
    assert {response.header_value("content-encoding") for response in assets.values()} == {"br"}
    scripts = [response.request.sizes()["responseBodySize"] for url, response in assets.items() if url.endswith(".js")]
    assert all(scripts)
    assert sum(scripts) <= MOST_SCRIPT_BYTES
