"""Benchmarks: `python -m benchmarks NAME [--smoke]` writes `benchmarks/results/NAME.json`.

Each benchmark is a module with one function `run(smoke, jobs)` that returns plain values. What it
took to get them (commit, versions, machine, threads, seconds) is added here.
"""
