"""Notifications of Microsoft Graph as it would send them, and the product that opens them."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from archiver.sources.webhooks.graph import Graph

FIXTURES = Path(__file__).parent.parent / "fixtures" / "webhooks"
STATE = "a-secret-that-nobody-guesses"
"""The subscription's clientState."""

PRIVATE = rsa.generate_private_key(65537, 2048)


def notified(text: str = "hello", change: str = "created", **more: Any) -> bytes:
    """One notification with a chatMessage, `more` its members; encrypted and signed as Graph does."""
    content = (FIXTURES / "graph" / "message.json").read_text().replace("hello", text)
    key, pad = bytes(range(32)), PKCS7(128).padder()
    padded = pad.update(json.dumps(json.loads(content) | more).encode()) + pad.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    data = encryptor.update(padded) + encryptor.finalize()
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    encrypted = {
        "data": b64encode(data).decode(),
        "dataKey": b64encode(PRIVATE.public_key().encrypt(key, oaep)).decode(),
        "dataSignature": b64encode(hmac.digest(key, data, "sha256")).decode(),
    }
    told = {"clientState": STATE, "changeType": change, "encryptedContent": encrypted}
    return json.dumps({"value": [told]}).encode()


def graph(folder: Path, keys: Any) -> Graph:
    path = folder / "graph.pem"
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(PRIVATE.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return Graph(keys, "", path)
