"""What a scanner of web sites looks for in an answer: rules of OWASP ZAP, passive and active, by their numbers."""

import re

PRODUCT = "36872"
"""What 9218 * 4 comes to: a template or a formula that was worked out says it."""
PAYLOADS = (
    # SQL (40018), templates (90035), scripts (40012), commands (90020), code (90019), server-side includes (40009)
    (
        "'\"`;--) OR '1'='1' /*<script>alert(9)</script>{{9218*4}}${9218*4}<%= 9218*4 %>#{9218*4}"
        '$(id)|id;<!--#exec cmd="id"-->'
    ),
    # paths (6), other files (7), addresses of clouds (90034), line ends in headers (40003), the end of a text (30001)
    (
        "../../../../../../etc/passwd%00..%2f..\\..\\windows\\win.ini file:///etc/passwd "
        "http://169.254.169.254/latest\r\nX-Planted: 1\0"
    ),
    # formats (30002), XML (90023), LDAP and XPath (40015, 90021), log4j (40043), numbers that are none, length (30001)
    "%n%s%x<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>&b;*)(uid=*))]|//*${jndi:ldap://x/a}1e999"
    + "A" * 3000,
)
TOLD = {
    "a file of the machine (6)": re.compile(r"root:.{0,8}:0:0:|\[fonts\]|uid=0\("),
    "a stack trace (10023)": re.compile(r"Traceback \(most recent|File \"[^\"]+\.py\"|\.py\", line \d|site-packages"),
    "words of a database (40018)": re.compile(r"sqlite3\.|OperationalError|psycopg|sqlalchemy|near \"[^\"]*\": syntax"),
    "what a template came to (90035)": re.compile(rf"(?<!\d){PRODUCT}(?!\d)"),
    "words of a server (10009)": re.compile(r"uvicorn/|Starlette/|Python/3", re.IGNORECASE),
    "an address inside of a network (2)": re.compile(r"\b(10|192\.168)\.\d+\.\d+\.\d+\b"),
}


def faults(answer, *, sent=""):
    """What a scanner would report of an answer, higher than "informational", in words.

    Args:
        answer: of httpx.
        sent: a text of the request, which must not come back as markup.
    """
    headers, kind, text = answer.headers, answer.headers.get("content-type", ""), answer.text
    is_page, reads = kind.startswith("text/html"), answer.request.method in {"GET", "HEAD"}
    policy, kept = headers.get("content-security-policy", ""), headers.get("cache-control", "")
    location, made_of = headers.get("location", "/"), {"server", "x-powered-by", "x-aspnet-version", "via"}
    wrong = {
        "a server's failure": answer.status_code >= 500 and answer.status_code != 503,
        "no type of its content (10019)": bool(answer.content) and not kind,
        "no charset (90011)": is_page and "charset=utf-8" not in kind,
        "types may be guessed (10021)": headers.get("x-content-type-options") != "nosniff",
        "a copy may be kept (10015, 10049)": reads and not re.search("no-store|no-cache|immutable", kept),
        "other sites may embed it (90004)": reads and headers.get("cross-origin-resource-policy") != "same-origin",
        "other origins may read it (10098)": any(name.startswith("access-control-") for name in headers),
        "it may be framed (10020, 10055)": is_page and "frame-ancestors 'none'" not in policy,
        "its policy is open (10038, 10055)": is_page and bool(re.search(r"unsafe|\*|https?:", policy)),
        "where one was is told elsewhere (10025)": is_page and headers.get("referrer-policy") != "same-origin",
        "devices may be used (10063)": is_page and "permissions-policy" not in headers,
        "it says what it is made of (10036, 10037)": not made_of.isdisjoint(headers),
        "a header was planted (40003)": "x-planted" in headers,
        "a redirect leads elsewhere (10028, 20019)": not location.startswith(("/", "http://testserver/")),
        "a redirect with a page (10044)": "location" in headers and len(answer.content) > 200,
        "what was sent is markup (40012)": is_page and "<" in sent and sent[:60] in text,
        "a script of another site (10017)": is_page and bool(re.search(r"<script[^>]+src=[\"']?(https?:)?//", text)),
        "a form without its token (10202)": is_page and "cookie" in answer.request.headers and _tokenless(text),
    } | {name: bool(said.search(text.replace(sent, "") if sent else text)) for name, said in TOLD.items()}  # fmt: skip
    for cookie in headers.get_list("set-cookie"):
        wrong |= {
            "scripts read a cookie (10010)": "httponly" not in cookie.lower(),
            "other sites send a cookie (10054)": not re.search("samesite=(lax|strict)", cookie.lower()),
            "a cookie of other hosts (90033)": "domain=" in cookie.lower(),
        }
    return [name for name, is_so in wrong.items() if is_so]


def _tokenless(text):
    forms = re.findall(r'<form[^>]*method="post".*?</form>', text, re.DOTALL)
    return any('name="csrf"' not in each for each in forms)
