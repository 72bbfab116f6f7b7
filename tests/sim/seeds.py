"""Many runs of the stores, on all cores, and what they come to.

    python -m tests.sim.seeds 7                       one seed, told in full
    python -m tests.sim.seeds 1-300                   many: those that fail, and medians
    python -m tests.sim.seeds --planted NAME 1-40     with a bug planted (planted.py), until one finds it

A bug that is planted rewrites a module as it is loaded, so this comes before anything of the product is imported; and
hashes have to be the same in every process, so it starts itself again where they are not.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import TYPE_CHECKING

from tests.sim import planted

if TYPE_CHECKING:
    from tests.sim.store import Outcome

OBJECTS_A_COLLECTION = 50_000


def with_equal_hashes() -> None:
    """Everything that is not the seed's is the same in every process."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})


def prepare() -> None:
    warnings.simplefilter("ignore", RuntimeWarning)  # coroutines of processes that were killed
    import tests.sim.store  # noqa: F401

    gc.freeze()
    gc.set_threshold(OBJECTS_A_COLLECTION)


def one(seed: int) -> Outcome:
    from tests.sim.store import play

    return play(seed)


def outcomes(seeds: list[int], jobs: int) -> Iterator[Outcome]:
    if jobs == 1 or len(seeds) == 1:
        prepare()
        yield from map(one, seeds)
        return
    with ProcessPoolExecutor(jobs, initializer=prepare) as pool:
        yield from pool.map(one, seeds, chunksize=2)


def tell(outcome: Outcome) -> None:
    print(f"seed {outcome.seed}: {outcome.violations[0]}")
    for violation in outcome.violations[1:4]:
        print(f"    and {violation}")
    print(f"    python -m tests.sim.seeds {outcome.seed}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.seeds")
    parser.add_argument("seeds", help="one, or first-last")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--planted", choices=sorted(planted.BUGS), help="a bug to find")
    arguments = parser.parse_args()
    with_equal_hashes()
    first, _, last = arguments.seeds.partition("-")
    seeds = list(range(int(first), int(last or first) + 1))
    if arguments.planted:
        planted.plant(arguments.planted)
        arguments.jobs = 1
    found: list[Outcome] = []
    bad = 0
    for outcome in outcomes(seeds, arguments.jobs):
        found.append(outcome)
        if len(seeds) == 1:
            print("\n".join(outcome.told))
        if outcome.violations:
            bad += 1
            tell(outcome)
            if arguments.planted:
                break
    print(
        f"{len(found)} seeds, {bad} failed; medians: {median([each.acknowledged for each in found]):.0f} acknowledged "
        f"writes, {median([each.faults for each in found]):.0f} faults, {median([each.seconds for each in found]):.1f} "
        f"virtual s, {median([each.compared for each in found]):.0f} comparisons with another store, "
        f"{median([each.loads for each in found]):.0f} loads; least: {min([each.acknowledged for each in found])} "
        f"writes, {min([each.faults for each in found])} faults, {min([each.seconds for each in found]):.1f} s; "
        f"trace {sum([each.fingerprint for each in found]) & 0xFFFFFFFFFFFFFFFF:016x}"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
