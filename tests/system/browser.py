"""A real Chromium, headless, driven over the DevTools protocol."""

import contextlib
import itertools
import json
import os
import shutil
import time
import urllib.request

import websocket

import process
import wait

PROGRAM = shutil.which("chromium")
AXE = os.environ.get("RC_AXE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
    "rollcall/axe-core-4.14.1/axe.min.js")

_FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
          "--no-first-run", "--no-default-browser-check", "--disable-background-networking",
          "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars",
          "--remote-debugging-port=0", "--remote-allow-origins=*"]


@contextlib.contextmanager
def running(folder):
    """Runs a browser while the context is open."""
    os.makedirs(folder, exist_ok=True)
    started = process.spawn([PROGRAM, *_FLAGS, f"--user-data-dir={folder}/profile", "about:blank"],
                            os.path.join(folder, "chromium.log"))
    found = os.path.join(folder, "profile", "DevToolsActivePort")
    wait.until(lambda: os.path.exists(found) and os.path.getsize(found) > 0, 60,
               lambda: f"Chromium: {process.tail(os.path.join(folder, 'chromium.log'))}")
    with open(found) as lines:
        port = int(lines.readline())
    yield Browser(port)
    process.kill(started)


class Browser:
    """Opens tabs."""

    def __init__(self, port):
        self._port = port

    @contextlib.contextmanager
    def tab(self, url=None, scripts=True, **media):
        """A tab, in a window of 1280 x 900; media: features such as prefers_color_scheme="dark"."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank",
                                         method="PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            target = json.load(answer)
        made = Tab(target["webSocketDebuggerUrl"])
        try:
            made.prepare(scripts, media)
            if url:
                made.open(url)
            yield made
        finally:
            made.close(f"http://127.0.0.1:{self._port}/json/close/{target['id']}")


class Tab:
    """One page. `requests` and `messages` hold all that it loaded, and all that it complained of."""

    def __init__(self, url):
        self._socket = websocket.create_connection(url, timeout=30)
        self._ids = itertools.count(1)
        self.requests = []
        self.messages = []

    def prepare(self, scripts, media):
        """Turns on what is recorded."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.resize(1280, 900)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": name.replace("_", "-"), "value": value} for name, value in media.items()])

    def resize(self, width, height):
        """Sets the size of the window."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)

    def close(self, url):
        """Closes the tab."""
        self._socket.close()
        urllib.request.urlopen(url, timeout=30).close()

    def call(self, method, **parameters):
        """Calls a method of the protocol; returns its result."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self._note(message)

    def _note(self, event):
        data = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(data["request"]["url"])
        elif event["method"] == "Log.entryAdded":
            self.messages.append(f"{data['entry']['source']}: {data['entry']['text']}")
        elif event["method"] == "Runtime.consoleAPICalled":
            self.messages.append(f"console.{data['type']}: {data['args']}")
        elif event["method"] == "Runtime.exceptionThrown":
            self.messages.append(f"exception: {data['exceptionDetails']}")

    def open(self, url):
        """Loads a page and waits until it is there."""
        self.call("Page.navigate", url=url)
        wait.until(lambda: self.run("document.readyState") == "complete", 30, f"{url} to load")

    def run(self, script):
        """The value of a JavaScript expression; a promise is awaited."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                           awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, selector):
        """The text of an element, or "" if it is not shown."""
        return self.run(f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
                        " return e && e.checkVisibility() ? e.textContent : ''; })()")

    def wait_text(self, selector, *words, seconds=20):
        """Waits until an element shows all words; returns its text."""
        wait.until(lambda: all(word in self.text(selector) for word in words), seconds,
                   lambda: f"{words} in {selector}: {self.text(selector)!r}", every=0.1)
        return self.text(selector)

    def press(self, key, code=None, text=None):
        """Presses a key."""
        names = {"key": key, "code": code or key, **({"text": text} if text else {}),
                 "windowsVirtualKeyCode": {"Tab": 9, "Enter": 13}.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", **names)
        self.call("Input.dispatchKeyEvent", type="keyUp", **names)

    def violations(self):
        """What axe-core finds, in any of its rules."""
        with open(AXE, encoding="utf-8") as axe:
            self.run(axe.read() + "; true")
        found = self.run("axe.run(document, {resultTypes: ['violations']}).then((r) => "
                         "r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html + ' ' + "
                         "n.failureSummary).slice(0, 3).join(' | ')))")
        return found

    def screenshot(self, path):
        """Saves what is shown as a PNG file."""
        import base64
        time.sleep(0.3)
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as image:
            image.write(base64.b64decode(data))
