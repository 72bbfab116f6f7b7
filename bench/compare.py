"""`make bench`: ours and the real servers alternating on this machine, medians, and a table of ratios.

    python -m bench.compare [redis] [files] [kafka] [--rounds N] [--save]

`--save` keeps the numbers under `bench/results/`, named by the commit they measured.
"""

import argparse
import dataclasses
import json
import subprocess
from pathlib import Path

from bench import kafka_load, redis_load, redis_persistence
from bench.rounds import ROUNDS, show

RESULTS = Path(__file__).parent / "results"
SUITES = {"redis": redis_load.measure, "files": redis_persistence.measure, "kafka": kafka_load.measure}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"one or more of {', '.join(SUITES)}; all when none is named"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.suites) - set(SUITES):
        parser.error(f"no suite {', '.join(unknown)}")
    tables = {}
    for suite in options.suites or SUITES:
        for title, rows in SUITES[suite](options.rounds).items():
            print(show(title, rows), flush=True)
            tables[title] = [dataclasses.asdict(row) for row in rows]
    if options.save:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{commit.stdout.strip()}.json").write_text(json.dumps(tables, indent=1) + "\n")
    missed = [row for rows in tables.values() for row in rows if row["bar"] is not None and not holds(row)]
    return 1 if missed else 0


def holds(row: dict[str, float]) -> bool:
    return row["ratio"] >= row["bar"] if row["more_is_better"] else row["ratio"] <= row["bar"]


if __name__ == "__main__":
    raise SystemExit(main())
