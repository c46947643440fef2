"""The review queue on the command line."""

from bakeoff import Project


def test_a_row_says_of_how_many_it_is(bakeoff, ran):
    with Project(ran) as project:
        project.predict([{"review": "good film", "year": 1999}] * 5)
    assert bakeoff("review", "pick", "4", "--share", "random=1", "-C", ran).code == 0
    shown = bakeoff("review", "next", "-C", ran)
    assert (shown.code, shown.out.splitlines()[1]) == (0, "--- row 1 of 4 ---")
