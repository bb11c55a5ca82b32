"""How fast recordings are sealed and opened, against bare AES-GCM on the same bytes; and 500 flipped bits.

python -m benchmarks.sealing [--megabytes 64] [--rounds 5] [--flips 500]
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from callreel import decrypt_recording
from callreel.errors import SealBroken
from callreel.model.sid import RecordingSid
from callreel.sealing.twilio_format import decrypt, encrypt
from callreel.sealing.video_format import encrypt_video
from callreel.spool.spool import Spool

KEY = rsa.generate_private_key(65537, 2048)
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
SID = "CR" + "1" * 32


class Nowhere(io.RawIOBase):
    """Takes everything and keeps nothing, so that only the sealing is measured."""

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        return len(data)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sealing", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--flips", type=int, default=500)
    options = parser.parse_args()
    media = os.urandom(options.megabytes << 20)
    print(json.dumps({"sealing": rates(media, options.rounds), "flipped_bits": flips(options.flips)}, indent=2))


def rates(media: bytes, rounds: int) -> dict[str, float]:
    """Medians in MB/s, interleaved so that a busy machine is busy for all of them."""
    blob = io.BytesIO()
    details = encrypt(io.BytesIO(media), blob, PUBLIC, SID)
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory) / "spool")
        spool.open()
        contenders: dict[str, Callable[[], object]] = {
            "bare_aes_gcm": lambda: AESGCM(bytes(32)).encrypt(bytes(12), media, None),
            "seal": lambda: encrypt(io.BytesIO(media), Nowhere(), PUBLIC, SID),  # type: ignore[arg-type]
            "open": lambda: decrypt(io.BytesIO(blob.getvalue()), Nowhere(), PRIVATE, details),  # type: ignore[arg-type]
            "seal_video": lambda: encrypt_video(io.BytesIO(media), Nowhere(), PUBLIC, SID),  # type: ignore[arg-type]
            "seal_in_the_spool": lambda: asyncio.run(_in_the_spool(spool)),
        }
        (spool.ready / _RE).write_bytes(media)
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, run in contenders.items():
                began = time.perf_counter()
                run()
                taken[name].append(len(media) / 1e6 / (time.perf_counter() - began))
        spool.close()
    found = {name: round(statistics.median(rates), 1) for name, rates in taken.items()}
    ratio = {f"{name}_ratio": round(found[name] / found["bare_aes_gcm"], 3) for name in found if name != "bare_aes_gcm"}
    return found | ratio


_RE = RecordingSid("RE" + "0" * 32)


async def _in_the_spool(spool: Spool) -> None:
    """As the step does it: read from disk, hash the ciphertext twice, write, fsync, rename, fsync."""
    await spool.write_sealed(_RE, partial(encrypt, public_key_pem=PUBLIC, public_key_sid=SID))


def flips(count: int) -> dict[str, int]:
    """One bit, anywhere, in each of so many recordings."""
    rng, refused, left = random.Random(1), 0, 0
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(count):
            target = io.BytesIO()
            details = encrypt(io.BytesIO(rng.randbytes(rng.randrange(44, 20_000))), target, PUBLIC, SID)
            altered = bytearray(target.getvalue())
            bit = rng.randrange(len(altered) * 8)
            altered[bit // 8] ^= 1 << bit % 8
            try:
                decrypt_recording(
                    io.BytesIO(bytes(altered)), Path(directory) / "out", private_key=PRIVATE, details=details
                )
            except SealBroken as why:
                refused += "does not match its tag" in why.message
            left += len(os.listdir(directory))
    return {"recordings": count, "refused_by_the_function": refused, "files_left": left}


if __name__ == "__main__":
    main()
