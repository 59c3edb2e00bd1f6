"""Dockerfile, systemd unit and Kubernetes manifest of the service: what they call is there.

Docker and Kubernetes themselves are not here: that they do what the files say is theirs to keep.
"""

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from m4nmt.cli.main import build_parser
from m4nmt_serve.settings import ServeConfig

TOP = Path(__file__).resolve().parents[2]
DOCKERFILE = TOP / "serve" / "Dockerfile"
UNIT = TOP / "docs" / "examples" / "m4nmt.service"
MANIFEST = TOP / "docs" / "examples" / "serve.yaml"


def instructions() -> list[tuple[str, str]]:
    """(word, rest) of each instruction of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(w, rest.strip()) for w, _, rest in (line.partition(" ") for line in lines) if w]


def unit() -> configparser.SectionProxy:
    """The service's section."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    return parser["Service"]


def manifests() -> dict[str, Any]:
    return {found["kind"]: found for found in yaml.safe_load_all(MANIFEST.read_text())}


def pod() -> dict[str, Any]:
    found: dict[str, Any] = manifests()["Deployment"]["spec"]["template"]["spec"]
    return found


def served(words: Sequence[str]) -> Any:
    """What m4nmt makes of a command line; a wrong one ends here."""
    return build_parser().parse_args([*words])


def test_the_image_calls_m4nmt_and_holds_what_it_is_built_of() -> None:
    found = instructions()
    entry, arguments = (json.loads(dict(found)[word]) for word in ("ENTRYPOINT", "CMD"))
    assert entry[0] == "m4nmt"
    args = served([*entry[1:], *arguments])
    assert (args.host, args.port) == ("0.0.0.0", int(dict(found)["EXPOSE"]))
    assert f"127.0.0.1:{args.port}/ready" in dict(found)["HEALTHCHECK"]
    copied = [
        source
        for word, rest in found
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert all((TOP / source).exists() for source in copied)
    listed = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in listed if line.startswith("!")} == set(copied)
    assert dict(found)["USER"].split(":")[0] not in ("0", "root")


def test_the_unit_calls_m4nmt_and_leaves_it_time_to_drain() -> None:
    found = unit()
    program, *words = shlex.split(found["ExecStart"])
    assert Path(program).name == "m4nmt"
    assert served(words).verb == "serve"
    assert float(found["TimeoutStopSec"]) > ServeConfig().drain_seconds
    assert "-HUP" in found["ExecReload"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "m4nmt"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / "m4nmt.service"
    copy.write_text(UNIT.read_text().replace("/opt/m4nmt/bin/m4nmt", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=60
    )
    said = [line for line in done.stderr.splitlines() if "m4nmt.service" in line]
    assert not said, said


def test_the_pods_call_m4nmt_and_leave_it_time_to_drain() -> None:
    (container,) = pod()["containers"]
    args = served(["serve", *container["args"]])
    port = container["ports"][0]
    assert (args.host, args.port) == ("0.0.0.0", port["containerPort"])
    for probe, path in (("startup", "/ready"), ("readiness", "/ready"), ("liveness", "/health")):
        wanted = {"path": path, "port": port["name"]}
        assert container[f"{probe}Probe"]["httpGet"] == wanted
    waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod()["terminationGracePeriodSeconds"] > waits + ServeConfig().drain_seconds
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod()["volumes"]}


def test_the_address_leads_to_the_pods() -> None:
    found = manifests()
    deployed, spared = (found[kind]["spec"] for kind in ("Deployment", "PodDisruptionBudget"))
    labels = deployed["template"]["metadata"]["labels"]
    assert deployed["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert spared["selector"]["matchLabels"] == labels
    assert spared["minAvailable"] < deployed["replicas"]
