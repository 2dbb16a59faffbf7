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
                stream = connection.makefile("rwb", buffering=0)
            for name in names:
                lease = leases.get(name)
                command = f"RENEW {lease}" if lease else f"REGISTER {name} tcp:127.0.0.1:{first + 1} ttl={int(ttl * 1000)}ms"
                stream.write(command.encode() + b"\n")
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
            time.sleep(ttl / 4)
        except OSError:
            stream = None
            time.sleep(0.02)


main()
