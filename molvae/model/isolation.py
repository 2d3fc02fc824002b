"""Isolation from a caller's settings of torch and NumPy: they change no result, and stay.

`isolated` goes around every public function that computes with torch; `seeded` around the few
things that use torch's global generator and cannot be given another one. Everything else
uses generators of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

_dtype_lock, _generator_lock = threading.Lock(), threading.RLock()
_dtype_users, _dtype_before = 0, torch.float32


@contextmanager
def isolated(*, keep_grad: bool = False) -> Iterator[None]:
    """Compute as in a fresh process; also a decorator.

    The default dtype is float32, the default device the CPU, autocast is off, gradients are on and
    inference mode is off, and NumPy's floating-point errors are reported as usual. All of it holds
    for the current thread alone, except for the default dtype, which torch keeps once for the
    process: other threads find float32 meanwhile. With `keep_grad`, gradients and inference mode
    stay as the caller has them, for functions whose results gradients flow through.
    """
    with ExitStack() as stack:
        stack.enter_context(_default_float32())
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if not keep_grad:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        yield


@contextmanager
def _default_float32() -> Iterator[None]:
    """Nested and concurrent users share it: the first one sets, the last one restores."""
    global _dtype_users, _dtype_before
    with _dtype_lock:
        if _dtype_users == 0:
            _dtype_before = torch.get_default_dtype()
        _dtype_users += 1
        if _dtype_before != torch.float32:
            torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _dtype_lock:
            _dtype_users -= 1
            if _dtype_users == 0 and _dtype_before != torch.float32:
                torch.set_default_dtype(_dtype_before)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let torch compute on `n` threads; 0 leaves as many as there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(n or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator of the CPU, one thread at a time; its state is restored."""
    generator = torch.default_generator
    with _generator_lock:
        before = generator.get_state()
        generator.manual_seed(seed)
        try:
            yield
        finally:
            generator.set_state(before)


def spawn_seed(seed: int, *path: int) -> int:
    """A seed below 2**31 for a path, the same on every machine; zeros at its end do not count."""
    return int(np.random.SeedSequence([seed, *path]).generate_state(1)[0]) >> 1
