"""The recurrent cells of the package torchrecurrent, as cells of seqlab."""
