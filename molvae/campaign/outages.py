"""Tell outages of a worker or the machine from failures of molecules, by consecutive failures.

Writes nothing; outcomes are written by `Storage.tell`.
"""

from __future__ import annotations

import re
import urllib.parse
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from molvae.campaign.evaluation import NAN_MESSAGE, EvaluationResult

if TYPE_CHECKING:
    from molvae.campaign.trial import Trial

MAX_CAUSE_CHARACTERS = 300  # leading characters of a message by which causes are told apart

VARYING_PATTERNS = (
    (r"(?:[A-Za-z]:)?(?:[/\\][\w.+~-]+){2,}[/\\]?", "PATH"),
    (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "#"),  # UUID
    (r"[+-]?\d+(?:[.,:]\d+)+(?:[eE][+-]?\d+)?", "#"),
    (r"[+-]?\b\w*\d\w*", "#"),  # numbers, and names with digits: k3_x9, 0x7f01ab
    (r"\w*#[\w#]*", "#"),  # with a unit: 3.5s
)
"""Patterns of what differs between messages of one cause, and what stands for it."""


@dataclass(frozen=True, kw_only=True)
class UnrecordedFailure:
    """A failed evaluation that is not written to the campaign file yet."""

    trial: Trial
    scored: EvaluationResult
    cause: str
    call: int
    came: int  # calls that had begun or come back before
    worker: str | None = None  # the worker that was called; None if it is not known


@dataclass(kw_only=True)
class OutageDetector:
    """Holds back failures since the last successful call, and detects outages among them.

    They look like an outage (a license server, a network, one bad node) if `most` of them have one
    cause, or twice as many have any. Before anything has worked, all causes count as one.

    A call that works settles the failures before it on the same worker: they were the molecules'
    fault. It must have begun after them: a call that began before an outage may end during it.
    """

    most: int
    """Most failures that are held back; 0: none."""
    worked: bool
    """A call has worked, in this run or an earlier one."""
    held: list[UnrecordedFailure] = field(default_factory=list)
    """Failures after which no call has worked."""
    doubtful: list[UnrecordedFailure] = field(default_factory=list)
    """Failures after which only other workers' calls have worked."""
    _working: set[str | None] = field(default_factory=set)
    """Workers on which a call has worked in this run."""

    @property
    def all(self) -> list[UnrecordedFailure]:
        """All failures that are held back."""
        return [*self.doubtful, *self.held]

    def failed(self, failure: UnrecordedFailure) -> list[UnrecordedFailure]:
        """Add a failure; returns failures to be recorded."""
        # NaN is an objective's answer, and no trouble.
        answered = self.worked and failure.scored.message == NAN_MESSAGE
        if answered or not self.most:
            return [failure]
        self.held.append(failure)
        return []

    def success(self, call: int, began: int, worker: str | None = None) -> list[UnrecordedFailure]:
        """Note that a call worked; returns failures to be recorded.

        `began` counts the calls that had begun or come back before it began.
        """
        self.worked = True
        self._working.add(worker)
        before = [one for one in self.held if one.came < began or one.call == call]
        self.held = [one for one in self.held if one not in before]
        before += self.doubtful
        self.doubtful = [
            one for one in before if None not in (worker, one.worker) and one.worker != worker
        ]
        return [one for one in before if one not in self.doubtful]

    def suspects(self, budget: int) -> list[UnrecordedFailure]:
        """Failures that look like trouble; `budget` calls are left, those of held ones included."""
        if not self.most:
            return []
        if not self.worked:
            return self.held if len(self.held) >= min(self.most, budget) else []
        for group in [self.held, *self._by_worker().values()]:
            causes = Counter(one.cause for one in group)
            cause, n = max(causes.items(), key=lambda item: item[1], default=("", 0))
            if n >= self.most:
                return [one for one in group if one.cause == cause]
            if len(group) >= 2 * self.most:
                return group
        return self._of_idle_workers(self.most)

    def last_suspects(self) -> list[UnrecordedFailure]:
        """Failures of a worker on which nothing worked, while others did, at the end of a run."""
        return self._of_idle_workers(2) if self.most else []

    def drop(self, worker: str) -> list[UnrecordedFailure]:
        """Forget the failures of a worker, and return them."""
        found = self._by_worker().get(worker, [])
        self.held = [one for one in self.held if one.worker != worker]
        self.doubtful = [one for one in self.doubtful if one.worker != worker]
        return found

    def _of_idle_workers(self, least: int) -> list[UnrecordedFailure]:
        for worker, group in self._by_worker().items():
            if self._working and worker not in self._working and len(group) >= least:
                return group
        return []

    def _by_worker(self) -> dict[str, list[UnrecordedFailure]]:
        groups: dict[str, list[UnrecordedFailure]] = {}
        for one in self.all:
            if one.worker is not None:
                groups.setdefault(one.worker, []).append(one)
        return groups

    def rest(self) -> list[UnrecordedFailure]:
        """Failures that are held back, which then are not any more."""
        rest = self.all
        self.held, self.doubtful = [], []
        return rest


def cause_of(message: str, smiles: str) -> str:
    """A failure's message without what differs from molecule to molecule and from time to time.

    >>> cause_of("no pose of 'CCO' in /tmp/x17 after 3.5 s", "CCO")
    "no pose of 'SMILES' in PATH after # s"
    """
    quoted = urllib.parse.quote(smiles), urllib.parse.quote(smiles, safe="")
    for text in (smiles, repr(smiles)[1:-1], *quoted):
        message = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", "SMILES", message)
    for pattern, word in VARYING_PATTERNS:
        message = re.sub(pattern, word, message)
    return message[:MAX_CAUSE_CHARACTERS]
