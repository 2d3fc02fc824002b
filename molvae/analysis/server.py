"""The report and the plate of a campaign, live in a browser of this machine.

The plate takes values from those who have the token of the address; all else only reads.

Only this machine gets an answer. A page of another site may point a name of its own at this address
to read the report through the visitor's browser, so a request has to name this machine as its host.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from molvae.chem.measurements import parse_value
from molvae.errors import CampaignError, MolvaeError, require

if TYPE_CHECKING:
    from molvae.campaign.trial import Trial

HOST = "127.0.0.1"
REFRESH_SECONDS = 30  # seconds after which the page reloads
VALUE_FIELD_PREFIX, NO_TOKEN = "value:", b"open the address with the token in it\n"
MAX_FORM_BYTES = 10_000  # bytes of a form
REQUEST_TIMEOUT_SECONDS = 10  # after which a connection without a request is closed
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
    timeout = REQUEST_TIMEOUT_SECONDS

    def do_GET(self) -> None:
        if not self._names_this_machine():
            text = b"this page is only for the machine that it runs on\n"
            self._answer(HTTPStatus.FORBIDDEN, text)
            return
        path, _, query = self.path.partition("?")
        if path not in ("/", "/plate"):
            self._nothing()
            return
        has_token = self._has_token(parse_qs(query))
        if path == "/plate" and not has_token:
            self._answer(HTTPStatus.FORBIDDEN, NO_TOKEN)
        else:
            try:
                page = self.server.plate() if path == "/plate" else self.server.html()
                if has_token:
                    link = f'<a href="/plate?token={self.server.token}">Plate</a>\n'.encode()
                    page = page.replace(b'<a href="#all">', link + b'<a href="#all">', 1)
                self._answer(HTTPStatus.OK, page, "text/html")
            except MolvaeError as error:
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"molvae: {error}\n".encode())

    def do_POST(self) -> None:
        """Write the values of a trial, from the form of the plate."""
        length = self.headers.get("Content-Length", "")
        size = int(length) if length.isascii() and length.isdigit() else MAX_FORM_BYTES + 1
        if not self._names_this_machine() or self.path != "/tell" or size > MAX_FORM_BYTES:
            self._nothing()
            return
        sent = self.rfile.read(size).decode("utf-8", "replace")
        form = parse_qs(sent, keep_blank_values=True)
        if not self._has_token(form):
            self._answer(HTTPStatus.FORBIDDEN, NO_TOKEN)
            return
        try:
            self.server.tell({name: texts[0] for name, texts in form.items()})
        except MolvaeError as error:
            self._answer(HTTPStatus.BAD_REQUEST, f"molvae: {error}\n".encode())
        else:
            self.send_response(HTTPStatus.SEE_OTHER)
            self.send_header("Location", f"/plate?token={self.server.token}")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _has_token(self, form: Mapping[str, Sequence[str]]) -> bool:
        given = (form.get("token") or [""])[0]
        return secrets.compare_digest(given.encode(), self.server.token.encode())

    def _nothing(self) -> None:
        self._answer(HTTPStatus.NOT_FOUND, b"there are only the pages / and /plate\n")

    do_HEAD = do_GET
    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _nothing

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

    def handle(self) -> None:
        """Answer a request; a browser that went away meanwhile gets nothing."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, record: Path, top: int, lead: str | None) -> None:
        super().__init__((HOST, port), _Handler)
        self.record, self.top, self.lead = record, top, lead
        self.lock, self.page = threading.Lock(), b""
        self.token = secrets.token_urlsafe(16)
        self.seen: list[Trial] | None = None  # trials when the page was rendered

    def html(self) -> bytes:
        """The report, rendered again when trials have changed."""
        from molvae.analysis.report import render
        from molvae.campaign.campaign import Campaign

        with self.lock, Campaign.open(self.record) as campaign:
            trials = campaign.trials
            if trials != self.seen:
                page = render(campaign, top=self.top, lead=self.lead, refresh=REFRESH_SECONDS)
                self.page, self.seen = page.encode(), trials
            return self.page

    def plate(self) -> bytes:
        """The pending molecules, with a form for the values of each."""
        from molvae.analysis.plate import render_plate
        from molvae.campaign.campaign import Campaign

        with self.lock, Campaign.open(self.record) as campaign:
            waiting = [trial for trial in campaign.trials if trial.status == "pending"]
            return render_plate(campaign, waiting, form=self.token).encode()

    def tell(self, form: Mapping[str, str]) -> None:
        """Write the values that a form gives; errors as for `Campaign.tell`."""
        from molvae.campaign.campaign import Campaign
        from molvae.campaign.outlying_values import outlying
        from molvae.objectives.parsing import told_names

        id_ = form.get("id", "")
        require(id_.isascii() and id_.isdigit(), f"the id must be a whole number, got {id_!r}")
        values = {
            name.removeprefix(VALUE_FIELD_PREFIX): parse_value(text)
            for name, text in form.items()
            if name.startswith(VALUE_FIELD_PREFIX)
        }
        with self.lock, Campaign.open(self.record) as campaign:
            at = {trial.id: trial.fidelity for trial in campaign.trials}
            names = told_names(campaign.problem.at(at.get(int(id_), "")))
            lacking = {*names} - {*values}
            require(not lacking, f"there is no value of {', '.join(sorted(lacking))}")
            if found := outlying(campaign.trials, {int(id_): values}, list(values)):
                raise CampaignError(f"{found[0]}; if it is right, use molvae tell --yes")
            known = {name: value for name, value in values.items() if value is not None}
            campaign.tell(int(id_), known or None, "" if known else "failed")


@contextmanager
def serve(
    record: str | Path, *, port: int = 8000, top: int = 24, lead: str | None = None
) -> Iterator[str]:
    """Serve a campaign from another thread, as long as the context lasts.

    The report is at the address; the plate, at `/plate`, needs the token of the address.

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
    from molvae.campaign.campaign import Campaign

    require(0 <= port <= 65535, f"port must lie between 0 and 65535, got {port}")
    require(top >= 0, f"top must not be negative, got {top}")
    try:
        server = _Server(port, Path(record), top, lead)
    except OSError as error:
        raise CampaignError(
            f"cannot serve on port {port}: {error.strerror}; choose another one (--port)"
        ) from error
    with server:
        Campaign.open(record).close()  # errors show before anybody looks
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}/?token={server.token}"
        finally:
            server.shutdown()
            thread.join()
