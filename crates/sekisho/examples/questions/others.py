# The same questions, asked of DuckDB (the Parquet files as they are, and a table of its own) and of
# SQLite (the same rows, indexed). Arguments: the folder of segments, a scratch folder, when the last day
# begins. Each question is stopped after LIMIT_S, so that this ends whatever it is asked on.
import glob, os, sqlite3, statistics, sys, threading, time

import duckdb

segments, scratch, start_s = sys.argv[1:]
TIMES = 5
LIMIT_S = 60
FILL_LIMIT_S = 600


def tell(line):
    print(line, flush=True)


def measure(name, connection, ask):
    spent = []
    while len(spent) < TIMES:
        late = threading.Event()
        timer = threading.Timer(LIMIT_S, lambda: (late.set(), connection.interrupt()))
        timer.start()
        began = time.perf_counter()
        try:
            ask()
        except (duckdb.InterruptException, sqlite3.OperationalError):
            if not late.is_set():
                raise
            return tell(f"{name:<52} stopped after {LIMIT_S} s")
        finally:
            timer.cancel()
        spent.append((time.perf_counter() - began) * 1e3)
        # What takes so long is measured once more at most.
        if spent[-1] > LIMIT_S * 1e3 / TIMES and len(spent) > 1:
            break
    tell(f"{name:<52} {statistics.median(spent[1:]):7.1f} ms, first {spent[0]:7.1f} ms")


EDGES = f"'{segments}/*.edges.parquet'"
MINUTES = f"'{segments}/*.minutes.parquet'"
ENDS = "source_namespace, source_workload, destination_namespace, destination_workload"
NAMES = ENDS + ", protocol, port, verdict"
OF = "((source_namespace = 'team-0' AND source_workload = 'service-0') OR (destination_namespace = 'team-0' AND destination_workload = 'service-0'))"
SUMS = "sum(connections), sum(bytes_sent), sum(bytes_received), min(first_seen), max(last_seen)"


def questions(edges, minutes, half_hour, last_day):
    """All about the last day but for what was denied; `last_day` tells a moment of it."""
    join, day = f"JOIN {edges} e USING (segment, edge)", last_day("e.day")
    joined = f"{minutes} m {join} WHERE {last_day('m.minute')} AND {day}"
    return {
        "map of a day by workload": f"SELECT {NAMES}, {SUMS} FROM {edges} e WHERE {day} GROUP BY {NAMES}",
        "map of a day, from minutes": f"SELECT {NAMES}, sum(m.connections), sum(m.bytes_sent), sum(m.bytes_received), "
        f"min(m.first_seen), max(m.last_seen) FROM {joined} GROUP BY {NAMES}",
        "time line of a day, 48 parts": f"SELECT {half_hour} AS part, verdict, sum(m.connections) FROM {joined} GROUP BY 1, 2",
        "peers of a workload, a day": f"SELECT {NAMES}, {SUMS} FROM {edges} e WHERE {day} AND {OF} GROUP BY {NAMES}",
        "last 100 denied of a workload, 7 days": f"SELECT {NAMES}, {SUMS} AS last FROM {edges} e "
        f"WHERE verdict = 'denied' AND {OF} GROUP BY {NAMES} ORDER BY last DESC LIMIT 100",
    }


duck = duckdb.connect()
duck.execute("SET threads = 1")
duck.execute("SET enable_progress_bar = false")
part = "epoch_ms(m.minute) // 1800000"
last_day = lambda time: f"{time} >= to_timestamp({start_s})"
for name, question in questions(EDGES, MINUTES, part, last_day).items():
    measure(f"DuckDB, our files: {name}", duck, lambda: duck.execute(question).fetchall())
duck.execute(f"CREATE TABLE edges AS SELECT * FROM {EDGES}")
duck.execute(f"CREATE TABLE minutes AS SELECT * FROM {MINUTES}")
for name, question in questions("edges", "minutes", part, last_day).items():
    measure(f"DuckDB, its table: {name}", duck, lambda: duck.execute(question).fetchall())

# Interrupted by a thread of its own.
lite = sqlite3.connect(os.path.join(scratch, "day.sqlite"), check_same_thread=False)
lite.execute("PRAGMA journal_mode = OFF")
lite.execute("PRAGMA synchronous = OFF")
began = time.perf_counter()


def give_up():
    tell(f"SQLite: not filled after {FILL_LIMIT_S} s")
    os._exit(0)


filling = threading.Timer(FILL_LIMIT_S, give_up)
filling.start()
for table, source, columns in [
    ("edges", "edges", f"segment, edge, epoch_ms(day) AS day, {NAMES}, connections, bytes_sent, bytes_received, epoch_ms(first_seen) AS first_seen, epoch_ms(last_seen) AS last_seen"),
    ("minutes", "minutes", "segment, edge, epoch_ms(minute) AS minute, connections, bytes_sent, bytes_received, epoch_ms(first_seen) AS first_seen, epoch_ms(last_seen) AS last_seen"),
]:
    rows = duck.execute(f"SELECT {columns} FROM {source}")
    names = [column[0] for column in rows.description]
    lite.execute(f"CREATE TABLE {table} ({', '.join(names)})")
    marks = ", ".join("?" * len(names))
    while batch := rows.fetchmany(100_000):
        lite.executemany(f"INSERT INTO {table} VALUES ({marks})", batch)
lite.execute("CREATE INDEX of_source ON edges (source_namespace, source_workload)")
lite.execute("CREATE INDEX of_destination ON edges (destination_namespace, destination_workload)")
lite.execute("CREATE UNIQUE INDEX of_edge ON edges (segment, edge)")
lite.execute("CREATE INDEX of_minute ON minutes (segment, edge, minute)")
lite.commit()
filling.cancel()
size = os.path.getsize(os.path.join(scratch, "day.sqlite")) / 2**20
ours = sum(os.path.getsize(path) for path in glob.glob(f"{segments}/*.parquet")) / 2**20
tell(f"SQLite: filled in {time.perf_counter() - began:.0f} s, {size:.0f} MiB; our files have {ours:.0f} MiB")
last_day = lambda time: f"{time} >= {start_s}000"
for name, question in questions("edges", "minutes", "m.minute / 1800000", last_day).items():
    measure(f"SQLite, indexed: {name}", lite, lambda: lite.execute(question).fetchall())
