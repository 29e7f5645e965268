"""Ray on loopback alone: a network namespace that holds nothing else, and nodes in it that can be killed.

    python -m benchmarks.loopback COMMAND ...             # where no address but 127.0.0.1 exists
    python -m benchmarks.loopback --cluster COMMAND ...   # and with a node of Ray there, which asks for a token
    python -m benchmarks.loopback                         # says why that cannot be on this machine, if so

Every process started carries a mark in its environment, by which whatever is left is found and ended.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

MARK = "SIGNALCAM_LOOPBACK"
MARK_OF_NODE = f"{MARK}_NODE"
ROOT = Path(__file__).parents[1]
ADDRESS = "127.0.0.1:6379"
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1
_ENOUGH = 120  # seconds after which a node is not going to come up
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_AUTH_MODE": "token",
}


def command(*words: str) -> list[str]:
    """The command that runs another where only loopback is."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return [
        "unshare",
        *user,
        "--net",
        sys.executable,
        "-m",
        "benchmarks.loopback",
        "--raise",
        *words,
    ]


def run(*words: str, **how: Any) -> int:
    """Run a command there, and end whatever it leaves behind; gives its exit status."""
    mark = secrets.token_hex(8)
    here = {**(how.pop("env", None) or os.environ), MARK: mark}
    try:
        return subprocess.run(command(*words), env=here, cwd=ROOT, check=False, **how).returncode
    finally:
        end(f"{MARK}={mark}")


def forbidden() -> str:
    """Why there can be no such place on this machine; nothing where there can."""
    if shutil.which("unshare") is None:
        return "network namespaces need the program unshare, which is not here"
    tried = subprocess.run(command("true"), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    said = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"network namespaces are not allowed here ({said})" if tried.returncode else ""


def raise_loopback() -> None:
    """Switch the loopback interface on, as ``ip link set lo up`` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(any_socket, _GET_FLAGS, asked))
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _UP))


def marked(mark: str) -> list[int]:
    """The processes whose environment holds a word, other than this one."""
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and _holds(each, mark)]


def _holds(process: Path, mark: str) -> bool:
    try:
        running = (process / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        known = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return running and mark.encode() in known and int(process.name) != os.getpid()


def end(mark: str) -> None:
    """Kill all that carry a mark, until there are none."""
    limit = time.monotonic() + _ENOUGH
    while (left := marked(mark)) and time.monotonic() < limit:
        for each in left:
            try:
                os.kill(each, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)


@dataclass
class Cluster:
    """Ray nodes on loopback; a ``with`` block leaves none of them."""

    folder: Path = field(init=False)
    started: int = 0

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # paths of sockets must be short
        self.token.write_text(secrets.token_hex(32))
        self.token.chmod(0o600)
        self.add(
            "--head", f"--port={ADDRESS.partition(':')[2]}", "--include-dashboard=false", f"--temp-dir={self.folder}/t"
        )
        return self

    def __exit__(self, *_: object) -> None:
        for number in range(self.started):
            self.kill(number)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def token(self) -> Path:
        """The file whose words let a process in."""
        return self.folder / "token"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to be let in."""
        home = os.environ.get("HOME") or str(self.folder)
        return {**os.environ, **_QUIET, "HOME": home, "RAY_AUTH_TOKEN_PATH": str(self.token)}

    def add(self, *how: str) -> int:
        """Start a node, and wait until it is up; gives its number."""
        number, self.started = self.started, self.started + 1
        words = how or (f"--address={ADDRESS}",)
        limits = ("--num-cpus=2", "--object-store-memory=80000000", "--node-ip-address=127.0.0.1")
        with (self.folder / f"node{number}.log").open("w") as log:
            done = subprocess.run(
                [sys.executable, "-m", "ray.scripts.scripts", "start", *words, *limits, "--disable-usage-stats"],
                env=self.environment | {MARK_OF_NODE: self.name(number)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=_ENOUGH,
                check=False,
            )
        if done.returncode:
            said = (self.folder / f"node{number}.log").read_text()[-2000:]
            message = f"a Ray node did not start: {said}"
            raise RuntimeError(message)
        return number

    def name(self, number: int) -> str:
        """How a node is told from all others on this machine."""
        return f"{self.folder.name}-{number}"

    def kill(self, number: int) -> None:
        """Kill a node, with its workers, as if its plug were pulled."""
        end(f"{MARK_OF_NODE}={self.name(number)}")


def main() -> None:
    """Go where only loopback is, and run a command there."""
    words = sys.argv[1:]
    if not words:
        print(forbidden())
    elif MARK not in os.environ:
        raise SystemExit(run(sys.executable, "-m", "benchmarks.loopback", *words))
    elif words[0] == "--cluster":
        with Cluster() as cluster:
            raise SystemExit(subprocess.run(words[1:], env=cluster.environment, check=False).returncode)
    else:
        os.execvp(words[0], words)  # noqa: S606 - what was asked for


if __name__ == "__main__":
    if sys.argv[1:2] == ["--raise"]:
        raise_loopback()
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - what was asked for
    main()
