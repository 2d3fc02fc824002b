"""Old spellings of flags and of their values, still read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from molvae.config import ALIASES, CHOICE_ALIASES
from molvae.model.config import LossConfig


def _training_flags() -> dict[str, str]:
    """Old flags of `train` and their names of today, see `config.ALIASES`."""
    found = {}
    tables = {"ModelConfig": "model.", "LossConfig": "loss.", "PriorConfig": "prior."}
    for kind, table in (tables | {"TrainConfig": ""}).items():
        for old, new in ALIASES[kind].items():
            if new != "loss":
                found[f"--{table}{old}"] = f"--{table}{new}"
                found[f"--{table}no-{old}"] = f"--{table}no-{new}"
    for name in [*ALIASES["LossConfig"], *(one.name for one in fields(LossConfig))]:
        found[f"--objective.{name}"] = f"--loss.{ALIASES['LossConfig'].get(name, name)}"
    return {old.replace("_", "-"): new.replace("_", "-") for old, new in found.items()}


FLAGS = _training_flags() | {
    "--where": "--conditions",
    "--tolerance": "--condition-tolerance",
    "--goals": "--objective",
    "--limits": "--constraint",
    "--batch": "--batch-size",
    "--record": "--campaign",
    "--most-failed": "--max-failure-rate",
    "--allow-equal": "--allow-constant",
    "--no-allow-equal": "--no-allow-constant",
    "--waiting": "--pending",
    "--names": "--properties",
    "--climb": "--target",
}
EXPLORE_FLAGS = {
    "--place": "--overlay",
    "--colour": "--color",
    "--keep": "--min-percentile",
    "--k": "--n-samples",
}
FLAGS_OF_COMMANDS = {
    **dict.fromkeys(
        ("explore", "interpolate", "neighbors", "neighbours", "density"), EXPLORE_FLAGS
    ),
    "prepare": {"--keep": "--keep-columns"},
    "evaluate": {"--draws": "--posteriors"},
}
"""Old flags of some commands; others have flags of these names."""
SEVERAL_VALUES = ("--goals", "--limits")  # that took several values; now the flag is repeated
KINDS = {"straight": "linear", "spherical": "slerp"}
VALUES = {"--direction": CHOICE_ALIASES, "--combine": CHOICE_ALIASES, "--kind": KINDS}


def current_words(words: Sequence[str]) -> list[str]:
    """A command line without old spellings.

    >>> current_words(["ask", "q.db", "--limits", "logp <= 3", "mw <= 500", "--batch=2"])
    ['ask', 'q.db', '--constraint', 'logp <= 3', '--constraint', 'mw <= 500', '--batch-size=2']
    >>> current_words(["train", "--noisy=0.1", "--objective.draws", "2"])
    ['train', '--noised-fraction=0.1', '--loss.n-samples', '2']
    >>> current_words(["optimize", "q.db", "--direction", "maximise", "--combine=product"])
    ['optimize', 'q.db', '--direction', 'maximize', '--combine=desirability']
    >>> current_words(["explore", "map", "qm9", "--colour=QED"])
    ['explore', 'map', 'qm9', '--color=QED']
    >>> current_words(["prepare", "m.csv", "d", "--keep", "pIC50"])
    ['prepare', 'm.csv', 'd', '--keep-columns', 'pIC50']
    """
    flags = FLAGS | FLAGS_OF_COMMANDS.get(words[0] if words else "", {})
    found, several = list[str](), ""
    for before, word in zip(["", *words], words, strict=False):
        flag, equals, value = word.partition("=")
        word, value = VALUES.get(before, {}).get(word, word), VALUES.get(flag, {}).get(value, value)
        if word.startswith("--") or (word[:1] == "-" != word[1:2] and word[1:2].isalpha()):
            several = flags[flag] if flag in SEVERAL_VALUES else ""
            found += [] if several and not equals else [flags.get(flag, flag) + equals + value]
        else:
            found += [several, word] if several else [word]
    return found
