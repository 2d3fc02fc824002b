"""Measures of a set of molecules: is it valid, varied, new, and like another set?

Knows molecules and nothing of where they come from; no model and no torch, except for the Fréchet
ChemNet distance, which needs the optional package `fcd`.

Every measure takes texts in any form and reads them itself. Texts of `smiles` that are no molecules
(None included) lower `validity` and are left out of all else; with nothing left the result is NaN,
because what a model writes may well be nonsense. Radicals count as such texts, since no data set of
drug-like molecules has any; `validity` and `distribution_metrics` can be told otherwise.
A `reference` is the caller's own data: a text in it that is no molecule is an error, and so is an
empty one. Molecules that occur repeatedly count each time, except where a docstring says distinct.
The order does not matter.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molvae.analysis.chemnet import ChemNetStatistics, chemnet, fcd_package, frechet
from molvae.chem._parallel import parallel_map
from molvae.chem.filters import CATALOGUES, known_catalogues, passes
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical, canonical_or_none, has_radicals, parse
from molvae.chem.properties import score
from molvae.config import DEFAULT_PROPERTIES
from molvae.errors import ConfigError, DataError, InvalidMoleculeError

BLOCK = 1_000
"""Rows of fingerprints compared at a time: 1,000 x 1,000 similarities are 8 MB."""


@dataclass(frozen=True, kw_only=True)
class PropertyStatistics:
    """How one property is distributed over a set, in the property's unit."""

    mean: float
    sd: float
    """Of this set, with n in the denominator."""
    n: int
    """Molecules whose property could be computed; mean and sd are over these."""
    missing: int
    """Molecules whose property could not be computed."""


@dataclass(frozen=True, kw_only=True)
class PropertyDistance:
    """How far the distribution of one property is from that of a reference."""

    wasserstein: float
    """1-Wasserstein distance, in the property's unit, from 0 (equal)."""
    shift: float
    """Mean of the set less mean of the reference, in standard deviations of the reference."""
    sd_ratio: float
    """Standard deviation of the set over that of the reference; 1 if equally wide."""


def validity(
    smiles: Sequence[str | None], *, radicals: bool = False, workers: int | None = None
) -> float:
    """Share of texts that are molecules, in [0, 1]; NaN for no texts.

    Args:
        smiles: SMILES in any form; None is no molecule.
        radicals: Molecules with unpaired electrons count as well, as in GuacaMol and MOSES, where
            everything does that RDKit reads.
        workers: Processes, as in `molvae.chem._parallel.parallel_map`.

    Raises:
        ConfigError: A single text instead of a list, `workers` below 1, or workers that died.
    """
    return _share(len(_read(smiles, workers, radicals)), len(smiles))


def uniqueness(smiles: Sequence[str | None], *, workers: int | None = None) -> float:
    """Distinct molecules over valid texts, in (0, 1]; NaN if none is valid.

    It falls with the number of texts, so compare sets of one size. Arguments and errors as
    `validity`.
    """
    return _uniqueness(_read(smiles, workers))


def novelty(
    smiles: Sequence[str | None],
    reference: Collection[str],
    *,
    assume_canonical: bool = False,
    workers: int | None = None,
) -> float:
    """Share of the distinct molecules that the reference lacks, in [0, 1]; NaN if none is valid.

    Args:
        smiles: SMILES in any form; None is no molecule.
        reference: SMILES in any form, mostly the training molecules.
        assume_canonical: `reference` holds what `canonical` writes, as prepared data sets do: it is
            not read, which saves minutes for hundreds of thousands of molecules. Texts in another
            form would not be recognised.
        workers: Processes, as in `molvae.chem._parallel.parallel_map`.

    Raises:
        InvalidMoleculeError: A text of `reference` is no molecule.
        DataError: `reference` is empty.
        ConfigError: A single text instead of a list, `workers` below 1, or workers that died.
    """
    known = _reference(reference, workers, assume_canonical=assume_canonical)
    return _novelty(_read(smiles, workers), known)


def internal_diversity(
    smiles: Sequence[str | None], p: float = 1, *, workers: int | None = None
) -> float:
    """One less the power mean of the Tanimoto similarities of all pairs, in [0, 1).

    0 if all molecules are alike. Pairs of a molecule with itself are among the pairs, as in the
    definition, so a single molecule has 0, and n molecules have at most 1 - n^(-1/p). Morgan
    bits of radius 2, 2,048 of them.

    MOSES' published code differs: it folds to 1,024 bits, which makes molecules look more alike,
    and for `p` other than 1 takes the root per molecule, before the last mean.

    Args:
        smiles: SMILES in any form; None is no molecule.
        p: Exponent of the power mean, above 0; larger ones punish clusters of similar molecules.
        workers: Processes for reading, as in `molvae.chem._parallel.parallel_map`.

    Returns:
        NaN if no text is valid.

    Raises:
        ConfigError: `p` is not above 0, a single text instead of a list, `workers` below 1, or
            workers that died.

    References:
        Polykovskiy et al. (2020), doi:10.3389/fphar.2020.565644, IntDiv_p; Benhenda (2017),
        arXiv:1708.08227.
    """
    if not 0 < p < math.inf:
        raise ConfigError(f"p must be a number above 0, got {p!r}; 1 and 2 are usual")
    return _diversity(_bits(_read(smiles, workers)), p)


def scaffold_similarity(
    smiles: Sequence[str | None],
    reference: Sequence[str],
    *,
    min_rings: int = 2,
    workers: int | None = None,
) -> float:
    """Cosine similarity of how often each Bemis-Murcko scaffold occurs, in [0, 1].

    1 if scaffolds occur in the same proportions, 0 if there is no scaffold in common. A scaffold is
    the rings and what links them, with its elements, bonds and stereochemistry, as RDKit extracts
    it; molecules where RDKit cannot are left out, as those without rings are. Small sets of varied
    molecules share few scaffolds: compare sets of one size.

    Args:
        smiles: SMILES in any form; None is no molecule.
        reference: SMILES in any form.
        min_rings: Scaffolds with fewer rings are left out, at least 1; MOSES' code leaves out those
            with one, so that benzene does not decide.
        workers: Processes, as in `molvae.chem._parallel.parallel_map`.

    Returns:
        NaN if one of the sets has no scaffold.

    Raises:
        InvalidMoleculeError: A text of `reference` is no molecule.
        DataError: `reference` is empty.
        ConfigError: `min_rings` or `workers` below 1, a single text instead of a list, or workers
            that died.

    References:
        Polykovskiy et al. (2020), doi:10.3389/fphar.2020.565644, Scaf; Bemis and Murcko (1996),
        doi:10.1021/jm9602928.
    """
    if min_rings < 1:
        raise ConfigError(f"min_rings must be at least 1 ring, got {min_rings}")
    others, molecules = _reference(reference, workers), _read(smiles, workers)
    return _scaffold_similarity(molecules, others, min_rings, workers)


def nearest_neighbour_similarity(
    smiles: Sequence[str | None], reference: Sequence[str], *, workers: int | None = None
) -> float:
    """Mean Tanimoto similarity of a molecule to the one in the reference most like it, in [0, 1].

    1 if each molecule is in the reference (or differs in stereochemistry only). It grows with the
    size of the reference. Morgan bits of radius 2, 2,048 of them; MOSES' published code folds to
    1,024. Time grows with the product of the sizes, memory with their sum.

    Args:
        smiles: SMILES in any form; None is no molecule.
        reference: SMILES in any form.
        workers: Processes for reading, as in `molvae.chem._parallel.parallel_map`.

    Returns:
        NaN if no text is valid.

    Raises:
        InvalidMoleculeError: A text of `reference` is no molecule.
        DataError: `reference` is empty.
        ConfigError: A single text instead of a list, `workers` below 1, or workers that died.

    References:
        Polykovskiy et al. (2020), doi:10.3389/fphar.2020.565644, SNN.
    """
    others, molecules = _reference(reference, workers), _read(smiles, workers)
    return _nearest(_bits(molecules), others)


def filter_pass_rate(
    smiles: Sequence[str | None],
    catalogues: Sequence[str] = CATALOGUES,
    *,
    workers: int | None = None,
) -> float:
    """Share of the valid molecules without any structural alert, in [0, 1].

    An alert is a substructure that tends to disturb assays (PAINS), or to be reactive, toxic or
    metabolised (BRENK). Many approved drugs have one: a rate to compare sets by, no verdict on a
    molecule.

    Args:
        smiles: SMILES in any form; None is no molecule.
        catalogues: As of `molvae.chem.filters.passes`, which gives their sources.
        workers: Processes, as in `molvae.chem._parallel.parallel_map`.

    Returns:
        NaN if no text is valid.

    Raises:
        UnknownNameError: RDKit has no catalogue of that name.
        ConfigError: No catalogue, a single text instead of a list, `workers` below 1, or workers
            that died.
    """
    names = known_catalogues(catalogues)
    return _pass_rate(_read(smiles, workers), names, workers)


def property_statistics(
    smiles: Sequence[str | None],
    names: Sequence[str] = DEFAULT_PROPERTIES,
    *,
    workers: int | None = None,
) -> dict[str, PropertyStatistics]:
    """Mean and standard deviation of properties over the valid molecules.

    Args:
        smiles: SMILES in any form; None is no molecule.
        names: Of `molvae.chem.properties.PROPERTIES`, in any case.
        workers: Processes, as in `molvae.chem._parallel.parallel_map`.

    Returns:
        By the names as given. Mean and sd are NaN if nothing could be computed.

    Raises:
        UnknownNameError: No property of that name.
        ConfigError: A single text instead of a list, `workers` below 1, or workers that died.
    """
    values = score(_read(smiles, workers), names, workers=workers)
    return {name: _statistics(column) for name, column in zip(names, values.T, strict=True)}


def property_distances(
    smiles: Sequence[str | None],
    reference: Sequence[str],
    names: Sequence[str] = DEFAULT_PROPERTIES,
    *,
    workers: int | None = None,
) -> dict[str, PropertyDistance]:
    """How far the properties of the valid molecules are from those of a reference.

    Args:
        smiles: SMILES in any form; None is no molecule.
        reference: SMILES in any form.
        names: Of `molvae.chem.properties.PROPERTIES`, in any case.
        workers: Processes, as in `molvae.chem._parallel.parallel_map`.

    Returns:
        By the names as given, over the molecules whose property can be computed. All NaN if there
        are none on one side; `shift` and `sd_ratio` are NaN if the reference has no spread.

    Raises:
        InvalidMoleculeError: A text of `reference` is no molecule.
        UnknownNameError: No property of that name.
        DataError: `reference` is empty.
        ConfigError: A single text instead of a list, `workers` below 1, or workers that died.

    References:
        The 1-Wasserstein distance of properties: Polykovskiy et al. (2020),
        doi:10.3389/fphar.2020.565644.
    """
    others = score(_reference(reference, workers), names, workers=workers)
    values = score(_read(smiles, workers), names, workers=workers)
    return {
        name: _distance(column, other)
        for name, column, other in zip(names, values.T, others.T, strict=True)
    }


def chemnet_statistics(smiles: Sequence[str], *, workers: int | None = None) -> ChemNetStatistics:
    """Mean and covariance of ChemNet's activations: a reference to compare many sets with.

    Args:
        smiles: SMILES in any form, at least two.
        workers: Processes for reading, as in `molvae.chem._parallel.parallel_map`. ChemNet runs in
            this one, on the CPU.

    Raises:
        InvalidMoleculeError: A text is no molecule.
        DataError: Fewer than two molecules.
        MissingPackageError: The package fcd is not installed.
        ConfigError: A single text instead of a list, `workers` below 1, or workers that died.
    """
    fcd_package()
    return _chemnet_reference(_reference(smiles, workers))


def frechet_chemnet_distance(
    smiles: Sequence[str | None],
    reference: Sequence[str] | ChemNetStatistics,
    *,
    workers: int | None = None,
) -> float:
    """Fréchet distance of two sets as ChemNet, a network trained on bioactivities, sees them.

    From 0 (equal), without unit. Small sets are biased upwards: two samples of ZINC250k are 41
    apart with 20 molecules each and 4.5 with 600. Use 10,000 where possible; compare sets of one
    size. Runs on the CPU, and the same call gives the same number. ChemNet reads SMILES padded to
    350 characters; for longer ones fcd warns, and the distance is not comparable.

    Args:
        smiles: SMILES in any form; None is no molecule.
        reference: SMILES in any form, at least two, or what `chemnet_statistics` made of them.
        workers: Processes for reading, as in `molvae.chem._parallel.parallel_map`.

    Returns:
        NaN if fewer than two texts are valid.

    Raises:
        InvalidMoleculeError: A text of `reference` is no molecule.
        DataError: `reference` has fewer than two molecules.
        MissingPackageError: The package fcd is not installed.
        ConfigError: A single text instead of a list, `workers` below 1, or workers that died.

    References:
        Preuer et al. (2018), doi:10.1021/acs.jcim.8b00234.
    """
    if not isinstance(reference, ChemNetStatistics):
        reference = chemnet_statistics(reference, workers=workers)
    fcd_package()
    return _chemnet_distance(_read(smiles, workers), reference)


def distribution_metrics(
    smiles: Sequence[str | None],
    reference: Sequence[str] | None = None,
    training: Collection[str] | None = None,
    fcd: bool | ChemNetStatistics = False,
    *,
    names: Sequence[str] = DEFAULT_PROPERTIES,
    catalogues: Sequence[str] = CATALOGUES,
    assume_canonical: bool = False,
    radicals: bool = False,
    workers: int | None = None,
) -> dict[str, float]:
    """All measures of a set at once, each text being made canonical once.

    Args:
        smiles: SMILES in any form; None is no molecule.
        reference: Molecules that the set should be like, mostly held out from training.
        training: Molecules that count as known.
        fcd: Whether to compute the Fréchet ChemNet distance to `reference`, which takes longest; or
            what `chemnet_statistics` made of a reference.
        names: Of properties.
        catalogues: Of structural alerts.
        assume_canonical: `reference` and `training` hold what `canonical` writes; see `novelty`.
        radicals: Molecules with unpaired electrons count as valid: for data that has such.
        workers: Processes, as in `molvae.chem._parallel.parallel_map`.

    Returns:
        Always `texts`, how many were given; `molecules`, how many of them are valid; `validity`;
        `uniqueness`; `internal_diversity` (p = 1); `filter_pass_rate`; and for each property, as
        `logP`: `logP_mean` and `logP_sd` in its unit and `logP_missing`, the valid molecules
        without it.
        With `training`: `novelty`.
        With `reference`: `scaffold_similarity`, `nearest_neighbour_similarity`, and for each
        property `logP_wasserstein` in its unit, `logP_shift_in_sds` and `logP_sd_ratio` (see
        `PropertyDistance`).
        With `fcd`: `frechet_chemnet_distance`.
        What was not asked for is absent; NaN is what could not be computed.

    Raises:
        InvalidMoleculeError: A text of `reference` or `training` is no molecule.
        UnknownNameError: No property or catalogue of that name.
        DataError: `reference` or `training` is given and empty; or `fcd` with a single molecule as
            `reference`.
        MissingPackageError: `fcd` without the package fcd.
        ConfigError: `fcd` is True and there is no `reference`, a single text instead of a list,
            `workers` below 1, or workers that died.
    """
    alerts = known_catalogues(catalogues)
    if fcd is True and reference is None:
        raise ConfigError(
            "fcd=True needs a reference to measure the distance to; give `reference`, or "
            "chemnet_statistics(...) as `fcd`"
        )
    if fcd is not False:
        fcd_package()
    # What the caller may have got wrong is looked at before anything takes long.
    others, known = (
        None if texts is None else _reference(texts, workers, name, assume_canonical)
        for name, texts in (("reference", reference), ("training", training))
    )
    molecules = _read(smiles, workers, radicals)
    values = score(molecules, names, workers=workers)
    bits = _bits(molecules)
    result: dict[str, float] = {
        "texts": len(smiles),
        "molecules": len(molecules),
        "validity": _share(len(molecules), len(smiles)),
        "uniqueness": _uniqueness(molecules),
    }
    if known is not None:
        result["novelty"] = _novelty(molecules, known)
    result["internal_diversity"] = _diversity(bits, 1)
    result["filter_pass_rate"] = _pass_rate(molecules, alerts, workers)
    for name, column in zip(names, values.T, strict=True):
        statistics = _statistics(column)
        result[f"{name}_mean"] = statistics.mean
        result[f"{name}_sd"] = statistics.sd
        result[f"{name}_missing"] = statistics.missing
    if others is not None:
        result["scaffold_similarity"] = _scaffold_similarity(molecules, others, 2, workers)
        result["nearest_neighbour_similarity"] = _nearest(bits, others)
        other_values = score(others, names, workers=workers)
        for name, column, other in zip(names, values.T, other_values.T, strict=True):
            distance = _distance(column, other)
            result[f"{name}_wasserstein"] = distance.wasserstein
            result[f"{name}_shift_in_sds"] = distance.shift
            result[f"{name}_sd_ratio"] = distance.sd_ratio
        if fcd is True:
            fcd = _chemnet_reference(others)
    if isinstance(fcd, ChemNetStatistics):
        result["frechet_chemnet_distance"] = _chemnet_distance(molecules, fcd)
    return result


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
        return list(texts)
    given = list(texts)
    found = _canonical(texts, name, workers)
    for place, molecule in enumerate(found):
        if molecule is None:
            try:
                canonical(given[place])
            except InvalidMoleculeError as error:
                raise InvalidMoleculeError(
                    f"{name}, molecule {place + 1} of {len(given)}: {error}; leave it out"
                ) from error
    return [molecule for molecule in found if molecule is not None]


def _canonical(texts: Collection[str | None], name: str, workers: int | None) -> list[str | None]:
    if isinstance(texts, str):
        raise ConfigError(
            f"{name} must be a list of SMILES, got the single text {texts!r}; use [{name}]"
        )
    return parallel_map(_canonical_or_none, list(texts), workers=workers)


def _canonical_or_none(text: str | None) -> str | None:
    return None if text is None else canonical_or_none(text)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _uniqueness(molecules: Sequence[str]) -> float:
    return _share(len(set(molecules)), len(molecules))


def _novelty(molecules: Sequence[str], known: Sequence[str]) -> float:
    distinct = set(molecules)
    return _share(len(distinct.difference(known)), len(distinct))


def _bits(molecules: Sequence[str]) -> NDArray[np.bool_]:
    """Fingerprints, `n x 2048`. By blocks, because `morgan_bits` counts first, in more memory."""
    found = np.zeros((len(molecules), 2048), dtype=np.bool_)
    for start in range(0, len(molecules), BLOCK):
        found[start : start + BLOCK] = morgan_bits(molecules[start : start + BLOCK], size=2048)
    return found


def _diversity(bits: NDArray[np.bool_], p: float) -> float:
    n = len(bits)
    if n == 0:
        return math.nan
    total = 0.0
    for i in range(0, n, BLOCK):
        for j in range(i, n, BLOCK):
            similar = tanimoto(bits[i : i + BLOCK], bits[j : j + BLOCK])
            # Similarity is symmetric: what is off the diagonal stands for two blocks.
            total += float((similar**p).sum()) * (1 if i == j else 2)
    # Rounding may bring the mean of ones above one.
    return max(0.0, 1.0 - float((total / n**2) ** (1 / p)))


def _nearest(bits: NDArray[np.bool_], reference: Sequence[str]) -> float:
    if len(bits) == 0:
        return math.nan
    nearest = np.zeros(len(bits))
    for start in range(0, len(reference), BLOCK):
        others = morgan_bits(reference[start : start + BLOCK], size=bits.shape[1])
        for i in range(0, len(bits), BLOCK):
            part = nearest[i : i + BLOCK]
            np.maximum(part, tanimoto(bits[i : i + BLOCK], others).max(axis=1), out=part)
    return float(nearest.mean())


def _scaffold_similarity(
    molecules: Sequence[str], reference: Sequence[str], min_rings: int, workers: int | None
) -> float:
    a, b = (
        Counter(
            scaffold
            for scaffold, rings in parallel_map(_scaffold, molecules, workers=workers)
            if rings >= min_rings
        )
        for molecules in (molecules, reference)
    )
    if not a or not b:
        return math.nan
    product = sum(count * b[scaffold] for scaffold, count in a.items())
    lengths = (math.sqrt(sum(count**2 for count in counts.values())) for counts in (a, b))
    return min(1.0, product / math.prod(lengths))


def _scaffold(molecule: str) -> tuple[str, int]:
    """Canonical Bemis-Murcko scaffold and how many rings it has; empty and 0 if there is none."""
    mol = parse(molecule)
    try:
        scaffold = MurckoScaffold.GetScaffoldForMol(mol)  # type: ignore[no-untyped-call]
        text: str = Chem.MolToSmiles(scaffold)
    except (ValueError, RuntimeError):  # RDKit's, on molecules that it did not foresee
        return "", 0
    # Cut out of its molecule, a scaffold may carry marks of stereochemistry that it has no more;
    # reading it again drops them.
    return canonical_or_none(text) or text, scaffold.GetRingInfo().NumRings()


def _pass_rate(molecules: Sequence[str], names: tuple[str, ...], workers: int | None) -> float:
    return _share(sum(passes(molecules, names, workers=workers)), len(molecules))


def _statistics(values: NDArray[np.float64]) -> PropertyStatistics:
    kept = values[~np.isnan(values)]
    return PropertyStatistics(
        mean=float(kept.mean()) if kept.size else math.nan,
        sd=float(kept.std()) if kept.size else math.nan,
        n=kept.size,
        missing=values.size - kept.size,
    )


def _distance(values: NDArray[np.float64], reference: NDArray[np.float64]) -> PropertyDistance:
    from scipy.stats import wasserstein_distance  # type: ignore[import-untyped]

    a, b = values[~np.isnan(values)], reference[~np.isnan(reference)]
    if not a.size or not b.size:
        return PropertyDistance(wasserstein=math.nan, shift=math.nan, sd_ratio=math.nan)
    # Of equal values, rounding may make a spread that is not quite 0.
    spread = float(b.std()) if b.min() < b.max() else math.nan
    return PropertyDistance(
        wasserstein=float(wasserstein_distance(a, b)),
        shift=float((a.mean() - b.mean()) / spread),
        sd_ratio=float(a.std() / spread),
    )


def _chemnet_distance(molecules: Sequence[str], reference: ChemNetStatistics) -> float:
    return frechet(chemnet(molecules), reference) if len(molecules) > 1 else math.nan


def _chemnet_reference(molecules: Sequence[str]) -> ChemNetStatistics:
    if len(molecules) < 2:
        raise DataError("a covariance needs at least 2 molecules as reference, got 1; give more")
    return chemnet(molecules)


__all__ = [
    "PropertyDistance",
    "PropertyStatistics",
    "chemnet_statistics",
    "distribution_metrics",
    "filter_pass_rate",
    "frechet_chemnet_distance",
    "internal_diversity",
    "nearest_neighbour_similarity",
    "novelty",
    "property_distances",
    "property_statistics",
    "scaffold_similarity",
    "uniqueness",
    "validity",
]
