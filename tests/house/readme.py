"""The generated parts of README.md: read from the registries, written between markers.

python -m tests.house.readme        write them anew (make readme)
"""

import re
import subprocess
import sys

from tests.house.sources import ROOT

README = ROOT / "README.md"
SECTION = re.compile(r"(<!-- (\w+): generated -->\n).*?(<!-- end -->)", re.S)


def table_of(module: str, verb: str) -> str:
    """What `python -m MODULE VERB` prints: a Markdown table of its registry."""
    done = subprocess.run([sys.executable, "-m", module, verb], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout


def generated(name: str) -> str:
    return table_of(*{"commands": ("miniredis", "commands"), "apis": ("minikafka", "apis")}[name])


def written_anew(text: str) -> str:
    return SECTION.sub(lambda found: f"{found[1]}{generated(found[2]).strip()}\n{found[3]}", text)


if __name__ == "__main__":
    README.write_text(written_anew(README.read_text()))
