"""Trials: the molecules of a campaign, and their outcomes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from molvae.bo.prediction import Prediction
from molvae.chem.values import Operator

if TYPE_CHECKING:
    from torch import Tensor

Status = Literal["pending", "complete", "failed"]

STATUSES: Mapping[str, Status] = {"asked": "pending", "told": "complete", "failed": "failed"}
"""Statuses by their words in campaign files and in tables exported by earlier versions."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failure of a trial that was put back afterwards."""

    message: str
    told_at: str  # UTC, ISO 8601

    def __str__(self) -> str:
        return f"{self.message or 'no reason given'} ({self.told_at})"


@dataclass(frozen=True, kw_only=True)
class Change:
    """An outcome that another one replaced; both stay in the campaign file."""

    trial: int
    smiles: str
    before: str  # the values that were told first, as text
    after: str
    message: str  # why it was changed
    told_at: str  # UTC, ISO 8601


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a molecule was proposed: what its strategy, and the campaign, knew of it."""

    kappa: float | None = None
    """Weight of the predicted standard deviation: near 0 it exploits, above 1 it explores. None
    if the strategy has none."""
    parents: tuple[str, ...] = ()
    """Canonical SMILES of the molecules that it was made from."""
    nearest: str | None = None
    """Canonical SMILES of the most similar complete trial; None if there was none."""
    similarity: float | None = None
    """Tanimoto similarity of that trial, see `molvae.chem.fingerprints.tanimoto`."""
    findings: tuple[str, ...] = ()
    """Structural alerts, unstable groups, unseen parts and unusual size, whether or not the
    campaign avoids them."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a trial; fields as for `Trial`."""

    complete: bool  # all values are there; otherwise the trial has failed
    values: Mapping[str, float] = field(default_factory=dict)
    operators: Mapping[str, Operator] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    replicates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class NewTrial:
    """A trial to be written; fields as for `Trial`."""

    smiles: str
    z: Sequence[float]
    origin: str
    percentile: float | None = None
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    reason: Reason | None = None
    fidelity: str = ""
    outcome: Outcome | None = None  # what is known already; None: pending


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One molecule of a campaign."""

    id: int
    """Number of the trial, counted from 1 in the order asked."""
    smiles: str
    """Canonical SMILES."""
    origin: str
    """Origin: `start`; `added`, see `Campaign.add`; or the name of the strategy that proposed it,
    and of its operator."""
    percentile: float | None = None
    """Density percentile of the molecule's encoding, from 0 to 100, see
    `LatentSpace.density_percentile`. None if it is not known."""
    fidelity: str = ""
    """Name of the lower fidelity at which the molecule is evaluated; empty: the objective."""
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    """Predictions of its values when it was proposed, by objective, in the objective's own sign.
    Initial molecules have none, nor do those of strategies without a surrogate."""
    reason: Reason | None = None
    """Why it was proposed. None for molecules that were not, and in older files."""
    status: Status
    """Status. `pending`: no outcome; `complete`: all values are known; `failed`: some are not."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Values by objective, in the objective's own sign. A failed trial may have some of them."""
    operators: Mapping[str, Operator] = field(default_factory=dict)
    """Operators `<` or `>` by objective, where the value is censored: only a limit is known."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Standard errors of values, by objective, where they are known."""
    replicates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Measurements of which a value is the mean, by objective, where there are several."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Texts that were told or stood in the starting file, by name."""
    message: str = ""
    """The message of its outcome, e.g. why it failed."""
    earlier_failures: tuple[Failure, ...] = ()
    """Failures after which it was put back, in order."""
    asked_at: str
    """Time at which it was asked, UTC, ISO 8601."""
    told_at: str | None = None
    """Time of its outcome, UTC, ISO 8601; None while it is pending."""
    z_bytes: bytes = field(repr=False)
    """The latent vector as stored: float64, little-endian."""

    @property
    def z(self) -> Tensor:
        """The latent vector, `d`, float64."""
        import torch  # here, so that telling a value and reading a table do without

        return torch.from_numpy(np.frombuffer(self.z_bytes, "<f8").astype(np.float64))

    def agrees_with(self, outcome: Outcome, names: Collection[str] | None = None) -> bool:
        """Whether it has this outcome already; `names` are the values that count, all by default.

        An outcome with means and standard errors agrees with the replicates that they are of.
        """

        def of(one: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in one.items() if names is None or name in names}

        return (
            (names is not None or (self.status == "complete") == outcome.complete)
            and of(self.values) == of(outcome.values)
            and of(self.operators) == of(outcome.operators)
            and of(self.errors) == of(outcome.errors)
            and all(
                list(self.replicates.get(name, ())) == list(several)
                for name, several in of(outcome.replicates).items()
            )
        )
