"""A worker whose work can be counted: it appends a line to a file. It is given the tag before each request.

Usage: handler.py FILE remembers|forgets. One that remembers knows by its file which tags it has done, and does nothing
twice; each request that it is asked for again is noted in FILE.again.
"""

import os
import random
import sys
import time

path, kind = sys.argv[1:]
file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
again = os.open(path + ".again", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
text = open(path, "rb").read()
# One that was killed while it wrote has not done that.
whole = text.rfind(b"\n") + 1
os.ftruncate(file, whole)
done = {line.split(b" ")[0] for line in text[:whole].splitlines()} - {b"-"}

for line in sys.stdin.buffer:
    tag, request = line.rstrip(b"\n").split(b" ", 1)
    if tag in done:
        os.write(again, line)
    if tag == b"-" or tag not in done or kind == "forgets":
        os.write(file, line)
    if tag != b"-":
        done.add(tag)
    # Time to be killed in, between the work and the reply.
    if random.random() < 0.1:
        time.sleep(0.02)
    sys.stdout.buffer.write(b"done " + request + b"\n")
    sys.stdout.buffer.flush()
