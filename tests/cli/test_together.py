"""`bakeoff up` on a project with a run: endpoints and tracking answer, and all of it ends on SIGTERM."""

import json
import signal
import subprocess
import sys
import threading

import httpx


def test_a_project_is_up_and_down(ran):
    command = [sys.executable, "-m", "bakeoff", "up", "--port", "0", "--ui-port", "0", "--json", "-C", str(ran)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        urls: dict[str, str] = {}
        turns = threading.Event()

        def read():
            for line in process.stdout:
                document = json.loads(line)
                if "url" in document:
                    urls[document["from"]] = document["url"]
                if document["from"] == "loop" and "report" in document:
                    turns.set()
                if len(urls) == 2:
                    both.set()

        both = threading.Event()
        threading.Thread(target=read, daemon=True).start()
        try:
            assert both.wait(60)
            row = {"review": "great film", "year": 1999}
            assert httpx.post(f"{urls['serve']}/predict", json={"row": row}, timeout=20).status_code == 200
            assert httpx.get(f"{urls['ui']}/health", timeout=20).status_code == 200
            assert turns.wait(60)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    for url in urls.values():
        try:
            httpx.get(url, timeout=2)
        except httpx.TransportError:
            continue
        raise AssertionError(f"{url} still answers")
