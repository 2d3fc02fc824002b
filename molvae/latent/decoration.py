"""New molecules that keep what is given: a core with new groups, two fragments linked, an analogue.

The decoder is made to write the core first, in an order of atoms that ends where a group is
attached, and goes on as it likes; so every molecule has the core. The way of writing that the
decoder finds likeliest is taken. Scaffold decoration with a decoder of SMILES:
Arus-Pous et al. (2020), doi:10.1186/s13321-020-00441-8; linkers: Guo et al. (2023),
doi:10.1039/D2DD00115B (both train a model for it; here it is the model as it is).
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from rdkit import Chem, rdBase
from torch import Tensor

from molvae.chem.cores import capped, core_of, graft, numbered_points, with_point
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical, has_radicals, parse, random_smiles
from molvae.chem.representations import Smiles
from molvae.config import check_seed, later_seed
from molvae.errors import (
    ConfigError,
    InvalidMoleculeError,
    TooLongError,
    UnknownTokenError,
    require,
    shown,
    warn,
)
from molvae.latent.conversion import BATCH_SIZE, check_sampling, pad, try_token_ids, vector_count
from molvae.latent.generation import RESAMPLE_SEED_STEP
from molvae.model.decoding import decode
from molvae.model.isolation import isolated
from molvae.model.losses import reconstruction

if TYPE_CHECKING:
    from molvae.latent.space import LatentSpace

N_ORDERS, MIN_ORDERS, MAX_ROUNDS = 400, 12, 20
"""Orders of atoms among which the likeliest is taken, for all cores together and for each; and
rounds of sampling at most."""
MAX_SITES, MAX_LINKER = 2, 12
"""Groups on a core that has no attachment points, and atoms of a linker, at most."""
OTHER_POINT = re.compile(r"\([/\\]?\[\*:\d+\]\)|[/\\]?\[\*:\d+\]")
"""An attachment point inside the text of a core, with the mark of its bond."""


class Begun(NamedTuple):
    """A core with a group at one of its attachment points."""

    mol: Chem.Mol
    n_atoms: int  # atoms of the core, which come first
    log_prob: float  # mean log-probability of the group's tokens under the decoder, nats


@isolated()
def decorate(
    space: LatentSpace,
    scaffold: str,
    n: int,
    seed: int = 0,
    noise: float | None = None,
    temperature: float = 0.8,
) -> list[str]:
    """New molecules that hold a scaffold.

    Args:
        space: Space of a model of SMILES.
        scaffold: SMILES with attachment points, as `c1ccc([*:1])nc1[*:2]`, each of which gets a
            group or a hydrogen; or without, where up to two hydrogens at random places are
            replaced.
        noise: As for `LatentSpace.generate`; None for the model's default.
        temperature: As for `LatentSpace.decode`: higher means more various groups.

    Returns:
        Distinct canonical SMILES, at most n, and fewer with a warning. Each holds the scaffold,
        with its stereocenters; the scaffold itself is not among them. Twice as many are written,
        and the likelier half under the decoder is kept.

    Raises:
        InvalidMoleculeError: The scaffold is not a molecule.
        UnknownTokenError, TooLongError: The model cannot read the scaffold.
        ConfigError: A number out of range; an attachment point that has not one bond, or a scaffold
            in several parts or to which nothing can be attached; or a model that does not write
            SMILES.
    """
    noise = _noise(space, noise, temperature)
    core, kept = numbered_core(space, scaffold), core_of(scaffold)

    def attempt(size: int, seed: int) -> Iterable[str]:
        rng = random.Random(seed)
        cores = [with_points(core, rng) for _ in range(size)]
        made = _grow(space, cores, rng, seed, noise, temperature)
        # A group can make a ring of the core aromatic, end that it is, or begin with a branch.
        return _likelier_half(space, (one for one in made if kept.holds(one)))

    return _distinct(space, attempt, n, seed, {str(kept.smiles)})


@isolated()
def link(
    space: LatentSpace,
    first: str,
    second: str,
    n: int,
    seed: int = 0,
    noise: float | None = None,
    temperature: float = 0.8,
) -> list[str]:
    """New molecules that hold two fragments, with up to twelve heavy atoms between them.

    A group is written on the larger fragment, and the other one is put on one of its atoms; of
    these molecules the likelier half under the decoder is kept. The other arguments, the result and
    the errors are as for `decorate`.

    Args:
        space: Space of a model of SMILES.
        first: SMILES with one attachment point, or with none for a random place.
        second: SMILES of the other fragment, with or without an attachment point.
        noise: See `decorate`.
        temperature: See `decorate`.
    """
    noise = _noise(space, noise, temperature)
    cores = [numbered_core(space, fragment) for fragment in (first, second)]
    for fragment, core in zip((first, second), cores, strict=True):
        if len(_points(core)) > 1:
            raise ConfigError(f"{fragment!r} has {len(_points(core))} attachment points; give one")

    kept = core_of(f"{first}.{second}")
    large, small = sorted(cores, key=lambda core: -core.GetNumHeavyAtoms())

    def attempt(size: int, seed: int) -> Iterable[str]:
        rng = random.Random(seed)
        texts = [Chem.MolToSmiles(with_points(large, rng, 1)) for _ in range(size)]
        prefixes = likeliest_prefixes(space, dict.fromkeys(texts), rng.randrange(2**31))
        begun = begin(space, texts, seed, noise, temperature, prefixes)
        joined = [
            one
            for made in begun
            if made is not None
            if (one := join(made, with_points(small, rng, 1), rng)) is not None
        ]
        return _likelier_half(space, (one for one in joined if kept.holds(one)))

    return _distinct(space, attempt, n, seed, set())


@isolated()
def morph(space: LatentSpace, smiles: str, n: int, seed: int = 0) -> list[str]:
    """Analogues of a molecule: the likelier half of branches of its text, see `LatentSpace.branch`.

    Returns:
        Canonical SMILES, at most n, and fewer with a warning; the most similar first, by the
        Tanimoto similarity of Morgan fingerprints.

    Raises:
        InvalidMoleculeError, UnknownTokenError, TooLongError: As for `LatentSpace.encode`.
    """
    molecule = canonical(smiles)

    def attempt(size: int, seed: int) -> Iterable[str]:
        made = sorted(space.branch([molecule] * size, seed=seed), key=lambda one: -one.log_prob)
        return (one.smiles for one in made[: size // 2] if one.smiles is not None)

    found = _distinct(space, attempt, n, seed, {molecule})
    alike: list[float] = (
        tanimoto(morgan_bits(found), morgan_bits([molecule]))[:, 0].tolist() if found else []
    )
    return [one for _, one in sorted(zip(alike, found, strict=True), reverse=True)]


def _distinct(
    space: LatentSpace,
    attempt: Callable[[int, int], Iterable[str]],
    n: int,
    seed: int,
    known: set[str],
) -> list[str]:
    """Up to n distinct molecules from attempts, which are told how many to make, and a seed."""
    radicals = space.radicals
    n, seed = vector_count(n, "n"), check_seed(seed)
    found: dict[str, None] = {}
    with rdBase.BlockLogs():
        for turn in range(MAX_ROUNDS):
            if len(found) >= n:
                break
            made = attempt(3 * (n - len(found)) + 8, later_seed(seed, turn * RESAMPLE_SEED_STEP))
            found |= dict.fromkeys(
                one for one in made if one not in known and (radicals or not has_radicals(one))
            )
    if len(found) < n:
        warn(f"{len(found)} of {n} molecules were found: the decoder writes few others here")
    return list(found)[:n]


def _likelier_half(space: LatentSpace, molecules: Iterable[str]) -> list[str]:
    """The distinct molecules whose texts the decoder finds likelier than the other half."""
    some = list(dict.fromkeys(molecules))
    rows = {
        one: row
        for one, row in zip(some, try_token_ids(space, some), strict=True)
        if row is not None
    }
    nats = _nats(space, list(rows.values()))
    per_token = {one: x / len(rows[one]) for one, x in zip(rows, nats, strict=True)}
    return sorted(per_token, key=per_token.__getitem__)[: -(-len(rows) // 2)]


def numbered_core(space: LatentSpace, scaffold: str) -> Chem.Mol:
    """A core with its attachment points numbered; errors as for `decorate`."""
    require(
        space.representation.name in ("smiles", "robust-smiles"),
        f"{space.title} writes {space.representation.name}; only models of SMILES keep a core",
    )
    mol = parse(numbered_points(scaffold))
    for number, atom in enumerate((a for a in mol.GetAtoms() if a.GetAtomicNum() == 0), start=1):
        if atom.GetDegree() != 1:
            raise ConfigError(f"an attachment point of {scaffold!r} needs exactly one bond")
        atom.SetAtomMapNum(number)
    require(
        len(Chem.GetMolFrags(mol)) == 1 and len(_points(mol)) < mol.GetNumAtoms(),
        f"{scaffold!r} is not one connected group of atoms beside its attachment points",
    )
    try:  # No hydrogens: few models know those of a sulfonyl group.
        space.token_ids(canonical(Chem.MolToSmiles(capped(mol, 6))))
    except (UnknownTokenError, TooLongError) as error:
        found = str(error).partition(";")[0]
        error.args = (f"{shown(scaffold)} cannot be kept: {found}; give another core or model",)
        raise
    return mol


def _noise(space: LatentSpace, noise: float | None, temperature: float) -> float:
    """The noise level, that of the model by default, once it and the temperature are checked."""
    level = space.card.sampling_defaults[0] if noise is None else noise
    check_sampling(space, level, temperature)
    return level


def replaceable(mol: Chem.Mol, start: int = 0) -> list[int]:
    """Atoms from a number on with a hydrogen that a group can replace; no stereocenters."""
    return [
        atom.GetIdx()
        for atom in mol.GetAtoms()
        if atom.GetIdx() >= start
        and atom.GetTotalNumHs()
        and atom.GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED
    ]


def with_points(core: Chem.Mol, rng: random.Random, most: int = MAX_SITES) -> Chem.Mol:
    """The core itself; or, if it has no attachment points, with up to `most` at random places."""
    if _points(core):
        return core
    free = replaceable(core)
    if not free:
        raise ConfigError(f"{Chem.MolToSmiles(core)} has no hydrogen that a group could replace")
    mol = Chem.RWMol(core)
    for number, place in enumerate(rng.sample(free, rng.randint(1, min(most, len(free)))), 1):
        point = Chem.Atom(0)
        point.SetAtomMapNum(number)
        mol.AddBond(place, mol.AddAtom(point), Chem.BondType.SINGLE)
        atom = mol.GetAtomWithIdx(place)
        if atom.GetNumExplicitHs():
            atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
    Chem.SanitizeMol(mol)
    return mol.GetMol()


def _grow(
    space: LatentSpace,
    cores: Sequence[Chem.Mol],
    rng: random.Random,
    seed: int,
    noise: float,
    temperature: float,
) -> Iterator[str]:
    """Finished molecules, as canonical SMILES: one attachment point of each after the other."""
    waiting = list(cores)
    while waiting:
        yield from (Chem.MolToSmiles(mol) for mol in waiting if not _points(mol))
        texts = [Chem.MolToSmiles(mol) for mol in waiting if _points(mol)]
        seed = later_seed(seed, 1)
        prefixes = likeliest_prefixes(space, dict.fromkeys(texts), rng.randrange(2**31))
        begun = begin(space, texts, seed, noise, temperature, prefixes)
        waiting = [made.mol for made in begun if made is not None]


def begin(
    space: LatentSpace,
    cores: Sequence[str],
    seed: int,
    noise: float,
    temperature: float,
    prefixes: Mapping[str, str],
    z: Tensor | None = None,
) -> list[Begun | None]:
    """Each core with a group at one of its attachment points; None where that failed.

    Groups are written under `z`, `n x dim`, by default samples of the prior; `prefixes` are those
    of `likeliest_prefixes`.
    """
    there = [i for i, text in enumerate(cores) if text in prefixes]
    starts = [prefixes[cores[i]] for i in there]
    code = space.sample_prior(len(starts), seed, source="density") if z is None else z[there]
    found: list[Begun | None] = [None] * len(cores)
    for i, start, (tail, log_prob) in zip(
        there, starts, _tails(space, starts, code, seed, noise, temperature), strict=True
    ):
        mol = None if "." in tail else Chem.MolFromSmiles(start + tail)
        if mol is not None:
            found[i] = Begun(mol, _n_atoms(start), log_prob)
    return found


def _n_atoms(text: str) -> int:
    return sum(token[0].isalpha() or token[0] == "[" for token in Smiles().tokenize(text))


def join(made: Begun, fragment: Chem.Mol, rng: random.Random) -> str | None:
    """A fragment at a random atom of a group; None where the group is too large, or has none."""
    mol, n_atoms = made.mol, made.n_atoms
    free = replaceable(mol, n_atoms)
    if not free or mol.GetNumAtoms() > n_atoms + MAX_LINKER:
        return None
    return graft(with_point(mol, rng.choice(free)), fragment)


def _points(mol: Chem.Mol) -> list[int]:
    return [atom.GetAtomMapNum() for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0]


def likeliest_prefixes(
    space: LatentSpace, cores: Iterable[str], seed: int, orders: int | None = None
) -> dict[str, str]:
    """The likeliest text of each core that ends where a group is to be attached.

    A core of which no order of atoms was found that ends so is left out. `orders` are tried for
    each core, by default `N_ORDERS` in all.
    """
    cores, texts, owners = list(cores), list[str](), list[str]()
    orders = orders or max(MIN_ORDERS, N_ORDERS // max(1, len(cores)))
    for core in cores:
        mol = parse(core)
        Chem.Kekulize(mol, clearAromaticFlags=True)
        every = random_smiles(mol, orders, seed, kekule=True)
        ends = {text[: text.rindex("[")] for text in every if _ends_with_point(text)}
        texts += sorted(ends)
        owners += [core] * len(ends)
    rows = [_ids(space, text) for text in texts]
    known = [i for i, row in enumerate(rows) if row is not None]
    nats = _nats(space, [rows[i] or [] for i in known])
    best: dict[str, tuple[float, str]] = {}
    for i, value in zip(known, nats, strict=True):
        best[owners[i]] = min(best.get(owners[i], (math.inf, "")), (value, texts[i]))
    return {core: text for core, (_, text) in best.items()}


def _ends_with_point(text: str) -> bool:
    return text[text.rfind("[") :].startswith("[*") and text[-1] == "]" and text[:2] != "[*"


def _nats(space: LatentSpace, rows: Sequence[Sequence[int]]) -> list[float]:
    """-log p of rows under the decoder as a language model, nats."""
    found: list[float] = []
    for i in range(0, len(rows), BATCH_SIZE):
        ids = pad([tuple(row) for row in rows[i : i + BATCH_SIZE]], space.device)
        z = torch.zeros(len(ids), space.dim, device=space.device)
        level = torch.full((len(ids),), float(space.config.noise_conditioning), device=space.device)
        with torch.inference_mode():
            found += reconstruction(space.model.logits(z, ids, noise=level), ids).tolist()
    return found


def _tails(
    space: LatentSpace,
    starts: Sequence[str],
    z: Tensor,
    seed: int,
    noise: float,
    temperature: float,
) -> list[tuple[str, float]]:
    """What the decoder writes after each text at its vector, and the mean log-probability."""
    tails = []
    for i in range(0, len(starts), BATCH_SIZE):
        rows = [_ids(space, text) for text in starts[i : i + BATCH_SIZE]]
        code = z[i : i + BATCH_SIZE].float().to(space.device)
        made = decode(
            space.model,
            code,
            noise=noise,
            temperature=temperature,
            seed=later_seed(seed, i),
            prefix=pad([tuple(row) for row in rows if row is not None], space.device),
        )
        for row, start, nats in zip(made.ids.tolist(), rows, made.log_prob.tolist(), strict=True):
            tokens = space.vocabulary.decode(row)[len(space.vocabulary.decode(start or ())) :]
            tails.append(("".join(tokens), nats / (len(tokens) + 1)))
    return tails


def _ids(space: LatentSpace, text: str) -> list[int] | None:
    """Ids of a core's text without its other attachment points; None if the model lacks a token."""
    try:
        ids = space.vocabulary.encode(Smiles().tokenize(OTHER_POINT.sub("", text)))
    except (UnknownTokenError, InvalidMoleculeError):
        return None
    return ids if len(ids) < space.max_length - 1 else None
