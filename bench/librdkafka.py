"""The C load tool `rdkafka_performance`, built once from the source that the npm package node-rdkafka carries."""

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

PACKAGE = "node-rdkafka@3.6.1"  # carries librdkafka 2.12
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "librdkafka-2.12"
SUMMARY = re.compile(r"in (\d+)ms: (\d+) msgs/s")


def load_tool() -> Path:
    """Path of the tool; builds it when the cache lacks it (about 90 s). RuntimeError names what is missing."""
    source = CACHE / "package" / "deps" / "librdkafka"
    tool = source / "examples" / "rdkafka_performance"
    if tool.exists():
        return tool
    for command in ("npm", "gcc", "g++", "make"):
        if not shutil.which(command):
            raise RuntimeError(
                f"the Kafka load tool is built from source and needs {command}: apt-get install {command}"
            )
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=CACHE, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(next(CACHE.glob("node-rdkafka-*.tgz"))) as archive:
        archive.extractall(CACHE, filter="data")
    for step in (["./configure", "--disable-gssapi", "--disable-curl"], ["make", "-j2", "libs"]):
        subprocess.run(step, cwd=source, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run(["make", "-C", "examples", "rdkafka_performance"], cwd=source, check=True, stdout=subprocess.DEVNULL)
    return tool


def run(*arguments: str, timeout_s: float = 300) -> float:
    """Run the tool to its end; records per second as it reports them."""
    done = subprocess.run(
        [str(load_tool()), *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    found = SUMMARY.findall(done.stdout)
    if not found:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return float(found[-1][1])
