"""The table of claims is what the benchmarks, the tables of figures and the families of checkpoints say. A few seconds."""

from tests.docs.claims import BEGIN, END, PAGE, figures, measured, table
from tests.docs.pages import guide


def test_the_table_of_claims_is_as_the_code_and_the_figures_have_it() -> None:
    written = guide(PAGE).text.split(BEGIN)[1].split(END)[0].strip()
    assert written == table().strip(), "python -m tests.docs.claims writes it"


def test_figures_are_those_of_the_tables() -> None:
    cells = measured()
    assert cells["few_shot_8", "tokens"] == "56.0 ± 3.8 (83 %)"
    assert cells["spurious", "jtt"] == "69.8 ± 7.8 (64 %)"
    assert ("few_shot_8", "jtt") not in cells
    assert (figures("50.9 ± 4.2 (62 %)")["mean"], figures("50.9 ± 4.2 (62 %)")["std"]) == (50.9, 4.2)
