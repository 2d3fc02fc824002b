"""One style for all figures, and how they are written to files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae._files import Kind, check_output, replacing
from molvae.errors import ConfigError, MolvaeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT, ACCENT, SHADE = "#1d2126", "#686e77", "#0b6e75", "#eceff0"
SECOND_ACCENT = "#c2571a"
COLORS = (ACCENT, SECOND_ACCENT, "#5b4b9a", "#7a7f2a", "#a0325a", "#2f6fb0", "#4d4d4d", "#b08a1e")
"""Colors of several lines in one plot."""
FORMATS = (".svg", ".png", ".pdf")
PNG_DPI = 200
FIGURE = Kind(name="a figure", stamp="figure", error=ConfigError)


@contextmanager
def style(salt: str = "molvae", ink: str = INK) -> Iterator[None]:
    """Settings of matplotlib for one figure.

    Args:
        salt: Another one for each figure of a page, so that their ids differ.
        ink: Color of text and axes.
    """
    import matplotlib

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
        "svg.hashsalt": salt,  # the same figure has the same bytes each time
        "font.family": "sans-serif",
        **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
        **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor"), ink),
        **dict.fromkeys(("xtick.color", "ytick.color"), ink),
        **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 8),
        "axes.labelsize": 9,
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # the reader's font has it
        yield


def printable(text: str) -> str:
    """One line that XML can hold."""
    return "".join(c if c.isprintable() else " " for c in text)


def check_can_draw(
    path: str | Path,
    *,
    overwrite: bool = False,
    apart_from: Iterable[str | Path] = (),
    error: type[MolvaeError] = ConfigError,
) -> Path:
    """Refuse a path where no figure can be written, before long measurements are made for it.

    Arguments and errors as for `molvae._files.check_output`, with the class of the errors; and a
    ConfigError if the name does not end in one of `FORMATS`.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise ConfigError(f"cannot draw to {path}; its name must end in {', '.join(FORMATS)}")
    kind = replace(FIGURE, error=error)
    return check_output(path, kind, overwrite=overwrite, apart_from=apart_from)


def save_figure(
    figure: Figure,
    path: str | Path,
    *,
    overwrite: bool = False,
    salt: str = "molvae",
    error: type[MolvaeError] = ConfigError,
    svg: str = "",
) -> Path:
    """Write a figure; the same figure has the same bytes each time.

    `svg` holds elements to add to an SVG file, in points from its upper left corner; other
    arguments and errors as for `check_can_draw` and `style`.
    """
    target = check_can_draw(path, overwrite=overwrite, error=error)
    ending = target.suffix.lower()
    dates: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    content = io.BytesIO()
    with style(salt):
        figure.savefig(content, format=ending[1:], dpi=PNG_DPI, facecolor="white",
                       metadata=dates.get(ending))  # fmt: skip
    data = content.getvalue()
    if ending == ".svg":
        head, end, tail = data.rpartition(b"</svg>")
        data = head + svg.encode() + end + tail
    with replacing(target, replace(FIGURE, error=error), overwrite=overwrite) as draft:
        draft.write_bytes(data)
    return Path(path)
