"""tieline for Python programs: one file, to be copied; Python 3.8 or newer, nothing else.

    import tieline

    ledger = tieline.Client("ledger")               # by name: the registry says where, and which dialect
    outcome = ledger.request("book 12 EUR")
    if outcome.kind == "reply":
        print(outcome.body)                         # b"ok 4711"
    elif outcome.never_sent:
        ...                                         # lost, timeout, busy, refused: the host has seen nothing of it
    else:
        ...                                         # unknown, failed: it may have been executed

    outcome = ledger.request_deferred("book 13 EUR")    # reply, or delayed: on disk under outcome.id
    with tieline.register("ledger", "tcp:10.0.0.7:7000", ttl=30, dialect="line"):
        serve()                                     # the lease is renewed meanwhile, and ended then

What it promises: each request has one outcome, within its deadline. Replies go to their requests. What may have been sent
is never sent again: it is "unknown". What was not is sent on the next connection; while the daemon is away it is waited for
`patience` seconds, then the request is "lost". A request that overruns its deadline takes its connection along, and makes
those behind it "unknown". Not for several threads at once.

Dialects: "line" (a request is a line without its LF), "len32" (a body), "resp" (a list of words; `outcome.value` is the reply
as Python values, `outcome.body` its bytes). A reply that is none of its dialect makes its request "unknown"; so do the streamed
forms of RESP3, which no Redis sends. Commands of Redis that change their connection (MULTI, SELECT, SUBSCRIBE, …) are
for a library of Redis' own at the same socket.
"""

import collections
import math
import os
import random
import re
import select
import socket
import struct
import threading
import time

DIALECTS = ("line", "len32", "resp")
KINDS = ("lost", "timeout", "unknown", "busy", "refused", "failed")


class Outcome(collections.namedtuple("Outcome", "kind body id detail")):
    """What became of a request. `kind`: reply, delayed, lost, timeout, unknown, busy, refused or failed."""

    @property
    def never_sent(self):
        return self.kind in ("lost", "timeout", "busy", "refused")

    @property
    def value(self):
        """A reply of `resp` as Python values; an error of the host's is a ReplyError among them."""
        return _value(self.body, 0)[0]


class Error(Exception):
    """Nothing was asked: the name leads nowhere, or what was given is no request. `kind` is the registry's, if it said so."""

    def __init__(self, text, kind=None):
        super().__init__(text)
        self.kind = kind


class NotDeferred(Error):
    """The host has no socket for deferred requests."""


class ReplyError(Exception):
    """An error that the host replied (resp)."""


class Client:
    """A connection to a host of the daemon, or to whoever has registered a name."""

    def __init__(self, name, dialect=None, run_dir=None, deadline=40.0, patience=5.0):
        self.name, self.run_dir = _checked(name), run_dir or _run_dir()
        self.dialect = dialect or _dialect(self.run_dir, name)
        if self.dialect not in DIALECTS:
            raise Error("%s speaks %s: this file speaks only %s" % (name, self.dialect, ", ".join(DIALECTS)))
        self.deadline = deadline
        self._lanes = [_Lane(self, deferred, patience) for deferred in (False, True)]
        self._pending = collections.deque()

    def request(self, request):
        """Sends a request and waits for its outcome."""
        return self._lanes[0].outcome(self._lanes[0].submit(request))

    def request_deferred(self, request):
        """The same for a request that must not be lost: what cannot be delivered now is stored, and `delayed`."""
        return self._lanes[1].outcome(self._lanes[1].submit(request))

    def send(self, request):
        """Sends a request; `receive` gives its outcome."""
        self._pending.append(self._lanes[0].submit(request))

    def receive(self):
        """The outcome of the first request that was sent and not received; None if there is none."""
        return self._lanes[0].outcome(self._pending.popleft()) if self._pending else None

    def close(self):
        for lane in self._lanes:
            lane.end("the program closed it")


class _Asked:
    def __init__(self, frame, due):
        self.frame, self.due, self.written, self.outcome = frame, due, 0, None

    def settle(self, kind, detail="", body=b"", id=None):
        self.outcome = self.outcome or Outcome(kind, body, id, detail)


class _Lane:
    """One socket of a host: what is owed on it, in order."""

    def __init__(self, client, deferred, patience):
        self.client, self.deferred, self.patience = client, deferred, patience
        self.socket, self.opened, self.proven, self.places = None, 0.0, False, []
        self.replies = _Replies(client.dialect)
        self.sent, self.waiting = collections.deque(), collections.deque()  # wholly written; the first may be in part
        self.failures, self.failing_since, self.failed_at, self.not_before, self.reason = 0, None, 0.0, 0.0, ""

    def submit(self, request):
        asked = _Asked(_framed(self.client.dialect, request), time.monotonic() + self.client.deadline)
        self.waiting.append(asked)
        self.not_before = min(self.not_before, self.failed_at + 0.02)  # perhaps it is back
        self.move(0.0)
        return asked

    def outcome(self, asked):
        while asked.outcome is None:
            self.move(max(0.0, asked.due - time.monotonic()))
            if asked.outcome is None and asked.due <= time.monotonic():
                self.expire(asked)
        return asked.outcome

    def move(self, wait):
        """Does what can be done; waits for that, at most so many seconds."""
        if self.socket is None and self.waiting:
            self.connect(wait)
        if self.socket is not None:
            poll = select.poll()  # select.select takes no descriptor above 1023
            poll.register(self.socket, select.POLLIN | (select.POLLOUT if self.waiting else 0))
            for _, event in poll.poll(math.ceil(min(wait, 3600.0) * 1000)):
                if event != select.POLLOUT:
                    self.read()
                if event & select.POLLOUT and self.socket is not None:
                    self.write()

    def expire(self, asked):
        if asked.written:
            self.end("the deadline passed before a reply came; it may have been executed")
        elif self.failing_since is not None:
            asked.settle("lost", self.reason)
        else:
            asked.settle("timeout", "the deadline passed before it could be written")
        self.waiting = collections.deque(other for other in self.waiting if other is not asked)

    def connect(self, wait):
        now = time.monotonic()
        if now < self.not_before:
            if now - self.failing_since >= self.patience:
                return self.lose()
            return time.sleep(min(self.not_before - now, wait))
        try:
            self.places = _places(self.client.run_dir, self.client.name, self.places)
            self.socket = _connected(self.places, self.deferred)
            self.opened, self.proven = now, False
        except NotDeferred:
            self.waiting.clear()
            raise
        except (OSError, Error) as error:
            self.failed(str(error))

    def failed(self, reason):
        now = time.monotonic()
        self.failures, self.failed_at, self.reason = self.failures + 1, now, reason
        self.failing_since = now if self.failing_since is None else self.failing_since
        self.not_before = now + min(2.0, 0.02 * 2 ** min(self.failures - 1, 16)) * random.uniform(0.5, 1.0)
        if now - self.failing_since >= self.patience:
            self.lose()

    def lose(self):
        while self.waiting:
            self.waiting.popleft().settle("lost", "no connection to the daemon could be had (%s)" % self.reason)

    def write(self):
        try:
            while self.waiting:
                asked = self.waiting[0]
                asked.written += self.socket.send(memoryview(asked.frame)[asked.written :])
                if asked.written < len(asked.frame):
                    return
                self.sent.append(self.waiting.popleft())
        except OSError:
            pass  # no room; or the daemon has closed, and what it said before is still to be read

    def read(self):
        try:
            chunk = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            return self.end("the connection to the daemon broke (%s)" % error)
        if not chunk:
            return self.end("the daemon closed the connection")
        self.replies.held += chunk
        while self.socket is not None:
            try:
                frame = self.replies.next()
            except Error as error:
                return self.end(str(error))
            if frame is None:
                return
            self.take(frame)

    def take(self, frame):
        """A whole reply has come."""
        is_early = not self.sent
        if is_early and not (self.waiting and self.waiting[0].written):
            return self.end("the daemon sent what nobody had asked for")
        asked = self.waiting.popleft() if is_early else self.sent.popleft()
        self.proven, self.failures, self.failing_since, self.not_before = True, 0, None, 0.0
        asked.outcome = _outcome(self.client.dialect, self.deferred, frame)
        if asked.outcome.kind == "refused" and not (self.deferred and self.client.dialect == "resp"):
            self.end("the daemon refused the request before it, and closed", "lost")
        elif is_early:
            self.end("the daemon replied before it was asked")

    def end(self, reason, kind="unknown"):
        """The connection is over: what was written has no reply; the rest waits for the next one."""
        if self.socket is not None:
            self.socket.close()
        self.socket, self.replies = None, _Replies(self.client.dialect)
        while self.sent:
            self.sent.popleft().settle(kind, reason)
        if self.waiting and self.waiting[0].written:
            self.waiting.popleft().settle(kind, reason)
        if not self.proven and time.monotonic() - self.opened < 1.0:
            self.failed(reason)


def _framed(dialect, request):
    if isinstance(request, (list, tuple)):
        words = [_bytes(word) for word in request]
    else:
        words = _bytes(request).split() if dialect == "resp" else [_bytes(request)]
    if dialect == "resp":
        if not words or words[0].upper() in _BINDING:
            raise Error("this is for a library of Redis' own: %r" % (words[:1],))
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    body = b" ".join(words)
    if dialect == "len32":
        return struct.pack(">I", len(body)) + body
    if b"\n" in body:
        raise Error("a request of the dialect line is one line")
    return body + b"\n"


_BINDING = set(
    b"MULTI EXEC DISCARD WATCH UNWATCH SELECT AUTH HELLO RESET QUIT SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE "
    b"PUNSUBSCRIBE SUNSUBSCRIBE MONITOR CLIENT ASKING READONLY READWRITE SYNC PSYNC REPLCONF".split()
)


def _bytes(word):
    return word if isinstance(word, bytes) else str(word).encode()


def _outcome(dialect, deferred, frame):
    body = {"line": frame[:-1], "len32": frame[4:], "resp": frame}[dialect]
    word = frame[:-2] if dialect == "resp" else body
    told = re.fullmatch(rb"-CON([A-Z]+)(?: (.*))?" if dialect == "resp" else rb"con_([a-z]+)()", word, re.DOTALL)
    if told and told[1].decode().lower() in KINDS:
        return Outcome(told[1].decode().lower(), b"", None, (told[2] or b"").decode(errors="replace"))
    delayed = re.fullmatch(rb"\+DELAYED ([0-9]+)" if dialect == "resp" else rb"con_delayed:([0-9]+)", word)
    if delayed and deferred:
        return Outcome("delayed", b"", int(delayed[1]), "")
    return Outcome("reply", body, None, "")


class _Replies:
    """What a connection has brought, cut into replies. When more comes it goes on where it was: nothing is read twice, however
    large a reply is and in however many pieces it comes."""

    def __init__(self, dialect):
        self.held, self.end = bytearray(), {"line": self.line, "len32": self.len32, "resp": self.resp}[dialect]
        self.begin()

    def begin(self):
        self.at, self.seen, self.owed = 0, 0, [1]  # resp: the next value; no LF before; values owed to what is open

    def next(self):
        """The next reply; None if it is not whole. Error: it is none."""
        end = self.end()
        if end is None:
            return None
        frame = bytes(self.held[:end])
        del self.held[:end]
        self.begin()
        return frame

    def line(self):
        end, self.seen = self.held.find(b"\n", self.seen) + 1, len(self.held)
        return end or None

    def len32(self):
        if len(self.held) < 4:
            return None
        end = 4 + struct.unpack_from(">I", self.held)[0]
        return end if len(self.held) >= end else None

    def resp(self):
        held, owed = self.held, self.owed
        while owed:
            end = held.find(b"\n", max(self.at, self.seen)) + 1
            if not end:
                self.seen = len(held)
                if held[self.at : self.at + 1] in _KINDS:
                    return None
            told = _HEAD.fullmatch(held, self.at, end or len(held))
            if not told:
                raise Error("what came is no reply of resp: %r" % bytes(held[self.at : self.at + 32]))
            kind, count = held[self.at], told[1] and int(told[1])
            if count is not None and kind in b"$!=":
                end += count + 2
                if len(held) < end:
                    return None
                if held[end - 2 : end] != b"\r\n" or kind == ord("=") and count < 4:
                    raise Error("what came is no reply of resp: a string is not as long as it says")
            self.at = end
            if kind == ord("|"):  # attributes of what comes: so many values more before it
                owed[-1] += 2 * count
                continue
            owed[-1] -= 1
            if count is not None and kind in b"*~>%":
                if kind == ord(">") and len(owed) == 1:
                    raise Error("what came is no reply of resp: a push message, and nothing was subscribed to")
                owed.append(count * (2 if kind == ord("%") else 1))
                if len(owed) > 1 + 128:
                    raise Error("what came is no reply of resp: it is nested deeper than 128")
            while owed and not owed[-1]:
                owed.pop()
        return self.at


_KINDS = b"+-:(,#_$!=*~>%|"
# The line of a value; the group is there if more belongs to it: so many bytes, or values.
_HEAD = re.compile(
    rb"(?:[-+][^\r\n]*|[:(][-+]?[0-9]+|,[-+]?(?:(?i:inf|nan)|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)|#[tf]|_|[$*]-1"
    rb"|[$!=*~>%|](0|[1-9][0-9]{0,9}))\r\n"
)


def _value(reply, at):
    """The value at `at` of a reply that `_Replies` has found whole, and where it ends."""
    attributes = 0  # values that stand before it, and say something about it
    while True:
        end = reply.index(b"\r\n", at)
        kind, line = reply[at : at + 1], reply[at + 1 : end]
        if kind == b"|":
            attributes, at = attributes + 2 * int(line), end + 2
        elif attributes:
            attributes, at = attributes - 1, _value(reply, at)[1]
        else:
            break
    at = end + 2
    if kind in _SIMPLE:
        return _SIMPLE[kind](line), at
    count = int(line)
    if count < 0:
        return None, at
    if kind in b"$=!":
        text = reply[at : at + count]
        return (ReplyError(text.decode(errors="replace")) if kind == b"!" else text[4 * (kind == b"=") :]), at + count + 2
    values = []
    for _ in range(count * (2 if kind == b"%" else 1)):
        value, at = _value(reply, at)
        values.append(value)
    return (list(zip(values[::2], values[1::2])) if kind == b"%" else values), at


_SIMPLE = {
    b"+": bytes,
    b":": int,
    b",": float,
    b"(": int,
    b"#": lambda line: line == b"t",
    b"_": lambda line: None,
    b"-": lambda line: ReplyError(line.decode(errors="replace")),
}


def _connected(places, deferred):
    """A socket to the first place that answers."""
    error = NotDeferred("there is no socket for deferred requests; give the host the option deferred in hosts.tab")
    for place in places:
        kind, _, rest = place.partition(":")
        if deferred:
            path, rest = rest, rest[:-5] + ".deferred.sock"
            if kind != "unix" or not path.endswith(".sock") or os.path.exists(path) and not os.path.exists(rest):
                continue
        try:
            if kind == "unix":
                there = socket.socket(socket.AF_UNIX)
                there.settimeout(2.0)
                there.connect(rest)
            else:
                host, _, port = rest.rpartition(":")
                there = socket.create_connection((host.strip("[]"), int(port)), timeout=2.0)
                there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            there.setblocking(False)
            return there
        except OSError as failure:
            error = Error("%s: %s" % (place, failure))
    raise error


# The registry: where names lead.


def _run_dir():
    return os.environ.get("TIELINE_RUN_DIR") or "/run/tieline"


def _checked(name):
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,62}", name) or name.endswith(".deferred"):
        raise Error("%r is no name" % name)
    return name


class _Registry:
    """A conversation with the registry; OSError if it is away."""

    def __init__(self, run_dir):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(2.0)
        self.socket.connect(os.path.join(run_dir, "registry.sock"))
        self.lines = self.socket.makefile("r", encoding="utf-8", newline="\n")

    def hear(self):
        line = self.lines.readline()
        if not line.endswith("\n"):
            raise ConnectionError("the registry closed the connection")
        return line[:-1]

    def ask(self, *words):
        """The words behind `ok`."""
        self.socket.sendall((" ".join(words) + "\n").encode())
        verdict, _, rest = self.hear().partition(" ")
        if verdict != "ok":
            kind, _, text = rest.partition(" ")
            raise Error("the registry says: %s" % text, kind)
        return rest.split(" ")  # other blanks may be in an address

    def rows(self, prefix):
        self.ask("LIST", prefix)
        return [line.split(" ") for line in iter(self.hear, "")]

    def close(self):
        self.lines.close()
        self.socket.close()


def _asked(run_dir, question):
    registry = _Registry(run_dir)
    try:
        return question(registry)
    finally:
        registry.close()


def _places(run_dir, name, last):
    """Where the name is; while the registry is away, where it was, else the socket of that name."""
    try:
        return _asked(run_dir, lambda registry: registry.ask("RESOLVE", name))
    except OSError:
        return last or ["unix:" + os.path.join(run_dir, name + ".sock")]


def _dialect(run_dir, name):
    try:
        rows = _asked(run_dir, lambda registry: registry.rows(name))
    except OSError as error:
        raise Error("name the dialect of %s: the registry cannot be asked (%s)" % (name, error)) from error
    for row in rows:
        for word in row[2:]:
            if row[0] == name and word.startswith("dialect="):
                return word[8:]
    raise Error("name the dialect of %s: the registry does not know it" % name)


def register(name, address, ttl=30, run_dir=None, **pairs):
    """Registers an instance of a name; the lease is renewed by a thread until `unregister`, or the end of a `with`."""
    return Registration(_checked(name), address, ttl, run_dir or _run_dir(), pairs)


class Registration:
    def __init__(self, name, address, ttl, run_dir, pairs):
        self.run_dir, self.ttl, self.lease = run_dir, ttl, None
        self.words = ["REGISTER", name, address, "ttl=%dms" % (ttl * 1000), *("%s=%s" % pair for pair in pairs.items())]
        if any(re.search(r"[ \t\r\n]", word) for word in self.words):
            raise Error("there is a blank in what is to be registered")
        try:
            self.renew()
        except OSError as error:
            raise Error("%s is not registered: the registry cannot be asked (%s)" % (name, error)) from error
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.keep, daemon=True)
        self.thread.start()

    def renew(self):
        if self.lease is not None:
            try:
                return _asked(self.run_dir, lambda registry: registry.ask("RENEW", self.lease))
            except Error as error:
                if error.kind != "unknown":
                    raise
        self.lease = _asked(self.run_dir, lambda registry: registry.ask(*self.words))[0]

    def keep(self):
        pause = self.ttl / 3
        while not self.over.wait(pause * random.uniform(0.8, 1.0)):
            try:
                self.renew()
                pause = self.ttl / 3
            except (OSError, Error):
                pause = min(1.0, self.ttl / 10)  # the registry is away: soon again

    def unregister(self):
        self.over.set()
        self.thread.join()
        try:
            _asked(self.run_dir, lambda registry: registry.ask("UNREGISTER", self.lease))
        except (OSError, Error):
            pass  # the lease will end by itself

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.unregister()
