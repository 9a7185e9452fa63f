"""Memory that tensors share one after another, and never at the same time."""

from __future__ import annotations

import torch
from torch import Tensor

from onbrand.hidream.weights.buffers import Buffers

SIZE = 100_000  # bytes


def address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def test_memory_is_used_again_when_the_last_view_of_a_tensor_is_gone() -> None:
    buffers = Buffers(10 * SIZE)
    first = buffers.empty(SIZE)
    where = address(first)
    view = first.view(torch.float32).reshape(5, 5000)[2:].T
    del first
    assert address(other := buffers.empty(SIZE)) != where
    del view
    assert address(again := buffers.empty(SIZE)) == where
    assert address(other) != where
    assert again.shape == (SIZE,)


def test_tensors_that_are_kept_keep_what_is_in_them() -> None:
    buffers = Buffers(10 * SIZE)
    kept = []
    for n in range(50):
        tensor = buffers.empty(SIZE).fill_(n)
        if n % 3 == 0:
            kept.append((n, tensor.view(torch.bfloat16).reshape(2, -1)))
        del tensor
    assert all((tensor.view(torch.uint8) == n).all() for n, tensor in kept)
    assert len({address(tensor) for _, tensor in kept}) == len(kept)


def test_no_more_is_kept_than_agreed_and_old_sizes_give_way() -> None:
    buffers = Buffers(3 * SIZE)

    def kept_after(sizes: list[int]) -> int:
        tensors = [buffers.empty(size) for size in sizes]
        tensors.clear()
        return buffers.kept

    assert kept_after([SIZE] * 3) == 3 * SIZE
    assert kept_after([2 * SIZE]) == 2 * SIZE
    assert kept_after([2 * SIZE, 2 * SIZE]) == 2 * SIZE
    assert kept_after([4 * SIZE]) == 0


def test_nothing_is_kept_after_closing() -> None:
    buffers = Buffers(10 * SIZE)
    held = buffers.empty(SIZE)
    buffers.empty(SIZE)
    assert buffers.kept == SIZE
    buffers.close()
    assert buffers.kept == 0
    held.fill_(1)
    del held
    assert buffers.kept == 0
