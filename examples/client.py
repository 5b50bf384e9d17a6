#!/usr/bin/env python3
"""client.py [-s SOCKET] WORD…: sends one request and prints the reply; a client of gantry in Python's standard library.

Rows come out as JSON objects, log lines on stdout and stderr byte for byte. Exits 0 for OK, 1 for ERR, and with the
container's exit status where the reply tells one.
"""
import json, os, re, socket, sys

ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"e": b"\x1b"}


def quote(word):
    """A word as a request holds it, whatever bytes it is of."""
    return b'"' + b"".join(b"\\x%02x" % b if b < 32 or b > 126 or b in b'"\\' else bytes([b]) for b in word) + b'"'


def unquote(value):
    """The bytes of a reply's value: bare, or in quotes with escapes."""
    def meant(found):
        byte, point, other = found.groups()
        return bytes([int(byte, 16)]) if byte else chr(int(point, 16)).encode() if point else ESCAPES.get(other, other)
    return re.sub(rb"\\(?:x(..)|u\{(\w+)\}|(.))", meant, value[1:-1]) if value[:1] == b'"' else value


def pairs(text):
    """The key=value words of a line."""
    found = re.findall(rb'([a-z][a-z0-9-]*)=("(?:[^"\\]|\\.)*"|\S*)', text)
    return {key.decode(): unquote(value).decode(errors="replace") for key, value in found}


def main(path, words):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        if "attach=yes" in words or words[0] == "logs":
            words.insert(1, "text=quoted")  # log text byte for byte, so that binary output survives
        connection.sendall(b" ".join(quote(os.fsencode(word)) for word in words) + b"\n")
        for line in connection.makefile("rb"):
            head, _, rest = line.rstrip(b"\n").partition(b" ")
            if head == b"LOG":
                stream, _, text = rest.partition(b" ")
                out = sys.stderr.buffer if stream.startswith(b"stderr") else sys.stdout.buffer
                out.write(unquote(text) + (b"" if stream.endswith(b"+") else b"\n"))
                out.flush()
            elif head == b"ERR":
                sys.exit(rest.decode())
            elif head == b"OK" and "exit" in pairs(rest):
                sys.exit(int(pairs(rest)["exit"] or 0))
            elif head != b"PROGRESS":
                print(json.dumps(pairs(rest)) if head in (b"ROW", b"OK", b"EVENT") else rest.decode(), flush=True)
            if head == b"OK":
                sys.exit(0)
    sys.exit(f"client.py: no answer from {path}")


if __name__ == "__main__":
    arguments, path = sys.argv[1:], os.environ.get("GANTRY_SOCKET", "/run/gantry/gantry.sock")
    if arguments[:1] == ["-s"]:
        path, arguments = arguments[1], arguments[2:]
    main(path, arguments) if arguments else sys.exit(__doc__.splitlines()[0])
