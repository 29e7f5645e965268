"""The viewer: what it answers, to whom, and how it ends."""

import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
from pages.made import ecg, picture
from terminal import SIGNALCAM
from unit.results import make, scored

from signalcam import InputError, LayoutError, StoreError

pytest.importorskip("bokeh", reason="Bokeh is not installed: pip install 'signalcam[report]'")

from signalcam.report.downsample import Tiles
from signalcam.report.server import serving

TILE = {"sample": 1, "target": 1, "method": 0, "layer": 0, "from": 1.0, "to": 7.5, "columns": 300}
ROWS = {
    "offset": 0,
    "limit": 50,
    "sort": "number",
    "descending": "",
    "text": "",
    "predicted": "",
    "outcome": "",
    "least": "",
    "most": "",
}


class Visitor:
    """Asks one server, with or without its cookie."""

    def __init__(self, server):
        self.server, parts = server, urlsplit(server.url)
        self.host, self.token = parts.netloc, parts.query
        self.cookie = f"{server.cookie}={server.token}"
        self.root = "/0/"

    def get(self, path, method="GET", host=None, cookie=None, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        connection.putrequest(method, path, skip_host=True)
        cookie = self.cookie if cookie is None else cookie
        for name, value in {"Host": host or self.host, "Cookie": cookie, **headers}.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        return answer

    def ask(self, what, query, **changes):
        return self.get(f"{self.root}{what}?{urlencode(query | changes)}")

    def asked(self, what, query, **changes):
        answer = self.ask(what, query, **changes)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)


def raw(server, text):
    """Send bytes as they are, and read until the server closes."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def floats(text, kind="<f4"):
    return np.frombuffer(base64.b64decode(text), kind)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    place = tmp_path_factory.mktemp("stores") / "maps.zarr"
    ecg().save(place)
    return place


@pytest.fixture(scope="module")
def server(store):
    with serving(store) as found:
        yield found


@pytest.fixture
def visitor(server):
    return Visitor(server)


# --- what it answers ---------------------------------------------------------------------------------


def test_the_link_moves_its_token_to_a_cookie_and_leads_to_the_page(visitor):
    first = visitor.get(f"/?{visitor.token}", cookie="")
    assert first.status == 200
    assert b'content="0; url=/"' in first.body
    assert first.getheader("Set-Cookie") == f"{visitor.cookie}; HttpOnly; SameSite=Strict; Path=/"
    second = visitor.get("/")
    assert (second.status, second.getheader("Location")) == (303, "/0/")
    page = visitor.get("/0/")
    assert page.status == 200
    assert page.getheader("Content-Type") == "text/html; charset=utf-8"
    assert b"Net on 3 samples" in page.body
    assert visitor.server.token.encode() not in page.body


def test_a_tile_is_that_of_the_result(visitor):
    found = visitor.asked("tile", TILE)
    wanted = Tiles(ecg()).tile(1, 1, 0, 0, begin=1.0, end=7.5, columns=300)
    assert found["done"] == 1
    np.testing.assert_array_equal(floats(found["x"], "<f8"), wanted.x)
    for name in ("low", "high", "heat"):
        values = floats(found[name]).reshape(-1, 300)
        np.testing.assert_array_equal(values, getattr(wanted, name).astype("f4"))


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [0, 1, 2]),
        ({"descending": "1"}, [2, 1, 0]),
        ({"offset": 1, "limit": 1}, [1]),
        ({"text": "REC 2"}, [2]),
        ({"predicted": 1}, [1]),
        ({"outcome": "right"}, [0, 1]),
        ({"outcome": "wrong"}, [2]),
        ({"least": 0.5}, [1, 2]),
        ({"most": 0.6}, [0, 1]),
        ({"sort": "label"}, [0, 2, 1]),
        ({"sort": "label", "descending": "1"}, [1, 0, 2]),
        ({"sort": "confidence", "descending": "1"}, [2, 1, 0]),
        ({"sort": "name", "least": 2}, []),
        ({"limit": 0}, []),
    ],
)
def test_rows_are_filtered_sorted_and_counted(visitor, asked, numbers):
    found = visitor.asked("samples", ROWS, **asked)
    assert [row["number"] for row in found["rows"]] == numbers
    assert found["count"] >= len(numbers)


def test_a_row_says_what_is_known_of_a_sample(visitor):
    (row,) = visitor.asked("samples", ROWS, offset=2)["rows"]
    assert row["confidence"] == pytest.approx(1)
    del row["confidence"]
    assert row == {"number": 2, "name": "rec 2", "predicted": 2, "label": 0, "asked": [0, 2], "score": [0, 0]}


def test_rows_are_sorted_by_what_a_metric_gave_of_the_map_chosen(tmp_path):
    exp = scored(ecg())
    exp.metrics["value"][1, 0] = np.nan
    exp.save(tmp_path / "maps.zarr")
    value = exp.metrics["value"].values
    asked = {"sort": "metric", "metric": 1, "target": 1, "method": 0, "layer": 1}
    with serving(tmp_path / "maps.zarr") as server:
        visitor = Visitor(server)
        for descending, sign in (("", 1), ("1", -1)):
            rows = visitor.asked("samples", ROWS, **asked, descending=descending)["rows"]
            assert [row["number"] for row in rows] == np.argsort(sign * value[1, :, 1, 0, 1]).tolist()
        np.testing.assert_allclose(np.array(rows[0]["trusted"], float), value[:, rows[0]["number"], :, :2], rtol=1e-3)
        assert rows[2]["trusted"][1][0][0] == [None, None]
        refused = visitor.ask("samples", ROWS, **asked | {"metric": 2})
        assert (refused.status, b"metric is '2'" in refused.body) == (400, True)


def test_without_scores_there_is_no_metric_to_sort_by(visitor):
    assert visitor.ask("samples", ROWS, sort="metric", metric=0).status == 400


def test_names_are_sorted_as_a_reader_would_and_unknown_columns_pass_no_filter(tmp_path):
    bare = dict.fromkeys(["logits", "probabilities", "classes", "true_classes", "class_names"])
    scores = np.array([[np.nan, 1], [0, 1], [0, 1]])
    make(**bare, sample_names=("w10", "w2", "W1"), scores=scores).save(tmp_path / "maps.zarr")
    with serving(tmp_path / "maps.zarr") as server:
        visitor = Visitor(server)
        named = visitor.asked("samples", ROWS, sort="name")["rows"]
        assert [row["name"] for row in named] == ["W1", "w2", "w10"]
        assert visitor.asked("samples", ROWS)["rows"][0]["score"] == [None, 1]
        for asked in ({"predicted": 0}, {"outcome": "right"}, {"least": 0}, {"most": 1}):
            assert visitor.asked("samples", ROWS, **asked)["count"] == 0


def test_slices_of_images_and_volumes_are_those_of_the_result(tmp_path):
    image = picture((3, 3, 16, 20), "batch _ height width", (2, 3))
    volume = picture((3, 1, 8, 16, 12), "batch _ depth height width", (2, 3, 4))
    for name, exp in {"image": image, "volume": volume}.items():
        exp.save(tmp_path / name)
        with serving(tmp_path / name) as server:
            chosen = {"sample": 1, "target": 1, "method": 0, "layer": 0, "at": -1}
            found = Visitor(server).asked("slice", chosen)
            wanted = exp.maps.values[1, 1, 0, 0]
            if name == "volume":
                assert found["at"] == np.abs(wanted).max(axis=(1, 2)).argmax()
                wanted = wanted[found["at"]]
            heat = floats(found["heat"]).reshape(wanted.shape)
            np.testing.assert_allclose(heat, wanted, rtol=1e-5)
            assert found["strongest"] == pytest.approx(np.abs(exp.native().values[1, 1, 0]).max())
            pixels = np.frombuffer(base64.b64decode(found["picture"]), "u1")
            assert pixels.size == found["planes"] * heat.size
            assert Visitor(server).ask("tile", TILE).status == 400


# --- whom it answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cookie", ["", "signalcam-1=abc", "broken=\x01; ;=", "{name}=wrong", "{name}=é"])
@pytest.mark.parametrize("path", ["/", "/0/", "/0/tile?sample=0", "/?token=wrong", "/?token="])
def test_nothing_is_said_without_the_token(visitor, cookie, path):
    given = cookie.format(name=visitor.server.cookie).encode("latin-1").decode("latin-1")
    answer = visitor.get(path, cookie=given or None if given else "no=token")
    assert answer.status == 403
    assert b"Net" not in answer.body


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "10.0.0.1", "[", "localhost@evil.example", ""],
)
def test_a_name_made_to_point_here_is_refused(visitor, host):
    text = (
        f"GET /0/ HTTP/1.1\r\nHost: {host.format(port=visitor.server.server_port)}\r\nCookie: {visitor.cookie}\r\n\r\n"
    )
    assert raw(visitor.server, text.encode()).startswith(b"HTTP/1.1 421 ")


def test_no_host_and_two_hosts_are_refused(visitor):
    for hosts in ("", f"Host: {visitor.host}\r\nHost: evil.example\r\n"):
        text = f"GET /0/ HTTP/1.1\r\n{hosts}Cookie: {visitor.cookie}\r\n\r\n"
        assert raw(visitor.server, text.encode()).startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:9", "[::1]:80"])
def test_a_forwarded_port_of_this_machine_is_answered(visitor, host):
    assert visitor.get("/0/", host=host).status == 200
    assert visitor.get("/0/", host=host, Origin=f"http://{host}").status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "https://{host}", "x"])
def test_a_page_of_another_origin_is_refused(visitor, origin):
    answer = visitor.get("/0/tile?" + urlencode(TILE), Origin=origin.format(host=visitor.host))
    assert answer.status == 403
    assert answer.getheader("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "FOO"])
def test_only_get_is_answered(visitor, method):
    answer = visitor.get("/0/", method=method)
    assert answer.status == 405
    assert answer.getheader("Allow") == "GET"


PATHS = [
    "/../../etc/passwd",
    "/0/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/0/zarr.json",
    "/maps.zarr",
    "//etc/passwd",
    "/0/tile/",
    "/0/tile/..",
    "/x/tile",
    "/-1/tile",
    "/0/tile%00",
    "/9999999999/",
    "/%D9%A0/",
    "http://evil.example/0/",
    "\\etc",
    "/0/page.js",
    "http://[/0/",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_reaches_a_file(visitor, path):
    text = f"GET {path} HTTP/1.1\r\nHost: {visitor.host}\r\nCookie: {visitor.cookie}\r\nConnection: close\r\n\r\n"
    answer = raw(visitor.server, text.encode())
    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("from", ["nan", "inf", "-inf", "", "a", "1e999", "0x10", "1,5"]),
        ("to", ["nan", "inf"]),
        ("columns", ["0", "-1", "8193", "nan", "1.5", "1e3", "", "99999999999999999999", "\u0661"]),
        ("sample", ["3", "-1", "inf", "", "0; drop"]),
        ("target", ["2", "-1"]),
        ("method", ["2", "x"]),
        ("layer", ["2", "-5"]),
    ],
)
def test_a_tile_that_cannot_be_is_refused_in_one_sentence(visitor, name, values):
    for value in values:
        answer = visitor.ask("tile", TILE, **{name: value})
        assert answer.status == 400, value
        assert re.fullmatch(rf"{name} is '.*'; give .*\.\n", answer.body.decode())


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": 1001},
        {"limit": -1},
        {"offset": -1},
        {"offset": 4},
        {"sort": "path"},
        {"sort": ""},
        {"outcome": "x"},
        {"least": "nan"},
        {"most": "inf"},
        {"predicted": "-1"},
        {"text": "x" * 201},
    ],
)
def test_rows_that_cannot_be_are_refused(visitor, asked):
    answer = visitor.ask("samples", ROWS, **asked)
    assert answer.status == 400
    assert answer.body.decode().count("\n") == 1


def test_places_however_far_away_are_answered(visitor):
    assert visitor.ask("tile", TILE, **{"from": -1e300, "to": 1e300}).status == 200
    assert visitor.ask("tile", TILE, **{"from": 1e300, "to": 1e300}).status == 200


def test_questions_that_cannot_be_read_are_refused(visitor):
    for query in ("&".join(f"a{i}=1" for i in range(30)), "sample=%ff"):
        assert visitor.get(f"/0/tile?{query}").status == 400
    assert visitor.get("/0/tile").status == 400
    assert visitor.get("/0/slice?" + urlencode(TILE | {"at": 0})).status == 400


def test_every_answer_forbids_keeping_guessing_and_framing(visitor):
    paths = ("/0/", "/", "/nothing", "/0/tile?" + urlencode(TILE), "/0/samples?" + urlencode(ROWS))
    for path in paths:
        answer = visitor.get(path)
        assert answer.getheader("Cache-Control") == "no-store"
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert answer.getheader("Referrer-Policy") == "no-referrer"
        assert "frame-ancestors 'none'" in answer.getheader("Content-Security-Policy")
        assert "Python" not in answer.getheader("Server")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', visitor.get("/0/").body.decode())[1]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe-eval" not in policy


def test_a_body_is_not_taken_for_the_next_request(visitor):
    inner = f"GET /0/ HTTP/1.1\r\nHost: {visitor.host}\r\nCookie: {visitor.cookie}\r\n\r\n"
    for method in ("GET", "POST"):
        outer = f"{method} /0/samples?{urlencode(ROWS)} HTTP/1.1\r\nHost: {visitor.host}\r\nCookie: {visitor.cookie}\r\nContent-Length: {len(inner)}\r\n\r\n"
        assert raw(visitor.server, (outer + inner).encode()).count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "text",
    [
        b"\x00\xff\xfe\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_the_next_one_answered(visitor, text):
    assert re.match(rb"HTTP/1.1 (4|5)\d\d ", raw(visitor.server, text)[:20])
    assert visitor.get("/0/").status == 200


def test_a_connection_is_kept_and_answers_do_not_wait(visitor):
    connection = http.client.HTTPConnection("127.0.0.1", visitor.server.server_port)
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        connection.request("GET", "/nothing", headers={"Cookie": visitor.cookie})
        connection.getresponse().read()
        times.append(time.perf_counter() - begin)
    connection.close()
    assert np.median(times) < 0.03  # 0.04 is what a delayed receipt costs


# --- a store that changes ----------------------------------------------------------------------------


def test_a_result_saved_again_is_shown_on_reload_and_never_mixed_with_the_old_one(tmp_path):
    place = tmp_path / "maps.zarr"
    ecg().save(place)
    with serving(place) as server:
        visitor = Visitor(server)
        assert visitor.ask("tile", TILE).status == 200
        ecg(samples=5).save(place)
        stale = visitor.ask("tile", TILE)
        assert stale.status == 409
        assert b"reload the page" in stale.body
        reload = visitor.get("/0/")
        assert (reload.status, reload.getheader("Location")) == (303, "/1/")
        visitor.root = "/1/"
        assert b"5 samples" in visitor.get("/1/").body
        assert visitor.asked("samples", ROWS)["count"] == 5


def test_a_result_taken_away_is_said_and_one_that_comes_back_is_shown(tmp_path):
    place = tmp_path / "maps.zarr"
    ecg().save(place)
    with serving(place) as server:
        visitor = Visitor(server)
        place.rename(tmp_path / "away.zarr")
        assert visitor.ask("tile", TILE).status == 409
        gone = visitor.get("/0/")
        assert gone.status == 503
        assert b"there is nothing at" in gone.body
        (tmp_path / "away.zarr").rename(place)
        assert visitor.get("/0/").status == 200


def test_what_is_not_copied_yet_is_blank_and_shown_on_reload(tmp_path):
    whole, place = tmp_path / "whole.zarr", tmp_path / "maps.zarr"
    ecg().save(whole)
    shutil.copytree(whole, place, ignore=lambda folder, _: ["c"] if folder.endswith("input") else [])
    with serving(place) as server:
        visitor = Visitor(server)
        before = visitor.asked("tile", TILE)
        assert np.isnan(floats(before["low"])).all()
        assert np.isfinite(floats(before["heat"])).all()
        shutil.copytree(whole / "input" / "c", place / "input" / "c")
        assert visitor.get("/0/").status == 200
        assert np.isfinite(floats(visitor.asked("tile", TILE)["low"])).all()


def test_a_damaged_chunk_is_said_in_one_sentence(tmp_path):
    place = tmp_path / "maps.zarr"
    ecg().save(place)
    for chunk in (place / "input" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with serving(place) as server:
        answer = Visitor(server).ask("tile", TILE)
        assert answer.status == 503
        assert b"is damaged" in answer.body


def test_a_store_that_may_not_be_written_to_is_shown(tmp_path):
    place = tmp_path / "maps.zarr"
    ecg().save(place)
    before = {each: each.stat().st_mtime_ns for each in place.rglob("*")}
    for each in (place, *place.rglob("*")):
        each.chmod(0o500 if each.is_dir() else 0o400)
    try:
        with serving(place) as server:
            assert Visitor(server).ask("tile", TILE).status == 200
    finally:
        for each in (place, *place.rglob("*")):
            each.chmod(0o700)
    assert {each: each.stat().st_mtime_ns for each in place.rglob("*")} == before


# --- what it does not begin with, and how it ends ----------------------------------------------------


def test_results_that_cannot_be_shown_are_refused_before_anything_listens(tmp_path):
    make().isel(sample=[]).save(tmp_path / "empty")
    with pytest.raises(StoreError, match="no samples"), serving(tmp_path / "empty"):
        pass
    with pytest.raises(StoreError, match="there is nothing"), serving(tmp_path / "nothing"):
        pass
    picture((2, 1, 4, 8, 8, 8), "batch _ time depth height width", (2, 3, 4, 5)).save(tmp_path / "four")
    with pytest.raises(LayoutError, match="1 to 3"), serving(tmp_path / "four"):
        pass


def test_other_machines_must_be_allowed(store):
    with pytest.raises(InputError, match="--allow-remote"), serving(store, "0.0.0.0"):  # noqa: S104 - refused
        pass
    for host in ("no such host", "192.0.2.1"):
        with pytest.raises(InputError, match="cannot listen"), serving(store, host, allow_remote=True):
            pass


def test_when_others_may_look_addresses_are_answered_and_strange_names_are_not(store):
    with serving(store, "0.0.0.0", allow_remote=True) as server:  # noqa: S104 - that is what is tested
        visitor = Visitor(server)
        assert visitor.get("/0/", host="192.0.2.7:80").status == 200
        assert visitor.get("/0/", host=socket.gethostname()).status == 200
        assert visitor.get("/0/", host="evil.example").status == 421
        assert visitor.get("/0/", cookie="no=token").status == 403


def test_cookies_of_other_programs_on_this_machine_do_no_harm(visitor):
    for others in ('a={"b": 1, "c": [2]}', "x@y=1", "=;;", "novalue"):
        assert visitor.get("/0/", cookie=f"{others}; {visitor.cookie}; {others}").status == 200


def test_two_viewers_have_cookies_of_their_own(store, server):
    with serving(store) as other:
        assert other.cookie != server.cookie
        assert Visitor(other).get("/0/", cookie=Visitor(server).cookie).status == 403


def test_no_thread_and_no_connection_is_left(store):
    before = set(threading.enumerate())
    with serving(store) as server:
        idle = socket.create_connection(("127.0.0.1", server.server_port))
        assert Visitor(server).get("/0/").status == 200
        assert set(threading.enumerate()) > before
    left = [each.name for each in threading.enumerate() if each not in before and not each.daemon]
    assert left == []
    assert idle.recv(1) == b""
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.server_port))


def command(*given):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    return subprocess.Popen(  # noqa: S603 - our own command
        [*SIGNALCAM, "view", *map(str, given)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )


@contextmanager
def running(*given):
    """The command, which must not keep the tests waiting where it does not end when told to."""
    with command(*given) as process:
        try:
            yield process
        finally:
            process.kill()


def test_control_c_ends_it_without_a_word(store):
    with running(store, "--no-open") as process:
        said = process.stdout.readline()
        link = urlsplit(next(word for word in said.split() if word.startswith("http")))
        idle = http.client.HTTPConnection(link.netloc)
        idle.request("GET", f"/?{link.query}")
        assert idle.getresponse().read() != b""
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        idle.close()
    assert (process.returncode, out, err) == (0, "", "")


def test_letting_others_look_is_warned_of(store):
    with running(store, "--no-open", "--host", "0.0.0.0", "--allow-remote") as process:  # noqa: S104 - that is what is tested
        said = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert f"http://{socket.gethostname()}:" in said
    assert (process.returncode, out) == (0, "")
    assert "anyone who can reach this machine" in err


def test_what_cannot_be_viewed_is_said_in_one_sentence_with_exit_code_2(store, tmp_path):
    newer, alien = tmp_path / "newer.zarr", tmp_path / "alien.zarr"
    shutil.copytree(store, newer)
    text = (newer / "zarr.json").read_text()
    (newer / "zarr.json").write_text(re.sub(r'"signalcam": *[0-9]+', '"signalcam": 99', text))
    alien.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        runs = {
            "newer SignalCAM": command(newer, "--no-open"),
            "no readable result": command(alien, "--no-open"),
            "there is nothing": command(tmp_path / "none", "--no-open"),
            "--allow-remote": command(store, "--host", "192.0.2.1"),
            "in use": command(store, "--no-open", "--port", taken.getsockname()[1]),
        }
        for expected, process in runs.items():
            out, err = process.communicate(timeout=60)
            assert (process.returncode, out) == (2, ""), err
            assert expected in err
            assert err.startswith("signalcam: ")
            assert err.count("\n") == 1
