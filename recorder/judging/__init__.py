"""Is what was recorded what the exchange did? Asked of the simulator, who knows.

The oracle is the simulator's own record (`recorder.simulator.truth`), made by
its matching engine and sharing no code with what is judged. Used by the demo,
by the tests and by ``scripts/soak``. `judge` is the whole of it; each module
judges one promise:

* `books`: a book that is shown is the exchange's, and one that is not shown
  is unknown for a reason that the ledger tells;
* `pushes`: every row that was pushed is there once, unaltered, or in a gap;
* `trades`: so is every trade, pushed or not;
* `notices`: so is all that a venue said of itself;
* `traces`: every fault that was performed has left the gap that it must;
* `accounts`: covered time and gaps of rows add up to wall time;
* `kills`: a kill is named, chain by chain, and cost no more than it may.

They answer with verdicts: figures, and complaints in words. Nothing is
believed because there is nothing to complain about: a chain without rows, or
a book that was never known, is a complaint.
"""

from recorder.judging.judge import Judgement, judge


__all__ = ["Judgement", "judge"]
