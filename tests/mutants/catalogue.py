"""Every mechanism that a guarantee rests on, each taken out once: see `mutant`."""

from tests.mutants.reading import READING
from tests.mutants.running import RUNNING
from tests.mutants.writing import WRITING

MUTANTS = tuple(sorted((*READING, *WRITING, *RUNNING), key=lambda mutant: mutant.guarantee))
