"""`rollcall top`: what it shows of an instance, also if Redis or the instance is down."""

import fcntl
import http.server
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import threading

import pytest

import declared
import oracle
import process
import rollcall
import wait
from test_status import status

pytestmark = pytest.mark.coverage

COUNTERS = ["consumed", "counted", "published", "rejected", "anomalies"]
_TIME_MS = 1720622216000

class View:
    """One view, as text without escapes."""

    def __init__(self, text):
        self.text = text
        self.lines = text.splitlines()

    def line(self, name):
        """The words after the name of a line; None if the line is missing."""
        found = [line[len(name):] for line in self.lines if line.startswith(name)]
        return found[0].split() if found else None

    def counters(self, name):
        """The numbers in the line "total" or "a second", by name."""
        words = self.line(name)
        return dict(zip(COUNTERS, words, strict=True)) if words else None

    def lag(self):
        """[to publish, to count, partitions]"""
        return [int(number) for number in re.findall(r"\d+", " ".join(self.line("lag")))[:3]]


def _views(text):
    return [View("rollcall top" + part) for part in text.split("rollcall top")[1:]]


def _top(world, instance, count, **options):
    """Runs `rollcall top` for this many views and returns them."""
    address = f"127.0.0.1:{instance.http_port}" if instance else f"127.0.0.1:{process.free_port()}"
    done = world.execute("top", "--count", str(count), **{"http__listen": address, **options})
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    assert not re.search(r"[^\n -\x7e\xa0-\U0010ffff]", done.stdout), done.stdout
    views = _views(done.stdout)
    assert len(views) == count
    return views


def _shown(text):
    """Escapes control characters as top does."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]",
                  lambda c: "".join(f"\\x{byte:02x}" for byte in c[0].encode()), text)


def _values(counts):
    """The line of a dimension; Redis returns values with equal counts in reverse order."""
    ranked = sorted(counts.items(), key=lambda item: (item[1], item[0].encode()), reverse=True)
    return "".join(f"  {_shown(value)} {count}" for value, count in ranked[:10])


def _settled(world, instance):
    """Waits until the status of the instance shows all that is counted."""
    world.wait_quiet()
    wait.until(lambda: instance.metric("rollcall_lag_records") == 0
               and instance.metric("rollcall_counted_lag_records") == 0, 20, "the lag to be 0")
    now = status(instance)["now"]
    wait.until(lambda: (status(instance)["top"]["read_at"] or "") > now, 20, "the counts to be read")


@pytest.fixture
def counted(world):
    """A load that is completely counted, and its instance."""
    load = world.make_load()
    load.produce(3000)
    instance = world.run()
    _settled(world, instance)
    return load, instance


def test_it_shows_the_status(world, counted):
    load, instance = counted
    expected = oracle.Expected(load.records)
    view, = _top(world, instance, 1)
    found = status(instance)
    assert f"instance {found['instance']}" in view.lines[0] and world.topic in view.lines[0]
    assert view.lines[1] == "ready"
    total = {name: int(number) for name, number in view.counters("total").items()}
    assert total == {"consumed": len(load.records), "counted": len(load.records),
                     "published": len(load.records), "rejected": expected.rejected_count,
                     "anomalies": len(expected.anomalies)}
    assert len(view.counters("a second")) == 5
    assert view.lag() == [0, 0, 4]
    for name, counts in expected.dimensions.items():
        assert f"{name:<11}{_values(counts)}" in view.lines
    anomalies = [line[11:] for line in view.lines if "  threshold " in line]
    assert anomalies == [f"  minute {entry['minute']}  count {entry['count']}  threshold "
                         f"{entry['threshold']}" for entry in found["anomalies"][:5]]
    rows = [line.split() for line in view.lines if re.match(r"\d ", line)]
    assert rows == [[str(p), "0", "0", "0.0", "0.0"] for p in range(4)]


def test_it_shows_declared_counts(world):
    """Of each the newest bucket: its largest values, and how many more; or its number."""
    load = world.make_load()
    declared.awkward(load)
    instance = world.run(**declared.options(declared.COUNTS))
    world.wait_quiet()
    declared.newest_event(load)
    _settled(world, instance)
    view, = _top(world, instance, 1)
    for name, count in declared.newest(oracle.Expected(load.records,
                                                       counts=declared.COUNTS)).items():
        line = f"{name:<11}" + (f"  {count['bucket']}" if count["bucket"] else "")
        if count["number"] is None:
            line += _values(count["values"])
            more = count["value_count"] - 10
            line += f"  and {more} more" if more > 0 else ""
        else:
            line += f"  {count['number']} {'different' if count['is_distinct'] else 'in all'}"
        assert line in view.lines, line


def test_a_missing_instance_is_reported(world, counted):
    _, instance = counted
    instance.stop()
    for view in _top(world, instance, 2):
        assert f"127.0.0.1:{instance.http_port} does not answer: Connection refused; start" in view.text
        assert not view.counters("total") and "partition" not in view.text


def test_a_missing_redis_is_reported_and_the_instance_is_shown(world, counted):
    """Records that Redis has not counted yet are shown as lag."""
    load, instance = counted
    world.redis_server.pause()
    load.produce(400)
    wait.until(lambda: instance.metric("rollcall_lag_records") == 0
               and instance.metric("rollcall_counted_lag_records") >= 400
               and instance.metric("rollcall_dependency_up", target="redis") == 0, 20,
               "400 records to be published, and Redis to be missed")
    view, = _top(world, instance, 1)
    assert view.lag() == [0, 400, 4]
    rows = [line.split() for line in view.lines if re.match(r"\d ", line)]
    assert sum(int(row[2]) for row in rows) == 400
    assert rows == sorted(rows, key=lambda row: (-int(row[2]), row[0]))
    assert view.lines[1].startswith("! Redis does not answer") and "redis.url" in view.lines[1]


def test_a_url(world, counted):
    _, instance = counted
    done = world.execute("top", "--count", "1", "--url",
                         f"http://127.0.0.1:{instance.http_port}/", http__listen="")
    view, = _views(done.stdout)
    assert view.lines[1] == "ready"
    wrong = world.execute("top", "--count", "1", "--url", "localhost:9464")
    assert wrong.returncode == 2 and "http://localhost:9464" in wrong.stderr


@pytest.mark.parametrize("wrong", [{"http.listen": ""}, {"http.listen": "nowhere"}])
def test_without_an_address_it_is_wrong_configuration(wrong):
    done = rollcall.execute("top", "--count", "1", options=wrong)
    assert done.returncode == 2 and "http.listen" in done.stderr and not done.stdout


def test_a_value_cannot_steer_the_terminal(world):
    load = world.make_load(partitions=1)
    value = "\x1b[2J\x1b]0;x\x07\r\nrollcall\x9b\x7f\u2028é"
    for escape in (True, False):
        load.send(0, None, json.dumps({"device_type": value, "locale": "\x01x", "timestamp": 1720622216},
                                      ensure_ascii=escape).encode(), _TIME_MS, None)
    load.flush()
    instance = world.run()
    _settled(world, instance)
    view, = _top(world, instance, 1)
    assert f"device_type  {_shown(value)} 2" in view.lines
    assert "locale       \\x01x 2" in view.lines and "anomalies    none" in view.lines


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_wide_characters_in_tmux(world, tmp_path):
    """A real terminal emulator agrees where each line ends, whatever is in it."""
    load = world.make_load(partitions=1)
    for value in ("日本語日本語日本語", "📱📱📱", "e\u0301e\u0301", "plain"):
        load.send(0, None, json.dumps({"device_type": value * 3, "locale": "PA",
                                       "timestamp": 1720622216}).encode(), _TIME_MS, None)
    load.flush()
    instance = world.run()
    _settled(world, instance)
    socket = str(tmp_path / "tmux")

    def tmux(*arguments):
        return subprocess.run(["tmux", "-u", "-S", socket, "-f", "/dev/null", *arguments],
                              check=True, capture_output=True, timeout=30,
                              env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout.decode()

    tmux("new-session", "-d", "-x", "60", "-y", "30",
         f"{rollcall.BINARY} top --url http://127.0.0.1:{instance.http_port}")
    try:
        shown = wait.until(lambda: (text := tmux("capture-pane", "-p")) and
                           "device_type" in text and "partition " in text and text, 20,
                           lambda: f"a view in tmux: {tmux('capture-pane', '-p')}")
        lines = shown.splitlines()
        line = next(line for line in lines if line.startswith("device_type"))
        wide = sum(2 if c >= "\u1100" else 0 if c == "\u0301" else 1 for c in line)
        assert line.endswith(">") and 59 <= wide <= 60, line
        assert lines[1] == "ready" and [l for l in lines if l.startswith("0 ")], shown
    finally:
        tmux("kill-server")


class _Pages:
    """An HTTP server that serves one status for ever."""

    def __init__(self):
        body = json.dumps({"totals": {"consumed": 1}, "top": {}, "partitions": []}).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.http_port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        """Stops the server."""
        self._server.shutdown()
        self._server.server_close()


class _Running:
    """A `rollcall top` that keeps running, with its output in a file."""

    def __init__(self, world, instance, *arguments, **options):
        self.path = os.path.join(world.folder, "top.txt")
        flags = rollcall.flags({**world.options, "http.listen": f"127.0.0.1:{instance.http_port}",
                                **options})
        self.process = process.spawn([rollcall.BINARY, "top", *arguments, *flags], self.path)

    def wait_view(self, is_it, what):
        """Waits for a new view that satisfies is_it."""
        seen = len(self._views())
        wait.until(lambda: any(map(is_it, self._views()[seen:])), 20, what)

    def _views(self):
        with open(self.path, errors="replace") as file:
            return _views(file.read())

    def end(self, number):
        """Sends a signal; returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(20 * wait.factor)


def test_a_closed_output_ends_it(world):
    reads, writes = os.pipe()
    os.close(reads)
    child = process.spawn([rollcall.BINARY, "top", *rollcall.flags(world.options)],
                          os.path.join(world.folder, "top.log"), stdout=writes)
    os.close(writes)
    assert child.wait(20 * wait.factor) == 1
    assert "cannot write to the standard output" in process.tail(os.path.join(world.folder, "top.log"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well(world, number):
    pages = _Pages()
    top = _Running(world, pages, "--every", "3600")
    top.wait_view(lambda view: "anomalies" in view.text, "the first view")
    assert top.end(number) == 0
    pages.close()


def test_what_comes_back_is_shown_again(world, counted):
    _, instance = counted
    top = _Running(world, instance)
    top.wait_view(lambda view: "ready" in view.lines and "android" in view.text, "the first view")
    world.redis_server.pause()
    top.wait_view(lambda view: "! Redis does not answer" in view.text and "android" in view.text,
                  "a view without Redis, with what was read of it last")
    world.redis_server.resume()
    top.wait_view(lambda view: "ready" in view.lines, "a view with Redis again")
    instance.pause()
    top.wait_view(lambda view: "timed out" in view.text, "a view without the instance")
    instance.resume()
    top.wait_view(lambda view: view.counters("total"), "a view with the instance again")
    assert top.end(signal.SIGTERM) == 0


def _on_terminal(world, instance, rows, columns, *arguments):
    """Returns everything that `rollcall top` writes to a terminal of this size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    flags = rollcall.flags({**world.options, "http.listen": f"127.0.0.1:{instance.http_port}"})
    with subprocess.Popen([rollcall.BINARY, "top", *arguments, *flags], stdin=subprocess.DEVNULL,
                          stdout=theirs) as child:
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 65536):
                written += piece
        except OSError:  # the child has closed the other end
            pass
        os.close(ours)
        assert child.wait(20 * wait.factor) == 0
    return written.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("rows, columns", [(22, 40), (50, 200), (5, 30)])
def test_on_a_terminal_it_fits_the_window(world, counted, rows, columns):
    _, instance = counted
    written = _on_terminal(world, instance, rows, columns, "--count", "2")
    frames = re.findall(r"\x1b\[\?7l\x1b\[H(.*?)((?:\n\x1b\[J)?\x1b\[\?7h)", written, re.DOTALL)
    assert len(frames) == 2
    assert written == "".join(f"\x1b[?7l\x1b[H{frame}{end}" for frame, end in frames) + "\n"
    for frame, end in frames:
        lines = frame.split("\n")
        assert all(line.startswith("\x1b[K") for line in lines)
        lines = [line.removeprefix("\x1b[K") for line in lines]
        assert ("\x1b[J" in end) == (len(lines) < rows)  # else it would erase the last character
        assert len(lines) <= rows and max(map(len, lines)) <= columns  # no wide characters here
        assert not re.search(r"[^ -\x7e\xa0-\U0010ffff]", "".join(lines))
        if rows == 22:
            assert len(lines) == 22 and lines[-1].split()[1] == "more"
            assert lines[0].endswith(">") and len(lines[0]) == 40
        if rows == 50:
            assert lines[-1].startswith("3 ") and not lines[0].endswith(">")
