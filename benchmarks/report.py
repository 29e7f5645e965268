"""What a report costs: its size, when it is ready, how fast it zooms and turns to another sample.

``python -m benchmarks.report`` writes the pages to a temporary folder and opens them in headless Chromium. It needs
``signalcam[report]``, selenium, chromium and chromium-driver.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from signalcam import Explanation, Layout
from signalcam.alignment.resampling import AxisGrid
from signalcam.results.layer_maps import LayerMaps

RATE = 500
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--window-size=1400,1000",
)
# the frame after the one in which a page says it has drawn
DRAWN = """
const done = arguments[arguments.length - 1], root = document.documentElement, before = root.dataset.drawn, start = performance.now();
(%s)();
(function look() {
  if (root.dataset.drawn !== before) return requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
  if (performance.now() - start > 10000) return done(Infinity);
  setTimeout(look);
})();
"""
ZOOM = """() => document.getElementById("figure").dispatchEvent(new KeyboardEvent("keydown", { key: "%s", bubbles: true }))"""
READY = "return document.documentElement.dataset.ready"
NEXT = """() => document.getElementById("next").click()"""


def made(samples: int, channels: int, length: int, methods: int, step: int) -> Explanation:
    """A result of that size, of numbers without meaning."""
    rng = np.random.default_rng(0)
    cells = length // step
    grid = (AxisGrid(2, cells, length, (step - 1) / 2, float(step), probed=True),)
    heat = rng.random((samples, 1, methods, cells)).astype(np.float32)
    return Explanation(
        layers=(LayerMaps("conv", heat, grid),),
        targets=("predicted",),
        methods=tuple(f"method {i}" for i in range(methods)),
        layout=Layout("batch channel time", RATE, units="mV"),
        input=rng.standard_normal((samples, channels, length), np.float32).cumsum(axis=2),
        scores=np.zeros((samples, 1)),
        target_classes=np.zeros((samples, 1), int),
        logits=np.zeros((samples, 2)),
        probabilities=np.full((samples, 2), 0.5),
        classes=np.zeros(samples, int),
        true_classes=np.arange(samples) % 2,
        class_names=("normal", "AF"),
        sample_names=tuple(range(samples)),
        provenance={"model": "Net", "score": "logit"},
    )


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Headless Chromium, as Debian installs it."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_script_timeout(30)
    try:
        yield driver
    finally:
        driver.quit()


def ready(driver: webdriver.Chrome, page: Path) -> float:
    """Open a page; milliseconds from the start of loading until its first figure is drawn."""
    driver.get(page.as_uri())
    end = time.monotonic() + 60
    while not (found := driver.execute_script(READY)):
        if time.monotonic() > end:
            message = f"{page} was not ready within a minute"
            raise TimeoutError(message)
        time.sleep(0.02)
    return float(found)


def measured(name: str, exp: Explanation, folder: Path) -> list[str]:
    """One row of the table."""
    page = folder / "report.html"
    start = time.process_time()
    exp.to_html(page)
    writing = time.process_time() - start
    with browser() as driver:
        ready(driver, page)  # a browser that was just started is slow at its first page
        opened = ready(driver, page)
        zooms = [driver.execute_async_script(DRAWN % (ZOOM % key)) for key in "+++--"]
        others = [driver.execute_async_script(DRAWN % NEXT) for _ in range(5)] if len(exp) > 1 else []
    turning = f"{max(others):.0f}" if others else "-"
    return [
        name,
        f"{page.stat().st_size / 1e6:.1f}",
        f"{writing:.1f}",
        f"{opened:.0f}",
        f"{max(zooms):.0f}",
        turning,
    ]


def main() -> None:
    """Measure every page and print the table."""
    pages = {
        "12 x 5000, 1 sample": made(1, 12, 5000, 1, 16),
        "12 x 5000, 130 samples, 3 methods": made(130, 12, 5000, 3, 16),
        "1,000 windows x 1000, 3 methods": made(1000, 1, 1000, 3, 4),
        "1,000 windows x 1000, 3 methods, a map value for each of the signal": made(1000, 1, 1000, 3, 1),
        "1 h, 2 x 900,000": made(1, 2, 900_000, 1, 16),
    }
    sys.stdout.write(
        "| page | MB | written in s | ready ms | slowest zoom ms | slowest other sample ms |\n| --- | --- | --- | --- | --- | --- |\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, exp in pages.items():
            sys.stdout.write(f"| {' | '.join(measured(name, exp, Path(folder)))} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
