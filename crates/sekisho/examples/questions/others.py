# The same questions, asked of DuckDB (the Parquet files as they are, and a table of its own) and of
# SQLite (the same rows, indexed). Arguments: the folder of segments, a scratch folder.
import glob, os, sqlite3, statistics, sys, time

import duckdb

segments, scratch = sys.argv[1:]
TIMES = 5


def measure(name, ask):
    spent = []
    for _ in range(TIMES):
        began = time.perf_counter()
        ask()
        spent.append((time.perf_counter() - began) * 1e3)
    print(f"{name:<34} {statistics.median(spent[1:]):7.1f} ms, first {spent[0]:7.1f} ms")


EDGES = f"'{segments}/*.edges.parquet'"
MINUTES = f"'{segments}/*.minutes.parquet'"
ENDS = "source_namespace, source_workload, destination_namespace, destination_workload"
NAMES = ENDS + ", protocol, port, verdict"
OF = "((source_namespace = 'team-0' AND source_workload = 'service-0') OR (destination_namespace = 'team-0' AND destination_workload = 'service-0'))"
SUMS = "sum(connections), sum(bytes_sent), sum(bytes_received), min(first_seen), max(last_seen)"


def questions(edges, minutes, join, half_hour):
    return {
        "map of a day by workload": f"SELECT {NAMES}, {SUMS} FROM {edges} e GROUP BY {NAMES}",
        "map of a day, from minutes": f"SELECT {NAMES}, sum(m.connections), sum(m.bytes_sent), sum(m.bytes_received), "
        f"min(m.first_seen), max(m.last_seen) FROM {minutes} m {join} GROUP BY {NAMES}",
        "time line of a day, 48 parts": f"SELECT {half_hour} AS part, verdict, sum(m.connections) FROM {minutes} m {join} GROUP BY 1, 2",
        "peers of a workload, a day": f"SELECT {NAMES}, {SUMS} FROM {edges} e WHERE {OF} GROUP BY {NAMES}",
        "last 100 denied of a workload": f"SELECT {ENDS}, port, m.last_seen, m.connections FROM {minutes} m {join} "
        f"WHERE verdict = 'denied' AND {OF} ORDER BY m.last_seen DESC LIMIT 100",
    }


duck = duckdb.connect()
duck.execute("SET threads = 1")
part = "epoch_ms(m.minute) // 1800000"
for name, question in questions(EDGES, MINUTES, f"JOIN {EDGES} e USING (segment, edge)", part).items():
    measure(f"DuckDB, our files: {name}"[:52], lambda: duck.execute(question).fetchall())
duck.execute(f"CREATE TABLE edges AS SELECT * FROM {EDGES}")
duck.execute(f"CREATE TABLE minutes AS SELECT * FROM {MINUTES}")
for name, question in questions("edges", "minutes", "JOIN edges e USING (segment, edge)", part).items():
    measure(f"DuckDB, its table: {name}"[:52], lambda: duck.execute(question).fetchall())

lite = sqlite3.connect(os.path.join(scratch, "day.sqlite"))
lite.execute("PRAGMA journal_mode = OFF")
lite.execute("PRAGMA synchronous = OFF")
began = time.perf_counter()
for table, source, columns in [
    ("edges", "edges", f"segment, edge, {NAMES}, connections, bytes_sent, bytes_received, epoch_ms(first_seen) AS first_seen, epoch_ms(last_seen) AS last_seen"),
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
size = os.path.getsize(os.path.join(scratch, "day.sqlite")) / 2**20
ours = sum(os.path.getsize(path) for path in glob.glob(f"{segments}/*.parquet")) / 2**20
print(f"SQLite: filled in {time.perf_counter() - began:.0f} s, {size:.0f} MiB; our files have {ours:.0f} MiB")
for name, question in questions("edges", "minutes", "JOIN edges e USING (segment, edge)", "m.minute / 1800000").items():
    measure(f"SQLite, indexed: {name}"[:52], lambda: lite.execute(question).fetchall())
