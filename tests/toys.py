"""Spaces and objectives that cost nothing: campaigns without a trained network."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from molvae.chem.molecules import canonical
from molvae.errors import UnknownTokenError

FAMILIES = ("O", "N", "S", "C(=O)")
LENGTH = 9


class ToySpace:
    """324 real molecules HO-(CH2)a-X-(CH2)b-H at the points (a, b, X) of a grid around 0.

    Encoding is exact; a vector decodes to the nearest molecule, or to None if it is far outside.
    The box is wider than the grid, so that strategies meet None.
    """

    dim = 3
    properties = ("distance",)

    def __init__(self, name: str = "toy") -> None:
        self.name = name
        self.fingerprint = hashlib.sha256(name.encode()).hexdigest()
        middle = (LENGTH + 1) / 2
        self._z = {
            canonical("O" + "C" * a + x + "C" * b): (a - middle, b - middle, 2.0 * i - 3)
            for i, x in enumerate(FAMILIES)
            for a in range(1, LENGTH + 1)
            for b in range(1, LENGTH + 1)
        }
        self.molecules = list(self._z)
        self._grid = torch.tensor(list(self._z.values()), dtype=torch.float64)
        reach = self._grid.amax(0) + 2.0
        self.bounds = torch.stack([-reach, reach])

    def encode(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        rows = []
        for text in smiles:
            molecule = canonical(text)
            if molecule not in self._z and not skip_unknown:
                raise UnknownTokenError(molecule[0], 0, molecule, len(self._z))
            rows.append(self._z.get(molecule, (torch.nan,) * self.dim))
        return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), self.dim)

    def tuned(self, smiles: Sequence[str], **settings: object) -> ToySpace:
        return self

    def decode(self, z: Tensor) -> list[str | None]:
        assert z.shape[1:] == (self.dim,)
        assert z.dtype == torch.float64
        distance, nearest = torch.cdist(z, self._grid).min(dim=1)
        return [
            self.molecules[i] if d <= 1.5 else None
            for i, d in zip(nearest.tolist(), distance.tolist(), strict=True)
        ]

    def property_head(self, z: Tensor) -> Tensor:
        """Of the hill's top; see `ToyObjective`."""
        return (z - z.new_tensor([2.0, -3.0, 1.0])).norm(dim=1, keepdim=True)

    def sample_prior(self, n: int, seed: int = 0, *, source: object = None) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        u = torch.rand(n, self.dim, generator=generator, dtype=torch.float64)
        return self.bounds[0] + (self.bounds[1] - self.bounds[0]) * u


class DenseToySpace(ToySpace):
    """The same with a Gaussian prior of std 3 around 0, and heads that read off its axes."""

    properties = ("a", "b", "distance")
    std = 3.0

    def at(self, a: int, b: int, x: str) -> str:
        """The molecule HO-(CH2)a-X-(CH2)b-H; a and b from 1 to 9, X of `FAMILIES`."""
        return canonical("O" + "C" * a + x + "C" * b)

    def invert(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        return self.encode(smiles, skip_unknown=skip_unknown)

    def can_encode(self, smiles: Sequence[str]) -> list[bool]:
        return torch.isfinite(self.encode(smiles, skip_unknown=True)).all(dim=1).tolist()

    def property_head(self, z: Tensor) -> Tensor:
        """a, b, and the distance from (7, 2, S), where z is (2, -3, 1)."""
        return torch.cat([z[:, :2] + 5, super().property_head(z)], dim=1)

    def log_density(self, z: Tensor) -> Tensor:
        return -0.5 * (z / self.std).square().sum(dim=1)

    def density_percentile(self, z: Tensor) -> Tensor:
        """The share of the grid's points that are further out; NaN of NaN."""
        known = self.log_density(self._grid).sort().values
        share = 100 * torch.searchsorted(known, self.log_density(z)).double() / len(known)
        return torch.where(z.isnan().any(dim=1), torch.nan, share)


class ForgetfulToySpace(DenseToySpace):
    """The same, but inversion returns the vectors of molecules with one carbon more before X."""

    def invert(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        return self.encode(smiles, skip_unknown=skip_unknown) + torch.tensor([1.0, 0.0, 0.0])


class ToyObjective:
    """A smooth hill on the grid of the toy space; its top, 0, is at one molecule."""

    name, direction = "hill", "maximize"

    def __init__(self, *, seconds: float = 0.0, fails: Sequence[str] = ()) -> None:
        self.space, self.seconds, self.fails = ToySpace(), seconds, set(fails)
        self.top = torch.tensor([2.0, -3.0, 1.0], dtype=torch.float64)
        self.calls: list[str] = []

    def __call__(self, smiles: Sequence[str]) -> list[float]:
        self.calls += smiles
        time.sleep(self.seconds)
        distance = (self.space.encode(smiles) - self.top).square().sum(1)
        return [
            float("nan") if molecule in self.fails else -value
            for molecule, value in zip(smiles, distance.tolist(), strict=True)
        ]


class FaultyObjective:
    """The hill, which goes wrong on a quarter of the molecules, on the same ones each time.

    Of a hundred, ten raise, five never return, five end their process and five are NaN.
    """

    name, direction = "hill", "maximize"

    def __init__(self, *, hang: float = 3600.0) -> None:
        self.hang = hang

    def __call__(self, smiles: Sequence[str]) -> list[float]:
        for molecule in smiles:
            match self.fault(molecule):
                case "raises":
                    raise ValueError(f"no pocket for {molecule}")
                case "hangs":
                    time.sleep(self.hang)
                case "dies":
                    os._exit(17)
                case "nan":
                    return [float("nan")] * len(smiles)
        return ToyObjective()(smiles)

    @staticmethod
    def fault(molecule: str) -> str:
        share = int(hashlib.sha256(molecule.encode()).hexdigest(), 16) % 100
        for below, what in ((10, "raises"), (15, "hangs"), (20, "dies"), (25, "nan")):
            if share < below:
                return what
        return ""


def work(path: str, budget: int, strategy: str, workers: int = 0) -> None:
    """Begin or go on with a campaign and print each told trial: for a process that gets killed."""
    from molvae.campaign.campaign import Campaign

    objective = ToyObjective(seconds=0.005)
    if Path(path).exists():
        campaign = Campaign.open(path, ToySpace(), objective)
    else:
        campaign = begin(path, objective=objective, strategy=strategy)
    print("ready", os.getpid(), flush=True)
    campaign.run(
        budget,
        workers=workers,
        on_trial=lambda t: print(t.id, t.values["hill"].hex(), t.smiles, flush=True),
    )
    campaign.close()


def begin(path: str | Path, *, n: int = 8, **settings: object) -> object:
    """A toy campaign from `n` molecules of the far corner of the grid."""
    from molvae.campaign.campaign import Campaign

    space = ToySpace()
    defaults: dict[str, object] = {
        "objective": ToyObjective(),
        "strategy": "random",
        "start": space.molecules[: 5 * n : 5],
        "batch_size": 4,
    }
    return Campaign.create(path, space, **(defaults | settings))  # type: ignore[arg-type]


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
