"""`onbrand doctor` on broken stores, weights, ports and identity providers: it says which of them is the problem."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

from onbrand.config import REPOSITORY
from tests.azurite import Azurite
from tests.integration.doctor.reports import examined, production
from tests.system import free_port


def test_a_missing_store_is_a_problem(chosen: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = examined(chosen, STORAGE_URL=f"file://{tmp_path}/file/images")
    assert told.state("images") in ("warning", "problem")
    azure: dict[str, Any] = {
        "STORAGE_URL": "az://images",
        "STORAGE_AZURE_ACCOUNT": "studio",
        "STORAGE_AZURE_ENDPOINT": f"http://127.0.0.1:{free_port()}/studio",
        "STORAGE_AZURE_KEY": "Y2FuYXJ5LTVlOWEwZA==",  # the canary in base64
    }
    told = examined(chosen, **azure)
    assert told.problems() == ["images"]


def test_a_container_is_tried_and_a_refusal_is_a_problem(chosen: dict[str, str], tmp_path: Path) -> None:
    azurite = Azurite(tmp_path)
    azurite.start()
    try:
        azure: dict[str, Any] = dict(azurite.settings("images"))
        told = examined(chosen, **azure)
        assert (told.problems(), told.state("soft_delete")) == ([], "skipped")
        assert told.says("images").startswith("The container images stores, returns and deletes objects.")
        told = examined(chosen, **azure | {"STORAGE_AZURE_KEY": "Y2FuYXJ5LTVlOWEwZA=="})
        assert (told.problems(), "Azure refuses access" in told.says("images")) == (["images"], True)
        with azurite.frozen():
            told = examined(chosen, **azure)
        assert (told.problems(), told.seconds < 15) == (["images"], True)
    finally:
        azurite.stop()


def test_missing_and_damaged_weights_are_named(chosen: dict[str, str], tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(REPOSITORY / "models" / "mini", weights)
    lora = weights / "sample" / "lora.safetensors"
    content = bytearray(lora.read_bytes())
    content[-1] ^= 1
    lora.write_bytes(content)
    told = examined(chosen, weights=True, MODEL_PATH=str(weights))
    assert (told.problems(), "differs from its checksum" in told.says("model")) == (["model"], True)
    lora.unlink()
    told = examined(chosen, weights=True, MODEL_PATH=str(weights))
    assert (told.problems(), "lora.safetensors is missing" in told.says("model")) == (["model"], True)


def test_undamaged_weights_are_reported_with_their_bundled_pack(chosen: dict[str, str]) -> None:
    told = examined(chosen, weights=True)
    assert (told.state("model"), told.state("review")) == ("ok", "ok")
    assert "mini: 8 files with 79 MB match their checksums, and so does the pack Sample brand" in told.says("model")
    assert "No designer has approved the pack that is bundled with the model" in told.says("review")


def test_weights_of_another_model_are_a_problem(chosen: dict[str, str]) -> None:
    weights = str(REPOSITORY / "models" / "mini")
    told = examined(chosen, weights=True, MODEL="hidream-i1-dev", MODEL_PATH=weights)
    assert (told.problems(), "Set ONBRAND_MODEL or ONBRAND_MODEL_PATH" in told.says("model")) == (["model"], True)


def test_a_folder_that_cannot_hold_data_is_a_problem(chosen: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "data_dir" in examined(chosen, DATA_DIR=str(tmp_path / "file")).problems()
    assert "page" in examined(chosen, WEB_DIR=str(tmp_path)).problems()


def test_another_programs_port_is_a_problem(chosen: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and never answers
        told = examined(chosen, PORT=str(silent.getsockname()[1]))
    assert (told.problems(), told.seconds < 15) == (["port"], True)


@contextmanager
def provider(document: dict[str, Any]) -> Iterator[str]:
    """An identity provider that answers everything with one document."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}/"
        listening.shutdown()


def test_another_tenants_identity_provider_is_a_problem(chosen: dict[str, str]) -> None:
    document = {"issuer": f"https://login.example.com/{uuid4()}/v2.0", "jwks_uri": "https://127.0.0.1:1/keys"}
    with provider(document) as url:
        told = examined(chosen, **production(chosen) | {"ENV": "local", "ENTRA_METADATA_URL": url})
    assert (told.problems(), "not the configured tenant's" in told.says("sign_in")) == (["sign_in"], True)


def test_an_identity_provider_that_does_not_answer_is_a_problem(chosen: dict[str, str]) -> None:
    told = examined(chosen, **production(chosen))
    assert "sign_in" in told.problems()
    assert "Connection refused" in told.says("sign_in")
