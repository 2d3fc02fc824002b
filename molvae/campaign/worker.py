"""What runs in a worker process: the objectives are loaded once, then called for each molecule.

The process does not import the script that began the campaign, as those of `multiprocessing` do:
so that needs no `if __name__ == "__main__":`, and may have come from standard input or a notebook.
"""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from typing import Any, Literal

from molvae import errors
from molvae.errors import described, message_of
from molvae.objectives.printing import to_stderr

Reply = tuple[Literal["ready", "refused", "scored", "raised"], Any]
"""What a worker sends: that it has loaded the objectives, or why not; outcomes, or an error that is
not a molecule's."""


def main(connection: Connection) -> None:
    """Serve the process at the other end of a pipe until it lets go."""
    to_stderr()
    if os.name == "posix":
        os.set_inheritable(connection.fileno(), False)  # what an objective starts has no part in it
    payload = connection.recv()
    try:
        from molvae.campaign.transport import unpacked

        score = unpacked(payload)
    except BaseException as error:
        connection.send(("refused", described(error)))
        return
    connection.send(("ready", None))
    while True:
        try:
            smiles = connection.recv()
        except (EOFError, OSError):  # the campaign has ended, or is gone
            return
        try:
            reply: Reply = ("scored", score(smiles))
        except errors.MolvaeError as error:
            reply = ("raised", _known(error))
        connection.send(reply)


def _known(error: errors.MolvaeError) -> errors.MolvaeError:
    """The same error of a class that the other side has: it may be of a user's own."""
    kind = next(one for one in type(error).__mro__ if one.__module__ == errors.__name__)
    return error if kind is type(error) else kind(message_of(error))


__all__ = ["Reply", "main"]
