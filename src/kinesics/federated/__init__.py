"""Training across silos that never share data.

Designing who talks to whom: `silos.py` reads where the silos are, `topology.py` models what a message costs,
`overlay.py`, `rings.py` and `search.py` choose the links, `cycle_time.py` says how long a round takes, `mixing.py` how
many rounds agreement takes, `design.py` puts all overlays side by side.

Training over them: `partition.py` deals the samples, `stack.py` holds all silos' weights in one matrix, `exchange.py`
mixes them, `simulate.py` runs the rounds in one process, `session.py` makes a run directory of it.

Sources: "Deep Federated Learning for Autonomous Driving" (arXiv 2110.05754); O. Marfoq, C. Xu, G. Neglia, R. Vidal,
"Throughput-Optimal Topology Design for Cross-Silo Federated Learning", NeurIPS 2020 (arXiv 2010.12229). No system is
known here by name.
"""
