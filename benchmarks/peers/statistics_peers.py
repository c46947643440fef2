"""Intervals and p-values of other packages, in the environment that `statistics_peers.py` made for them.

A job on stdin is `{"peer": …, "samples": [[a, b], …]}`; the answer has [low, high, p-value or null] for each sample.
"""

import json
import logging
import sys
import warnings

import numpy as np


def evalstats_mean(a, _):
    from evalstats import mean_ci

    found = mean_ci(a)
    return found.ci_low, found.ci_high, None


def evalstats_difference(a, b):
    from evalstats import pairwise_differences

    found = pairwise_differences(np.stack([a, b]), 0, 1, rng=np.random.default_rng(0))
    return found.ci_low, found.ci_high, found.p_value


def evalstats_judge(labels, votes):
    from evalstats import judge_debias_mean_ci

    known = np.full(len(votes), np.nan)
    known[: len(labels)] = labels
    found = judge_debias_mean_ci(votes, known)
    return found.ci_low, found.ci_high, None


def mlflow_difference(a, b):
    """What `compare_evaluations` works out for one scorer, once it has paired the rows of two runs."""
    from mlflow.genai.evaluation.comparison.paired_comparison import _compare_paired_values

    found = _compare_paired_values("score", b, a, value_type="numeric")
    return found.ci_low, found.ci_high, found.p_value


def scipy_mean(a, _):
    from scipy.stats import bootstrap

    found = bootstrap((a,), np.mean, method="BCa", n_resamples=1000, rng=0).confidence_interval
    return found.low, found.high, None


def scipy_difference(a, b):
    from scipy.stats import ttest_rel

    found = ttest_rel(a, b)
    ends = found.confidence_interval()
    return ends.low, ends.high, found.pvalue


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    job = json.load(sys.stdin)
    run = globals()[job["peer"]]
    answers = [run(*(np.asarray(each, dtype=float) for each in sample)) for sample in job["samples"]]
    json.dump([[None if each is None else float(each) for each in answer] for answer in answers], sys.stdout)


if __name__ == "__main__":
    main()
