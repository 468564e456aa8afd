# Time zone data.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import datetime, zoneinfo
zone = zoneinfo.ZoneInfo("Asia/Tokyo")
assert datetime.datetime(2024, 1, 1, tzinfo=zone).utcoffset() == datetime.timedelta(hours=9)
berlin = datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
assert berlin.utcoffset() == datetime.timedelta(hours=2)
print("twin ok")
