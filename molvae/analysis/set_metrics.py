"""Metrics of a set of molecules: valid, diverse, novel, similar to a reference (GuacaMol, MOSES).

Texts of `smiles` that are no molecules (None included) lower `validity` and are left out of all
other metrics; with nothing left a metric is NaN. Radicals count as such texts unless asked
otherwise. A `reference` is the caller's data: a text in it that is no molecule is an error.
Repeated molecules count each time, except where a docstring says distinct. Order does not matter.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from molvae.analysis.chemnet import ChemNetStatistics, chemnet, fcd_package, frechet
from molvae.chem._parallel import parallel_map
from molvae.chem.diversity import murcko_scaffold
from molvae.chem.filters import CATALOGS, known_catalogs, passes
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical, canonical_or_none, has_radicals, list_of_smiles
from molvae.chem.properties import score
from molvae.config import DEFAULT_PROPERTIES
from molvae.errors import ConfigError, DataError, InvalidMoleculeError

BLOCK_SIZE = 1_000  # fingerprints compared at a time: 1,000 x 1,000 similarities are 8 MB
MIN_SCAFFOLD_RINGS = 2  # fewer are left out, as MOSES' code does, so that benzene does not decide


def distribution_metrics(
    smiles: Sequence[str | None],
    reference: Sequence[str] | None = None,
    training: Collection[str] | None = None,
    fcd: bool | ChemNetStatistics = False,
    *,
    names: Sequence[str] = DEFAULT_PROPERTIES,
    catalogs: Sequence[str] = CATALOGS,
    assume_canonical: bool = False,
    radicals: bool = False,
    workers: int | None = None,
) -> dict[str, float]:
    """All metrics of a set of molecules.

    Args:
        smiles: SMILES in any form; None is no molecule.
        reference: Molecules that the set should resemble, usually held out from training.
        training: Molecules that are not novel.
        fcd: Whether to compute the Fréchet ChemNet distance to `reference`, which takes longest; or
            the reference's `chemnet_statistics`.
        names: Properties, see `molvae.chem.properties.PROPERTIES`.
        catalogs: Structural alerts, see `molvae.chem.filters.passes`.
        assume_canonical: `reference` and `training` are canonical, as prepared data sets are, and
            need not be read, which saves minutes for hundreds of thousands of molecules.
        radicals: Molecules with unpaired electrons are valid, as in GuacaMol and MOSES.
        workers: Processes, as in `molvae.chem._parallel.parallel_map`.

    Returns:
        Metrics by name; absent if not asked for, NaN if they cannot be computed.

        `texts`, `molecules`: counts of all and of the valid ones. `validity`: their ratio.
        `uniqueness`: distinct over valid molecules; compare sets of one size.
        `novelty`: share of the distinct molecules that `training` lacks.
        `internal_diversity`: 1 less the mean Tanimoto similarity of all pairs, those of a molecule
        with itself included (IntDiv_1, but with 2,048 bits where MOSES has 1,024).
        `filter_pass_rate`: share of molecules without a structural alert.
        `logP_mean`, `logP_std` (n in the denominator) and `logP_missing` (molecules without it),
        for each property.
        `scaffold_similarity`: cosine similarity of the counts of Bemis-Murcko scaffolds with two or
        more rings, from 0 to 1.
        `nearest_neighbor_similarity`: mean over the molecules of the largest Tanimoto similarity
        to the reference (SNN).
        `logP_wasserstein`: 1-Wasserstein distance to the reference in the property's unit,
        `logP_shift_in_stds`: difference of the means in standard deviations of the reference,
        `logP_std_ratio`: standard deviation over that of the reference, for each property.
        `frechet_chemnet_distance`: see there.

    Raises:
        InvalidMoleculeError: A text of `reference` or `training` is no molecule.
        UnknownNameError: Unknown property or catalog.
        DataError: `reference` or `training` is empty; or `fcd` with a single molecule as reference.
        MissingPackageError: `fcd` without the package fcd.
        ConfigError: `fcd=True` without `reference`, a single text instead of a list, `workers`
            below 1, or workers that died.

    References:
        Polykovskiy et al. (2020), doi:10.3389/fphar.2020.565644 (MOSES); Bemis and Murcko (1996),
        doi:10.1021/jm9602928.
    """
    # What the caller may have got wrong is looked at before anything takes long.
    alerts = known_catalogs(catalogs)
    if fcd is True and reference is None:
        raise ConfigError(
            "fcd=True needs a reference to measure the distance to; give `reference`, or "
            "chemnet_statistics(...) as `fcd`"
        )
    if fcd is not False:
        fcd_package()
    others, known = (
        None if texts is None else _reference(texts, workers, name, assume_canonical)
        for name, texts in (("reference", reference), ("training", training))
    )
    molecules = _read(smiles, workers, radicals)
    distinct = set(molecules)
    values = score(molecules, names, workers=workers)
    bits = _bits(molecules)
    result: dict[str, float] = {
        "texts": len(smiles),
        "molecules": len(molecules),
        "validity": _share(len(molecules), len(smiles)),
        "uniqueness": _share(len(distinct), len(molecules)),
    }
    if known is not None:
        result["novelty"] = _share(len(distinct.difference(known)), len(distinct))
    result["internal_diversity"] = _internal_diversity(bits)
    n_passed = sum(passes(molecules, alerts, workers=workers))
    result["filter_pass_rate"] = _share(n_passed, len(molecules))
    for name, column in zip(names, values.T, strict=True):
        kept = column[~np.isnan(column)]
        result[f"{name}_mean"] = float(kept.mean()) if kept.size else math.nan
        result[f"{name}_std"] = float(kept.std()) if kept.size else math.nan
        result[f"{name}_missing"] = column.size - kept.size
    if others is not None:
        result["scaffold_similarity"] = _scaffold_similarity(molecules, others, workers)
        result["nearest_neighbor_similarity"] = _nearest(bits, others)
        other_values = score(others, names, workers=workers)
        for name, column, other in zip(names, values.T, other_values.T, strict=True):
            result |= {f"{name}_{what}": d for what, d in _distances(column, other).items()}
        if fcd is True:
            fcd = chemnet_statistics(others, assume_canonical=True)
    if isinstance(fcd, ChemNetStatistics):
        result["frechet_chemnet_distance"] = _chemnet_distance(molecules, fcd)
    return result


def chemnet_statistics(
    smiles: Sequence[str], *, assume_canonical: bool = False, workers: int | None = None
) -> ChemNetStatistics:
    """Mean and covariance of ChemNet's activations, to compare many sets with one reference.

    ChemNet runs in this process, on the CPU. Arguments and errors as for `distribution_metrics`.

    Raises:
        DataError: Fewer than two molecules.
    """
    fcd_package()
    molecules = _reference(smiles, workers, assume_canonical=assume_canonical)
    if len(molecules) < 2:
        raise DataError("a covariance needs at least 2 molecules as reference, got 1; give more")
    return chemnet(molecules)


def frechet_chemnet_distance(
    smiles: Sequence[str | None],
    reference: Sequence[str] | ChemNetStatistics,
    *,
    workers: int | None = None,
) -> float:
    """Fréchet distance of two sets in the activations of ChemNet, from 0 (equal); no unit.

    Small sets are biased upwards: two samples of ZINC250k are 41 apart with 20 molecules each and
    4.5 with 600. Use 10,000 where possible; compare sets of one size. ChemNet reads SMILES padded
    to 350 characters; for longer ones fcd warns, and the distance is not comparable.

    NaN if fewer than two texts are valid. Arguments and errors as for `distribution_metrics`.

    References:
        Preuer et al. (2018), doi:10.1021/acs.jcim.8b00234.
    """
    if not isinstance(reference, ChemNetStatistics):
        reference = chemnet_statistics(reference, workers=workers)
    fcd_package()
    return _chemnet_distance(_read(smiles, workers), reference)


def _read(smiles: Sequence[str | None], workers: int | None, radicals: bool = False) -> list[str]:
    """The molecules among some texts, canonical, order kept."""
    found = [text for text in _canonical(smiles, "smiles", workers) if text is not None]
    return found if radicals else [text for text in found if not has_radicals(text)]


def _reference(
    texts: Collection[str],
    workers: int | None,
    name: str = "reference",
    assume_canonical: bool = False,
) -> list[str]:
    """The molecules of a set that must hold nothing else, canonical, order kept."""
    if len(texts) == 0:
        raise DataError(f"{name} holds no molecules; give at least one")
    if assume_canonical and not isinstance(texts, str):
        return list_of_smiles(texts)
    found, texts = list[str](), texts if isinstance(texts, str) else list_of_smiles(texts)
    pairs = zip(texts, _canonical(texts, name, workers), strict=True)
    for place, (text, molecule) in enumerate(pairs, 1):
        try:
            found.append(molecule or canonical(text))
        except InvalidMoleculeError as error:
            raise InvalidMoleculeError(
                f"{name}, molecule {place} of {len(texts)}: {error}; leave it out"
            ) from error
    return found


def _canonical(texts: Collection[str | None], name: str, workers: int | None) -> list[str | None]:
    if isinstance(texts, str):
        raise ConfigError(
            f"{name} must be a list of SMILES, got the single text {texts!r}; use [{name}]"
        )
    return parallel_map(_canonical_or_none, list_of_smiles(texts), workers=workers)


def _canonical_or_none(text: str | None) -> str | None:
    return None if text is None else canonical_or_none(text)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _bits(molecules: Sequence[str]) -> NDArray[np.bool_]:
    """Fingerprints, `n x 2048`. By blocks, because `morgan_bits` counts first, in more memory."""
    found = np.zeros((len(molecules), 2048), dtype=np.bool_)
    for start in range(0, len(molecules), BLOCK_SIZE):
        found[start : start + BLOCK_SIZE] = morgan_bits(
            molecules[start : start + BLOCK_SIZE], size=2048
        )
    return found


def _internal_diversity(bits: NDArray[np.bool_]) -> float:
    n = len(bits)
    total = 0.0
    for i in range(0, n, BLOCK_SIZE):
        for j in range(i, n, BLOCK_SIZE):
            similar = tanimoto(bits[i : i + BLOCK_SIZE], bits[j : j + BLOCK_SIZE])
            # Similarity is symmetric: blocks off the diagonal stand for two.
            total += float(similar.sum()) * (1 if i == j else 2)
    return max(0.0, 1.0 - total / n**2) if n else math.nan  # rounding may bring it below 0


def _nearest(bits: NDArray[np.bool_], reference: Sequence[str]) -> float:
    if len(bits) == 0:
        return math.nan
    nearest = np.zeros(len(bits))
    for start in range(0, len(reference), BLOCK_SIZE):
        others = morgan_bits(reference[start : start + BLOCK_SIZE], size=bits.shape[1])
        for i in range(0, len(bits), BLOCK_SIZE):
            part = nearest[i : i + BLOCK_SIZE]
            np.maximum(part, tanimoto(bits[i : i + BLOCK_SIZE], others).max(axis=1), out=part)
    return float(nearest.mean())


def _scaffold_similarity(
    molecules: Sequence[str], reference: Sequence[str], workers: int | None
) -> float:
    a, b = (
        Counter(
            scaffold
            for scaffold, rings in parallel_map(murcko_scaffold, molecules, workers=workers)
            if rings >= MIN_SCAFFOLD_RINGS
        )
        for molecules in (molecules, reference)
    )
    if not a or not b:
        return math.nan
    product = sum(count * b[scaffold] for scaffold, count in a.items())
    lengths = (math.sqrt(sum(count**2 for count in counts.values())) for counts in (a, b))
    return min(1.0, product / math.prod(lengths))


def _distances(values: NDArray[np.float64], reference: NDArray[np.float64]) -> dict[str, float]:
    """How far values are from those of a reference; NaN without values."""
    from scipy.stats import wasserstein_distance  # type: ignore[import-untyped]

    a, b = values[~np.isnan(values)], reference[~np.isnan(reference)]
    if not a.size or not b.size:
        return dict.fromkeys(("wasserstein", "shift_in_stds", "std_ratio"), math.nan)
    # Of equal values, rounding may make a spread that is not quite 0.
    spread = float(b.std()) if b.min() < b.max() else math.nan
    return {
        "wasserstein": float(wasserstein_distance(a, b)),
        "shift_in_stds": float((a.mean() - b.mean()) / spread),
        "std_ratio": float(a.std() / spread),
    }


def _chemnet_distance(molecules: Sequence[str], reference: ChemNetStatistics) -> float:
    return frechet(chemnet(molecules), reference) if len(molecules) > 1 else math.nan
