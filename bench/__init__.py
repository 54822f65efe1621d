"""What bibsync costs, measured beside the ordinary way, on whatever machine this is.

    python -m bench
    python -m bench --only contents,lag --quick --json figures.json

Wall clocks are only read where waiting is the point. Everything else is CPU time of the process
that does the work, PostgreSQL and the vendor running in processes of their own; and what is
compared is measured in turns in the same run, so that a busy neighbour slows both.
"""
