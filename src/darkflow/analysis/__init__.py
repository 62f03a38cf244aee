"""What the events say: the result document and the tables of a run."""
