"""Python processes that need not import PyTorch and RDKit anew: a server forks them.

`python preloaded.py SOCKET ARGUMENTS` behaves as `python ARGUMENTS` does, with `-c CODE` or
`-m MODULE` as the first two arguments, in the same folder, environment and streams.
"""

from __future__ import annotations

import io
import json
import os
import socket
import sys

IMPORTED = (
    "molvae.cli",
    "molvae.analysis.report",
    "molvae.bo.strategies.registry",
    "molvae.bo.surrogate",
    "molvae.campaign.campaign",
    "molvae.campaign.executors",
    "molvae.campaign.running",
    "molvae.chem.workbooks",
    "molvae.latent.space",
    "molvae.objectives.guacamol",
    "pandas",
    "sklearn.decomposition",
)


def call(path: str, words: list[str]) -> int:
    """Have the server run a process; its exit status."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        request = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
        socket.send_fds(connection, [len(request).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(request)
        return int(connection.recv(16) or 1)  # nothing: it was killed


def serve(path: str) -> None:
    """Fork a process for each request, until standard input is closed."""
    import importlib
    import select
    import signal

    for name in IMPORTED:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                os._exit(_answer(connection))
            connection.close()


def _answer(connection: socket.socket) -> int:
    size, streams, *_ = socket.recv_fds(connection, 8, 3)
    request = b""
    while len(request) < int.from_bytes(size, "big"):
        request += connection.recv(65_536)
    words, folder, environment = json.loads(request)
    for target, (stream, name) in enumerate(
        zip(streams, ("stdin", "stdout", "stderr"), strict=True)
    ):
        os.dup2(stream, target)
        os.close(stream)
        old, raw = getattr(sys, name), io.FileIO(target, "w" if target else "r", closefd=False)
        binary = io.BufferedWriter(raw) if target else io.BufferedReader(raw)
        new = io.TextIOWrapper(binary, old.encoding, old.errors, line_buffering=target == 2)
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    status = _run(words)
    connection.sendall(str(status).encode())
    return status


def _run(words: list[str]) -> int:
    import runpy
    import traceback
    import types

    kind, what, *rest = words
    sys.path[0] = os.getcwd() if kind == "-m" else ""
    sys.argv = [kind, *rest]
    status: object = 0
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = types.ModuleType("__main__")
            exec(what, vars(sys.modules["__main__"]))
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status if isinstance(status, int) else 1


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(call(sys.argv[1], sys.argv[2:]))
