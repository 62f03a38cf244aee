"""The paper's experiments, rerun in the lab; each part gives numbers that JSON can hold."""
