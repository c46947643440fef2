from dataclasses import replace

import pytest

from bakeoff.families.forest import ForestFamily, ForestParams
from bakeoff.testing.families import FamilyConformance


class TestForest(FamilyConformance):
    @pytest.fixture
    def family(self) -> ForestFamily:
        return ForestFamily()

    @pytest.fixture
    def params(self) -> ForestParams:
        return ForestParams(trees=8, kind="random", min_leaf_rows=1)

    def test_what_is_left_out_is_chosen(self, family, job) -> None:
        chosen = family.fit(replace(job, params=ForestParams(trees=8))).chosen
        assert chosen["kind"] in {"extra", "random"}
        assert set(chosen) == {"kind", "column_share", "min_leaf_rows"}

    def test_of_many_rows_there_are_fewer_trees_then_larger_leaves(self, family, job) -> None:
        params = ForestParams(kind="random", column_share=0.5, min_leaf_rows=1, max_nodes=20_000)
        model = family.fit(replace(job, params=params))
        assert len(model.trees.root_t) == 100  # 200 rows, and so at most 399 nodes a tree
        assert len(model.trees.column_i) <= 20_000
        assert dict(model.chosen) == {"kind": "random", "column_share": 0.5, "min_leaf_rows": 1}

    def test_trees_are_grown_from_so_many_rows(self, family, job) -> None:
        params = ForestParams(kind="extra", column_share=0.5, min_leaf_rows=1, trees=20, tree_rows=30)
        small, large = (family.fit(replace(job, params=each)) for each in (params, replace(params, tree_rows=1000)))
        assert len(small.trees.column_i) <= 20 * (2 * 30 - 1)
        assert len(small.trees.column_i) < len(large.trees.column_i)
