"""Error classes: they survive pickling, and `UnknownNameError` lists the nearest names."""

from __future__ import annotations

import copy
import pickle

import pytest

from molvae import errors
from molvae.errors import MolvaeError, TooLongError, UnknownNameError, UnknownTokenError

ARGUMENTS = {
    UnknownTokenError: ("[Xe]", 3, "C[Xe]", 50),
    TooLongError: ("CCCC", 4, 3),
    UnknownNameError: ("objective", "qud", ["qed", "sas"]),
}
CLASSES = [
    one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, MolvaeError)
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_error_pickled_or_copied_is_equal(kind: type[MolvaeError]) -> None:
    error = kind(*ARGUMENTS.get(kind, ("what came; what to do",)))
    error.add_note("seen on a worker")
    error.more = [1]  # type: ignore[attr-defined]
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert str(other) == str(error)
        assert other.args == error.args
        assert vars(other) == vars(error)


def test_error_class_of_a_user_is_pickled() -> None:
    error = pickle.loads(pickle.dumps(OwnError(receptor="1abc")))
    assert (type(error), str(error), error.receptor) == (OwnError, "no pocket in 1abc", "1abc")


class OwnError(errors.ObjectiveError):
    def __init__(self, *, receptor: str) -> None:
        super().__init__(f"no pocket in {receptor}")
        self.receptor = receptor


def test_unknown_name_error_with_many_names_lists_the_most_similar() -> None:
    known = [f"Descriptor{i}" for i in range(200)]
    few, many = (
        str(UnknownNameError("property", "Descriptr7", some)) for some in (known[:9], known)
    )
    assert few.endswith("Known: " + ", ".join(known[:9]))
    assert "did you mean 'Descriptor7'? 200 are known, the most similar: Descriptor7, " in many
    assert many.count(",") == errors.MAX_LISTED
    advised = str(UnknownNameError("property", "x", ["a"], "look elsewhere"))
    assert advised == "no property is called 'x'. Known: a; look elsewhere"
