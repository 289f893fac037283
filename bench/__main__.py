"""``make bench``: measure, print the tables, hold them against the targets.

Exits 1 when a target is missed. Interrupt it whenever you like: every server, viewer and
network namespace ends with it.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import (
    age,
    attack,
    load,
    material,
    memory,
    requests,
    servers,
    slow_viewer,
    startup,
    weak_link,
)
from bench.report import Target, heading, table, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.load import Crowd
    from bench.material import Material
    from bench.servers import Server

_FILES = 16384
"""Descriptors for a thousand viewers at both ends, with room to spare."""

_FLAT_MB = 1.0
"""Growth below this is the noise of an allocator."""


@dataclass(frozen=True)
class Bench:
    """Everything the measurements share."""

    of: Material
    crowd: Crowd
    doorbelld: Server
    floor: Server
    recipe: Server
    ustreamer: Server | None

    @property
    def all(self) -> list[Server]:
        """All servers, as the tables list them."""
        found = [self.floor, self.doorbelld, self.recipe]
        return [*found, self.ustreamer] if self.ustreamer else found


def main() -> int:
    """Run every measurement."""
    options = _options()
    signal.signal(signal.SIGTERM, _interrupt)
    _raise_file_limit()
    bench = _set_up()
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start;"
        f" {material.WIDTH}x{material.HEIGHT}, {material.LENGTH} bytes a frame,"
        f" {material.FPS} frames a second"
    )
    begin = time.monotonic()
    targets = [
        *cost(bench, options.rounds),
        *asked(bench),
        *freshness(bench),
        *weak(bench),
        *slow(bench),
        *attacked(bench),
        *start(),
        *resident(bench, options.soak),
    ]
    heading(f"Targets (all measured in {time.monotonic() - begin:.0f} seconds)")
    return 0 if verdict(targets) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure doorbelld.")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds of the CPU table; the median counts (3)"
    )
    parser.add_argument(
        "--soak", type=float, default=20, metavar="SECONDS", help="for how long memory is watched"
    )
    return parser.parse_args()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES and os.geteuid() == 0:
        hard = _FILES
    enough = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))


def _set_up() -> Bench:
    build = servers.ROOT / ".cache" / "bench"
    build.mkdir(parents=True, exist_ok=True)
    of = material.make(build)
    return Bench(
        of=of,
        crowd=load.Crowd(build),
        doorbelld=servers.doorbelld(f"file:{of.mjpeg}"),
        floor=servers.floor(build, of),
        recipe=servers.recipe(of),
        ustreamer=servers.ustreamer(build, of),
    )


def cost(bench: Bench, rounds: int) -> list[Target]:
    """CPU per delivered frame, rates and memory of all servers."""
    results = load.compare(bench.crowd, bench.all, rounds)
    counts = [plan.viewers for plan in load.PLANS]
    head = ("", *(f"{count} viewers" for count in counts))
    for title, cell in (
        ("CPU per delivered frame, in microseconds", "{0.cpu_us:.1f}"),
        ("Frames a second, mean / least of all viewers", "{0.mean_fps:.1f} / {0.least_fps:.1f}"),
        ("Resident memory, in MB", "{0.memory_mb:.1f}"),
    ):
        heading(f"{title} (median of {rounds} rounds)")
        rows = [
            (server.name, *(cell.format(results[server.name, count]) for count in counts))
            for server in bench.all
        ]
        table(head, rows)
    return _cost_targets(bench, results)


def _cost_targets(bench: Bench, results: load.Results) -> list[Target]:
    def over(other: Server | None, viewers: int) -> float | None:
        if other is None:
            return None
        ours = results[bench.doorbelld.name, viewers]
        return ours.cpu_us / results[other.name, viewers].cpu_us

    crowd = results[bench.doorbelld.name, 1000]
    least = 0.0 if crowd.closed else crowd.least_fps
    return [
        Target("CPU per frame over the send loop, 300 viewers", over(bench.floor, 300), 1.3, "x"),
        Target("CPU per frame over the send loop, 1000 viewers", over(bench.floor, 1000), 1.3, "x"),
        Target("CPU per frame over ustreamer, 100 viewers", over(bench.ustreamer, 100), 0.4, "x"),
        Target("every one of 1000 viewers", least, 29.5, " fps", at_least=True),
    ]


def asked(bench: Bench) -> list[Target]:
    """CPU per request; it has no limit, because it depends on the machine: compare it."""
    heading("CPU of the daemon per /status request, in microseconds")
    found = requests.measure(bench.doorbelld)
    table(
        ("", "CPU"),
        [
            ("over one connection", f"{found.kept:.0f}"),
            ("over a new connection each", f"{found.fresh:.0f}"),
        ],
    )
    return []


_AGE_LIMITS = {0: (5.0, 20.0), 100: None, 300: (15.0, 40.0)}
"""Milliseconds allowed at p50 and p99, by how many others watch."""


def freshness(bench: Bench) -> list[Target]:
    """Frame age at a fast viewer, alone and among others."""
    heading("Age of a frame at a fast viewer, from its capture to its last byte, in ms")
    rows, targets = [], []
    for others, limits in _AGE_LIMITS.items():
        with bench.doorbelld.run() as running:
            running.wait_listening()
            with bench.crowd.watching(running, others):
                ages = age.measure(running, 1, 10)
        rows.append((f"with {others} others", *_age_cells(ages)))
        for percent, limit in zip((50, 99), limits or ()):
            name = f"age p{percent} with {others} others"
            targets.append(Target(name, ages.percentile(percent), limit, " ms"))
    table(("", "p50", "p95", "p99", "fps"), rows)
    return targets


def _age_cells(ages: age.Ages) -> tuple[str, ...]:
    cells = (f"{ages.percentile(percent):.1f}" for percent in (50, 95, 99))
    return (*cells, f"{ages.fps:.2f}")


def weak(bench: Bench) -> list[Target]:
    """Frame age and rate behind a link that is too slow for the stream."""
    heading(f"Behind a link of {weak_link.BITS_PER_SECOND / 1e6:g} Mbit/s, age in ms")
    found: dict[str, age.Ages] = {}
    if weak_link.is_possible():
        candidates = [server for server in bench.all if server is not bench.floor]
        with weak_link.link() as link:
            found = {server.name: link.measure(server) for server in candidates}
        table(
            ("", "p50", "p95", "p99", "fps"),
            [(name, *_age_cells(ages)) for name, ages in found.items()],
        )
    else:
        print("Not measured: making network namespaces takes root and iproute2.")
    return _weak_targets(found.get(bench.doorbelld.name))


def _weak_targets(ages: age.Ages | None) -> list[Target]:
    p50 = p95 = rate = None
    if ages:
        transmit, most = weak_link.transmit_ms(ages.part_size), weak_link.most_fps(ages.part_size)
        p50, p95 = ages.percentile(50) / transmit, ages.percentile(95) / transmit
        rate = ages.fps / most
        print(f"\nA frame takes {transmit:.0f} ms to transmit; the link carries {most:.2f} fps.")
    return [
        Target("weak link, age p50 over the time to transmit", p50, 1.2, "x"),
        Target("weak link, age p95 over the time to transmit", p95, 1.5, "x"),
        Target("weak link, fps over what it carries", rate, 0.95, "x", at_least=True),
    ]


_SLOW_ROUNDS = 2


def slow(bench: Bench) -> list[Target]:
    """What one dead-slow viewer does to ninety-nine others."""
    heading(f"One dead-slow viewer among {slow_viewer.OTHERS + 1}: what the others get")
    least: dict[bool, float] = {}
    ages: dict[bool, list[age.Ages]] = {False: [], True: []}
    for _ in range(_SLOW_ROUNDS):
        for present in (False, True):
            effect = slow_viewer.measure(bench.crowd, bench.doorbelld, slow=present)
            least[present] = min(effect.figures.least_fps, least.get(present, material.FPS))
            ages[present].append(effect.ages)
    merged = {present: age.merged(found) for present, found in ages.items()}
    table(
        ("", "least fps", "age p50", "p95", "p99", "fps"),
        [
            (name, f"{least[present]:.1f}", *_age_cells(merged[present]))
            for name, present in (("without it", False), ("with it", True))
        ],
    )
    loss = least[False] - least[True]
    delay = merged[True].percentile(50) - merged[False].percentile(50)
    return [
        Target("a dead-slow viewer: loss of the others", loss, 0.5, " fps"),
        Target("a dead-slow viewer: others' age p50 grows by", delay, 1.0, " ms"),
    ]


def attacked(bench: Bench) -> list[Target]:
    """What viewers get while attackers send what once stopped everything."""
    heading(f"{attack.VIEWERS} viewers while attackers do their worst")
    found = {each.name: attack.measure(bench.doorbelld, each) for each in attack.attacks()}
    table(
        ("", "mean fps", "least fps", "longest gap, ms"),
        [
            (name, f"{effect.mean_fps:.1f}", f"{effect.least_fps:.1f}", f"{effect.gap_ms:.0f}")
            for name, effect in found.items()
        ],
    )
    least = min(effect.least_fps for effect in found.values())
    gap = max(effect.gap_ms for effect in found.values())
    return [
        Target("under attack, every viewer", least, 29, " fps", at_least=True),
        Target("under attack, longest gap", gap, 200, " ms"),
    ]


def start() -> list[Target]:
    """From the start of the process to a picture."""
    heading("Start, with the test card")
    found = startup.measure()
    table(
        ("", "seconds"),
        [("listening", f"{found.listening:.2f}"), ("first frame", f"{found.first_frame:.2f}")],
    )
    return [
        Target("start to listening", found.listening, 0.3, " s"),
        Target("start to first frame served", found.first_frame, 0.8, " s"),
    ]


def resident(bench: Bench, soak: float) -> list[Target]:
    """Memory, and whether it grows."""
    viewers = 300
    heading(f"Resident memory of the daemon ({viewers} viewers for {soak:g} seconds)")
    found = memory.measure(bench.crowd, bench.of, viewers, soak)
    rows: Sequence[tuple[str, float]] = (
        (".mjpeg, 1 viewer", found.one_viewer),
        (f".mjpeg, {viewers} viewers, most", found.many_viewers),
        (f".mjpeg, {viewers} viewers, growth", found.growth),
        ("OpenCV source, 1 viewer", found.opencv),
    )
    table(("", "MB"), [(name, f"{megabytes:.1f}") for name, megabytes in rows])
    return [
        Target("resident, .mjpeg, 1 viewer", found.one_viewer, 30, " MB"),
        Target(f"resident, .mjpeg, {viewers} viewers", found.many_viewers, 30, " MB"),
        Target(f"resident, growth in {soak:g} s", found.growth, _FLAT_MB, " MB"),
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
