"""The standards that a bundle says it keeps, each asked of the library or the program that people check it with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import bagit
import pytest

from lab.bundle.export import Wanted, export
from lab.bundle.sealed import tag_manifest
from lab.bundle.unpacked import opened
from lab.bundle.verify import verify_file
from lab.errors import BadBundle, BadInput, BadSigner, BundleError
from lab.ledger import Record
from lab.settings import CHECKOUT, Settings
from tests.unit.exported import make_campaign, make_facts, make_settings, member, pack, unpack

LOCK = CHECKOUT / "requirements" / "crate.lock"
VALIDATE = CHECKOUT / "tests" / "crate" / "validate.py"

# What the profile would like, and what nobody knows: an agent is a program and mostly has no version, neither it nor
# an image has an address that is promised to last, and a bundle names no author or publisher: a signature does.
NOT_FOLLOWED = {
    "The Application SHOULD have a url",
    "The SoftwareApplication id SHOULD be an absolute URI",
    "The SoftwareApplication SHOULD have a version or softwareVersion",
    "The Action SHOULD have an agent that is a Person or Organization",
    "The `publisher` property of a `Root Data Entity` SHOULD be an `Organization`",
    "The Root Data Entity SHOULD have a link to a Contextual Entity representing the `author` of the RO-Crate",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A campaign with experiments of every ending, some of them a person's."""

    def by_hand(record: Record) -> Record:
        return replace(record, agent="human") if record.number == 4 else record

    settings = make_settings(tmp_path_factory.mktemp("made"))
    make_campaign(settings, experiments=40, change=by_hand)
    return settings


@pytest.fixture
def bag(made: Settings, tmp_path: Path) -> Path:
    """A bundle, unpacked by tar."""
    export(made, tmp_path / "b.tar.zst", Wanted(), print)
    (tmp_path / "b.tar").write_bytes(unpack((tmp_path / "b.tar.zst").read_bytes()))
    subprocess.run(["tar", "-xf", "b.tar"], cwd=tmp_path, check=True)
    return tmp_path / "nightlab-nov23"


@pytest.fixture(scope="module")
def validator() -> Path:
    """The python of an environment with roc-validator; made once for each lock."""
    place = CHECKOUT / ".nightlab" / f"crate-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    if not (place / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
        ]
        subprocess.run([str(place / "bin" / "python"), *install, "-r", str(LOCK)], check=True)
        (place / "ready").touch()
    return place / "bin" / "python"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # bagit's own
def test_it_is_a_bag(bag: Path) -> None:
    """BagIt, as the Library of Congress's own library reads it."""
    found = bagit.Bag(str(bag))
    found.validate()
    assert found.version == "1.0" and found.info["External-Identifier"] == "nov23"
    (bag / "data" / "results.tsv").write_text("better\n")
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(bag)).validate()


@pytest.mark.network
@pytest.mark.slow
def test_it_is_a_process_run_crate(bag: Path, validator: Path, tmp_path: Path) -> None:
    """RO-Crate 1.1 and the Process Run Crate profile, without a network; a broken crate is noticed."""
    broken = tmp_path / "broken"
    shutil.copytree(bag / "data", broken)
    crate = json.loads((broken / "ro-crate-metadata.json").read_text())
    for entity in crate["@graph"]:
        entity.pop("instrument", None)
    (broken / "ro-crate-metadata.json").write_text(json.dumps(crate))
    command = [str(validator), str(VALIDATE), str(tmp_path / "cache"), "RECOMMENDED"]
    answer = subprocess.run(
        [*command, str(bag / "data"), str(broken)],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    ours, theirs = (json.loads(line) for line in answer.stdout.splitlines())
    assert {message for _, _, message in ours} <= NOT_FOLLOWED, ours
    assert not any(severity == "REQUIRED" for severity, _, _ in ours)
    assert any(severity == "REQUIRED" for severity, _, _ in theirs)


def test_the_terms_of_the_crate_are_those_that_were_checked(bag: Path) -> None:
    """The tests' context is a part of the published one; a term outside it was never looked up there."""
    known = json.loads(VALIDATE.with_name("context.json").read_text())["@context"].keys()
    crate = json.loads((bag / "data" / "ro-crate-metadata.json").read_text())
    used = {name for entity in crate["@graph"] for name in entity if name[0] != "@"}
    assert used | {entity["@type"] for entity in crate["@graph"]} == set(known)


def test_the_statement_names_every_file_and_what_made_them(made: Settings, bag: Path) -> None:
    """in-toto Statement v1 with SLSA provenance v1: what other tools look for, where they look for it."""
    statement = json.loads((bag / "statement.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    files = {"manifest-sha256.txt"} | {
        path.relative_to(bag).as_posix() for path in (bag / "data").rglob("*") if path.is_file()
    }
    assert subjects == {
        name: hashlib.sha256((bag / name).read_bytes()).hexdigest() for name in files
    }
    definition = statement["predicate"]["buildDefinition"]
    facts = make_facts(made)
    assert definition["externalParameters"]["profile"] == facts.profile
    digests = {one["uri"]: one["digest"]["sha256"] for one in definition["resolvedDependencies"]}
    assert facts.image_id == "sha256:" + digests["urn:nightlab:image"]
    assert digests["urn:nightlab:harness"] == facts.harness_sha256
    assert digests["urn:nightlab:data"] == facts.data_sha256
    assert statement["predicate"]["runDetails"]["builder"]["id"]


def test_a_statement_that_says_something_else_is_refused(bag: Path, tmp_path: Path) -> None:
    """With its manifests and its seal made again: there is one statement for each payload."""
    files = {
        path.relative_to(bag).as_posix(): path.read_bytes()
        for path in bag.rglob("*")
        if path.is_file()
    }
    statement = json.loads(files["statement.json"])
    statement["predicate"]["buildDefinition"]["externalParameters"]["profile"] = "gpu"
    files["statement.json"] = json.dumps(statement, indent=1, sort_keys=True).encode() + b"\n"
    del files["tagmanifest-sha256.txt"]
    tags = {name: content for name, content in files.items() if not name.startswith("data/")}
    files["tagmanifest-sha256.txt"] = tag_manifest(tags)
    (tmp_path / "c.tar.zst").write_bytes(
        pack([member(name, files[name]) for name in sorted(files)])
    )
    with pytest.raises(BadBundle) as caught, opened(tmp_path / "c.tar.zst"):
        pass
    assert caught.value.check == "statement"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """Two SSH keys: the sender's, and another."""
    for name in ("sender", "other"):
        command = [
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            name,
            "-f",
            str(tmp_path / name),
        ]
        subprocess.run(command, check=True)
    return tmp_path / "sender", tmp_path / "other"


def allow(key: Path, name: str) -> Path:
    """A file of allowed signers that vouches for one key."""
    file = key.with_suffix(".signers")
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    file.write_text(f'{name} namespaces="nightlab" {public}\n')
    return file


def test_a_signature_says_who_and_only_if_somebody_vouches(
    made: Settings, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """Anybody can sign; a key's name means something only to those who know whose it is."""
    sender, other = keys
    file = export(made, tmp_path / "b.tar.zst", Wanted(key=sender), print).file
    lines: list[str] = []
    unknown = verify_file(file, signers=None, say=lines.append)[-1]
    listed = subprocess.check_output(["ssh-keygen", "-lf", f"{sender}.pub"], text=True).split()[1]
    assert unknown.passed is None and listed in unknown.words and "nobody vouched" in unknown.words
    known = verify_file(file, signers=allow(sender, "ann@example.org"), say=lines.append)[-1]
    assert known.passed is True and "ann@example.org" in known.words
    with pytest.raises(BadSigner) as caught:
        verify_file(file, signers=allow(other, "bob@example.org"), say=lines.append)
    assert listed in caught.value.what and caught.value.exit_code == 13
    with pytest.raises(BadInput):
        verify_file(file, signers=tmp_path / "absent", say=lines.append)
    assert (
        export(made, tmp_path / "c.tar.zst", Wanted(key=sender), print).sha256
        == hashlib.sha256(file.read_bytes()).hexdigest()
    ), "an ed25519 signature is the same every time"


def test_a_bundle_without_a_signature_does_not_pass_for_a_signed_one(
    made: Settings, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """Taking the signature away must not be a way around --signer."""
    file = export(made, tmp_path / "b.tar.zst", Wanted(), print).file
    with pytest.raises(BadSigner, match="nobody signed"):
        verify_file(file, signers=allow(keys[0], "ann"), say=print)


def test_a_signature_of_something_else_is_refused(
    made: Settings, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signature that somebody gave for another night, under this one."""
    from lab.bundle import export as exporting
    from lab.bundle.signature import sign

    def sign_another(statement: Path, key: Path) -> Path:
        other = tmp_path / "another" / "statement.json"
        other.parent.mkdir()
        other.write_text("{}")
        shutil.copyfile(sign(other, key), statement.with_name("statement.json.sig"))
        return statement.with_name("statement.json.sig")

    monkeypatch.setattr(exporting, "sign", sign_another)
    with pytest.raises(BadBundle, match="signature"):
        export(made, tmp_path / "b.tar.zst", Wanted(key=keys[0]), print)
    assert not (tmp_path / "b.tar.zst").exists()


def test_without_ssh_keygen_a_signature_could_not_be_looked_at(
    made: Settings, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing program is no forged signature, and no good one."""
    file = export(made, tmp_path / "b.tar.zst", Wanted(key=keys[0]), print).file
    signers = allow(keys[0], "ann")
    monkeypatch.setattr("lab.bundle.signature.PROGRAM", str(tmp_path / "absent"))
    check = verify_file(file, signers=None, say=print)[-1]
    assert check.passed is None and "not installed" in check.words
    with pytest.raises(BundleError, match="not installed"):
        verify_file(file, signers=signers, say=print)
    with pytest.raises(BundleError, match="not installed"):
        export(made, tmp_path / "c.tar.zst", Wanted(key=keys[0]), print)


@pytest.mark.parametrize("content", ["", "no key at all\n"])
def test_a_key_that_cannot_sign_costs_nothing(made: Settings, tmp_path: Path, content: str) -> None:
    """The wrong file after --key: an error, and no bundle that looks signed."""
    key = tmp_path / "key"
    key.write_text(content)
    key.chmod(0o600)
    with pytest.raises(BundleError, match="could not sign"):
        export(made, tmp_path / "b.tar.zst", Wanted(key=key), print)
    with pytest.raises(BadInput):
        export(made, tmp_path / "b.tar.zst", Wanted(key=tmp_path / "absent"), print)
    assert not (tmp_path / "b.tar.zst").exists()
