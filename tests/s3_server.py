"""An S3 server in a process of its own: `python s3_server.py` prints its URL."""

import sys

from moto.server import ThreadedMotoServer

if __name__ == "__main__":  # pytest reads it for its docstrings
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()
