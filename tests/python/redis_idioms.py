"""What programs do with Redis, through a UNIX socket: redis_idioms.py SOCKET. Exits 0 if all of it works."""

import sys
import threading
import time

import redis
from redis.cache import CacheConfig

SOCKET = sys.argv[1]


def connect(protocol, **options):
    return redis.Redis(unix_socket_path=SOCKET, protocol=protocol, decode_responses=True, **options)


def plain(r):
    assert r.ping()
    assert r.set("k", "v") and r.get("k") == "v"
    assert r.hset("h", mapping={"a": 1, "b": 2}) == 2
    assert r.hgetall("h") == {"a": "1", "b": "2"}
    assert r.incr("n") == 1
    r.zadd("z", {"x": 1.5, "y": 2})
    assert [name for name, _ in r.zrange("z", 0, -1, withscores=True)] == ["x", "y"]
    assert sorted(r.scan_iter("?")) == ["h", "k", "n", "z"]


def pipelines(r):
    with r.pipeline(transaction=False) as pipe:
        for number in range(500):
            pipe.set(f"p:{number}", number).get(f"p:{number}")
        replies = pipe.execute()
    assert replies[1::2] == [str(number) for number in range(500)]
    with r.pipeline(transaction=True) as pipe:
        pipe.incr("n").incrby("n", 10).get("n")
        assert pipe.execute()[2] == "12"


def transactions(r):
    """Counts with WATCH, eight threads against each other."""

    def add(count):
        mine = connect(r.connection_pool.connection_kwargs["protocol"])
        for _ in range(count):
            mine.transaction(lambda pipe: (value := int(pipe.get("counter") or 0), pipe.multi(), pipe.set("counter", value + 1)), "counter")
        mine.close()

    threads = [threading.Thread(target=add, args=(10,)) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert r.get("counter") == "80", r.get("counter")


def subscriptions(r):
    with r.pubsub() as pubsub:
        pubsub.subscribe("news")
        pubsub.psubscribe("we*")
        assert pubsub.get_message(timeout=10)["type"] == "subscribe"
        assert pubsub.get_message(timeout=10)["type"] == "psubscribe"
        assert r.publish("news", "one") == 1
        assert r.publish("weather", "two") == 1
        messages = [pubsub.get_message(timeout=10) for _ in range(2)]
        assert [message["data"] for message in messages] == ["one", "two"], messages
        pubsub.unsubscribe()
        pubsub.punsubscribe()


def queues(r):
    """Eight workers wait, a producer gives."""
    taken = []

    def work():
        mine = connect(r.connection_pool.connection_kwargs["protocol"])
        while (item := mine.blpop(["queue"], timeout=20))[1] != "end":
            taken.append(item[1])
        mine.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    for number in range(100):
        r.rpush("queue", number)
    r.rpush("queue", *["end"] * 8)
    [thread.join() for thread in threads]
    assert sorted(map(int, taken)) == list(range(100))
    assert r.blpop(["nothing"], timeout=1) is None
    assert r.blmove("nothing", "other", timeout=1) is None


def scripts(r):
    add = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert add(keys=["scripted"], args=[5]) == 5
    assert add(keys=["scripted"], args=[5]) == 10
    with r.pipeline() as pipe:
        add(keys=["scripted"], args=[1], client=pipe)
        assert pipe.execute() == [11]


def streams(r):
    r.xgroup_create("stream", "group", id="0", mkstream=True)
    for number in range(10):
        r.xadd("stream", {"number": number})
    read = r.xreadgroup("group", "one", {"stream": ">"}, count=4)
    entries = read["stream"][0] if isinstance(read, dict) else read[0][1]
    assert len(entries) == 4
    assert r.xack("stream", "group", *[entry[0] for entry in entries]) == 4
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(r.xread({"stream": "$"}, block=20000)))
    waiting.start()
    while waiting.is_alive():
        r.xadd("stream", {"late": 1})
        time.sleep(0.01)
    waiting.join()
    assert answers and answers[0]
    assert r.xinfo_groups("stream")[0]["pending"] == 0


def locks(r):
    order = []

    def enter(name):
        mine = connect(r.connection_pool.connection_kwargs["protocol"])
        with mine.lock("door", timeout=20, sleep=0.01):
            order.append(name)
            time.sleep(0.01)
            order.append(name)
        mine.close()

    threads = [threading.Thread(target=enter, args=(name,)) for name in range(5)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert order[::2] == order[1::2] and len(order) == 10, order


def pools(r):
    """Thirty threads over one pool of the library's."""

    def work(number):
        for turn in range(20):
            assert r.set(f"t:{number}", turn) and r.get(f"t:{number}") == str(turn)
            with r.pipeline() as pipe:
                assert pipe.incr(f"c:{number}").get(f"t:{number}").execute() == [turn + 1, str(turn)]

    failures = []

    def guarded(number):
        for _ in range(1000):
            try:
                return work_once(number)
            except redis.ResponseError as error:
                if not str(error).startswith("CONBUSY"):
                    raise
                time.sleep(0.01)

    def work_once(number):
        r.delete(f"c:{number}")
        work(number)

    def thread(number):
        try:
            guarded(number)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(30)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    assert not failures, failures


def databases(_):
    one, two = connect(2, db=1), connect(3, db=2, client_name="two")
    one.set("where", "one")
    two.set("where", "two")
    assert (one.get("where"), two.get("where")) == ("one", "two")
    assert two.client_getname() == "two"
    assert connect(2).get("where") is None


def caching(_):
    r = connect(3, cache_config=CacheConfig())
    other = connect(2)
    other.set("cached", "old")
    assert r.get("cached") == "old" and r.get("cached") == "old"
    other.set("cached", "new")
    for _ in range(1000):
        if r.get("cached") == "new":
            return
        time.sleep(0.01)
    raise AssertionError("the change was never noticed")


def main():
    for protocol in (2, 3):
        r = connect(protocol)
        r.flushall()
        for idiom in (plain, pipelines, transactions, subscriptions, queues, scripts, streams, locks, pools):
            idiom(r)
            print(f"RESP{protocol} {idiom.__name__}")
        r.close()
    for idiom in (databases, caching):
        idiom(None)
        print(idiom.__name__)


main()
