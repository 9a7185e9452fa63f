"""The API alone can be installed and started without torch: none of its imports needs the model's packages."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys

class Refuse:
    names = {"torch", "diffusers", "transformers", "peft", "accelerate", "safetensors", "numpy", "PIL"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"{name} is not installed here")

sys.meta_path.insert(0, Refuse())
from onbrand.api.app import create_app
from onbrand.cli.main import app
from onbrand.config import load_settings
print("/generate" in create_app(load_settings(), "postgresql://", stand_in=None, web_dir=None).openapi()["paths"])
"""


def test_the_api_is_built_without_the_models_packages(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, cwd=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"
