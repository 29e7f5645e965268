"""The viewer's HTTP server: serves the page of a store and answers its requests from disk; read-only.

Without the token of the first link nobody can read the result. Only fixed routes are answered, only to ``GET``,
only under a name of this machine, and never to a page of another origin.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import PathLike
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from signalcam.errors import CamError, InputError
from signalcam.report.api import ANSWERS, Query, Refusal, StoreView, as_json

_LOG = logging.getLogger(__name__)
_IDLE_SECONDS = 60.0  # seconds after which a silent connection is closed
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_ALL_INTERFACES = ("0.0.0.0", "::")  # noqa: S104 - used only with --allow-remote
_ROUTE = re.compile(r"/(?:(\d{1,9})/(tile|slice|samples|))?", re.ASCII)
# not a redirect: if the link was clicked on another page, the browser would not send the new cookie
_REDIRECT_PAGE = b'<!doctype html><title>SignalCAM</title><link rel="icon" href="data:,"><meta http-equiv="refresh" content="0; url=/">'
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page's own policy says what it may load
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Server(ThreadingHTTPServer):
    """Serve one store; see ``serving``."""

    daemon_threads = False  # so that closing waits for them
    allow_reuse_address = sys.platform != "win32"  # on Windows it would share a port in use
    request_queue_size = 64

    def __init__(self, place: StoreView, host: str, port: int) -> None:
        self.place, self.token, self._host = place, secrets.token_urlsafe(32), host
        self._open: set[socket.socket] = set()
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self.address_family, address = addresses[0][0], addresses[0][4]
        super().__init__((str(address[0]), port), Handler)

    @property
    def url(self) -> str:
        """The link to open, with its token."""
        name = socket.gethostname() if self._host in _ALL_INTERFACES else self._host
        host = f"[{name}]" if ":" in name else name
        return f"http://{host}:{self.server_port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """Name of the cookie, with the port, as all ports of a machine share cookies."""
        return f"signalcam-{self.server_port}"

    def is_named(self, host: str) -> bool:
        """Whether a host names this machine, which prevents DNS rebinding."""
        name = _host_name(host)
        if is_loopback(self._host):
            return name in _LOCAL_NAMES or name == self._host
        return name in (*_LOCAL_NAMES, self._host, socket.gethostname()) or _is_address(name)

    def server_bind(self) -> None:
        """Bind without a DNS lookup of this machine's name."""
        super(ThreadingHTTPServer, self).server_bind()  # http.server looks up a name here
        self.server_name, self.server_port = self._host, int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and note that it is open."""
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close every connection, and wait for answers in progress."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as it is called
        """Log an error, unless the browser just went away."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            _LOG.exception("a request failed")


class Handler(BaseHTTPRequestHandler):
    """Answer the requests of one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # so that answers to malformed requests also have headers
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True  # with buffering, an answer does not wait for the last one's acknowledgement
    wbufsize = -1

    def version_string(self) -> str:
        """Value of the header ``Server``."""
        return "signalcam"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called
        """Log nothing, as the address may hold the token."""

    def do_GET(self) -> None:
        """Answer a request, or refuse it with one sentence."""
        if self.headers.get("Content-Length") or self.headers.get("Transfer-Encoding"):
            self.close_connection = True  # a body follows, not a request
        try:
            self._answer()
        except Refusal as refusal:
            self._send(refusal.status, "text/plain", f"{refusal}\n".encode())
        except CamError as error:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n".encode())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # the base class looks up a method per HTTP verb
            return self._refuse_method
        raise AttributeError(name)

    def _refuse_method(self) -> None:
        self.close_connection = True
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET is answered.\n", Allow="GET")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a malformed request."""
        self.close_connection = True
        status = HTTPStatus(code)
        self._send(status, "text/plain", f"{message or explain or status.phrase}\n".encode())

    def _answer(self) -> None:
        self._require_origin()
        path, _, query_text = self.path.partition("?")
        query = Query(query_text)
        if self._check_token(query):
            return
        number, what = self._parse_path(path)
        if not what:
            newest = self.server.place.newest()
            if number != newest.number:
                self._send(HTTPStatus.SEE_OTHER, "text/plain", b"", Location=f"/{newest.number}/")
            else:
                self._send(HTTPStatus.OK, "text/html", newest.page.encode())
            return
        store = self.server.place.numbered(number)
        answer = ANSWERS[what](store, query)
        self.server.place.numbered(number)  # raises if the store was saved again while it was read
        self._send(HTTPStatus.OK, "application/json", as_json(answer))

    def _require_origin(self) -> None:
        host = self.headers.get("Host", "")
        if len(self.headers.get_all("Host", [])) != 1 or not self.server.is_named(host):
            sentence = "this address is not served here; open the link that signalcam view printed."
            raise Refusal(HTTPStatus.MISDIRECTED_REQUEST, sentence)
        if self.headers.get("Origin", f"http://{host}") != f"http://{host}":
            raise Refusal(HTTPStatus.FORBIDDEN, "pages of another origin are not answered.")

    def _check_token(self, query: Query) -> bool:
        """Move a token in the address to a cookie and return whether there was one; refuse without either."""
        if _is_equal(query.text("token"), self.server.token):
            cookie = f"{self.server.cookie}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            self._send(HTTPStatus.OK, "text/html", _REDIRECT_PAGE, **{"Set-Cookie": cookie})
            return True
        if not _is_equal(self._cookie(), self.server.token):
            sentence = "open the link that signalcam view printed; it holds a token."
            raise Refusal(HTTPStatus.FORBIDDEN, sentence)
        return False

    def _cookie(self) -> str:
        """Value of this server's cookie; empty without one."""
        cookies = (each.strip().partition("=") for each in self.headers.get("Cookie", "").split(";"))
        return next((value for name, _, value in cookies if name == self.server.cookie), "")

    def _parse_path(self, path: str) -> tuple[int, str]:
        """Parse a path into the store's number, -1 for none, and the request; empty for the page."""
        match = _ROUTE.fullmatch(path)
        if match is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "there is no such page.")
        number, what = match.groups()
        return int(number or -1), what or ""

    def _send(self, status: HTTPStatus, kind: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        basic = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
        if self.close_connection:
            basic["Connection"] = "close"
        for name, value in {**basic, **_HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _host_name(host: str) -> str:
    """Host name without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address, which other machines cannot reach."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


@contextmanager
def serving(
    path: str | PathLike[str], host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False
) -> Iterator[Server]:
    """Serve a store in a thread inside the block.

    Args:
        path: A result written by ``Explanation.save``, or the output of a job.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        allow_remote: Whether ``host`` may be reachable from other machines.

    Yields:
        The server, whose ``url`` is the link to open.

    Raises:
        StoreError: The path holds no readable result, or one without samples.
        LayoutError: Pages cannot show maps with such axes.
        InputError: The host or port cannot be used, or is not allowed.
        MissingExtra: Bokeh is not installed.
    """
    if not is_loopback(host) and not allow_remote:
        message = f"others can reach {host}. Leave out --host to serve this machine only, or add --allow-remote."
        raise InputError(message)
    view = StoreView(path)
    try:
        server = Server(view, host, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"cannot listen on {host}, port {port}: {reason}. Choose another port, or leave out --port for any free one."
        raise InputError(message) from error
    thread = Thread(target=server.serve_forever, name="signalcam-view", kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
