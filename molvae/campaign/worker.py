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

Reply = tuple[int, Literal["ready", "refused", "scored", "raised", "lost"], Any]
"""What a worker sends: the number of the task, 0 for loading; what came of it; outcomes, or an
error that is not a molecule's."""


def main(connection: Connection) -> None:
    """Serve the process at the other end of a pipe until it lets go."""
    to_stderr()
    if os.name == "posix":
        os.set_inheritable(connection.fileno(), False)  # not for programs that an objective starts
    payload = connection.recv()
    try:
        from molvae.campaign.transport import unpacked

        score = unpacked(payload)
    except BaseException as error:
        connection.send((0, "refused", described(error)))
        return
    connection.send((0, "ready", None))
    while True:
        try:
            number, smiles = connection.recv()
        except (EOFError, OSError):  # the campaign has ended, or is gone
            return
        try:
            reply: Reply = number, "scored", score(smiles)
        except errors.MolvaeError as error:
            reply = number, "raised", _known(error)
        except Exception as error:
            reply = number, "lost", described(error)
        except BaseException as error:  # the objective ends its process
            died = errors.ProcessDiedError(f"the process died ({described(error)})")
            connection.send((number, "raised", died))
            return
        connection.send(reply)


def _known(error: errors.MolvaeError) -> errors.MolvaeError:
    """The same error of a class that the other side has: it may be of a user's own."""
    kind = next(one for one in type(error).__mro__ if one.__module__ == errors.__name__)
    return error if kind is type(error) else kind(message_of(error))


__all__ = ["Reply", "main"]
