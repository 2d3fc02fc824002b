"""Ctrl-C reaches a process that waits, whatever RDKit has done to the signal."""

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


@pytest.mark.parametrize(
    "waits",
    [lambda: wait(threading.Event()), lambda: get(SimpleQueue[Any]())],
    ids=["event", "get"],
)
def test_a_wait_is_interrupted_after_rdkit_has_searched(waits: Callable[[], Any]) -> None:
    Chem.MolFromSmiles("CCO").GetSubstructMatch(Chem.MolFromSmiles("CO"))
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        waits()


def test_waits_end_when_there_is_something_or_time_is_up() -> None:
    event, queue = threading.Event(), SimpleQueue[int]()
    assert not wait(event, 0.01)
    with pytest.raises(Empty):
        get(queue, 0.01)
    event.set()
    queue.put(3)
    assert wait(event)
    assert get(queue) == 3


def test_a_wait_in_another_thread_leaves_signals_alone() -> None:
    event = threading.Event()
    event.set()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(wait(event)))
    thread.start()
    thread.join()
    assert answers == [True]
