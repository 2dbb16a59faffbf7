"""A program that registers names, and renews their leases as long as it lives.

registrant.py SOCKET FIRST COUNT TTL_S   registers nFIRST … and says "registered" when all of them are
"""

import socket
import sys
import time


def main():
    path, first, count, ttl = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    names = [f"n{number}" for number in range(first, first + count)]
    leases = {}
    stream = None
    said = False
    while True:
        try:
            if stream is None:
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(path)
                stream = connection.makefile("rb")
            begun = time.monotonic()
            held = [leases.get(name) for name in names]
            anew = f"tcp:127.0.0.1:{first + 1} ttl={int(ttl * 1000)}ms"
            commands = [f"RENEW {lease}\n" if lease else f"REGISTER {name} {anew}\n" for name, lease in zip(names, held)]
            connection.sendall("".join(commands).encode())
            for name, lease in zip(names, held):
                answer = stream.readline().decode().split()
                if not answer:
                    raise OSError("closed")
                if answer[0] != "ok":
                    leases.pop(name, None)
                elif not lease:
                    leases[name] = answer[1]
            if not said and len(leases) == count:
                print("registered", flush=True)
                said = True
            time.sleep(max(0.0, begun + ttl / 5 - time.monotonic()))
        except OSError:
            stream = None
            time.sleep(0.02)


main()
