"""The status page in a real browser: right, harmless, readable for everybody, and never stale
without saying so."""

import http.server
import json
import os
import threading
import urllib.request

import pytest

import browser as browsers
import declared
import wait
from test_status import status

if not browsers.PROGRAM or not os.path.exists(browsers.AXE):
    pytest.skip("chromium or axe-core is not installed: run ./dev test", allow_module_level=True)

HOSTILE = ["<img src=x onerror=window.hit=1>", "\"><script>window.hit=1</script>",
           "\u202egnp.exe\u202c", "&lt;b&gt;", "a" * 128, "' onmouseover='window.hit=1"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """The browser of all tests here."""
    with browsers.running(str(tmp_path_factory.mktemp("chromium"))) as started:
        yield started


def url_of(instance, path="/"):
    """The address of a page of an instance."""
    return f"http://127.0.0.1:{instance.http_port}{path}"


def send_hostile(world):
    """Writes logins whose values would do harm if they were markup."""
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": world.broker.address, "log_level": 0})
    for n, value in enumerate(HOSTILE):
        for _ in range(40 - n):
            producer.produce(world.topic, json.dumps(
                {"user_id": "u", "locale": "PA", "device_type": value,
                 "timestamp": 1720569600 + 60 * n}), None, 0)
    producer.produce(world.topic, b"<script>window.hit=1</script>", None, 0)
    assert producer.flush(30) == 0


@pytest.fixture
def shown(world, browser):
    """(instance, tab): all is processed, and the page shows it."""
    world.create_input(2)
    instance = world.run(instance__id="one", redis__timeout_ms=2000).wait_ready()
    send_hostile(world)
    wait.until(lambda: len(status(instance)["top"]["device_type"]) == len(HOSTILE)
               and status(instance)["totals"]["published"] == 226, 30, "all to be counted")
    with browser.tab(url_of(instance)) as tab:
        tab.wait_text("#state", "All is well")
        yield instance, tab


#: The exact values in the page, by path; and the document that it was made from.
VALUES = ("[Object.fromEntries([...document.querySelectorAll('[data-path]')].map((e) => "
          "[e.dataset.path, e.dataset.value])), last]")


def look_up(document, path):
    """The value that a path of the page means."""
    if path == "rejected":
        return sum(document["totals"]["rejected"].values())
    if path == "rejected.rate":
        return sum(document["rates"]["rejected"].values())
    parts = path.split(".")
    if parts[0] == "partitions":
        return next(e for e in document["partitions"] if e["partition"] == int(parts[1]))[parts[2]]
    if parts[0] == "minutes":
        return next(e for e in document["minutes"] if e[0] == parts[1])[1]
    if parts[0] == "threads":
        return next(e for e in document["threads"] if e["name"] == parts[1])["idle_s"]
    if parts[0] == "counts":
        count = list(document["counts"].values())[int(parts[1])]
        return count["number"] if parts[2] == "number" else count["values"][int(parts[3])][1]
    if parts[0] == "top":
        return document["top"][parts[1]][int(parts[2])][1]
    value = document
    for part in parts:
        value = value[part]
    return value


def test_numbers_are_those_of_status_metrics_and_redis(world, shown):
    instance, tab = shown
    wait.until(lambda: tab.run("last.rates.counted") == 0, 20, "the rates to be 0")
    values, document = tab.run(VALUES)
    assert len(values) > 50
    for path, value in values.items():
        assert json.loads(value) == pytest.approx(look_up(document, path)), path
    assert values["totals.published"] == str(int(instance.metric("rollcall_records_published_total")))
    assert values["totals.counted"] == str(int(instance.metric("rollcall_records_counted_total")))
    assert values["totals.rejected.not_json"] == "1"
    assert status(instance)["totals"] == document["totals"]
    snapshot = instance.snapshot()
    rows = tab.run("[...document.querySelectorAll('#top tbody tr')].map((r) => "
                   "[r.children[0].textContent, Number(r.children[1].dataset.value)])")
    assert dict(rows[:len(HOSTILE)]) == snapshot["Logins by Device Type"]
    assert [count for _, count in rows[:len(HOSTILE)]] == [40 - n for n in range(len(HOSTILE))]
    minutes = {path[8:]: int(n) for path, n in values.items() if path.startswith("minutes.")}
    assert minutes == snapshot["Logins Over Time"]
    assert tab.run("document.querySelectorAll('#chart rect.mark').length") == len(HOSTILE)
    assert "partition 0, offset 225" in tab.text("#rejected")
    for element in tab.run("[...document.querySelectorAll('[data-read]')].map((e) => e.textContent)"):
        assert element.endswith(" UTC"), element


def test_declared_counts(world, browser):
    """The numbers are those of status.json and of Redis; values are only text."""
    instance, expected = declared.count_all_forms(world)
    with browser.tab(url_of(instance)) as tab:
        tab.wait_text("#counts", "<b>last</b>", "days, " + expected["days"]["bucket"])
        wait.until(lambda: tab.run("last.counts.users.number") == expected["users"]["number"], 20,
                   "all users to be read")
        values, document = tab.run(VALUES)
        declared.same_newest(document["counts"], expected)
        shown = {path: json.loads(value) for path, value in values.items()
                 if path.startswith("counts.")}
        assert len(shown) == sum(len(count["values"]) or 1
                                 for count in document["counts"].values())
        assert all(value == look_up(document, path) for path, value in shown.items())
        captions = tab.run("[...document.querySelectorAll('#counts caption')]"
                           ".map((e) => e.textContent)")
        assert captions == [
            name + (f", {count['bucket']}" if count["bucket"] else "") +
            (f", 10 of {count['value_count']} values" if (count["value_count"] or 0) > 10 else "")
            for name, count in expected.items()]
        rows = tab.run("[...document.querySelectorAll('#counts table')].map((t) => [...t.querySele"
                       "ctorAll('tbody th')].map((e) => e.textContent))")
        assert rows == [[value for value, _ in count["values"]] or ["all"]
                        for count in document["counts"].values()]
        assert tab.run("document.querySelectorAll('main b').length") == 0 and tab.messages == []
        assert tab.violations() == []
        tab.resize(320, 900)
        assert tab.run("document.documentElement.scrollWidth") <= 320
    instance.stop()
    with browser.tab(url_of(world.run().wait_ready())) as tab:
        tab.wait_text("#state", "All is well")
        assert tab.text("#counts-of-own") == ""


def test_values_are_only_text_and_nothing_else_is_loaded(shown):
    instance, tab = shown
    wait.until(lambda: sum("status.json" in url for url in tab.requests) >= 3
               or tab.run("1") != 1, 20, "three polls")
    assert tab.run("window.hit") is None
    assert tab.run("document.querySelectorAll('main script, main img, main b').length") == 0
    assert tab.text("#instance") == "one"
    own = url_of(instance, "/")
    assert all(url.startswith(own) or url == "data:," for url in tab.requests), set(tab.requests)
    assert {url[len(own):] for url in tab.requests if url.startswith(own)} == \
        {"", "status.css", "status.js", "status.json"}
    assert tab.messages == []


def test_thousands_of_partitions_and_threads(shown):
    """The first of them, the worst on top, and how many there are."""
    _, tab = shown
    text, rows, first = tab.run("""(() => {
        at('threads').closest('details').open = true;
        showOutside({...last, threads: Array.from({length: 4100}, (_, n) => (
            {name: 'thread ' + n, partition: null, idle_s: n, is_stuck: n === 7}))});
        return [at('threads-sum').textContent, at('threads').rows.length,
                [0, 1].map((n) => at('threads').rows[n].cells[0].textContent)];
    })()""")
    assert text == ("4,100 threads, 1 stuck: thread 7; "
                    "below are the 1,000 that are stuck or idle for longest")
    assert rows == 1000 and first == ["thread 7", "thread 4099"]
    text, pages, rows, first = tab.run("""(() => {
        showLag({...last, partitions: Array.from({length: 4096}, (_, n) => (
            {partition: n, end: n, published: 0, counted: 0, lag_records: n, lag_seconds: 1,
             counted_lag_records: n, counted_lag_seconds: n === 3000 ? 99 : 1}))});
        return [at('lag-sum').textContent, at('page').textContent, at('lag').rows.length,
                at('lag').rows[0].cells[0].textContent];
    })()""")
    assert text.startswith("4,096 partitions;") and "the oldest 99.0 s old" in text
    assert pages == "page 1 of 82" and rows == 50 and first == "3000"


def test_policy_is_enforced(shown):
    """What the server forbids is seen by the test: otherwise the one above would prove nothing."""
    _, tab = shown
    tab.run("document.body.append(Object.assign(document.createElement('img'), "
            "{src: 'http://127.0.0.1:1/x.png'}))")
    wait.until(lambda: tab.run("1") and any("Content Security Policy" in m for m in tab.messages),
               10, lambda: f"a violation, now {tab.messages}")


def test_stopped_and_continued(shown):
    instance, tab = shown
    instance.pause()
    try:
        said = tab.wait_text("#stale", "Stale since", "not responding", seconds=30)
        assert tab.run("last.now")[11:19] in said
        assert tab.text("#lag") != ""  # what it reported last is still there
    finally:
        instance.resume()
    wait.until(lambda: tab.text("#stale") == "", 20, "the page to be fresh again")


def test_redis_stopped(world, shown):
    _, tab = shown
    world.redis_server.pause()
    tab.wait_text("#state", "Redis does not answer", "redis.url", seconds=30)
    tab.wait_text("#outside", "does not answer")
    read = tab.text("#top-h + .read")
    assert tab.text("#stale") == "" and tab.text("#totals-h + .read") != read
    wait.until(lambda: tab.text("#totals-h + .read")[-12:] > read[-12:], 10, "time to pass")
    assert tab.text("#top-h + .read") == read
    world.redis_server.resume()
    tab.wait_text("#state", "All is well", seconds=30)


def test_restarted(world, shown):
    instance, tab = shown
    instance.kill()
    tab.wait_text("#stale", "not responding", seconds=30)
    again = world.run(**{name.replace(".", "__"): value
                         for name, value in instance.options.items()})
    again.http_port = instance.http_port
    again.wait_ready()
    wait.until(lambda: tab.text("#stale") == "", 20, "the page to be fresh again")
    tab.wait_text("#state", "All is well")
    assert tab.run("last.totals.counted") == 0
    again.stop()


@pytest.mark.parametrize("media", [{}, {"prefers_color_scheme": "dark"},
                                   {"forced_colors": "active"},
                                   {"prefers_reduced_motion": "reduce"}])
@pytest.mark.parametrize("width", [1280, 320])
def test_axe_finds_nothing(shown, browser, media, width):
    instance, _ = shown
    with browser.tab(url_of(instance), **media) as tab:
        tab.resize(width, 900)
        tab.wait_text("#state", "All is well")
        tab.run("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
        assert tab.violations() == []
        assert tab.run("document.documentElement.scrollWidth") <= width
        # And when it is not well.
        tab.run("at('stale').hidden = false, showStale(), "
                "showState({instance: 'x', state: {reasons: ['Redis is away'], is_ready: false}})")
        assert tab.violations() == []


def test_axe_finds_something_where_there_is_something(shown):
    """The check itself can fail."""
    _, tab = shown
    tab.run("document.documentElement.removeAttribute('lang'), at('page').style.color = '#eee'")
    assert any(found.startswith("html-has-lang") for found in tab.violations())


def test_keyboard_alone(shown):
    """All that can be operated is reached with the tab key, and seen; a key sorts the lag."""
    _, tab = shown
    reached = []
    for _ in range(40):
        tab.press("Tab")
        reached.append(tab.run("document.activeElement.textContent.slice(0, 20)"))
        if reached[-1] == "partition":
            break
    assert reached[-1] == "partition", reached
    assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.press("Enter", text="\r")
    assert tab.run("document.querySelector('[aria-sort]').dataset.column") == "partition"
    assert tab.run("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "ascending"
    tab.press("Enter", text="\r")
    assert tab.run("document.querySelector('#lag th').textContent") == "1"


def test_without_scripts(world, shown, browser):
    """The same document, as tables that the server has made."""
    instance, _ = shown
    with browser.tab(url_of(instance), scripts=False) as tab:
        body = tab.call("DOM.getDocument", depth=-1)
        root = body["root"]["nodeId"]
        html = tab.call("DOM.getOuterHTML", nodeId=root)["outerHTML"]
        assert "&lt;img src=x onerror=window.hit=1&gt;</td><td>40</td>" in html
        assert "<img" not in html and "<script>window" not in html
        assert "partitions" in html and world.topic in html
        assert tab.messages == []


def test_behind_a_path_prefix(shown, browser):
    """A proxy may serve it below any path: nothing in it begins at the root."""
    instance, _ = shown

    class Handler(http.server.BaseHTTPRequestHandler):
        """Forwards /some/where/ to the root of the instance."""

        def do_GET(self):  # pylint: disable=invalid-name
            """Answers as the instance does."""
            if not self.path.startswith("/some/where/"):
                self.send_error(404)
                return
            with urllib.request.urlopen(url_of(instance, self.path[len("/some/where"):])) as answer:
                body = answer.read()
                self.send_response(200)
                for name in ("Content-Type", "Content-Security-Policy"):
                    self.send_header(name, answer.headers[name])
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_):
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with browser.tab(f"http://127.0.0.1:{server.server_port}/some/where/") as tab:
            tab.wait_text("#state", "All is well")
            assert tab.messages == []
            assert tab.run("[...document.links].every((a) => a.pathname.startsWith('/some/where/'))")
    finally:
        server.shutdown()
        server.server_close()
