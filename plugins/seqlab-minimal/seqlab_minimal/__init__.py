"""Recurrent cells with little in them: minGRU, minLSTM and the two-gate cell."""
