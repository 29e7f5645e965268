"""The page, served from a store on this machine: what it asks for is read from disk, and nothing is written.

Whoever can reach the port cannot read the result without the token of the first link. Only fixed routes are answered,
only to ``GET``, only under a name of this machine, and never to a page of another origin.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import json
import logging
import math
import re
import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import PathLike
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from signalcam import keeping
from signalcam.errors import CamError, InputError, StoreError
from signalcam.explanation import Explanation
from signalcam.report.contents import kind_of, outline
from signalcam.report.page import page
from signalcam.report.slices import cut
from signalcam.report.table import OUTCOMES, SORTS, Table, Wanted
from signalcam.report.tiles import Tiles

_LOG = logging.getLogger(__name__)
_COLUMNS, _ROWS, _TEXT = 8192, 1000, 200  # the most that may be asked for at a time
_PATIENCE = 0.15  # seconds that a long sample may be read on before an answer
_IDLE = 60.0  # seconds after which a silent connection is closed
_HERE = ("localhost", "127.0.0.1", "::1")
_ROUTE = re.compile(r"/(?:(\d{1,9})/(tile|slice|samples|))?", re.ASCII)
# not a redirect: where the link was clicked on another page, its cookie would not be sent along
_ON = b'<!doctype html><title>SignalCAM</title><link rel="icon" href="data:,"><meta http-equiv="refresh" content="0; url=/">'
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page itself says what it may load
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Refusal(Exception):  # noqa: N818 - it becomes an answer
    """A request that is answered with a status and one sentence."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


# --- what is shown -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A result as it was when it was opened.

    Attributes:
        exp: The result; inputs and maps are on disk.
        stamp: Of the store at that time.
        number: How many times it was opened before.
    """

    exp: Explanation
    stamp: tuple[int, ...]
    number: int

    @cached_property
    def tiles(self) -> Tiles:
        """What is drawn."""
        return Tiles(self.exp)

    @cached_property
    def table(self) -> Table:
        """The table of samples."""
        return Table(self.exp)

    @cached_property
    def page(self) -> str:
        """The page, without numbers."""
        return page(outline(self.exp), "served")


class Place:
    """A store, opened again where it was saved again.

    Args:
        path: Where it lies.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path, self._lock = Path(path), Lock()
        self._shown = self._opened(0)

    def _opened(self, number: int) -> Shown:
        stamp = _stamp(self._path)
        exp = keeping.opened(self._path)
        if not len(exp):
            message = f"{self._path} holds no samples. Give a result that does."
            raise StoreError(message)
        kind_of(exp)
        if stamp is None or stamp != _stamp(self._path):
            message = f"{self._path} is being saved at this moment. Open it again."
            raise StoreError(message)
        return Shown(exp, stamp, number)

    def newest(self) -> Shown:
        """What lies there now."""
        with self._lock:
            old = self._shown
            again = _stamp(self._path) == old.stamp  # what was read before may not have been whole
            self._shown = Shown(old.exp, old.stamp, old.number) if again else self._opened(old.number + 1)  # fmt: skip
            return self._shown

    def numbered(self, number: int) -> Shown:
        """What a page was made of.

        Raises:
            Refusal: Something else lies there by now.
        """
        shown = self._shown
        if shown.number != number or _stamp(self._path) != shown.stamp:
            message = "the result was saved again or taken away since; reload the page."
            raise Refusal(HTTPStatus.CONFLICT, message)
        return shown


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes where a store is saved again."""
    try:
        found = (path / "zarr.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


# --- questions and answers ---------------------------------------------------------------------------


class Query:
    """What a request asks for; every number is checked before it is used.

    Args:
        text: What follows the question mark.
    """

    def __init__(self, text: str) -> None:
        try:
            given = parse_qs(text, keep_blank_values=True, max_num_fields=20, errors="strict")
        except ValueError as error:
            raise Refusal(
                HTTPStatus.BAD_REQUEST, "the address holds no readable question."
            ) from error
        self._given = {name: values[-1] for name, values in given.items()}

    def text(self, name: str, *, most: int = _TEXT) -> str:
        """A short text; nothing where it is missing."""
        value = self._given.get(name, "")
        if len(value) > most:
            raise _refused(name, value[:20], f"at most {most} characters")
        return value

    def one_of(self, name: str, known: Sequence[str]) -> str:
        """One of some words."""
        value = self.text(name)
        if value not in known:
            raise _refused(name, value, f"one of {', '.join(map(repr, known))}")
        return value

    def number(self, name: str) -> float:
        """A finite number."""
        value = self.text(name)
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise _refused(name, value, "a finite number")
        return found

    def count(self, name: str, most: int, least: int = 0) -> int:
        """A whole number from ``least`` to ``most``."""
        value = self.text(name)
        found = int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else None
        if found is None or not least <= found <= most:
            raise _refused(name, value, f"a whole number from {least} to {most}")
        return found


def _refused(name: str, value: str, expected: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, f"{name} is {value!r}; give {expected}.")


def _slice(shown: Shown, query: Query) -> dict[str, Any]:
    exp = shown.exp
    kind, dims = kind_of(exp)
    if kind == "signal":
        raise Refusal(HTTPStatus.BAD_REQUEST, "signals have no slices; ask for a tile.")
    deepest = exp.input.shape[exp.layout.dims.index(dims[0])] - 1 if len(dims) == 3 else 0
    found = cut(exp, **_chosen(exp, query), at=query.count("at", deepest, least=-1))
    return {
        "picture": _base64(found.picture, "u1"),
        "planes": len(found.picture),
        "heat": _base64(found.heat, "<f4"),
        "deviation": None,
        "strongest": found.strongest,
        "at": found.at,
    }


def _tile(shown: Shown, query: Query) -> dict[str, Any]:
    if kind_of(shown.exp)[0] != "signal":
        raise Refusal(HTTPStatus.BAD_REQUEST, "images and volumes have no tiles; ask for a slice.")
    chosen = _chosen(shown.exp, query)
    columns = query.count("columns", _COLUMNS, least=1)
    begin, end = query.number("from"), query.number("to")
    tile = shown.tiles.tile(**chosen, begin=begin, end=end, columns=columns, patience=_PATIENCE)
    heights = {name: _base64(getattr(tile, name), "<f4") for name in ("low", "high", "heat")}
    return {"x": _base64(tile.x, "<f8"), **heights, "done": tile.done}


def _chosen(exp: Explanation, query: Query) -> dict[str, int]:
    known = {"sample": len(exp), "target": len(exp.targets), "method": len(exp.methods), "layer": len(exp.layers)}  # fmt: skip
    return {name: query.count(name, many - 1) for name, many in known.items()}


def _samples(shown: Shown, query: Query) -> dict[str, Any]:
    shares = {name: query.number(name) if query.text(name) else None for name in ("least", "most")}
    wanted = Wanted(
        offset=query.count("offset", len(shown.exp)),
        limit=query.count("limit", _ROWS),
        sort=query.one_of("sort", SORTS),
        descending=bool(query.text("descending")),
        text=query.text("text"),
        predicted=query.count("predicted", 2**31) if query.text("predicted") else None,
        outcome=query.one_of("outcome", OUTCOMES),
        **shares,
    )
    return shown.table.rows(wanted)


_ANSWERS: dict[str, Callable[[Shown, Query], dict[str, Any]]] = {
    "tile": _tile,
    "slice": _slice,
    "samples": _samples,
}


def _base64(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode("ascii")


def _json(value: Any) -> bytes:
    """JSON; what is not finite is null."""
    return json.dumps(_finite(value), allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- the server --------------------------------------------------------------------------------------


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

    def __init__(self, place: Place, host: str, port: int) -> None:
        self.place, self.token, self._host = place, secrets.token_urlsafe(32), host
        self._open: set[socket.socket] = set()
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self.address_family, address = found[0][0], found[0][4]
        super().__init__((str(address[0]), port), Handler)

    @property
    def url(self) -> str:
        """The link to open, with its token."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.server_port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """The cookie's name: cookies are shared by the ports of a machine."""
        return f"signalcam-{self.server_port}"

    def is_named(self, host: str) -> bool:
        """Whether a request meant this machine, and not a name that was made to point at it."""
        name = _name(host)
        if is_loopback(self._host):
            return name in _HERE or name == self._host
        return name in (*_HERE, self._host, socket.gethostname()) or _is_address(name)

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
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
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
    timeout = _IDLE
    disable_nagle_algorithm = (
        True  # with buffering: an answer does not wait for the last one's receipt
    )
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
        self._send(
            HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET is answered.\n", Allow="GET"
        )

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request at all."""
        self.close_connection = True
        status = HTTPStatus(code)
        self._send(status, "text/plain", f"{message or explain or status.phrase}\n".encode())

    def _answer(self) -> None:
        self._require_origin()
        path, _, asked = self.path.partition("?")
        query = Query(asked)
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
        shown = self.server.place.numbered(number)
        answer = _ANSWERS[what](shown, query)
        self.server.place.numbered(number)  # what was read is of one result
        self._send(HTTPStatus.OK, "application/json", _json(answer))

    def _require_origin(self) -> None:
        host = self.headers.get("Host", "")
        if len(self.headers.get_all("Host", [])) != 1 or not self.server.is_named(host):
            sentence = "this address is not served here; open the link that signalcam view printed."
            raise Refusal(HTTPStatus.MISDIRECTED_REQUEST, sentence)
        if self.headers.get("Origin", f"http://{host}") != f"http://{host}":
            raise Refusal(HTTPStatus.FORBIDDEN, "pages of another origin are not answered.")

    def _let_in(self, query: Query) -> bool:
        """Whether the token came in the address and was moved to a cookie; refused without one."""
        if _same(query.text("token"), self.server.token):
            cookie = f"{self.server.cookie}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            self._send(HTTPStatus.OK, "text/html", _ON, **{"Set-Cookie": cookie})
            return True
        if not _same(self._cookie(), self.server.token):
            sentence = "open the link that signalcam view printed; it holds a token."
            raise Refusal(HTTPStatus.FORBIDDEN, sentence)
        return False

    def _cookie(self) -> str:
        """Ours, beside whatever other programs on this machine have set."""
        every = (each.strip().partition("=") for each in self.headers.get("Cookie", "").split(";"))
        return next((value for name, _, value in every if name == self.server.cookie), "")

    def _route(self, path: str) -> tuple[int, str]:
        """The number of what a page was made of, -1 for none, and what is asked of it; nothing for the page."""
        found = _ROUTE.fullmatch(path)
        if found is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "there is no such page.")
        number, what = found.groups()
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


def _name(host: str) -> str:
    """A host without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _same(one: str, other: str) -> bool:
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
    place = Place(path)
    try:
        server = Server(place, host, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"cannot listen on {host}, port {port}: {reason}. Choose another port, or leave --port away for any that is free."
        raise InputError(message) from error
    thread = Thread(
        target=server.serve_forever, name="signalcam-view", kwargs={"poll_interval": 0.1}
    )
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
