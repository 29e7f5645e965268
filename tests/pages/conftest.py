"""Pages opened in headless Chromium, and read back."""

import json
import os
import shutil
from contextlib import contextmanager

import numpy as np
import pytest

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--window-size=1400,1000",
    "--force-color-profile=srgb",
)


class Page:
    """One page in a browser: what a reader does, and what a reader sees."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, exp, folder):
        exp.to_html(folder / "report.html")
        return self.go((folder / "report.html").as_uri())

    def go(self, address):
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(address)
        self.until("document.documentElement.dataset.ready")
        assert not self.js("return document.getElementById('trouble').textContent")
        return self

    def js(self, script, *given):
        return self.driver.execute_script(script, *given)

    def until(self, condition):
        """Wait until something holds in the page, or fail with what the page says of it."""
        script = (
            "const done = arguments[0], start = performance.now(); (function look() {"
            f"if ({condition}) return done('');"
            "const trouble = document.getElementById('trouble');"
            "if (trouble && trouble.textContent) return done(trouble.textContent);"
            "if (performance.now() - start > 10000) return done('waited in vain'); setTimeout(look, 5); })();"
        )
        found = self.driver.execute_async_script(script)
        assert found == "", (condition, found)

    def doing(self, script, *given):
        """Do something, and wait until the figure was drawn anew."""
        before = self.js("return document.documentElement.dataset.drawn")
        self.js(script, *given)
        self.until(f"document.documentElement.dataset.drawn !== '{before}'")

    def text(self, name):
        return self.js("return document.getElementById(arguments[0]).innerText", name)

    def choose(self, name, number):
        self.doing(
            "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event('change', {bubbles: true}))",
            name,
            str(number),
        )

    def filter(self, name, value):
        before = self.js("return document.getElementById('rows').dataset.turn")
        self.js(
            "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event('input', {bubbles: true}))",
            name,
            value,
        )
        self.until(f"document.getElementById('rows').dataset.turn !== '{before}'")

    def key(self, key, target="document.body"):
        return f"{target}.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))"

    def rows(self):
        return self.js(
            "return [...document.querySelectorAll('#rows tr')].map(r => [...r.children].map(c => c.innerText))"
        )

    def model(self, name, what):
        """Something of a figure's models: what Bokeh draws."""
        found = "Bokeh.documents.map(d => d.get_model_by_name(arguments[0])).find(Boolean)"
        return self.js(f"const m = {found}; return {what}", name)

    def heat(self, name="map"):
        """The strips drawn, first row on top, and the middle of each column."""
        image, shape, x, dw = self.model(
            f"{name}-heat", "[[...m.data.image[0]], m.data.image[0].shape, m.data.x[0], m.data.dw[0]]"
        )
        values = np.array(image, float).reshape(shape)[::-1]
        return values, x + dw * (np.arange(shape[1]) + 0.5) / shape[1]

    def problems(self):
        return [each["message"] for each in self.driver.get_log("browser") if each["level"] in ("SEVERE", "WARNING")]

    def requests(self):
        events = [json.loads(each["message"])["message"] for each in self.driver.get_log("performance")]
        asked = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        return [each for each in asked if not each.startswith("data:")]  # icons within the page

    @contextmanager
    def dark(self):
        for value in ("dark", "light"):
            features = [{"name": "prefers-color-scheme", "value": value}]
            self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            if value == "dark":
                yield


@pytest.fixture(scope="session")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    service = pytest.importorskip("selenium.webdriver.chrome.service")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("chromium and chromedriver are not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=service.Service(programs[1], log_output=os.devnull))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser):
    return Page(browser)
