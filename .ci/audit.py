"""Whether what is installed has known advisories: python .ci/audit.py FOLDER, a folder of installed packages.

Asks the package index by pip-audit. Fails for an advisory that was found. Where the index gives no advisories, or cannot be
reached, says that nothing was checked, and does not fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def main(folder: str) -> int:
    """The exit code."""
    command = ["uvx", "-q", "pip-audit", "-s", "pypi", "--path", folder, "-f", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"advisories: NOT CHECKED: {(done.stderr.strip() or 'no reply').splitlines()[-1]}")
        return 0
    code, text = judge(packages)
    print(text)
    return code


def judge(packages: list[dict[str, Any]]) -> tuple[int, str]:
    """The exit code and what to say, of pip-audit's report on each package."""
    checked = [each for each in packages if "skip_reason" not in each]
    found = [f"{each['name']} {each['version']}: {vuln['id']}" for each in checked for vuln in each["vulns"]]
    if not checked:
        return 0, f"advisories: NOT CHECKED: the index tells of none of the {len(packages)} packages"
    skipped = f"; NOT CHECKED: {len(packages) - len(checked)} that the index does not tell of" if checked != packages else ""
    return int(bool(found)), "\n".join([f"advisories: {len(found)} in {len(checked)} packages{skipped}", *found])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
