"""Headless Chromium, spoken to over its pipes: what it says of a page, how wide the page is, and what it looks like."""

import json
import os
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run", "about:blank")
COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Audits.issueAdded")
WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"


class Browser:
    """A browser with one page; to be used in a ``with`` statement.

    Args:
        folder: Where it may keep its own files.
    """

    def __init__(self, folder: Path):
        assert CHROMIUM is not None
        read, self._write = os.pipe()  # its descriptors 3 and 4
        self._read, write = os.pipe()
        command = ["bash", "-c", f'exec "$@" 3<&{read} 4>&{write}', "-", CHROMIUM, *FLAGS, f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(command, pass_fds=(read, write), stderr=subprocess.DEVNULL)
        for descriptor in (read, write):
            os.close(descriptor)
        self._input = os.fdopen(self._read, "rb")
        self._number, self._session, self._rest = 0, "", b""
        self.said: list[dict[str, Any]] = []
        """Messages, errors and requests since the page was opened."""

    def __enter__(self) -> "Browser":
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session = ""
        try:
            self.call("Browser.close")
        finally:
            self._process.wait(60)
            self._input.close()
            os.close(self._write)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the DevTools protocol, and keeps what it hears meanwhile."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                return heard["result"]
            self.said.append(heard)

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._read, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def open(self, page: Path, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Opens a file in a window of a size, in CSS pixels, and waits until it is there."""
        phone = width < 600
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.said.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(heard.get("method") == "Page.loadEventFired" for heard in self.said):
            self.said.append(self._hear())

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def complaints(self) -> list[dict[str, Any]]:
        """What it has to say against the page."""
        return [heard for heard in self.said if heard.get("method") in COMPLAINTS]

    def requests(self) -> list[str]:
        """What the page has asked for."""
        asked = [heard["params"] for heard in self.said if heard.get("method") == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in asked]

    def screenshot(self, picture: Path) -> None:
        """Writes a picture of the whole page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        picture.write_bytes(b64decode(shot["data"]))

    def print(self, file: Path) -> None:
        """Writes the page as it is printed."""
        file.write_bytes(b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"]))
