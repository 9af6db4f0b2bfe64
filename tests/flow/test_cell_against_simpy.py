"""Vehicles with batteries, set-ups and a shared operator, for which no formula is known, against the same cell in SimPy."""

import numpy as np
import pytest

from twin.flow import simulate
from twin.model.factory import NodeState

pytest.importorskip("simpy")
from bench.flow.cell import FIGURES, MACHINES, cell, in_simpy

HORIZON, WARMUP = 600.0, 300.0


def test_machining_cell():
    model = cell()
    ours = simulate(model, horizon_s=HORIZON, warmup_s=WARMUP, replications=8000, seed=5)
    machines = [model.node_index(f"/{m}") for m in MACHINES]
    share = ours.state_time_s / HORIZON
    robots = share[:, model.node_index("/Robots")]
    columns = [
        ours.sunk_measured,
        ours.wip_mean,
        ours.lead_mean_s,
        share[:, machines, NodeState.WAITING_CREW].mean(axis=1),
        share[:, machines, NodeState.SETUP].mean(axis=1),
        robots[:, NodeState.WORKING],
        robots[:, NodeState.SETUP],
    ]
    theirs = np.array([in_simpy(seed, horizon_s=HORIZON, warmup_s=WARMUP) for seed in range(700)])
    for name, a, b in zip(FIGURES, columns, theirs.T, strict=True):
        error = np.hypot(np.std(a) / np.sqrt(len(a)), np.std(b) / np.sqrt(len(b)))
        assert abs(np.mean(a) - np.mean(b)) <= 4.0 * error, name
        # and the comparison is sharp enough to mean something
        assert error <= 0.04 * np.mean(b), name
