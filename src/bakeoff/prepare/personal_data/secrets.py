# ruff: noqa: E501 - patterns
"""Secrets and credentials: tokens that their issuers gave a form, private keys, passwords in links and settings.

The forms are those that the issuers document, mostly so that scanners find them (GitHub, "Secret scanning patterns").
"""

import math
import re
from collections import Counter
from collections.abc import Iterator

from bakeoff.core.scripts import UNSPACED
from bakeoff.prepare.text.plain_text import parted_text

__all__ = ["CREDENTIAL_SIGNS", "SECRET_SIGNS", "credentials", "secrets"]

Span = tuple[int, int]
B64 = "A-Za-z0-9_-"
TOKEN_SHAPES = (
    *(r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}", r"amzn\.mws\.[0-9a-f-]{36}"),  # Amazon
    *(r"gh[pousr]_[A-Za-z0-9]{36,255}", r"github_pat_[A-Za-z0-9_]{36,255}"),  # GitHub
    *(rf"glpat-[{B64}]{{20,64}}", rf"gl(?:dt|rt|cbt|ptt|ft|soat|agent|imt)-[{B64}]{{20,64}}"),  # GitLab
    *(r"npm_[A-Za-z0-9]{36}", rf"pypi-[{B64}]{{50,255}}", r"rubygems_[0-9a-f]{48}", r"oy2[a-z0-9]{43}"),  # packages
    *(rf"dckr_(?:pat|oat)_[{B64}]{{20,64}}", r"hf_[A-Za-z0-9]{30,64}", r"api_org_[A-Za-z]{34}"),
    *(r"xox[abeprs]-[A-Za-z0-9-]{10,250}", r"xapp-\d-[A-Z0-9]{8,12}-\d{8,14}-[a-f0-9]{40,70}"),  # Slack
    r"hooks\.slack\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,30}",
    *(r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,250}", r"whsec_[A-Za-z0-9+/=]{24,100}"),  # Stripe
    *(
        rf"sk-(?=[{B64}]{{0,250}}\d)[{B64}]{{20,250}}",
        r"gsk_[A-Za-z0-9]{40,64}",
        r"xai-[A-Za-z0-9]{60,100}",
        r"r8_[A-Za-z0-9]{37}",
    ),  # models
    *(r"pplx-[A-Za-z0-9]{40,64}", r"nvapi-[A-Za-z0-9_-]{60,80}", r"fw_[A-Za-z0-9]{20,32}"),
    *(rf"AIza[{B64}]{{35}}", rf"GOCSPX-[{B64}]{{28}}", rf"ya29\.[{B64}]{{20,250}}", r"[0-9]+-[a-z0-9_]{32}\.apps"),
    *(
        rf"SG\.[{B64}]{{16,32}}\.[{B64}]{{16,64}}",
        r"key-[0-9a-f]{32}",
        r"[0-9a-f]{32}-us\d{1,2}",
        r"xkeysib-[a-f0-9]{64}-\w{16}",
    ),
    *(r"do[oprt]_v1_[a-f0-9]{64}", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}", r"sq0(?:atp|csp)-[A-Za-z0-9_-]{22,43}"),
    *(r"EAAA[A-Za-z0-9_-]{60}", r"hv[sbr]\.[A-Za-z0-9_-]{20,250}", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,70}"),
    *(r"dapi[0-9a-f]{32}(?:-\d)?", r"lin_(?:api|oauth)_[A-Za-z0-9]{32,64}", r"ATATT3[A-Za-z0-9_=-]{150,220}"),
    *(r"\d{8,10}:AA[A-Za-z0-9_-]{33}", r"[MNO][A-Za-z\d_-]{23,27}\.[A-Za-z\d_-]{6}\.[A-Za-z\d_-]{27,40}"),  # bots
    *(r"pul-[a-f0-9]{40}", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}", r"NRAK-[A-Z0-9]{27}", r"glc_[A-Za-z0-9+/=]{32,400}"),
    *(
        r"glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}",
        r"sntr[ysu]{1,2}_[A-Za-z0-9+/=_-]{40,200}",
        r"dp\.(?:pt|st|ct)\.[A-Za-z0-9.]{40,60}",
    ),
    *(r"AGE-SECRET-KEY-1[A-Z0-9]{58}", r"sbp_[a-f0-9]{40}", r"fly?o1_[A-Za-z0-9_-]{43}", r"figd_[A-Za-z0-9_-]{40}"),
    *(
        r"secret_[A-Za-z0-9]{43}",
        r"ntn_[A-Za-z0-9]{46}",
        r"SK[0-9a-f]{32}",
        r"phc_[A-Za-z0-9]{43}",
        r"tskey-[a-z]+-\w+-\w+",
    ),
    *(r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_-]{32,64}", r"EZ[AT]K[A-Za-z0-9]{54}"),
    *(
        r"dt0[a-z]\d{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
        r"CCIPAT_[A-Za-z0-9_]{40,64}",
        r"shippo_(?:live|test)_[a-f0-9]{40}",
    ),
    *(
        r"sk_(?:prod|dev)_[A-Za-z0-9]{20,64}",
        r"rdme_[a-z0-9]{70}",
        r"ops_eyJ[A-Za-z0-9+/=_-]{50,2000}",
        r"cio-[A-Za-z0-9]{32}",
    ),
    *(r"b_live_[A-Za-z0-9]{20,64}", r"pk\.eyJ[A-Za-z0-9_-]{20,200}\.[A-Za-z0-9_-]{20,60}", r"sgp_[A-Za-z0-9_]{40,80}"),
    *(r"EAA[A-Z][A-Za-z0-9]{40,250}", r"tfp_[A-Za-z0-9_-]{40,80}", r"FLW(?:SECK|PUBK)(?:_TEST)?-[a-f0-9]{32}-X"),
    *(r"sk-lf-[0-9a-f-]{36}", r"vc[prkai]_[A-Za-z0-9]{24,64}", r"rpa_[A-Za-z0-9]{40,60}", r"tvly-[A-Za-z0-9-]{30,60}"),
    *(
        r"AQ[A-Za-z0-9_-]{8}~[A-Za-z0-9_~.-]{30,40}",
        r"ddp_[A-Za-z0-9]{36}",
        r"rnd_[A-Za-z0-9]{28,40}",
        r"cfut_[A-Za-z0-9]{40,64}",
    ),
    r"eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{8,4000}",  # JSON Web Token (RFC 7519)
)
TOKENS = re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(TOKEN_SHAPES)})(?![A-Za-z0-9_-])")
PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{2,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^-]|-(?!----)){0,20000}?-----END (?:[A-Z0-9]{2,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
)
# One whose end is cut off: the lines of it that are there.
CUT_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{2,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:(?:\s|\\n|\\r){0,4}[A-Za-z0-9+/=]{1,100}){0,400}"
)
BEARER = re.compile(r"(?i)\b(?:bearer|basic|token)\s{1,3}([A-Za-z0-9._~+/-]{20,4000}={0,2})(?![\w-])")
NAMES = (
    r"api[_-]?key|access[_-]?key(?:[_-]?id)?|account[_-]?key|shared[_-]?access[_-]?key|secret(?:[_-]?(?:access[_-]?)?key)?"
    r"|client[_-]?secret|auth[_-]?token|access[_-]?token|refresh[_-]?token|private[_-]?token|signing[_-]?key"
    r"|encryption[_-]?key|password|passwd|passphrase|passwort|kennwort|pwd|mot[ _-]?de[ _-]?passe|mdp|contrase[ñn]a|senha|palavra-passe|wachtwoord"
    r"|l[öo]senord|passord|adgangskode|salasana|hasło|haslo|heslo|jelsz[óo]|parola|[şs]ifre|пароль|κωδικος|סיסמה|密码|密碼|口令|パスワード"
    r"|비밀번호|mật khẩu|mat_khau|matkhau|รหัสผ่าน"
)
NAME_PARTS = (
    *(
        "key",
        "secret",
        "token",
        "pass",
        "kennwort",
        "pwd",
        "mdp",
        "contrase",
        "senha",
        "wachtwoord",
        "senord",
        "adgangskode",
    ),
    *(
        "salasana",
        "hasło",
        "haslo",
        "heslo",
        "jelsz",
        "parola",
        "ifre",
        "пароль",
        "κωδικο",
        "סיסמה",
        "密",
        "口令",
        "パスワード",
    ),
    *("비밀번호", "mật khẩu", "mat_khau", "matkhau", "รหัสผ่าน"),
)
"""One of these is in each of the names: sooner looked for."""
ASSIGNED = re.compile(
    rf"(?i)(?:{NAMES})[\"']?(?:\s{{0,3}}(?:=>|:=|[:：=>]|是|为|為|は|는|은)\s{{0,3}}|\s(?:is|ist|est|es|è|é|to)\s)(?:\"([^\"\n]{{6,200}})\"|'([^'\n]{{6,200}})'|([^\s\"',;<>\[\]{UNSPACED}\uac00-\ud7a3。，、；]{{8,200}}))"
)
# A link with a password: everything from the scheme to the last @ before the path; what is marked is user and password.
# On a command line: --password X.
OPTION = re.compile(rf"(?i)--(?:{NAMES}|token|secret)[\s=]\"?([^\s\"'$<>\[\]{{}}]{{8,200}})")
# curl -u user:password
USER_OPTION = re.compile(
    r"(?:^|\s)(?:-u|--user|--proxy-user|-U)[\s=][\"']?[^\s\"':$<>{}]{1,64}:([^\s\"'$<>{}]{3,200})", re.MULTILINE
)
# A name in a program's own names, such as settings.AUTH_TOKEN, and a call.
CODE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$|[A-Za-z_][\w.]*\(")
USERINFO = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://([^\s/?#\"'<>@:]{0,100}:[^\s/\"'<>]{1,200})@(?=[\w\[])")
CONNECTION = re.compile(r"(?i)(?:^|[;\"'\s])(?:password|pwd)\s?=\s?([^;\"'\s]{1,200})(?=;)")
LEAST_ENTROPY = 2.8  # bits for each character; words and placeholders lie below
PLACEHOLDERS = re.compile(
    r"(?i)^(?:x+|\*+|\.+|<.*>|\$\{?.*|%.*%|\{\{?.*|(?:your|my|the|some|enter|insert|replace)[_-].*|example.*|changeme|none|null|true|false)$"
)

# Several, as one pattern of all would be read ten times as slowly.
SECRET_SIGNS = (
    rf"(?i:{NAMES})[\"']?(?:[\s\x1c-\x1f]{{0,3}}[:：=>是为為は는은]|\s(?:is|ist|est|es|è|é|to)\s)",
    (
        r"PRIVATE KEY|AKIA|ASIA|ABIA|ACCA|amzn|ghp_|gho_|ghu_|ghs_|ghr_|github_pat_|npm_|pypi-|rubygems_|oy2|dckr_|hf_|api_org_|xox"
        r"|xapp-|hooks\.slack|whsec_|sk-|gsk_|xai-|r8_|pplx-|nvapi-|fw_|AIza|GOCSPX|ya29|\.apps|SG\.|key-|xkeysib|_v1_|shp|sq0"
        r"|EAA|hvs\.|hvb\.|hvr\.|atlasv1|dapi|lin_|ATATT3|:AA|pul-|PMAK|NRAK|glc_|glsa_|sntr|AGE-S|sbp_|o1_|figd_|secret_|ntn_"
        r"|phc_|tskey|eyJ|pscale_|EZAK|EZTK|CCIPAT_|shippo_|sk_|rk_|pk_|rdme_|cio-|b_live_|sgp_|tfp_|FLWSE|FLWPU|rpa_|tvly-|ddp_|rnd_|cfut_"
    ),
    r"(?i:bearer|basic|token)\s",
    r"gl[a-z]{2,5}-|-us[0-9]|dp\.[psc]t\.|dt0[a-z][0-9]|vc[prkai]_|-[uU][ =]|--(?:user|proxy-user)",
    rf"--(?i:{NAMES}|token|secret)",
    r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.|SK[0-9a-f]{32}|pat[A-Za-z0-9]{14}\.|AQ[A-Za-z0-9_-]{8}~",
)
CREDENTIAL_SIGNS = (r"://[^\s/@]{0,100}:", r"(?i:password|pwd)[\s\x1c-\x1f]?=")


def secrets(text: str) -> Iterator[Span]:
    """Where the text holds a token, a private key or an assigned secret."""
    if "PRIVATE KEY" in text:
        yield from (match.span() for match in PRIVATE_KEY.finditer(text))
        yield from (match.span() for match in CUT_KEY.finditer(text))
    parted = parted_text(text)
    yield from (match.span() for match in TOKENS.finditer(parted))
    for match in BEARER.finditer(parted):
        if any(character.isdigit() for character in match[1]) and _entropy(match[1]) >= LEAST_ENTROPY:
            yield match.span(1)
    lowered = text.lower()
    for match in ASSIGNED.finditer(text) if any(part in lowered for part in NAME_PARTS) else ():
        group = next(number for number in (1, 2, 3) if match[number] is not None)
        if _is_secret(match[group], quoted=group < 3):  # noqa: PLR2004 - the last group has no quotes
            yield match.span(group)
    for match in OPTION.finditer(parted) if "--" in text else ():
        if _is_secret(match[1], quoted=False):
            yield match.span(1)
    for match in USER_OPTION.finditer(text) if "-u" in text or "-U" in text else ():
        if not PLACEHOLDERS.match(match[1]):
            yield match.span(1)


def credentials(text: str) -> Iterator[Span]:
    """Where the text holds user and password in a link, or a password in a connection string."""
    if "://" in text:
        yield from (match.span(1) for match in USERINFO.finditer(parted_text(text)))
    for match in CONNECTION.finditer(text) if "=" in text else ():
        if not PLACEHOLDERS.match(match[1]):
            yield match.span(1)


def _is_secret(value: str, *, quoted: bool) -> bool:
    """Words are no secrets; what mixes digits, cases or signs, or is hard to foresee, may be one."""
    if PLACEHOLDERS.match(value) or (not quoted and (" " in value or CODE.match(value))):
        return False
    kinds = sum(
        any(test(character) for character in value)
        for test in (str.isdigit, str.islower, str.isupper, lambda c: not c.isalnum() and not c.isspace())
    )
    has_digit = any(character.isdigit() for character in value)
    mixed = has_digit or kinds >= 3 or (quoted and kinds >= 2 and " " not in value)  # noqa: PLR2004
    return mixed and _entropy(value) >= min(LEAST_ENTROPY, math.log2(len(value)) * 0.85)


def _entropy(text: str) -> float:
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)
