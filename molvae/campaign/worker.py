"""The main function of a worker process: load the objectives once, then score molecules.

Unlike those of `multiprocessing`, the process does not import the user's script: that needs no
`if __name__ == "__main__":`, and may come from standard input or a notebook.
"""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from typing import Any

from molvae import errors
from molvae.errors import described, message_of
from molvae.objectives.printing import to_stderr

Reply = tuple[int, Any]
"""A worker's message: number of the task, and results or an error; 0 for loading, and None or why
it is impossible."""


def main(connection: Connection) -> None:
    """Serve the campaign at the other end of a pipe until it closes the pipe."""
    to_stderr()
    if os.name == "posix":
        os.set_inheritable(connection.fileno(), False)  # not for programs that an objective starts
    payload = connection.recv()
    try:
        from molvae.campaign.evaluation import LostCallError
        from molvae.campaign.transport import unpacked

        score = unpacked(payload)
    except BaseException as error:
        connection.send((0, described(error)))
        return
    connection.send((0, None))
    while True:
        try:
            number, arguments = connection.recv()
        except (EOFError, OSError):  # the campaign has ended, or is gone
            return
        found: Any
        try:
            found = score(*arguments)
        except LostCallError as error:
            found = error
        except errors.MolvaeError as error:
            found = _known(error)
        except Exception as error:
            found = LostCallError(described(error))
        except BaseException as error:  # the objective ends its process
            died = errors.ProcessDiedError(f"the process died ({described(error)})")
            connection.send((number, died))
            return
        connection.send((number, found))


def _known(error: errors.MolvaeError) -> errors.MolvaeError:
    """The error as an instance of molvae's own class: the other side may lack a user's class."""
    kind = next(one for one in type(error).__mro__ if one.__module__ == errors.__name__)
    return error if kind is type(error) else kind(message_of(error))
