"""Invented data of each kind. What looks like a live secret is put together here, so that no scanner of this repository
takes it for one."""

from __future__ import annotations

_BASE64 = "kT9vQ2mXr7LpZc4Wb8NdYs1HfUg6JeAo3RiVtKxE5q"


def base64_text(length: int, start: int = 0) -> str:
    """Letters and digits that look random."""
    return "".join(_BASE64[(start + index * 17 + index // 7) % len(_BASE64)] for index in range(length))


def hex_text(length: int) -> str:
    """Hexadecimal digits that look random."""
    return "".join("0123456789abcdef"[(index * 7 + index // 3 + 5) % 16] for index in range(length))


GITHUB = "ghp" + "_" + base64_text(36)
PEM = "\n".join(
    ["-----BEGIN RSA " + "PRIVATE KEY-----", *(base64_text(64, line) for line in range(4)), "q7Zt==",
     "-----END RSA " + "PRIVATE KEY-----"]
)  # fmt: skip
SAMPLES = {
    "private_key": '"""' + PEM + '"""',
    "url_credentials": '"postgres://tokoro:' + 'v8Kq!z2p@db.kvanto.org/main"',
    "token": f'"{GITHUB}"',
    "ssh_key": '"ssh-' + "ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + base64_text(43) + ' tamsin@laptop"',
    "password": "{'password': '" + "hunt3r#77'}",
    "email": '"ann.lee@kvanto.org"',
    "name": "1  # @author Tamsin Okoro",
    "ip": '"81.2.69.142"',
    "phone": '"+44 20 7946 1234"',
    "card": '"4929 1234 5678 9015"',
}
"""Kind → an expression in Python that holds one such thing."""
TEXT = f'''# Author: Tamsin Okoro <ann.lee@kvanto.org>
# TODO(tokoro): ask ann.lee@kvanto.org, or bo@kvanto.org
hosts = ["81.2.69.142", "2a01:4f8:10a::7"]
token = "{GITHUB}"
login(user="x", password="hunt3r#77")
url = {SAMPLES["url_credentials"]}
key = {SAMPLES["private_key"]}
public = {SAMPLES["ssh_key"]}
'''
"""A Python file with all that is replaced by default."""
