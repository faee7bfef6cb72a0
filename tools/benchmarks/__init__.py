"""The measurements that tools/bench.py runs, one module each."""
