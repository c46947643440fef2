"""The page in a real browser: it says nothing on the console, asks for nothing, and fits on a phone."""

import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bakeoff.report.card_html import html as card_page
from bakeoff.report.html import html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE = 375
FRAME = f"""<!doctype html><title>waiting</title>
<iframe id="f" src="/report" style="width:{PHONE}px; height:9000px; border:0"></iframe>
<script>onload = () => {{
  const page = document.getElementById("f").contentDocument.documentElement;
  document.title = `width ${{page.scrollWidth}}`;
}};</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)")


class Site:
    """Serves the report and a page with a phone's frame around it; counts what was asked for."""

    def __init__(self, report):
        pages, self.asked = {"/report": report, "/phone": FRAME}, []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                body = pages.get(self.path, "").encode()
                self.send_response(200 if self.path in pages else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module", params=["plain", "hostile", "card", "hostile card"])
def site(make, make_card, request):
    if "card" in request.param:
        site = Site(card_page(make_card(hostile="hostile" in request.param)))
        yield site
        site.close()
        return
    nasty = "<script>alert(1)</script>" + "x" * 10_000
    classes = tuple(f"{nasty[:60]}{at}" for at in range(77))
    made = make() if request.param == "plain" else make(classes=classes, text=nasty, column=nasty, winner=False)
    site = Site(html(made))
    yield site
    site.close()


def browse(tmp_path, *arguments):
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    quiet += [
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path}/p",
    ]
    return subprocess.run([CHROMIUM, *quiet, *arguments], capture_output=True, text=True, timeout=120, check=True)


def test_no_console_message_no_request_and_a_picture(site, tmp_path):
    site.asked.clear()
    shot = tmp_path / "shot.png"
    done = browse(tmp_path, "--window-size=1200,1600", f"--screenshot={shot}", f"{site.url}/report")
    assert "CONSOLE" not in done.stderr  # a request that the page's policy forbids would be told there too
    assert site.asked == ["/report"]
    assert shot.stat().st_size > 20_000


def test_nothing_is_wider_than_a_phone(site, tmp_path):
    found = browse(tmp_path, "--dump-dom", "--virtual-time-budget=5000", f"{site.url}/phone")
    width = re.search(r"<title>width (\d+)</title>", found.stdout)
    assert width is not None, found.stdout[:300]
    assert int(width[1]) <= PHONE
