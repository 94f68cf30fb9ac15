"""The sections of a run, in the order that a GPU's time is best spent: right first, then fast, then trained."""
