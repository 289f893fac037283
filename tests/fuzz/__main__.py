"""`make fuzz`: try every property of the tests with other examples, for as long as you like.

In rounds: each runs what hypothesis drives in the whole suite, with a seed of its own. The next
one is only begun if it is likely to be over in time. What fails is printed with how to
reproduce it, kept in .cache/fuzz/, and tried first the next time. Exits 1 if anything failed,
after the round that found it. Interrupt it whenever you like.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import time

from tests.support.daemon import ROOT

_FOUND = ROOT / ".cache" / "fuzz"
_TIMES = 1
"""How many times what `make test` tries is tried in a round, which takes half a minute."""


def main() -> int:
    """Run round after round; return the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = time.monotonic()
    rounds, longest = 0, 0.0
    seeds = random.Random(options.seed)  # noqa: S311
    print(f"fuzzing for {options.seconds:g} s, with --seed {options.seed}", flush=True)
    try:
        while not rounds or time.monotonic() - begin + longest <= options.seconds:
            begun = time.monotonic()
            if not _round(seeds.randrange(1 << 32), options.only):
                return 1
            rounds += 1
            longest = max(longest, time.monotonic() - begun)
    except KeyboardInterrupt:
        print(" interrupted")
    print(f"Rounds: {rounds}, in {time.monotonic() - begin:.0f} s; nothing was found")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description="Fuzz doorbelld.")
    parser.add_argument("--seconds", type=float, default=600, help="for how long (600)")
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(1 << 32),
        help="what decides about all examples, to have the same again",
    )
    parser.add_argument(
        "--only", metavar="NAME", default="", help="only tests with NAME in theirs, as pytest's -k"
    )
    return parser.parse_args()


def _round(seed: int, only: str) -> bool:
    """Run every property; return whether all held. What failed is printed and kept."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "hypothesis",
        f"--hypothesis-seed={seed}",
    ]
    command += ["--ignore=tests/appliance", "--ignore=tests/browser", "--show-capture=no"]
    command.append("--hypothesis-show-statistics")
    with subprocess.Popen(
        [*command, "-k", only],
        cwd=ROOT,
        env={**os.environ, "FUZZ_TIMES": str(_TIMES)},
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is passed on, once
    ) as process:
        try:
            output, _ = process.communicate()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)  # It ends its daemons.
            process.communicate()
            raise
    tried = sum(map(int, re.findall(r"(\d+) passing, \d+ failing", output)))
    print(f"seed {seed}: {tried} examples, {output.splitlines()[-1]}", flush=True)
    if process.returncode:
        _keep(seed, output)
    return process.returncode == 0


def _keep(seed: int, output: str) -> None:
    print(output)
    _FOUND.mkdir(parents=True, exist_ok=True)
    kept = _FOUND / f"{seed}.txt"
    kept.write_text(output, encoding="utf-8")
    print(f"Kept in {kept.relative_to(ROOT)}. The next make fuzz, or pytest with FUZZ_TIMES=1 in")
    print("the environment, begins with it. A request that failed lies in .cache/fuzz/request:")
    print("mend what it broke, and move it to tests/data/requests.")


if __name__ == "__main__":
    sys.exit(main())
