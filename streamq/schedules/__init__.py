"""When things are due: cron expressions, intervals, dates and phrases, with daylight saving by an explicit policy.

Pure: no I/O and no clock of its own; who calls says what time it is.

>>> from datetime import UTC, datetime
>>> timetable = parse("every weekday at 9am Europe/Rome")
>>> timetable.after(datetime(2026, 11, 27, 12, tzinfo=UTC))
datetime.datetime(2026, 11, 30, 8, 0, tzinfo=datetime.timezone.utc)
>>> timetable.written
'every weekday at 09:00 Europe/Rome gap=shift fold=first'
"""

from streamq.errors import BadSchedule
from streamq.schedules.blackout import Blackout
from streamq.schedules.jitter import jitter
from streamq.schedules.parsing import parse
from streamq.schedules.timetable import Timetable
from streamq.schedules.walltime import DstPolicy, Fold, Gap
from streamq.schedules.window import Window

__all__ = ["BadSchedule", "Blackout", "DstPolicy", "Fold", "Gap", "Timetable", "Window", "jitter", "parse"]
