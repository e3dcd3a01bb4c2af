"""A TCP proxy in its own process, which simulates network faults between rollcall and a server.

Each route listens on a port and forwards to a target. Its mode can be changed at any time:

  pass            forwards everything
  cut [FROM]      closes every connection, and new ones at once
  hole [FROM]     keeps connections open, but holds back all data until the mode changes; with FROM,
                  a collection of addresses, these two concern only connections from them
  delay SECONDS   forwards everything that much later
  reply WHICH     forwards requests, but drops the first reply to a request in WHICH and closes its
                  connection: the request was executed, but the client cannot know. For Kafka,
                  WHICH is a list of API keys, otherwise a list of byte strings in the request
  blind           forwards, but removes all brokers from Kafka's metadata responses, as if every
                  broker of the cluster were fenced. Closes connections when it begins and ends
  plain KEY       forwards, but answers requests of this Kafka API key about transactions with error
                  42 (INVALID_REQUEST), as brokers do that know none: 10 (FindCoordinator) or
                  22 (InitProducerId). Closes connections when it begins and ends
"""

import asyncio
import multiprocessing
import re
import socket
import struct

import process
import worker

_CHUNK = 256 * 1024


class Proxy:
    """The handle of the proxy's process."""

    def __init__(self):
        self._ours, theirs = multiprocessing.get_context("spawn").Pipe()
        self.worker = worker.Worker("proxy", _main, theirs)
        self.dropped_replies = 0

    def add(self, target_port, renames=None):
        """Adds a route to a port of this machine; returns the port on which it listens.

        renames are port -> port, all of five digits: where a reply contains the first one as a
        word, the client reads the other. So Sentinels show it servers by routes of its own.
        """
        port = process.free_port()
        self._ask("add", port, target_port, renames)
        return port

    def retarget(self, port, target_port):
        """Sends new connections to another port, and closes the existing ones."""
        self._ask("retarget", port, target_port)

    def set(self, port, mode, argument=None):
        """Changes a route's mode; returns the number of replies dropped in the previous mode."""
        return self._ask("set", port, mode, argument)

    def blinded(self, port):
        """The ids of clients that got metadata without brokers since this route's mode was set."""
        return self._ask("list_blinded", port)

    def _ask(self, *words):
        self._ours.send(words)
        if not self._ours.poll(20):
            self.worker.check()
            raise AssertionError(f"the proxy does not respond to {words}")
        return self._ours.recv()


class _Route:
    def __init__(self, port, target_port, renames):
        self.port, self.target_port = port, target_port
        self._renames = {b"%d" % old: b"%d" % new for old, new in (renames or {}).items()}
        self._words = re.compile(rb"(?<=[\n ])(?:%s)(?=[\r ])" % b"|".join(self._renames))
        self.mode, self.argument = "pass", None
        self.dropped = 0
        self.blinded = set()
        self.pairs = set()

    def set(self, mode, argument):
        """Changes the mode, and forwards what a hole or a delay held back."""
        dropped, self.dropped = self.dropped, 0
        closes = mode == "cut" or not _EDITORS.keys().isdisjoint((mode, self.mode))
        self.blinded.clear()
        self.mode, self.argument = mode, argument
        for pair in list(self.pairs):
            if closes and pair.mode == mode:
                pair.close()
            else:
                pair.flush()
        return dropped

    def rename(self, reply):
        """Returns a reply with other ports in it. Those that matter are short: one piece."""
        return self._words.sub(lambda found: self._renames[found[0]], reply) \
            if self._renames else reply

    def retarget(self, target_port):
        """See Proxy.retarget."""
        self.target_port = target_port
        for pair in list(self.pairs):
            pair.close()

    def list_blinded(self):
        """See Proxy.blinded."""
        return self.blinded

    async def serve(self):
        """Starts listening, until the process exits."""
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: _Pair(self), "127.0.0.1", self.port, backlog=100)


class _Pair(asyncio.Protocol):
    """A client's connection together with the matching connection to the server."""

    def __init__(self, route):
        self.route = route
        self._address = None
        self.client = self.server = None
        self.held = []  # (is_request, bytes) in order
        self.is_armed = False  # drop the next reply
        self.editor = _EDITORS[route.mode](route) if route.mode in _EDITORS else None
        self.is_closed = False

    def connection_made(self, transport):
        self.client = transport
        self._address = transport.get_extra_info("peername")[0]
        _tune(transport)
        if self.mode == "cut":
            transport.abort()
            return
        self.route.pairs.add(self)
        asyncio.get_running_loop().create_task(self._connect())

    @property
    def mode(self):
        """The mode of the route, for this connection."""
        mode, argument = self.route.mode, self.route.argument
        if mode in ("cut", "hole") and argument is not None and self._address not in argument:
            return "pass"
        return mode

    async def _connect(self):
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_connection(lambda: _Back(self), "127.0.0.1",
                                                        self.route.target_port)
        except OSError:
            self.close()
            return
        _tune(transport)
        if self.is_closed:
            transport.abort()
            return
        self.server = transport
        if self.mode != "hole":
            self.flush()

    def data_received(self, data):
        self.came(True, data)

    def came(self, is_request, data):
        """Handles bytes from one of the two sides."""
        mode = self.mode
        if mode == "hole" or self.server is None or self.held:
            self.held.append((is_request, data))
            if mode == "delay":
                self._release_later()
            return
        if mode == "delay":
            self.held.append((is_request, data))
            self._release_later()
            return
        if mode == "reply":
            if is_request:
                self.is_armed = self.is_armed or _is_wanted(data, self.route.argument)
            elif self.is_armed:
                self.route.dropped += 1
                self.close()
                return
        self._forward(is_request, data)

    def _release_later(self):
        loop = asyncio.get_running_loop()
        loop.call_later(self.route.argument, self._release, 1)

    def _release(self, count):
        if self.is_closed or self.mode == "hole":
            return
        if self.server is None:
            return  # _connect() flushes
        for is_request, data in self.held[:count]:
            self._forward(is_request, data)
        del self.held[:count]

    def flush(self):
        """Forwards what was held back."""
        if self.mode != "hole" and self.server is not None:
            self._release(len(self.held))

    def _forward(self, is_request, data):
        transport = self.server if is_request else self.client
        if not is_request:
            data = self.route.rename(data)
        transport.write(self.editor.pass_on(is_request, data) if self.editor else data)

    def connection_lost(self, _):
        self.close(abort=False)

    def close(self, abort=True):
        """Closes both sides."""
        if self.is_closed:
            return
        self.is_closed = True
        self.route.pairs.discard(self)
        for transport in (self.client, self.server):
            if transport is not None:
                if abort:
                    transport.abort()
                else:
                    transport.close()


class _Back(asyncio.Protocol):
    """The server side of a pair."""

    def __init__(self, pair):
        self._pair = pair

    def data_received(self, data):
        self._pair.came(False, data)

    def connection_lost(self, _):
        self._pair.close(abort=False)


class _Editor:
    """Changes some of the responses on a connection to Kafka."""

    def __init__(self, route):
        self._route = route
        self._asked = {}  # correlation id -> what note() returned
        self._halves = {True: b"", False: b""}  # by is_request: bytes of an incomplete frame

    def note(self, key, version, frame):
        """Returns what is to be known of a request whose response is to be changed, else None."""
        raise NotImplementedError

    def change(self, frame, noted):
        """Returns the response to send instead."""
        raise NotImplementedError

    def pass_on(self, is_request, data):
        """Returns the bytes to forward now in place of data."""
        data, out = self._halves[is_request] + data, b""
        while len(data) >= 4 and len(data) >= 4 + int.from_bytes(data[:4], "big"):
            size = 4 + int.from_bytes(data[:4], "big")
            out += self._look(is_request, data[:size])
            data = data[size:]
        self._halves[is_request] = data
        return out

    def _look(self, is_request, frame):
        if is_request:
            key, version, correlation = struct.unpack(">hhi", frame[4:12])
            noted = self.note(key, version, frame)
            if noted is not None:
                self._asked[correlation] = noted
            return frame
        noted = self._asked.pop(int.from_bytes(frame[4:8], "big"), None)
        return frame if noted is None else self.change(frame, noted)


class _Blindfold(_Editor):
    """Removes the brokers from metadata responses."""

    _METADATA, _FLEXIBLE = 3, 9  # the API key, and its first version with the flexible encoding

    def note(self, key, version, frame):
        if key != self._METADATA or version < self._FLEXIBLE:
            return None
        return frame[14:14 + int.from_bytes(frame[12:14], "big")].decode()

    def change(self, frame, noted):
        self._route.blinded.add(noted)
        return _without_brokers(frame)


class _Plain(_Editor):
    """Answers as a broker that knows no transactions."""

    _FIND_COORDINATOR, _INIT_PRODUCER = 10, 22
    _FLEXIBLE = {_FIND_COORDINATOR: 3, _INIT_PRODUCER: 2}

    def note(self, key, version, frame):
        if key != self._route.argument:
            return None
        assert key != self._FIND_COORDINATOR or 0 < version < self._FLEXIBLE[key], version
        at = 14 + int.from_bytes(frame[12:14], "big")  # behind the client id
        if key == self._FIND_COORDINATOR:  # the name and the kind, 1 for a transactional id
            return version if frame[-1] == 1 else None
        is_flexible = version >= self._FLEXIBLE[key]
        is_null = frame[at + 1] == 0 if is_flexible else frame[at:at + 2] == b"\xff\xff"
        return None if is_null else version

    def change(self, frame, noted):
        key, error = self._route.argument, b"\x00\x2a"
        tags = b"\0" if noted >= self._FLEXIBLE[key] else b""
        body = frame[4:8] + tags + bytes(4) + error
        if key == self._FIND_COORDINATOR:  # no message, no broker, no host, no port
            body += b"\xff\xff" + b"\xff" * 4 + bytes(2) + b"\xff" * 4
        else:
            body += b"\xff" * 10 + tags
        return len(body).to_bytes(4, "big") + body


_EDITORS = {"blind": _Blindfold, "plain": _Plain}


def _without_brokers(frame):
    """Removes the brokers from a metadata response. Its fields are size, correlation id, tags,
    throttle time, brokers (id, host, port, rack, tags), and the rest."""
    begin = at = 4 + 4 + 1 + 4
    count, at = _varint(frame, at)
    for _ in range(count - 1):
        host, at = _varint(frame, at + 4)
        rack, at = _varint(frame, at + host - 1 + 4)
        tags, at = _varint(frame, at + max(rack - 1, 0))
        assert tags == 0, "the response has a broker with tagged fields"
    body = frame[4:begin] + b"\x01" + frame[at:]
    return len(body).to_bytes(4, "big") + body


def _varint(data, at):
    """Returns (value, offset behind it)."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def _is_wanted(request, which):
    """Whether the reply to this request is to be dropped."""
    if isinstance(which[0], int):  # Kafka: a length of 4 bytes, then the API key
        return len(request) > 6 and int.from_bytes(request[4:6], "big") in which
    return any(text in request for text in which)


def _tune(transport):
    transport.max_size = _CHUNK
    transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _main(pipe):
    asyncio.run(_serve(pipe))


async def _serve(pipe):
    routes = {}
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def receive():
        try:
            word, port, *rest = pipe.recv()
        except EOFError:
            ended.set_result(None)
            loop.remove_reader(pipe.fileno())
            return
        if word == "add":
            routes[port] = _Route(port, *rest)
            task = loop.create_task(routes[port].serve())
            task.add_done_callback(lambda done: pipe.send(done.exception()))
        else:
            pipe.send(getattr(routes[port], word)(*rest))

    loop.add_reader(pipe.fileno(), receive)
    await ended
