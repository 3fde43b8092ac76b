"""What no image may have: all that holdfast-check refuses, and scripts, since no image made here has
what would run them."""
import json
import subprocess

from builder.image import ROOT

CHECK = f"{ROOT}/build/host/bin/holdfast-check"


def complaints(tree):
    """One line for each thing found in it."""
    checked = subprocess.run([CHECK, "--root", tree, "--json"], capture_output=True, text=True,
                             check=False)
    if not checked.stdout:
        raise RuntimeError(f"holdfast-check {tree}: {checked.stderr}")
    report = json.loads(checked.stdout)
    for found in report["findings"]:
        if found["level"] == "error" or found["rule"] == "script":
            yield f"{found['path']}: {found['message']}"
    for said in report["diagnostics"]:
        if said["level"] == "error":
            yield f"{said.get('file', '')}:{said.get('line', '')}: {said['message']}"
