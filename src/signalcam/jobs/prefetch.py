"""Reading, computing and writing at the same time, each in a thread of its own, in one fixed order."""

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
    """One thread, in a ``with`` block; it keeps no process from ending, as a pool of threads would."""

    def __init__(self, name: str) -> None:
        self.tasks: SimpleQueue[_Task | None] = SimpleQueue()
        threading.Thread(target=self._work, name=f"signalcam {name}", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tasks.put(None)

    def ask(self, call: Callable[..., T], *arguments: Any) -> Future[T]:
        """Have something done after all that was asked for before; what it raises, the answer raises."""
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
            )  # or what was last done would be held while nothing is asked


def prefetch(
    read: Iterator[Read], make: Callable[[Read], Result | None], write: Callable[[Result], Done]
) -> Iterator[Done]:
    """Make things of what is read, and write them; the next is read, and the last written, meanwhile.

    Args:
        read: What is read; run by a thread of its own, one ahead.
        make: Takes each, and gives something whole, or nothing as long as more is needed for it.
        write: Takes what is whole, in another thread; no more than one waits for it.

    Yields:
        What ``write`` returns, as soon as it does, in the same order.
    """
    writes: deque[Future[Done]] = deque()
    with BackgroundThread("reads") as reading, BackgroundThread("writes") as writing:
        try:
            coming = reading.ask(next, read, None)
            while (some := (yield from _next_read(writes, coming))) is not None:
                coming = reading.ask(next, read, None)
                if (whole := make(some)) is not None:
                    yield from _finished_writes(writes)
                    writes.append(writing.ask(write, whole))
            yield from _finished_writes(writes)
        finally:
            wait(writes)  # also when something else went wrong


def _next_read(writes: deque[Future[Done]], coming: Future[Read | None]) -> Generator[Done, None, Read | None]:
    yield from _finished_writes(writes, before=coming)
    return coming.result()


def _finished_writes(writes: deque[Future[Done]], *, before: Future[Any] | None = None) -> Iterator[Done]:
    """What is written once it is; or only what is written before something else is there."""
    while writes:
        if before is not None:
            wait([before, writes[0]], return_when=FIRST_COMPLETED)
            if not writes[0].done():
                return
        yield writes.popleft().result()
