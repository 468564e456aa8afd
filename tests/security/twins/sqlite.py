# sqlite3 with its locks, journals and two connections.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import sqlite3
for mode in ("delete", "wal"):
    first = sqlite3.connect(f"{mode}.db")
    first.execute(f"pragma journal_mode = {mode}")
    first.execute("create table t (n integer)")
    first.executemany("insert into t values (?)", [(n,) for n in range(1000)])
    first.commit()
    second = sqlite3.connect(f"{mode}.db")
    assert second.execute("select sum(n) from t").fetchone() == (499500,)
    first.close()
    second.close()
print("twin ok")
