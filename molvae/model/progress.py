"""Progress of a training, reported now and then and written to `metrics.jsonl`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from molvae._files import write_atomically


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of a training; also one line of `metrics.jsonl`. Nats are per molecule."""

    molecules: int  # seen so far, repeats included
    total: int  # to be seen in all
    rate: float  # molecules a second since the last report
    eta: float  # seconds to go at that rate
    beta: float  # weight of the KL term now
    reconstruction: float  # training batches since the last report, nats
    # Training batches since the last report, nats; with other posteriors than Gaussians, and of
    # conditions that are not known, at the sampled codes.
    kl: float
    # Loss of the properties' heads, unweighted, on the same batches; 0 without heads.
    properties: float
    # -log q(y | x) of the conditions that are known, nats, on the same batches; 0 without.
    conditions: float
    # Correlation of distances in z with similarities, on the same batches; 0 without this term.
    similarity: float = 0.0
    # Loss of the head that reads fingerprints, unweighted, on the same batches; 0 without.
    fingerprint: float = 0.0
    # Validation molecules at one sample of z each, nats; None, like the next, between them.
    valid_reconstruction: float | None = None
    valid_kl: float | None = None  # validation molecules, nats
    active: int | None = None  # active latent units
    # Share of up to 1,000 validation molecules that the mean of their z decodes to greedily.
    valid_exact: float | None = None


TERMS = ("reconstruction", "kl", "properties", "conditions", "similarity", "fingerprint")
"""Names of the terms of the loss in `Progress`."""


class Reporter:
    """Averages terms of the loss between reports; writes `metrics.jsonl`.

    Args:
        folder: Folder of that file; a new training starts a new one.
        total: Molecules to be seen in all.
        on_progress: Called with each report.
        seen: Molecules seen before.
    """

    SECONDS = 5.0

    def __init__(
        self, folder: Path, total: int, on_progress: Callable[[Progress], None] | None, seen: int
    ) -> None:
        self.path, self.total, self.on_progress = folder / "metrics.jsonl", total, on_progress
        # A new file: whatever a link in its place points to stays as it is.
        kept = self.path.read_bytes() if seen and self.path.is_file() else b""
        write_atomically(self.path, kept)
        self._reset()

    def _reset(self) -> None:
        self.since, self.n, self.sums = time.monotonic(), 0, dict.fromkeys(TERMS, 0.0)

    def add(self, n: int, means: Mapping[str, float]) -> None:
        """Count a batch of n molecules and the means of the terms over it."""
        self.n += n
        for name, mean in means.items():
            self.sums[name] += n * mean

    def due(self) -> bool:
        """Whether the last report is five seconds ago."""
        return time.monotonic() - self.since > self.SECONDS

    def say(self, seen: int, beta: float, **validated: float | None) -> None:
        """Report; after a validation, with the fields of `Progress` that it gives."""
        rate = self.n / max(time.monotonic() - self.since, 1e-9)
        means = {name: total / max(self.n, 1) for name, total in self.sums.items()}
        progress = Progress(
            molecules=seen,
            total=self.total,
            rate=rate,
            eta=max(0, self.total - seen) / max(rate, 1e-9),
            beta=beta,
            **means,  # type: ignore[arg-type]
            **validated,  # type: ignore[arg-type]
        )
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(progress)) + "\n")
        if self.on_progress is not None:
            self.on_progress(progress)
        self._reset()
