"""Takes out of a CycloneDX list where a package index would be: ``python requirements/without_index.py FILE``.

The lock names no index, so the list guesses one. Digests, which stand beside that address, are kept with the package.
"""

import json
import sys
from pathlib import Path
from typing import Any


def without_index(bom: dict[str, Any]) -> dict[str, Any]:
    """Return the list with the digests of each package, and without addresses of distributions and of tools."""
    for component in bom.get("components", []):
        for reference in component.pop("externalReferences", []):
            if reference["type"] != "distribution":
                component.setdefault("externalReferences", []).append(reference)
            elif reference.get("hashes"):
                component.setdefault("hashes", []).extend(reference["hashes"])
    for tool in bom.get("metadata", {}).get("tools", {}).get("components", []):
        tool.pop("externalReferences", None)
    return bom


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(json.dumps(without_index(json.loads(path.read_text())), indent=2, sort_keys=True) + "\n")
