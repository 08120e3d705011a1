"""``PYTHONPATH=tests python -m schedules``: every zone, 2020 to 2040; exit code 1 when a run is double or missing."""

from __future__ import annotations

import argparse
import sys
from random import Random
from time import monotonic
from zoneinfo import available_timezones

from schedules.campaign import Report, compare_zone


def main() -> int:
    """Compare the zones, say each difference, and the sums."""
    parser = argparse.ArgumentParser(prog="python -m schedules", description=__doc__)
    parser.add_argument("--zones", type=int, default=0, help="so many, chosen at random; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", type=int, default=2020, dest="first")
    parser.add_argument("--to", type=int, default=2040, dest="last")
    parser.add_argument(
        "--every", action="store_true", help="also zones whose clock shows the same as one before"
    )
    chosen = parser.parse_args()
    names = sorted(available_timezones() - {"localtime", "Factory"})
    if chosen.zones:
        names = Random(chosen.seed).sample(names, chosen.zones)
    report, began = Report(), monotonic()
    for name in names:
        compare_zone(report, name, (chosen.first, chosen.last), chosen.every)
    print("\n".join(report.differences[:20]))
    print(
        f"{report.zones} zones ({report.alike} show the same as another), {chosen.first} to {chosen.last}: "
        f"{report.turns} changes of clocks, {report.fires} fire times compared, "
        f"{len(report.differences)} differences, {monotonic() - began:.0f} s"
    )
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
