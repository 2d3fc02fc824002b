"""`interrupts.wait` and `get`: Ctrl-C reaches a waiting process, also after an RDKit search."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from rdkit import Chem

from molvae.objectives.interrupts import get, wait

pytestmark = pytest.mark.usefixtures("interruptible")


class Awaited(threading.Event):
    """Never set; says when it is waited for, as a queue as well."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.begun.set()
        return super().wait(timeout)

    def get(self, *, timeout: float) -> Any:
        self.wait(timeout)
        raise Empty


@pytest.mark.parametrize("waits", [wait, get])
def test_wait_and_get_are_interrupted_after_an_rdkit_search(waits: Callable[[Any], Any]) -> None:
    Chem.MolFromSmiles("CCO").GetSubstructMatch(Chem.MolFromSmiles("CO"))
    awaited = Awaited()

    def interrupt() -> None:
        awaited.begun.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        waits(awaited)


def test_wait_and_get_end_at_an_event_or_the_timeout() -> None:
    event, queue = threading.Event(), SimpleQueue[int]()
    assert not wait(event, 0.01)
    with pytest.raises(Empty):
        get(queue, 0.01)
    event.set()
    queue.put(3)
    assert wait(event)
    assert get(queue) == 3


def test_wait_in_another_thread_leaves_signals_unchanged() -> None:
    event = threading.Event()
    event.set()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(wait(event)))
    thread.start()
    thread.join()
    assert answers == [True]
