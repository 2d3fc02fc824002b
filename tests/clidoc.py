"""The page of the command line, made from the commands themselves: `python -m tests.clidoc`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from molvae.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
HEAD = """# Command line

<!-- Made by `python -m tests.clidoc` from molvae/cli. -->

Data go to standard output: one molecule a line, or a table with a header. Everything else goes to
standard error. `-` reads standard input. The exit status is 0; 1 for an error (one line on standard
error, `--debug` shows where it came from); 2 for wrong usage. Nothing is overwritten without
`--overwrite`.

"""


def page() -> str:
    """The page as it should be."""
    called = sys.argv
    try:
        sys.argv = ["molvae"]  # which the lines of usage are made from
        text = app.generate_docs(output_format="markdown")
    finally:
        sys.argv = called
    _, _, commands = text.partition("\n## molvae ")
    # Its own lines are what a user would type, not sessions; lines of one entry are joined.
    commands = ("## molvae " + commands).replace("```console\n", "```text\n")
    return HEAD + re.sub(r"\n {2,}(?=\S)", " ", commands).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
