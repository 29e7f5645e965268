"""Overlap of reading, computing and writing: three threads, one fixed order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from queue import SimpleQueue
from typing import Any, Self, TypeVar

T = TypeVar("T")
Read = TypeVar("Read")
Result = TypeVar("Result")
Done = TypeVar("Done")
_Task = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]


class BackgroundThread:
    """One daemon thread, used as a ``with`` block; unlike a pool it does not keep the process alive."""

    def __init__(self, name: str) -> None:
        self.tasks: SimpleQueue[_Task | None] = SimpleQueue()
        threading.Thread(target=self._work, name=f"signalcam {name}", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tasks.put(None)

    def submit(self, call: Callable[..., T], *arguments: Any) -> Future[T]:
        """Queue a call and return its future; calls run in order."""
        answer: Future[T] = Future()
        self.tasks.put((answer, call, arguments))
        return answer

    def _work(self) -> None:
        while (task := self.tasks.get()) is not None:
            answer, call, arguments = task
            try:
                answer.set_result(call(*arguments))
            except BaseException as error:  # noqa: BLE001 - raised where the answer is waited for
                answer.set_exception(error)
            del (
                task,
                answer,
                call,
                arguments,
            )  # else the last task would stay in memory while the thread waits


def prefetch(
    read: Iterator[Read], make: Callable[[Read], Result | None], write: Callable[[Result], Done]
) -> Iterator[Done]:
    """Read, make and write at the same time; yield what ``write`` returns, in order.

    Args:
        read: The inputs, read one ahead in a thread of its own.
        make: From an input to a result; ``None`` as long as more inputs are needed for it.
        write: Takes each result, in a third thread; at most one result waits for it.
    """
    writes: deque[Future[Done]] = deque()
    with BackgroundThread("reads") as reading, BackgroundThread("writes") as writing:
        try:
            coming = reading.submit(next, read, None)
            while (item := (yield from _next_read(writes, coming))) is not None:
                coming = reading.submit(next, read, None)
                if (result := make(item)) is not None:
                    yield from _finished_writes(writes)
                    writes.append(writing.submit(write, result))
            yield from _finished_writes(writes)
        finally:
            wait(writes)  # also after an error


def _next_read(writes: deque[Future[Done]], coming: Future[Read | None]) -> Generator[Done, None, Read | None]:
    yield from _finished_writes(writes, before=coming)
    return coming.result()


def _finished_writes(writes: deque[Future[Done]], *, before: Future[Any] | None = None) -> Iterator[Done]:
    """Yield finished writes: all of them, or only those finished ``before`` another future."""
    while writes:
        if before is not None:
            wait([before, writes[0]], return_when=FIRST_COMPLETED)
            if not writes[0].done():
                return
        yield writes.popleft().result()
