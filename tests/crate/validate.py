"""Validate RO-Crates without a network: `python validate.py CACHE SEVERITY FOLDER...`, in an environment of its own.

roc-validator wants another version of rich than the lab, so it lives in a virtual environment beside it, from
requirements/crate.lock. What it would fetch is put into its own cache first: context.json stands there for the
RO-Crate 1.1 context, and has just the terms that a bundle uses, with the meaning that the published one gives them.

Prints one JSON line a folder: what is wrong, as a list of [severity, check, message].
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from urllib3 import HTTPResponse

CONTEXT = Path(__file__).with_name("context.json")
ADDRESS = "https://w3id.org/ro/crate/1.1/context"


class OneAnswer(HTTPAdapter):
    """Every request gets the context."""

    def send(
        self, request: requests.PreparedRequest, *_: object, **__: object
    ) -> requests.Response:
        raw = HTTPResponse(
            body=io.BytesIO(CONTEXT.read_bytes()),
            headers={"Content-Type": "application/ld+json"},
            status=200,
            preload_content=False,
            request_method="GET",
            request_url=str(request.url),
        )
        return self.build_response(request, raw)


def fill(cache: Path) -> None:
    session = CachedSession(str(cache), backend="sqlite", expire_after=-1)
    session.mount("https://", OneAnswer())
    session.get(ADDRESS)
    session.close()


def main(cache: Path, severity: str, folders: list[str]) -> None:
    fill(cache)
    for folder in folders:
        result = services.validate(
            ValidationSettings(
                rocrate_uri=folder,
                profile_identifier="process-run-crate",
                requirement_severity=Severity[severity],
                offline=True,
                cache_path=cache,
                skip_availability_check=False,
            )
        )
        issues = [
            [issue.severity.name, issue.check.identifier, issue.message]
            for issue in result.get_issues()
        ]
        print(json.dumps(issues))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
