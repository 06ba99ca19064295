"""What the archiver costs, measured against the plainest way to the same result. Run it with `scripts/bench`.

    spooling    append against bare executemany
    filing      put and whole filing against a bare loop, the standard library and mdeliver
    rendering   what a message costs in a busy room
    backfill    a million events: speed and memory
    live        what capture waits for while a backfill runs
    policy       what deciding where to archive adds to a delivery
    conversing   where conversations end, on annotated logs (python -m bench.conversing)
    purge        a purge's speed, and memory that doesn't grow with it

Each part is one module with `run(bench)`, which gives each figure as soon as it is known. Ratios come from interleaved
pairs within one run, because no two runs find the same machine. Nothing of the product is changed or imported by it,
and none of this is installed.
"""
