"""pymemcache as programs use it, over the UNIX socket that is the one argument. Exit code 0 means that all was right."""

import sys
import threading

from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError, MemcacheIllegalInputError

SOCKET = sys.argv[1]


def same(found, expected):
    assert found == expected, f"{found!r} instead of {expected!r}"


def plain():
    client = Client(SOCKET, default_noreply=False)
    assert client.set("a", b"1")
    same(client.get("a"), b"1")
    same(client.get("missing", b"none"), b"none")
    assert not client.add("a", b"x") and client.replace("a", b"2")
    assert client.append("a", b"3") and client.prepend("a", b"1")
    same(client.get("a"), b"123")
    same(client.incr("a", 7), 130)
    same(client.decr("a", 30), 100)
    assert client.touch("a", 1000) and not client.touch("missing", 1)
    value, cas = client.gets("a")
    same(value, b"100")
    same((client.cas("a", b"y", cas), client.cas("a", b"z", cas), client.cas("missing", b"z", cas)), (True, False, None))
    same(client.get("a"), b"y")
    assert client.delete("a") and not client.delete("a")
    assert client.stats()[b"version"] and client.version().startswith(b"1.")
    client.set("text", b"no number")
    try:
        client.incr("text", 1)
        raise AssertionError("a word was incremented")
    except MemcacheClientError:
        pass
    same(client.get("text"), b"no number")
    try:
        client.get("k" * 251)
        raise AssertionError("a long key was taken")
    except MemcacheIllegalInputError:
        pass
    large = b"x" * (1 << 20)
    client.set("large", large)
    same(client.get("large"), large)
    assert client.flush_all()
    same(client.get("large"), None)
    client.quit()


def without_reply():
    client = Client(SOCKET)  # noreply is this library's default
    many = {f"many:{n}": b"%d" % n for n in range(2000)}
    client.set_many(many)
    same(client.get_many(list(many)), many)
    client.delete_many(list(many)[:1000])
    same(len(client.get_many(list(many))), 1000)
    for n in range(500):
        client.set("counter", b"%d" % n, noreply=True)
        same(client.get("counter"), b"%d" % n)
    client.incr("counter", 1, noreply=True)
    client.delete("missing", noreply=True)
    client.add("counter", b"x", noreply=True)
    same(client.get("counter"), b"500")
    client.close()


def pooled():
    client = PooledClient(SOCKET, max_pool_size=16)
    failures = []

    def work(number):
        try:
            for n in range(200):
                # Each call may use another connection, and between connections there is no order.
                client.set(f"silent:{number}", b"%d:%d" % (number, n), noreply=True)
                client.set(f"pool:{number}", b"%d:%d" % (number, n), noreply=False)
                same(client.get(f"pool:{number}"), b"%d:%d" % (number, n))
        except Exception as failure:  # told by the main thread
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    client.close()


def hashed():
    client = HashClient([SOCKET], use_pooling=True)
    same(client.set_many({f"hash:{n}": b"%d" % n for n in range(100)}), [])
    same(client.get_many(["hash:7", "hash:missing"]), {"hash:7": b"7"})
    assert client.delete("hash:7", noreply=False)
    client.close()


for part in (plain, without_reply, pooled, hashed):
    part()
    print(part.__name__, "is right")
