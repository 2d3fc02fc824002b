"""Progress of a training, reported now and then and written to `metrics.jsonl`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from molvae._files import write_atomically


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of a training; also one line of `metrics.jsonl`. Nats are per molecule."""

    molecules: int
    """Seen so far, repeats included."""
    total: int
    """To be seen in all."""
    rate: float
    """Molecules a second since the last report."""
    eta: float
    """Seconds to go at that rate."""
    beta: float
    """Weight of the KL term now."""
    reconstruction: float
    """Training batches since the last report, nats."""
    kl: float
    """Training batches since the last report, nats; with a posterior that is no Gaussian, and of
    conditions that are not known, at the drawn codes."""
    properties: float
    """Loss of the properties' heads, unweighted, on the same batches; 0 without heads."""
    conditions: float
    """-log q(y | x) of the conditions that are known, nats, on the same batches; 0 without."""
    similarity: float = 0.0
    """Correlation of distances in z with similarities, on the same batches; 0 without this term."""
    fingerprint: float = 0.0
    """Loss of the head that reads fingerprints, unweighted, on the same batches; 0 without."""
    valid_reconstruction: float | None = None
    """Validation molecules at one draw of z each, nats; None between validations."""
    valid_kl: float | None = None
    """Validation molecules, nats; None between validations."""
    active: int | None = None
    """Active latent units; None between validations."""
    valid_exact: float | None = None
    """Share of up to 1,000 validation molecules that come back from the mean of their z, written
    greedily; None between validations."""


class Reporter:
    """Averages between reports; writes `metrics.jsonl`.

    Args:
        folder: Where that file is; a new training starts a new one.
        total: Molecules to be seen in all.
        on_progress: Told of each report.
        seen: Molecules seen before.
    """

    SECONDS = 5.0

    def __init__(
        self,
        folder: Path,
        total: int,
        on_progress: Callable[[Progress], None] | None,
        seen: int,
    ) -> None:
        self.path, self.total, self.on_progress = folder / "metrics.jsonl", total, on_progress
        # A new file: whatever a link in its place points to stays as it is.
        kept = self.path.read_bytes() if seen and self.path.is_file() else b""
        write_atomically(self.path, kept)
        self._reset()

    def _reset(self) -> None:
        self.since, self.n, self.sums = time.monotonic(), 0, np.zeros(6)

    def add(self, n: int, *means: float) -> None:
        """Count a batch: the six terms over it, in the order of `Progress`."""
        self.n, self.sums = self.n + n, self.sums + n * np.array(means)

    def due(self) -> bool:
        """Whether the last report is five seconds ago."""
        return time.monotonic() - self.since > self.SECONDS

    def say(
        self,
        seen: int,
        beta: float,
        valid_rec: float | None = None,
        valid_kl: float | None = None,
        active: int | None = None,
        exact: float | None = None,
    ) -> None:
        """Report; after a validation, with what it found."""
        rate = self.n / max(time.monotonic() - self.since, 1e-9)
        means = (self.sums / max(self.n, 1)).tolist()
        rec, kl, of_properties, of_conditions, similarity, fingerprint = means
        progress = Progress(
            molecules=seen,
            total=self.total,
            rate=rate,
            eta=max(0, self.total - seen) / max(rate, 1e-9),
            beta=beta,
            reconstruction=rec,
            kl=kl,
            properties=of_properties,
            conditions=of_conditions,
            similarity=similarity,
            fingerprint=fingerprint,
            valid_reconstruction=valid_rec,
            valid_kl=valid_kl,
            active=active,
            valid_exact=exact,
        )
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(progress)) + "\n")
        if self.on_progress is not None:
            self.on_progress(progress)
        self._reset()


__all__ = ["Progress", "Reporter"]
