"""Presets: times that many people want, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Preset:
    """Either cron expressions or an interval."""

    crons: tuple[str, ...] = ()
    interval: str | None = None


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "every_minute": Preset(interval="1m"),
        "every_5_minutes": Preset(interval="5m"),
        "every_10_minutes": Preset(interval="10m"),
        "every_15_minutes": Preset(interval="15m"),
        "every_30_minutes": Preset(interval="30m"),
        "hourly": Preset(interval="1h"),
        "every_2_hours": Preset(interval="2h"),
        "every_4_hours": Preset(interval="4h"),
        "every_6_hours": Preset(interval="6h"),
        "every_12_hours": Preset(interval="12h"),
        "daily_midnight": Preset(("0 0 * * *",)),
        "daily_2am": Preset(("0 2 * * *",)),
        "daily_6am": Preset(("0 6 * * *",)),
        "daily_noon": Preset(("0 12 * * *",)),
        "twice_daily": Preset(("0 6 * * *", "0 18 * * *")),
        "three_times_daily": Preset(("0 6 * * *", "0 14 * * *", "0 22 * * *")),
        "weekdays_6am": Preset(("0 6 * * 1-5",)),
        "weekdays_9am": Preset(("0 9 * * 1-5",)),
        "weekdays_6pm": Preset(("0 18 * * 1-5",)),
        "business_hours": Preset(("0 9-17 * * 1-5",)),
        "business_hours_every_15_minutes": Preset(("*/15 9-16 * * 1-5", "0 17 * * 1-5")),
        "weekends_9am": Preset(("0 9 * * 6,0",)),
        "weekly_sunday_1am": Preset(("0 1 * * 0",)),
        "weekly_monday_6am": Preset(("0 6 * * 1",)),
        "weekly_friday_6pm": Preset(("0 18 * * 5",)),
        "monthly_first_day_2am": Preset(("0 2 1 * *",)),
        "monthly_15th_2am": Preset(("0 2 15 * *",)),
        "monthly_last_day_11pm": Preset(("0 23 L * *",)),
        "monthly_first_weekday_6am": Preset(("0 6 1W * *",)),
        "monthly_last_weekday_6pm": Preset(("0 18 LW * *",)),
        "quarterly_2am": Preset(("0 2 1 1,4,7,10 *",)),
        "yearly_2am": Preset(("0 2 1 1 *",)),
    }
)
