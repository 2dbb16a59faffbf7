"""Drives clients/tieline.py: driver.py DIALECT said|known. One step per line of standard input, one line per outcome."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "clients"))
import tieline

DIALECT = sys.argv[1]
SAID = DIALECT if sys.argv[2] == "said" else None
clients = {}


def client(name):
    if name not in clients:
        clients[name] = tieline.Client(name, dialect=SAID, patience=0.3)
    return clients[name]


def request(text):
    return text.split(" ") if DIALECT == "resp" else text


def tell(outcome):
    body = str(outcome.id) if outcome.kind == "delayed" else outcome.body.decode()
    print(outcome.kind, body.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n"), sep="\t", flush=True)


for line in sys.stdin:
    verb, name, *requests = line.rstrip("\n").split("\t")
    if verb == "ask":
        tell(client(name).request(request(requests[0])))
    elif verb == "deferred":
        try:
            tell(client(name).request_deferred(request(requests[0])))
        except tieline.NotDeferred as error:
            print("refused", error, sep="\t", flush=True)
    elif verb == "pipeline":
        for text in requests:
            client(name).send(request(text))
        for _ in requests:
            tell(client(name).receive())
