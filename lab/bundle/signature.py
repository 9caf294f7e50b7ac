"""Signing a statement, and finding out who signed one: `ssh-keygen -Y`, with a key that people have anyway.

Owns    the two calls, and what their answers mean
Takes   statement.json, statement.json.sig, a key, a file of allowed signers
Gives   a signature; a Check
Never   takes a signature for a person: without a file of allowed signers it is a key's, for whom nobody vouched
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from lab.bundle.checks import Check
from lab.bundle.sealed import SIGNATURE, STATEMENT
from lab.errors import BadBundle, BadInput, BadSigner, BundleError

NAMESPACE = "nightlab"
PROGRAM = "ssh-keygen"
TIMEOUT_S = 30.0
_FINGERPRINT = re.compile(r"\S+ key (SHA256:\S+)")


def sign(statement: Path, key: Path) -> Path:
    """Sign a statement; the signature's file. ssh-keygen asks for a passphrase on the terminal itself.

    Raises:
        BadInput: there is no such key.
        BundleError: it could not sign.
    """
    if not key.is_file():
        raise BadInput(
            f"there is no key {key}.", do="name an SSH key: ssh-keygen -t ed25519 makes one."
        )
    signature = statement.with_name(SIGNATURE)
    signature.unlink(missing_ok=True)  # else it asks whether it may replace it
    command = [PROGRAM, "-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE, str(statement)]
    try:
        signed = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError as error:
        raise BundleError(
            f"{PROGRAM} is not installed, and it is what signs.",
            do="install openssh-client, or leave --key away; nothing was written.",
        ) from error
    if signed.returncode or not signature.exists():
        raise BundleError(
            f"{PROGRAM} could not sign with {key}.",
            why=_last_line(signed.stderr),
            do="see that the key is yours and of mode 600; nothing was written.",
        )
    return signature


def check_signature(folder: Path, signers: Path | None) -> Check:
    """Who signed the statement in `folder`, which was checked already.

    Raises:
        BadBundle: there is a signature, and it is not of this statement.
        BadInput: there is no such file of signers.
        BadSigner: none of `signers` signed it.
    """
    if signers is not None and not signers.is_file():
        raise BadInput(f"there is no file of allowed signers {signers}.")
    signature = folder / SIGNATURE
    if not signature.exists():
        if signers is not None:
            raise BadSigner(
                "nobody signed this bundle.", do="ask the sender for one made with --key."
            )
        return _unknown("nobody signed it: whole, but from whom?")
    statement = (folder / STATEMENT).read_bytes()
    try:
        novalidate = _ask(["check-novalidate", "-n", NAMESPACE, "-s", str(signature)], statement)
        if novalidate.returncode:
            raise BadBundle(
                "signature", "it has a signature, which is not of this statement, or is none."
            )
        found = _FINGERPRINT.search(novalidate.stdout)
        key = found[1] if found else "an unnamed key"
        if signers is None:
            return _unknown(
                f"signed by the key {key}, for whom nobody vouched (--signer FILE does)"
            )
        who = _who(signature, signers, statement)
    except FileNotFoundError:
        if signers is not None:
            raise BundleError(
                f"{PROGRAM} is not installed, so nobody can say who signed.",
                do="install openssh-client, or leave --signer away.",
            ) from None
        return _unknown(f"it has a signature; {PROGRAM} is not installed to look at it")
    except subprocess.TimeoutExpired:
        raise BadBundle("signature", f"{PROGRAM} did not finish with its signature.") from None
    if who is None:
        raise BadSigner(
            f"the key {key} signed this bundle, and is not in {signers}.",
            do="see that the file names the sender's key, and that the sender is who you think.",
        )
    return Check(level=0, name="signature", passed=True, words=f"signed by {who}, key {key}")


def _who(signature: Path, signers: Path, statement: bytes) -> str | None:
    """The first of the allowed signers that signed it; None: none did."""
    files = ["-s", str(signature), "-f", str(signers)]
    found = _ask(["find-principals", *files], b"").stdout
    for principal in (name for line in found.splitlines() for name in line.split(",")):
        verify = ["verify", *files, "-n", NAMESPACE, "-I", principal]
        if _ask(verify, statement).returncode == 0:
            return ascii(principal).strip("'")
    return None


def _ask(arguments: list[str], content: bytes) -> subprocess.CompletedProcess[str]:
    answer = subprocess.run(
        [PROGRAM, "-Y", *arguments],
        input=content,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return subprocess.CompletedProcess(
        answer.args,
        answer.returncode,
        answer.stdout.decode("utf-8", "replace"),
        answer.stderr.decode("utf-8", "replace"),
    )


def _unknown(words: str) -> Check:
    return Check(level=0, name="signature", passed=None, words=words)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"
