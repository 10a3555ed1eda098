"""A warehouse that lets everybody in over TLS and knows one answer: ten thousand real ones would need ten thousand server processes.

usage: warehouse.py CERTIFICATE KEY MILLISECONDS    (what a sign-in takes); prints its port; ends when its input does
"""

import asyncio
import logging
import ssl
import struct
import sys

SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def message(tag, body):
    return tag + struct.pack("!i", len(body) + 4) + body


def status(name, value):
    return message(b"S", f"{name}\0{value}\0".encode())


SETTINGS = {"server_version": "15.0", "client_encoding": "UTF8", "DateStyle": "ISO, MDY", "standard_conforming_strings": "on", "TimeZone": "UTC"}
WELCOME = (
    message(b"R", struct.pack("!i", 0))
    + b"".join(status(*setting) for setting in SETTINGS.items())
    + message(b"K", struct.pack("!ii", 1, 1))
    + message(b"Z", b"I")
)
ANSWER = message(b"I", b"") + message(b"Z", b"I")  # to an empty query


async def serve(reader, writer):
    try:
        if await reader.readexactly(8) != SSL_REQUEST:
            return
        writer.write(b"S")
        await writer.start_tls(context)
        (length,) = struct.unpack("!i", await reader.readexactly(4))
        await reader.readexactly(length - 4)
        await asyncio.sleep(delay)
        writer.write(WELCOME)
        while await reader.read(4096):
            writer.write(ANSWER)
    except (OSError, asyncio.IncompleteReadError):
        pass  # the client left, as it may
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


logging.getLogger("asyncio").setLevel(logging.ERROR)  # it wonders at clients that leave
certificate, key, milliseconds = sys.argv[1:]
delay = int(milliseconds) / 1000
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
asyncio.run(main())
