"""``make bench``: measure, print the tables, and compare the results with the targets.

Exits 1 if a target is missed. It can be interrupted at any time: every server, viewer and
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
    browser,
    doorbell,
    load,
    material,
    memory,
    motion,
    network,
    notify,
    pages,
    quality,
    requests,
    servers,
    slow_viewer,
    startup,
    weak_link,
    webcam,
)
from bench.report import Target, heading, table, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.load import ViewerGroup
    from bench.material import Material
    from bench.servers import Server

_FILES = 16384
"""More descriptors than both ends of a thousand connections need."""

_FLAT_MB = 1.0
"""Memory allocators alone cause this much growth."""


@dataclass(frozen=True)
class Bench:
    """Everything the measurements share."""

    frames: Material
    group: ViewerGroup
    doorbelld: Server
    floor: Server
    recipe: Server
    ustreamer: Server | None
    webcam: Server
    opencv_webcam: Server

    @property
    def all(self) -> list[Server]:
        """All servers, in the order of the tables."""
        servers = [self.floor, self.doorbelld, self.recipe]
        return [*servers, self.ustreamer] if self.ustreamer else servers


def main() -> int:
    """Run all measurements; return the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, _interrupt)
    _raise_file_limit()
    bench = _set_up()
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start;"
        f" {material.WIDTH}x{material.HEIGHT}, {material.LENGTH} bytes per frame,"
        f" {material.FPS} frames per second"
    )
    begin = time.monotonic()
    targets = [
        *cost(bench, options.rounds),
        *asked(bench),
        *shown(bench),
        *freshness(bench),
        *weak(bench),
        *adaptive_quality(bench),
        *slow(bench),
        *under_attack(bench),
        *start(),
        *network_camera(bench),
        *resident(bench, options.soak),
        *usb(bench),
        *in_a_browser(bench),
        *at_the_door(bench),
        *notified(bench),
    ]
    heading(f"Targets (all measured in {time.monotonic() - begin:.0f} seconds)")
    return 0 if verdict(targets) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure doorbelld.")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds of the CPU table, which shows the median (3)"
    )
    parser.add_argument(
        "--soak", type=float, default=20, metavar="SECONDS", help="how long to watch memory (20)"
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
    frames = material.make(build)
    return Bench(
        frames=frames,
        group=load.ViewerGroup(build),
        doorbelld=servers.doorbelld(f"file:{frames.mjpeg}"),
        floor=servers.floor(build, frames),
        recipe=servers.recipe(frames),
        ustreamer=servers.ustreamer(build, frames),
        webcam=servers.webcam(build, frames, opencv=False),
        opencv_webcam=servers.webcam(build, frames, opencv=True),
    )


def cost(bench: Bench, rounds: int) -> list[Target]:
    """CPU time per delivered frame, frame rates and memory of all servers."""
    results = load.compare(bench.group, bench.all, rounds)
    counts = [plan.viewers for plan in load.PLANS]
    head = ("", *(f"{count} viewers" for count in counts))
    for title, cell in (
        ("CPU per delivered frame, in microseconds", "{0.cpu_us:.1f}"),
        ("Frames per second, mean / slowest viewer", "{0.mean_fps:.1f} / {0.min_fps:.1f}"),
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
    def cpu_ratio(other: Server | None, viewers: int) -> float | None:
        if other is None:
            return None
        ours = results[bench.doorbelld.name, viewers]
        return ours.cpu_us / results[other.name, viewers].cpu_us

    thousand = results[bench.doorbelld.name, 1000]
    slowest = 0.0 if thousand.closed else thousand.min_fps
    floor, ustreamer = bench.floor, bench.ustreamer
    return [
        Target(
            "CPU per frame, a single viewer", results[bench.doorbelld.name, 1].cpu_us, 300, " us"
        ),
        Target("CPU per frame / send loop, 300 viewers", cpu_ratio(floor, 300), 1.25, "x"),
        Target("CPU per frame / send loop, 1000 viewers", cpu_ratio(floor, 1000), 1.3, "x"),
        Target("CPU per frame / ustreamer, 100 viewers", cpu_ratio(ustreamer, 100), 0.4, "x"),
        Target("slowest of 1000 viewers", slowest, 29.5, " fps", at_least=True),
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


_PAGES = 100


def shown(bench: Bench) -> list[Target]:
    """CPU of the daemon for open pages, which read its state as well as the pictures."""
    heading(f"CPU of the daemon per delivered picture, {_PAGES} viewers, in microseconds")
    found = pages.measure(bench.group, bench.doorbelld, _PAGES)
    table(("", "CPU"), [("plain viewers", f"{found.plain:.1f}"), ("pages", f"{found.pages:.1f}")])
    name = f"CPU of {_PAGES} open pages / plain viewers"
    return [Target(name, found.pages / found.plain, 1.2, "x")]


_AGE_LIMITS = {0: (5.0, 20.0), 100: None, 300: (15.0, 40.0)}
"""The limits for p50 and p99 in milliseconds, by the number of other viewers."""


def freshness(bench: Bench) -> list[Target]:
    """Frame age at a fast viewer, alone and with others."""
    heading("Frame age at a fast viewer, from the capture to the last byte, in ms")
    rows, targets = [], []
    for others, limits in _AGE_LIMITS.items():
        with bench.doorbelld.run() as running:
            running.wait_listening()
            with bench.group.watching(running, others):
                ages = age.measure(running, 1, 10)
        rows.append((f"with {others} others", *_age_cells(ages)))
        for percent, limit in zip((50, 99), limits or ()):
            name = f"frame age p{percent} with {others} others"
            targets.append(Target(name, ages.percentile(percent), limit, " ms"))
    table(("", "p50", "p95", "p99", "fps"), rows)
    return targets


def _age_cells(ages: age.Ages) -> tuple[str, ...]:
    cells = (f"{ages.percentile(percent):.1f}" for percent in (50, 95, 99))
    return (*cells, f"{ages.fps:.2f}")


def weak(bench: Bench) -> list[Target]:
    """Frame age and rate behind a link that is too slow for the stream."""
    heading(f"Frame age behind a link of {weak_link.BITS_PER_SECOND / 1e6:g} Mbit/s, in ms")
    found: dict[str, age.Ages] = {}
    if weak_link.is_possible():
        candidates = [server for server in bench.all if server is not bench.floor]
        with weak_link.make_link() as link:
            found = {server.name: link.measure(server) for server in candidates}
        table(
            ("", "p50", "p95", "p99", "fps"),
            [(name, *_age_cells(ages)) for name, ages in found.items()],
        )
    else:
        print("Not measured: network namespaces need root and iproute2.")
    return _weak_targets(found.get(bench.doorbelld.name))


def _weak_targets(ages: age.Ages | None) -> list[Target]:
    p50 = p95 = rate = None
    if ages:
        transmit, limit = weak_link.transmit_ms(ages.part_size), weak_link.max_fps(ages.part_size)
        p50, p95 = ages.percentile(50) / transmit, ages.percentile(95) / transmit
        rate = ages.fps / limit
        print(f"\nA frame takes {transmit:.0f} ms to transmit; the link can carry {limit:.2f} fps.")
    return [
        Target("weak link, frame age p50 / time to transmit", p50, 1.2, "x"),
        Target("weak link, frame age p95 / time to transmit", p95, 1.5, "x"),
        Target("weak link, fps / capacity", rate, 0.95, "x", at_least=True),
    ]


_QUALITY_LIMITS = {6_000_000: (19, 65, 95), 2_000_000: (20, 70, 100), 500_000: (15, 150, 200)}
"""By the link's bits a second: the least pictures a second, and the most for p50 and p95 in ms."""

_MOST_STEPS = 12
"""Changes of quality while a link falls once and recovers once; more would be flapping."""


def adaptive_quality(bench: Bench) -> list[Target]:
    """What quality=auto gives a viewer behind slow links, and when a link falls and recovers."""
    heading("Adaptive quality behind slow links: pictures a second, and their age in ms")
    if not weak_link.is_possible():
        print("Not measured: network namespaces need root and iproute2.")
        return []
    auto = quality.adaptive(bench.doorbelld)
    servers_ = [each for each in (bench.doorbelld, auto, bench.ustreamer) if each]
    rows, targets = [], []
    with weak_link.make_link() as link:
        for rate, (least, most_p50, most_p95) in _QUALITY_LIMITS.items():
            for server in servers_:
                parts = quality.steady(link, server, rate)
                fps = quality.fps(parts)
                p50, p95 = quality.age_ms(parts, 50), quality.age_ms(parts, 95)
                name = f"{rate / 1e6:g} Mbit/s"
                rows.append((f"{name}, {server.name}", f"{fps:.1f}", f"{p50:.0f}", f"{p95:.0f}"))
                if server is auto:
                    targets += [
                        Target(f"{name}, auto, pictures", fps, least, " fps", at_least=True),
                        Target(f"{name}, auto, age p50", p50, most_p50, " ms"),
                        Target(f"{name}, auto, age p95", p95, most_p95, " ms"),
                    ]
        table(("", "fps", "p50", "p95"), rows)
        found = quality.change(link, auto)
    return [
        *targets,
        Target("link falls to 1 Mbit/s, longest gap", found.gap, 1, " s"),
        Target("link recovers, until full quality", found.recovery, 10, " s"),
        Target("link falls and recovers, changes of quality", found.steps, _MOST_STEPS),
        Target("encoder for 3 steps, of a core", quality.encoder_share(bench.frames), 0.15),
    ]


_SLOW_ROUNDS = 2


def slow(bench: Bench) -> list[Target]:
    """How one very slow viewer affects ninety-nine others."""
    heading(f"What the others get if one of {slow_viewer.OTHERS + 1} viewers is very slow")
    slowest: dict[bool, float] = {}
    ages: dict[bool, list[age.Ages]] = {False: [], True: []}
    for _ in range(_SLOW_ROUNDS):
        for present in (False, True):
            effect = slow_viewer.measure(bench.group, bench.doorbelld, slow=present)
            slowest[present] = min(effect.figures.min_fps, slowest.get(present, material.FPS))
            ages[present].append(effect.ages)
    merged = {present: age.merged(found) for present, found in ages.items()}
    table(
        ("", "lowest fps", "age p50", "p95", "p99", "fps"),
        [
            (name, f"{slowest[present]:.1f}", *_age_cells(merged[present]))
            for name, present in (("without it", False), ("with it", True))
        ],
    )
    loss = slowest[False] - slowest[True]
    delay = merged[True].percentile(50) - merged[False].percentile(50)
    return [
        Target("very slow viewer, lost by the others", loss, 0.5, " fps"),
        Target("very slow viewer, growth of the others' age p50", delay, 1.0, " ms"),
    ]


def under_attack(bench: Bench) -> list[Target]:
    """What viewers get during attacks that used to stop every stream."""
    heading(f"{attack.VIEWERS} viewers during the worst known attacks")
    found = {each.name: attack.measure(bench.doorbelld, each) for each in attack.attacks()}
    table(
        ("", "mean fps", "lowest fps", "longest gap, ms"),
        [
            (name, f"{effect.mean_fps:.1f}", f"{effect.min_fps:.1f}", f"{effect.gap_ms:.0f}")
            for name, effect in found.items()
        ],
    )
    slowest = min(effect.min_fps for effect in found.values())
    gap = max(effect.gap_ms for effect in found.values())
    return [
        Target("under attack, slowest viewer", slowest, 29, " fps", at_least=True),
        Target("under attack, longest gap", gap, 200, " ms"),
    ]


def start() -> list[Target]:
    """How long the daemon takes from its start to the first picture."""
    heading("Time to start, with the test card")
    found = startup.measure()
    table(
        ("", "seconds"),
        [("listening", f"{found.listening:.2f}"), ("first frame", f"{found.first_frame:.2f}")],
    )
    return [
        Target("start to listening", found.listening, 0.3, " s"),
        Target("start to first frame served", found.first_frame, 0.8, " s"),
    ]


def network_camera(bench: Bench) -> list[Target]:
    """What an http camera costs, against OpenCV and against a pipe."""
    heading("A network camera with MJPEG, one viewer")
    found = network.measure(bench.group, bench.frames, servers.ROOT / ".cache" / "bench")
    table(
        ("", "resident, MB", "CPU per frame, us", "first frame, s"),
        [
            (name, f"{cost.memory_mb:.1f}", f"{cost.cpu_us:.0f}", f"{cost.first_frame:.2f}")
            for name, cost in found.items()
        ],
    )
    ours, pipe = found[network.OURS], found[network.PIPE]
    return [
        Target("network camera, resident", ours.memory_mb, 30, " MB"),
        Target("network camera, CPU per frame / pipe", ours.cpu_us / pipe.cpu_us, 2, "x"),
    ]


def resident(bench: Bench, soak: float) -> list[Target]:
    """Memory of the daemon, and whether it grows."""
    viewers = 300
    heading(f"Resident memory of the daemon ({viewers} viewers for {soak:g} seconds)")
    found = memory.measure(bench.group, bench.frames, viewers, soak)
    rows: Sequence[tuple[str, float]] = (
        (".mjpeg, 1 viewer", found.one_viewer),
        (f".mjpeg, {viewers} viewers, peak", found.many_viewers),
        (f".mjpeg, {viewers} viewers, growth", found.growth),
        ("OpenCV source, 1 viewer", found.opencv),
    )
    table(("", "MB"), [(name, f"{megabytes:.1f}") for name, megabytes in rows])
    return [
        Target("resident, .mjpeg, 1 viewer", found.one_viewer, 30, " MB"),
        Target(f"resident, .mjpeg, {viewers} viewers", found.many_viewers, 30, " MB"),
        Target(f"resident, growth in {soak:g} s", found.growth, _FLAT_MB, " MB"),
    ]


def usb(bench: Bench) -> list[Target]:
    """What a webcam that makes JPEG costs, read by the daemon itself and through OpenCV."""
    heading("A webcam that makes JPEG")
    ours = webcam.measure(bench.webcam, opencv=False)
    opencv = webcam.measure(bench.opencv_webcam, opencv=True)
    table(
        ("", "memory, MB", "CPU per frame, us", "first picture, ms", "CPU at rest, %"),
        [
            (
                name,
                f"{costs.memory_mb:.1f}",
                f"{costs.frame_us:.0f}",
                f"{costs.first_picture_ms:.0f}",
                f"{costs.rest_percent:.2f}",
            )
            for name, costs in (("ioctl, mmap and poll", ours), ("OpenCV", opencv))
        ],
    )
    first = ours.first_picture_ms / opencv.first_picture_ms
    return [
        Target("webcam, memory / OpenCV", ours.memory_mb / opencv.memory_mb, 0.6, "x"),
        Target("webcam, CPU per frame / OpenCV", ours.frame_us / opencv.frame_us, 1.0, "x"),
        Target("webcam, first picture / OpenCV", first, 0.5, "x"),
        Target("webcam, CPU at rest", ours.rest_percent, 0.5, " %"),
    ]


def in_a_browser(bench: Bench) -> list[Target]:
    """What the page costs in Chromium, and how old a picture is on the screen."""
    heading("The page in Chromium, on a phone's screen without a graphics card")
    ratio = p50 = p95 = None
    if browser.is_possible():
        costs, shown = browser.measure(bench.frames)
        table(
            ("", "CPU, % of a core", "age on the screen p50, ms", "p95", "p99", "fps"),
            [
                ("the page", f"{costs.page:.0f}", *_age_cells(shown.page)),
                ("a bare <img>", f"{costs.image:.0f}", *_age_cells(shown.image)),
            ],
        )
        ratio = costs.page / costs.image
        p50, p95 = shown.page.percentile(50), shown.page.percentile(95)
    else:
        print("Not measured: Chromium is not installed.")
    return [
        Target("the page in Chromium, CPU / a bare <img>", ratio, 1.15, "x"),
        Target("capture to the screen in Chromium, p50", p50, 40, " ms"),
        Target("capture to the screen in Chromium, p95", p95, 80, " ms"),
    ]


_PRE_ROLL_MB = 8.4
"""Most memory of the pictures from before a press."""


def at_the_door(bench: Bench) -> list[Target]:
    """How soon a ring is seen, what it shows, and what bell, visits and motion cost."""
    heading("The bell, visits and motion")
    rings = doorbell.rings(bench.frames)
    costs = doorbell.costs(bench.group, bench.frames)
    looks = motion.measure(bench.frames)
    watching = doorbell.watching(bench.group, bench.frames)
    disk = doorbell.disk(bench.group, bench.frames)
    many = doorbell.many(bench.frames)
    _show_watching(watching)
    banner = rings.banner_ms and age.Ages(sorted(rings.banner_ms), 0, 0).percentile(95)
    in_time = 100 * sum(rings.in_time) / len(rings.in_time)
    p99 = watching.busy.percentile(99) / watching.alone.percentile(99)
    return [
        Target("press to the banner with its picture, p95", banner or None, 150, " ms"),
        Target("picture from the second before the press", in_time, 100, " %", at_least=True),
        Target("seconds before the press, least", min(rings.before), 4.9, " s", at_least=True),
        Target("seconds before the press, most", max(rings.before), 5.1, " s"),
        Target("capture, more per frame", costs.idle_us, 20, " us"),
        Target("capture, more per frame during a visit", costs.open_us, 20, " us"),
        Target("memory of bell and visits", costs.memory_mb, 6 + _PRE_ROLL_MB, " MB"),
        Target("motion, CPU of a look", looks.milliseconds, 1.3, " ms"),
        Target("motion, looks", doorbell.looks_a_second(bench.frames), 5.2, " a second"),
        Target("motion, memory beyond OpenCV", looks.megabytes, 4, " MB"),
        Target(
            "slowest viewer, a visit and 50 films", watching.busy_fps, 29.5, " fps", at_least=True
        ),
        Target("age p99 with a visit and 50 films", p99, 1.2, "x"),
        Target("times that a visit waits for the disk", disk.syncs, 4),
        Target("bytes written while nothing happens", disk.idle_bytes, 0),
        Target("newest 50 of 10,000 visits", many.list_ms, 5, " ms"),
        Target("start with 10,000 visits, later by", many.later_ms, 50, " ms"),
    ]


def _show_watching(watching: doorbell.Watching) -> None:
    rows = (
        ("nothing happens", watching.alone_fps, watching.alone),
        ("a visit, 50 films", watching.busy_fps, watching.busy),
    )
    table(
        (f"{doorbell.VIEWERS} viewers", "lowest fps", "age p50", "p95", "p99", "fps"),
        [(name, f"{fps:.1f}", *_age_cells(ages)) for name, fps, ages in rows],
    )


def notified(bench: Bench) -> list[Target]:
    """How soon a ring is at the broker, on the phone and on the page, and what that costs."""
    heading("Notifications: milliseconds from the press")
    arrivals = notify.arrivals(bench.frames)
    ages = {name: age.Ages(sorted(found), 0, 0) for name, found in arrivals._asdict().items()}
    rows = [
        ("event at a client of the broker", "mqtt"),
        ("picture on the phone, by ntfy", "ntfy"),
        ("state at a page", "page"),
        ("state at a page, no notifications", "page_without"),
    ]
    table(("", "p50", "p95", "p99"), [(name, *_age_cells(ages[key])[:3]) for name, key in rows])
    costs = notify.costs(bench.group, bench.frames)
    away = notify.away(bench.frames)
    heading("Memory of notifications, in MB")
    memory = [
        ("a broker", costs.mqtt_mb),
        ("ntfy and a webhook", costs.push_mb),
        ("all of them", costs.all_mb),
        (f"{notify.RINGS} presses while all are away, most", away.most_mb),
        ("a minute later, when nothing waits any more", away.left_mb),
    ]
    table(("", "more than without"), [(name, f"{megabytes:.2f}") for name, megabytes in memory])
    later = ages["page"].percentile(50) - ages["page_without"].percentile(50)
    return [
        Target("press to the event at the broker, p95", ages["mqtt"].percentile(95), 20, " ms"),
        Target("press to the picture by ntfy, p95", ages["ntfy"].percentile(95), 100, " ms"),
        Target("press to the page, later than without, p50", later, 5, " ms"),
        Target("memory of a broker", costs.mqtt_mb, 2, " MB"),
        Target("capture, more per frame with notifications", costs.capture_us, 2, " us"),
        Target(f"CPU per frame / without, {notify.VIEWERS} viewers", costs.frame_ratio, 1.05, "x"),
        Target(f"growth in {notify.RINGS} presses, all away", away.growth_mb, _FLAT_MB, " MB"),
        Target("CPU for an hour, all away", away.hour_s, 5, " s"),
        Target("messages sent late after all came back", away.late, 0),
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
