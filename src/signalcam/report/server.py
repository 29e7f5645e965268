"""The page, served from a store on this machine: what it asks for is read from disk, and nothing is written.

Whoever can reach the port cannot read the result without the token of the first link. Only fixed routes are answered,
only to ``GET``, only under a name of this machine, and never to a page of another origin.
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
_ALL_INTERFACES = ("0.0.0.0", "::")  # noqa: S104 - listened on where that is allowed
_ROUTE = re.compile(r"/(?:(\d{1,9})/(tile|slice|samples|))?", re.ASCII)
# not a redirect: where the link was clicked on another page, its cookie would not be sent along
_REDIRECT_PAGE = b'<!doctype html><title>SignalCAM</title><link rel="icon" href="data:,"><meta http-equiv="refresh" content="0; url=/">'
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page itself says what it may load
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Server(ThreadingHTTPServer):
    """Shows one store; see ``serving``.

    Args:
        place: The store.
        host: What to listen on.
        port: On which port; 0 for any that is free.
    """

    daemon_threads = False  # they are waited for
    allow_reuse_address = sys.platform != "win32"  # where it would share a port that is taken
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
        """The cookie's name: cookies are shared by the ports of a machine."""
        return f"signalcam-{self.server_port}"

    def is_named(self, host: str) -> bool:
        """Whether a request meant this machine, and not a name that was made to point at it."""
        name = _host_name(host)
        if is_loopback(self._host):
            return name in _LOCAL_NAMES or name == self._host
        return name in (*_LOCAL_NAMES, self._host, socket.gethostname()) or _is_address(name)

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called."""
        super(ThreadingHTTPServer, self).server_bind()  # http.server looks up a name here
        self.server_name, self.server_port = self._host, int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection, and remember that it is open."""
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close every connection, and wait for what is still being answered."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as it is called
        """A browser that went away is no error; anything else is logged."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            _LOG.exception("a request failed")


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # answers to what is no request have headers, too
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True  # with buffering: an answer does not wait for the last one's receipt
    wbufsize = -1

    def version_string(self) -> str:
        """What the header Server says."""
        return "signalcam"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called
        """Log without the address, which may hold the token."""

    def do_GET(self) -> None:
        """Answer, or refuse in one sentence."""
        if self.headers.get("Content-Length") or self.headers.get("Transfer-Encoding"):
            self.close_connection = True  # what follows is no request
        try:
            self._answer()
        except Refusal as refusal:
            self._send(refusal.status, "text/plain", f"{refusal}\n".encode())
        except CamError as error:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n".encode())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # any other method, as the class above looks for them
            return self._refuse_method
        raise AttributeError(name)

    def _refuse_method(self) -> None:
        self.close_connection = True
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET is answered.\n", Allow="GET")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request at all."""
        self.close_connection = True
        status = HTTPStatus(code)
        self._send(status, "text/plain", f"{message or explain or status.phrase}\n".encode())

    def _answer(self) -> None:
        self._require_origin()
        path, _, query_text = self.path.partition("?")
        query = Query(query_text)
        if self._let_in(query):
            return
        number, what = self._route(path)
        if not what:
            newest = self.server.place.newest()
            if number != newest.number:
                self._send(HTTPStatus.SEE_OTHER, "text/plain", b"", Location=f"/{newest.number}/")
            else:
                self._send(HTTPStatus.OK, "text/html", newest.page.encode())
            return
        store = self.server.place.numbered(number)
        answer = ANSWERS[what](store, query)
        self.server.place.numbered(number)  # what was read is of one result
        self._send(HTTPStatus.OK, "application/json", as_json(answer))

    def _require_origin(self) -> None:
        host = self.headers.get("Host", "")
        if len(self.headers.get_all("Host", [])) != 1 or not self.server.is_named(host):
            sentence = "this address is not served here; open the link that signalcam view printed."
            raise Refusal(HTTPStatus.MISDIRECTED_REQUEST, sentence)
        if self.headers.get("Origin", f"http://{host}") != f"http://{host}":
            raise Refusal(HTTPStatus.FORBIDDEN, "pages of another origin are not answered.")

    def _let_in(self, query: Query) -> bool:
        """Whether the token came in the address and was moved to a cookie; refused without one."""
        if _is_equal(query.text("token"), self.server.token):
            cookie = f"{self.server.cookie}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            self._send(HTTPStatus.OK, "text/html", _REDIRECT_PAGE, **{"Set-Cookie": cookie})
            return True
        if not _is_equal(self._cookie(), self.server.token):
            sentence = "open the link that signalcam view printed; it holds a token."
            raise Refusal(HTTPStatus.FORBIDDEN, sentence)
        return False

    def _cookie(self) -> str:
        """Ours, beside whatever other programs on this machine have set."""
        every = (each.strip().partition("=") for each in self.headers.get("Cookie", "").split(";"))
        return next((value for name, _, value in every if name == self.server.cookie), "")

    def _route(self, path: str) -> tuple[int, str]:
        """The number of what a page was made of, -1 for none, and what is asked of it; nothing for the page."""
        match = _ROUTE.fullmatch(path)
        if match is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "there is no such page.")
        number, what = match.groups()
        return int(number or -1), what or ""

    def _send(self, status: HTTPStatus, kind: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        own = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
        if self.close_connection:
            own["Connection"] = "close"
        for name, value in {**own, **_HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _host_name(host: str) -> str:
    """A host without its port."""
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
    """Whether a host is this machine, and nobody else can reach it."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


@contextmanager
def serving(
    path: str | PathLike[str], host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False
) -> Iterator[Server]:
    """Serve a store while the block is open, in a thread.

    Args:
        path: What ``Explanation.save`` wrote.
        host: What to listen on.
        port: On which port; 0 for any that is free.
        allow_remote: Whether ``host`` may be one that other machines can reach.

    Yields:
        The server, whose ``url`` is the link to open.

    Raises:
        StoreError: There is no readable result, or it holds no samples.
        LayoutError: There is no page for its axes.
        InputError: The host or port cannot be listened on, or was not allowed.
        MissingExtra: Bokeh is not installed.
    """
    if not is_loopback(host) and not allow_remote:
        message = f"others can reach {host}. Leave --host away to serve this machine alone, or add --allow-remote."
        raise InputError(message)
    place = StoreView(path)
    try:
        server = Server(place, host, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"cannot listen on {host}, port {port}: {reason}. Choose another port, or leave --port away for any that is free."
        raise InputError(message) from error
    thread = Thread(target=server.serve_forever, name="signalcam-view", kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
