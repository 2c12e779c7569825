"""What a recurrent network does with its past: gradients through time, Jacobians, gates and states.

::

    batches             the rows of a split that all is measured on
    tracing             what the loss of a batch sends into each stack of layers
    layers              a stack's layers in evaluation mode, with the loop over the steps left to the caller
    gradients           the gradient of one step's loss by the states before it
    gates               the names of a cell's gates, and how far they are saturated
    dynamics            the Jacobian of a step, and states over long inputs
    measuring           all of that for each cell of a stack, as plain numbers
    tasks, subjects     what is measured: a task, a run, cells
    several             several runs in one report
    callback            a task in the course of a fit
    panels, pictures, training_picture, table, reports
"""

from seqlab.diagnosis.callback import Diagnose

__all__ = ["Diagnose"]
