"""The report of a campaign, live in a browser of this machine; read-only.

Only this machine gets an answer. A page of another site may point a name of its own at this address
to read the report through the visitor's browser, so a request has to name this machine as its host.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from molvae.errors import CampaignError, MolvaeError, require

if TYPE_CHECKING:
    from molvae.campaign.trial import Trial

HOST = "127.0.0.1"
REFRESH = 30  # seconds after which the page reloads
REQUEST_TIMEOUT_S = 10  # after which a connection without a request is closed
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "molvae", ""
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        if not self._names_this_machine():
            text = b"this page is only for the machine that it runs on\n"
            self._answer(HTTPStatus.FORBIDDEN, text)
        elif self.path != "/":
            self._nothing()
        else:
            try:
                self._answer(HTTPStatus.OK, self.server.html(), "text/html")
            except MolvaeError as error:
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"molvae: {error}\n".encode())

    def _nothing(self) -> None:
        self._answer(HTTPStatus.NOT_FOUND, b"there is only the page /\n")

    do_HEAD = do_GET
    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _nothing

    def _names_this_machine(self) -> bool:
        port = self.server.server_port
        endings = [f":{port}"] + [""] * (port == 80)
        hosts = [host.strip().lower() for host in self.headers.get_all("Host") or []]
        return len(hosts) == 1 and hosts[0] in {n + e for n in ("localhost", HOST) for e in endings}

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        about = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
        for name, value in (about | HEADERS).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, record: Path, top: int, lead: str | None) -> None:
        super().__init__((HOST, port), _Handler)
        self.record, self.top, self.lead = record, top, lead
        self.lock, self.page = threading.Lock(), b""
        self.seen: list[Trial] | None = None  # trials when the page was rendered

    def html(self) -> bytes:
        """The report, rendered again when trials have changed."""
        from molvae.analysis.report import render
        from molvae.campaign.campaign import Campaign

        with self.lock, Campaign.open(self.record) as campaign:
            trials = campaign.trials
            if trials != self.seen:
                page = render(campaign, top=self.top, lead=self.lead, refresh=REFRESH)
                self.page, self.seen = page.encode(), trials
            return self.page


@contextmanager
def serve(
    record: str | Path, *, port: int = 8000, top: int = 24, lead: str | None = None
) -> Iterator[str]:
    """Serve the report of a campaign from another thread, as long as the context lasts.

    Args:
        record: The campaign file; the campaign may be running.
        port: From 0 to 65535; 0: any that is free.
        top: See `molvae.analysis.report.write_report`.
        lead: See there.

    Yields:
        The address.

    Raises:
        CampaignError: The campaign cannot be read, or the port is taken.
        ConfigError: `port` or `top` is out of range.
        InvalidMoleculeError: `lead` is not a molecule.
    """
    require(0 <= port <= 65535, f"port must lie between 0 and 65535, got {port}")
    require(top >= 0, f"top must not be negative, got {top}")
    try:
        server = _Server(port, Path(record), top, lead)
    except OSError as error:
        raise CampaignError(
            f"cannot serve on port {port}: {error.strerror}; choose another one (--port)"
        ) from error
    with server:
        server.html()  # errors show before anybody looks
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
