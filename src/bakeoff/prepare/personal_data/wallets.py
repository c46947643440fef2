"""Addresses of Bitcoin and Ethereum, by their checksums where these can be computed here."""

import hashlib
import re
from collections.abc import Iterator

__all__ = ["wallets"]

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
SEGWIT = ("bc1", "tb1", "ltc1")
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
ADDRESS = re.compile(
    rf"(?<![A-Za-z0-9])(?:0x[0-9a-fA-F]{{40}}|[13LMmn2][{BASE58}]{{25,34}}|(?:bc|tb|ltc)1[{BECH32}]{{11,71}})(?![A-Za-z0-9])"
)


def wallets(text: str) -> Iterator[tuple[int, int]]:
    """Where the text holds an address; those of Ethereum have no checksum that plain hexadecimal must keep to."""
    for match in ADDRESS.finditer(text):
        address = match[0]
        if address.startswith("0x") or (_is_bech32(address) if address.startswith(SEGWIT) else _is_base58(address)):
            yield match.span()


def _is_base58(address: str) -> bool:
    """Base58Check: the last four bytes are those that the hash of the others begins with (Bitcoin's base58.h)."""
    number = 0
    for character in address:
        number = number * 58 + BASE58.index(character)
    try:
        content = number.to_bytes(25, "big")
    except OverflowError:
        return False
    return hashlib.sha256(hashlib.sha256(content[:-4]).digest()).digest()[:4] == content[-4:]


def _is_bech32(address: str) -> bool:
    """The checksums of BIP 173 and BIP 350."""
    prefix, _, data = address.rpartition("1")
    values = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + [BECH32.index(c) for c in data]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check in {1, 0x2BC830A3}
