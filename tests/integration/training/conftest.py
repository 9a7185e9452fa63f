"""One thread: the networks are so small that two would only wait for each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from onbrand.dataset.reader import Dataset
from onbrand.packs.base import Base
from tests.integration.training.tiny_mini import small_set, tiny_mini_base


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Before the runs that a module shares are made. Other tests of the process draw on as many threads as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """The mini at tiny size."""
    return tiny_mini_base(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five illustrations."""
    return small_set(tmp_path_factory.mktemp("studio") / "data")
